"""Encoded H.264 packets into a container, in memory: what MPEG-TS readers get, and what a recording is made of.

A frame costs 0.03 ms (``python -m stream.encoder_bench``), so it is done on the event loop.
"""

import io
from typing import TYPE_CHECKING

import av
from av.container import OutputContainer

from stream.encoder import TIME_BASE
from stream.subscription import VideoPacket

if TYPE_CHECKING:
    from av.stream import Stream

# A server that is killed loses what was not written: at most this much of a recording.
FRAGMENT_S = 1


class _Outlet(io.RawIOBase):
    """What the container writes to; keeps the bytes until they are taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


class Muxer:
    """One container being written; its first packet must be a keyframe.

    The packets are copied, since the container changes their times, and others read the same ones.
    """

    def __init__(self, container: str, options: dict[str, str], from_zero: bool) -> None:
        self._name, self._options = container, options
        self._from_zero = from_zero
        self._origin = 0
        self._outlet = _Outlet()
        self._container: OutputContainer | None = None
        self._stream: Stream | None = None

    def mux(self, packet: VideoPacket) -> bytes:
        """Take the next packet of an H.264 encode; gives the bytes that are ready, none perhaps."""
        if self._container is None or self._stream is None:
            self._open(packet)
            assert self._container is not None
        copy = av.Packet(bytes(packet.encoded))
        copy.pts = copy.dts = packet.pts - self._origin
        copy.time_base = TIME_BASE
        copy.is_keyframe = packet.is_keyframe
        assert self._stream is not None
        copy.stream = self._stream
        self._container.mux(copy)
        return self._outlet.take()

    def finish(self) -> bytes:
        """Give the last bytes; idempotent."""
        if self._container is not None:
            self._container.close()
            self._container = None
        return self._outlet.take()

    def _open(self, packet: VideoPacket) -> None:
        self._origin = packet.pts if self._from_zero else 0
        width, height = packet.size
        self._container = av.open(self._outlet, "w", format=self._name, options=self._options)
        self._stream = self._container.add_mux_stream("h264", width=width, height=height, time_base=TIME_BASE)


def transport_stream() -> Muxer:
    """Make a muxer to MPEG-TS (ISO/IEC 13818-1): bytes with every packet, timestamps as they are."""
    return Muxer("mpegts", {}, from_zero=False)


def fragmented_mp4() -> Muxer:
    """Make a muxer to fragmented MP4 (ISO/IEC 14496-12): playable after every fragment, its time begins at 0."""
    options = {"movflags": "empty_moov+default_base_moof", "frag_duration": str(FRAGMENT_S * 1_000_000)}
    return Muxer("mp4", options, from_zero=True)
