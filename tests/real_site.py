"""A server with real streams on a fake model that costs nothing, and a client of it."""

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from stream.broadcast import Broadcast
from stream.capabilities import describe
from stream.config import ServerConfig, StreamConfig
from stream.congestion import BitrateBounds
from stream.engine import ThreadEngine
from stream.live import LiveStream
from stream.registry import Streams
from stream.signalling import Dependencies, build_app
from tests.fakes import FakePipeline
from tests.reference import Reference
from tests.site import HttpClient


def picture_file(kind: str = "PNG", size: tuple[int, int] = (80, 40), red: int = 60) -> bytes:
    """Give a picture file of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, (red, 0, 0)).save(file, kind)
    return file.getvalue()


class Made:
    """A stream made over HTTP, and what its answer said."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.path = f"/streams/{body['stream']}"
        self.headers = {"Authorization": f"Bearer {body['control_token']}"}


class RealSite:
    """The server; ``async with`` starts its model and ends everything. ``reason`` makes it not ready."""

    def __init__(self, server: ServerConfig | None = None, stream: StreamConfig | None = None, **fake: Any) -> None:
        self.reason: str | None = None
        self._engine = ThreadEngine(lambda _progress: FakePipeline(**fake))
        self._server, self._stream = server or ServerConfig(), stream or StreamConfig()

    async def __aenter__(self) -> "RealSite":
        await self._engine.start()
        config, bounds = self._stream, BitrateBounds(1000, 300, 4000)
        capabilities = describe(self._engine.capabilities, self._engine.format, config, "1", self._engine.is_resumable)

        def make_sink(stream_id: str, take_slot: Callable[[], int]) -> Broadcast:
            return Broadcast(stream_id, take_slot, Fraction(16), bounds)

        self.streams = Streams(self._engine, config, make_sink, capabilities)
        dependencies = Dependencies(self.streams, capabilities, self._server, config, not_ready=lambda: self.reason)
        self.app = build_app(dependencies)
        self.http: HttpClient = TestClient(TestServer(self.app))
        await self.http.start_server()
        async with self.http.get("/openapi.json") as response:
            self.document: dict[str, Any] = await response.json()
        self.reference = Reference(self.document)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()
        await self._engine.close()

    async def make(self, **fields: Any) -> Made:
        """Make a stream by ``POST /streams``."""
        status, body = await self.ask("POST", "/streams", json=fields)
        assert status == 201, body
        return Made(body)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Make a request; gives the status and the JSON of the answer, the bare error of one that failed.

        The answer must be one that the server's own OpenAPI document tells of.
        """
        async with self.http.request(method, path, **options) as response:
            body: Any = await response.json() if response.content_type == "application/json" else None
        self.reference.check(method, path, response.status, response.content_type, body)
        if response.status < 400:
            return response.status, body
        assert list(body) == ["error"], body
        return response.status, body["error"]

    async def command(self, made: Made, type: str, wait: bool = False, **fields: Any) -> tuple[int, Any]:
        """Give a command by ``PATCH``."""
        query = "?wait=applied" if wait else ""
        return await self.ask("PATCH", made.path + query, json={"type": type, "id": 5, **fields}, headers=made.headers)

    async def upload(self, made: Made, data: Any, query: str = "", **headers: str) -> tuple[int, Any]:
        """Send a picture by ``PUT``."""
        return await self.ask("PUT", f"{made.path}/image{query}", data=data, headers=made.headers | headers)

    def live(self, made: Made) -> LiveStream:
        """Give the stream itself."""
        return self.streams.find(made.body["stream"])
