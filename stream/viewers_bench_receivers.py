"""Viewers that cost little: they connect as any does, then note what comes without decrypting it."""

import asyncio
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from struct import pack, unpack_from
from types import MethodType
from typing import Any

from aioice.ice import StunProtocol
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import get_capabilities
from aiortc.rtp import is_rtcp

from stream.encoder import Codec
from stream.ice import connection_configuration
from stream.network import Network, use_network
from stream.viewers_bench_sender import Task

REPORT_S = 1.0
RTP_HEADER_BYTES = 12
RECEIVER_REPORT = 201


@dataclass(frozen=True, slots=True)
class Arrival:
    """The last packet of a frame: its RTP timestamp, when it came, whether all before it had come."""

    timestamp: int
    at: float
    is_whole: bool


class _Receiver:
    """One viewer."""

    def __init__(self, codec: Codec) -> None:
        self.connection = RTCPeerConnection(connection_configuration([]))
        video = self.connection.addTransceiver("video", direction="recvonly")
        known = get_capabilities("video").codecs
        video.setCodecPreferences([one for one in known if one.mimeType == f"video/{codec}"])
        self.arrivals: list[Arrival] = []
        self.connected = asyncio.Event()
        self._transport = video.receiver
        self._next = -1
        self._whole = True
        self._ssrc = 0
        self._reporting: asyncio.Task[None] | None = None
        self.connection.on("connectionstatechange", self._on_state)

    def _on_state(self) -> None:
        if self.connection.connectionState != "connected":
            return
        for protocol in self._transport.transport.transport._connection._protocols:
            self._tap(protocol)
        self._reporting = asyncio.create_task(self._report(), name="bench-report")
        self.connected.set()

    def _tap(self, protocol: StunProtocol) -> None:
        receive = protocol.datagram_received

        def datagram_received(_: StunProtocol, data: bytes, addr: tuple[Any, ...]) -> None:
            if len(data) > RTP_HEADER_BYTES and 127 < data[0] < 192 and not is_rtcp(data):
                self._note(data)
            else:
                receive(data, addr)

        protocol.datagram_received = MethodType(datagram_received, protocol)

    def _note(self, data: bytes) -> None:
        marker, sequence, timestamp, self._ssrc = unpack_from("!xBHLL", data)
        if sequence != self._next and self._next >= 0:
            self._whole = False
        self._next = (sequence + 1) & 0xFFFF
        if marker & 0x80:
            self.arrivals.append(Arrival(timestamp, time.monotonic(), self._whole))
            self._whole = True

    async def _report(self) -> None:
        """Send what a browser sends about once a second: a receiver report, of no loss."""
        transport = self._transport.transport
        while True:
            await asyncio.sleep(REPORT_S)
            report = pack("!BBHLLLLLLL", 0x81, RECEIVER_REPORT, 7, 1, self._ssrc, 0, self._next & 0xFFFF, 0, 0, 0)
            await transport._send_rtp(report)

    async def close(self) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.gather(self._reporting, return_exceptions=True)
        await self.connection.close()


class Receivers:
    """All viewers of one process."""

    def __init__(self, codec: Codec) -> None:
        self._codec: Codec = codec
        self._all: list[_Receiver] = []

    async def offer(self, count: int) -> list[str]:
        """Make more viewers; gives their offers."""
        made = [_Receiver(self._codec) for _ in range(count)]
        self._all += made
        for receiver in made:
            connection = receiver.connection
            await connection.setLocalDescription(await connection.createOffer())
        return [receiver.connection.localDescription.sdp for receiver in made]

    async def accept(self, answers: list[str]) -> None:
        """Connect the viewers made last."""
        made = self._all[-len(answers) :]
        for receiver, answer in zip(made, answers, strict=True):
            await receiver.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await asyncio.gather(*(receiver.connected.wait() for receiver in made))

    def clear(self) -> None:
        """Forget what has arrived."""
        for receiver in self._all:
            receiver.arrivals.clear()

    @property
    def arrivals(self) -> list[list[Arrival]]:
        """What has arrived, by viewer, in the order of their offers."""
        return [receiver.arrivals for receiver in self._all]

    async def close(self) -> None:
        """Leave."""
        await asyncio.gather(*(receiver.close() for receiver in self._all))


def serve_viewers(task: Task, pipe: Connection) -> None:
    """Do what the pipe asks, until it asks to end."""
    asyncio.run(_serve(task, pipe))


async def _serve(task: Task, pipe: Connection) -> None:
    use_network(Network(loopback=True))
    receivers, loop, began = Receivers(task.codec), asyncio.get_running_loop(), 0.0
    while True:
        name, *arguments = await loop.run_in_executor(None, pipe.recv)
        result: Any = None
        if name == "offer":
            result = await receivers.offer(*arguments)
        elif name == "accept":
            await receivers.accept(*arguments)
        elif name == "clear":
            receivers.clear()
            began = time.process_time()
        elif name == "arrivals":
            result = receivers.arrivals, time.process_time() - began
        else:
            await receivers.close()
            return
        pipe.send(result)
