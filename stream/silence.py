"""The audio of a stream: none, said in Opus, for players that wait for an audio track."""

import asyncio
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

OPUS_CLOCK_HZ = 48_000
FRAME_S = 0.02
FRAME_TICKS = 960
# Fullband CELT, 20 ms, one frame (RFC 6716 section 3.1), of which nothing is coded.
SILENT_FRAME = b"\xf8\xff\xfe"
# One who was held up this long goes on from now instead of catching up.
RESYNC_S = 0.2


class SilentTrack(MediaStreamTrack):
    """An audio track of encoded silence, 50 packets a second, which aiortc sends as they are."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._clock = asyncio.get_running_loop().time
        self._began: float | None = None
        self._frame = 0

    async def recv(self) -> Any:
        """Wait until the next ``av.Packet`` is due, ``pts`` in 1/48000 s. Raises MediaStreamError after the end."""
        if self.readyState != "live":
            raise MediaStreamError
        now = self._clock()
        if self._began is None:
            self._began = now
        due = self._began + self._frame * FRAME_S
        if now - due > RESYNC_S:
            self._frame += int((now - due) / FRAME_S)
        elif now < due:
            await asyncio.sleep(due - now)
        packet = av.Packet(SILENT_FRAME)
        packet.pts = self._frame * FRAME_TICKS
        packet.time_base = Fraction(1, OPUS_CLOCK_HZ)
        self._frame += 1
        return packet
