"""A server with one fake stream, and clients that come to it by WHIP or WHEP."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDictProxy

from tests.fake_live import FakeLive
from tests.loopback import Client
from tests.site import Site

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
CANDIDATE = "a=candidate:1 1 udp 2122260223 127.0.0.1 50000 typ host"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: "CIMultiDictProxy[str]"
    body: bytes

    @property
    def sdp(self) -> str:
        """The body of a 201."""
        assert self.status == 201, self.body
        return self.body.decode()

    @property
    def code(self) -> str:
        """The error's code."""
        return json.loads(self.body)["error"]["code"]


class Stage:
    """A site with one stream, and short ways to its endpoint of this kind, whip or whep."""

    def __init__(self, site: Site, kind: str) -> None:
        self.kind = kind
        self.site = site
        self.live: FakeLive = site.streams.create()
        self.clients: list[Client] = []

    @property
    def path(self) -> str:
        """The endpoint."""
        return f"/{self.kind}/{self.live.id}"

    async def post(self, body: str | bytes, **headers: str) -> Answer:
        """Post an offer."""
        async with self.site.http.post(self.path, data=body, headers=headers or SDP) as response:
            return Answer(response.status, response.headers, await response.read())

    async def connect(self, client: Client, **headers: str) -> Answer:
        """Connect a client by an offer."""
        self.clients.append(client)
        connected = asyncio.Event()
        client.connection.on("connectionstatechange", connected.set)
        answer = await self.post(await client.offer(), **headers)
        await client.accept(answer.sdp)
        async with asyncio.timeout(5):
            while client.connection.connectionState != "connected":
                connected.clear()
                await connected.wait()
        return answer

    async def session(self, client: Client, **headers: str) -> str:
        """Give the path of a session of a client that does not connect."""
        self.clients.append(client)
        return (await self.post(await client.offer(), **headers)).headers["Location"]

    async def patch(self, path: str, body: str, **headers: str) -> tuple[int, bytes, Any]:
        """Patch a session; gives status, body and headers."""
        async with self.site.http.patch(path, data=body, headers=FRAGMENT | headers) as response:
            return response.status, await response.read(), response.headers


@contextlib.asynccontextmanager
async def staged(site: Site, kind: str) -> AsyncIterator[Stage]:
    """A stage whose clients are closed afterwards."""
    async with site.http:
        made = Stage(site, kind)
        yield made
        for client in made.clients:
            await client.close()
