"""A WebRTC client on the same machine, for tests: receives video, holds a control channel."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import av
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import get_capabilities
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtpPacket

from stream.ice import connection_configuration
from stream.network import Network, use_network

PATIENCE_S = 10


class Client:
    """A director's browser, so to say: one recvonly video and the channel ``control``."""

    def __init__(self, codecs: Sequence[str] = ("VP8", "H264"), channel: bool = True) -> None:
        use_network(Network(loopback=True))
        self.connection = RTCPeerConnection(connection_configuration([]))
        transceiver = self.connection.addTransceiver("video", direction="recvonly")
        capabilities = get_capabilities("video").codecs
        transceiver.setCodecPreferences(
            [codec for name in codecs for codec in capabilities if codec.mimeType == f"video/{name}"]
        )
        self.receiver = transceiver.receiver
        self.timestamps: list[int] = []
        self._read_timestamps()
        self.channel = self.connection.createDataChannel("control") if channel else None
        self.messages: list[dict[str, Any]] = []
        self.frames: list[av.VideoFrame] = []
        self.opened = asyncio.Event()
        self.changed = asyncio.Condition()
        self._reader: asyncio.Task[None] | None = None
        if self.channel is not None:
            self.channel.on("open", self.opened.set)
            self.channel.on("message", self._on_message)
        self.connection.on("track", self._on_track)

    async def offer(self) -> str:
        """Give the SDP of the client's offer."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def accept(self, answer: str) -> None:
        """Take the server's answer and wait for the channel."""
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
        if self.channel is not None:
            async with asyncio.timeout(PATIENCE_S):
                await self.opened.wait()

    def send(self, **message: Any) -> None:
        """Send a command."""
        assert self.channel is not None
        self.channel.send(json.dumps(message))

    async def wait(self, holds: Callable[[], Any]) -> Any:
        """Wait until this holds, looking again whenever a message or a frame came; gives what it gave."""
        async with asyncio.timeout(PATIENCE_S), self.changed:
            return await self.changed.wait_for(holds)

    async def message(self, type: str, **values: Any) -> dict[str, Any]:
        """Wait for a message of this type and these values."""
        wanted = {"type": type, **values}
        return await self.wait(lambda: next((m for m in self.messages if wanted.items() <= m.items()), None))

    async def close(self) -> None:
        """Leave."""
        await self.connection.close()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    def _read_timestamps(self) -> None:
        """Note the RTP timestamps as they come: those of aiortc's decoded frames begin at 0."""
        handle = self.receiver._handle_rtp_packet

        async def handle_rtp_packet(packet: RtpPacket, arrival_time_ms: int) -> None:
            if packet.timestamp not in self.timestamps[-3:]:
                self.timestamps.append(packet.timestamp)
                self._changed()
            await handle(packet, arrival_time_ms=arrival_time_ms)

        self.receiver._handle_rtp_packet = handle_rtp_packet

    def _on_message(self, text: str) -> None:
        self.messages.append(json.loads(text))
        self._changed()

    def _changed(self) -> None:
        async def notify() -> None:
            async with self.changed:
                self.changed.notify_all()

        task = asyncio.ensure_future(notify())
        self._notices = [*getattr(self, "_notices", [])[-20:], task]

    def _on_track(self, track: MediaStreamTrack) -> None:
        async def read() -> None:
            while True:
                try:
                    frame = await track.recv()
                except MediaStreamError:
                    return
                assert isinstance(frame, av.VideoFrame)
                self.frames.append(frame)
                self._changed()

        self._reader = asyncio.create_task(read(), name="client-video")
