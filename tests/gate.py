"""A gate that a fake model waits at, in a thread or in another process, until the test lets it pass."""

import asyncio
import socket
from typing import Self

LOOPBACK = "127.0.0.1"


def stand_at(port: int) -> None:
    """Wait at the gate of this port; blocking. Raises OSError where there is none any more."""
    with socket.create_connection((LOOPBACK, port)) as connection:
        connection.recv(1)


class Gate:
    """A listening port: each connection is one that stands there, and passes when it is closed."""

    def __init__(self) -> None:
        self._standing: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        """Put the gate up."""
        self._server = await asyncio.start_server(self._come, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let all pass that stand there; who comes later finds no gate and fails."""
        assert self._server is not None
        self._server.close()
        while not self._standing.empty():
            await self.let_pass()

    async def arrival(self) -> asyncio.StreamWriter:
        """Wait until someone stands at the gate; they pass when what this gives is closed."""
        return await self._standing.get()

    async def let_pass(self) -> None:
        """Wait until someone stands at the gate, and let them pass."""
        writer = await self.arrival()
        writer.close()
        await writer.wait_closed()

    def _come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._standing.put_nowait(writer)
