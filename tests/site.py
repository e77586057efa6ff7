"""A server with fake streams, and a client of it."""

from typing import Any, cast

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from stream.config import ServerConfig, StreamConfig
from stream.metrics import Metrics
from stream.registry import Streams
from stream.signalling import Dependencies, build_app
from tests.fake_live import FakeStreams
from tests.loopback import Client

CAPABILITIES = {"version": "1", "protocol": 1, "model": "fake"}
HttpClient = TestClient[web.Request, web.Application]


class Site:
    """A server with fake streams, and a client of it."""

    def __init__(self, server: ServerConfig, stream: StreamConfig | None = None) -> None:
        self.streams = FakeStreams()
        self.reason: str | None = None
        streams = cast(Streams, self.streams)
        dependencies = Dependencies(
            streams=streams,
            capabilities=CAPABILITIES,
            server=server,
            stream=stream or StreamConfig(),
            metrics=Metrics(lambda: streams),
            not_ready=lambda: self.reason,
        )
        self.app = build_app(dependencies)
        self.http: HttpClient = TestClient(TestServer(self.app))

    async def offer(self, client: Client, **values: Any) -> dict[str, Any]:
        """Connect a client by ``POST /offer``; gives the answer."""
        body = {"type": "offer", "sdp": await client.offer(), **values}
        async with self.http.post("/offer", json=body) as response:
            assert response.status == 200, await response.text()
            assert int(response.headers["Content-Length"]) > 0
            answer = await response.json()
        await client.accept(answer["sdp"])
        return answer

    async def fault(self, method: str, path: str, **values: Any) -> tuple[int, dict[str, Any]]:
        """Make a request that fails; gives the status and the error object, after a look at its shape."""
        async with self.http.request(method, path, **values) as response:
            assert response.content_type == "application/json"
            body = await response.json()
        assert list(body) == ["error"]
        assert {*body["error"]} >= {"code", "message"}
        assert "Traceback" not in body["error"]["message"]
        return response.status, body["error"]
