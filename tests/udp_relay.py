"""A path between two UDP sockets that delays and loses packets: what netem does, where the kernel has none."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

Address = tuple[str, int]
RECEIVE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to packets each way: the share that is lost, the seconds that the others take."""

    loss: float
    one_way_s: float


class _Side(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, Address], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._received(data, addr)


class UdpRelay:
    """Passes packets between one client, whoever sends first, and ``target``; all on 127.0.0.1."""

    def __init__(self, target: Address, trouble: Trouble) -> None:
        self._target = target
        self._trouble = trouble
        self._random = random.Random(1)
        self._client: Address | None = None
        self._transports: list[asyncio.DatagramTransport] = []

    async def start(self) -> int:
        """Listen; gives the port that clients are to send to."""
        loop = asyncio.get_running_loop()
        for received in (self._from_client, self._from_target):
            transport, _ = await loop.create_datagram_endpoint(
                lambda received=received: _Side(received), ("127.0.0.1", 0)
            )
            self._transports.append(transport)
        return cast(int, self._transports[0].get_extra_info("sockname")[1])

    def close(self) -> None:
        """Stop; idempotent."""
        for transport in self._transports:
            transport.close()

    def _from_client(self, data: bytes, addr: Address) -> None:
        self._client = addr
        self._pass(self._transports[1], data, self._target)

    def _from_target(self, data: bytes, addr: Address) -> None:
        if self._client is not None:
            self._pass(self._transports[0], data, self._client)

    def _pass(self, transport: asyncio.DatagramTransport, data: bytes, to: Address) -> None:
        if self._random.random() >= self._trouble.loss:
            asyncio.get_running_loop().call_later(self._trouble.one_way_s, self._send, transport, data, to)

    @staticmethod
    def _send(transport: asyncio.DatagramTransport, data: bytes, to: Address) -> None:
        if not transport.is_closing():
            transport.sendto(data, to)
