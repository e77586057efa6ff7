"""Everything HTTP: the routes of the wire contract."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from stream.access import Access, host_and_origin_middleware
from stream.broadcast import Broadcast
from stream.channel import ChannelLimits
from stream.config import ServerConfig, StreamConfig
from stream.errors import StreamError
from stream.ice import configured_servers
from stream.live import LiveStream
from stream.metrics import CONTENT_TYPE, Metrics
from stream.middleware import allow_cross_origin, answer_errors
from stream.openapi import Route, make_document
from stream.output import Output
from stream.peer import DirectorPeer, PeerSettings
from stream.protocol import Limits
from stream.publish import Publish
from stream.registry import Streams
from stream.rest import Rest, stream_urls
from stream.sdp import Offer, read_offer
from stream.whep import Whep
from stream.whip import Whip

WEB = Path(__file__).resolve().parent.parent / "web"
# Everything on the live page comes from here; thumbnails and chosen pictures are made in it.
PAGE_POLICY = "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'"
BODY_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the routes work on: streams, what is told of the server, who may come in, what is counted.

    ``capabilities`` is the body of ``GET /capabilities``, the same that ``welcome`` carries; empty until
    they are known.
    ``not_ready`` gives the reason why the server can't serve now, or None when it can.
    """

    streams: Streams
    capabilities: Mapping[str, Any]
    server: ServerConfig
    stream: StreamConfig
    metrics: Metrics = field(default_factory=Metrics)
    not_ready: Callable[[], str | None] = lambda: None


def build_app(dependencies: Dependencies) -> web.Application:
    """Make the application; on shutdown it ends every stream and waits until every peer has been let go."""
    access = Access(dependencies.server)
    # The first is the outermost.
    middlewares = [answer_errors, host_and_origin_middleware(access), allow_cross_origin, answer_errors]
    app = web.Application(middlewares=middlewares, client_max_size=BODY_BYTES)
    routes = _Routes(dependencies, access)
    app.add_routes(
        [
            web.get("/", routes.page),
            web.get("/ice_servers", routes.ice_servers),
            web.post("/offer", routes.offer),
            web.get("/watch/{stream}", routes.watch),
            *routes.whep.routes(),
            *routes.whip.routes(),
            *routes.publish.routes(),
            *routes.output.routes(),
            *routes.rest.routes(),
            web.get("/healthz", routes.healthz),
            web.get("/readyz", routes.readyz),
            web.get("/metrics", routes.metrics),
            web.get("/capabilities", routes.capabilities),
            web.get("/openapi.json", routes.openapi),
            web.get("/docs", routes.docs),
            web.static("/web", WEB),
        ]
    )
    asks_access_token = bool(dependencies.server.access_token)
    routes.document = make_document(registered(app), routes.limits, asks_access_token)
    app.on_response_prepare.append(_revalidate_files)
    app.on_shutdown.append(routes.close)
    return app


def registered(app: web.Application) -> list[Route]:
    """Give the routes of an application, but for the page's files, and HEAD, which every GET answers."""
    return [
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and not isinstance(route.resource, web.StaticResource)
        if route.method != "HEAD"
    ]


class _Routes:
    """The handlers, and the peers that they made."""

    def __init__(self, dependencies: Dependencies, access: Access) -> None:
        config = dependencies.stream
        self.limits = Limits(config.prompt_chars, config.image_bytes, config.image_pixels)
        self.document: dict[str, Any] = {}
        self._dependencies = dependencies
        self._access = access
        self._servers = configured_servers(dependencies.server)
        self._settings = PeerSettings(
            configure=self._servers.configuration,
            handshake_timeout_s=config.handshake_timeout_s,
            channel=ChannelLimits(self.limits, config.upload_timeout_s),
        )
        self._peers: set[DirectorPeer] = set()
        streams, server, metrics = dependencies.streams, dependencies.server, dependencies.metrics
        self.whep = Whep(streams, server, config, metrics)
        self.publish = Publish(streams.authorise, server, config)
        self.whip = Whip(streams.find, streams.authorise, server, config, metrics)
        self.output = Output(streams, config)
        self.rest = Rest(streams, access, config, self._require_ready)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """``GET /``"""
        return web.FileResponse(WEB / "index.html", headers={"Content-Security-Policy": PAGE_POLICY})

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """``GET /watch/{stream}``"""
        self._find(request)
        return web.FileResponse(WEB / "watch.html")

    async def ice_servers(self, request: web.Request) -> web.StreamResponse:
        """``GET /ice_servers``: what a client's connection is to be made with, before its offer."""
        self._access.check_token(request.headers.get("Authorization"))
        answer = {"ice_servers": self._servers.describe(), "ttl_s": self._servers.ttl_s}
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    async def offer(self, request: web.Request) -> web.StreamResponse:
        """``POST /offer``"""
        metrics = self._dependencies.metrics
        try:
            answer = await self._answer(request)
        except StreamError as error:
            metrics.offer_answered(error.code)
            raise
        metrics.offer_answered("ok")
        return web.json_response(answer)

    async def _answer(self, request: web.Request) -> dict[str, Any]:
        body = await _read_offer_body(request)
        self._access.check_token(request.headers.get("Authorization"), body.get("access_token"))
        offer = read_offer(body.get("sdp"))
        self._require_ready()
        if body.get("stream") is not None:
            live = await self._join(body)
            sdp = await self._accept(live, offer)
        else:
            live = self._dependencies.streams.create()
            accepted = False
            try:
                sdp = await self._accept(live, offer)
                accepted = True
            finally:
                if not accepted:
                    await live.end("bad_offer")
        return {
            "type": "answer",
            "sdp": sdp,
            "stream": live.id,
            "control_token": live.control_token,
            **stream_urls(live),
        }

    async def _join(self, body: dict[str, Any]) -> LiveStream:
        stream, token = body["stream"], body.get("control_token")
        if not isinstance(stream, str):
            raise StreamError("bad_offer", "`stream` must be the id of a stream, a string.")
        if not isinstance(token, str):
            raise StreamError("unauthorized", "To join a stream, send its `control_token` with its id.")
        return await self._dependencies.streams.rejoin(stream, token)

    async def _accept(self, live: LiveStream, offer: Offer) -> str:
        broadcast = cast(Broadcast, live.broadcast)
        peer = DirectorPeer(live, broadcast, self._settings, lambda: self._peers.discard(peer))
        self._peers.add(peer)
        return await peer.accept(offer)

    async def healthz(self, request: web.Request) -> web.StreamResponse:
        """``GET /healthz``"""
        return web.json_response({"alive": True})

    async def readyz(self, request: web.Request) -> web.StreamResponse:
        """``GET /readyz``"""
        reason = self._dependencies.not_ready()
        if reason is None:
            return web.json_response({"ready": True})
        return web.json_response({"ready": False, "reason": reason}, status=503)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """``GET /metrics``"""
        text = self._dependencies.metrics.render()
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def capabilities(self, request: web.Request) -> web.StreamResponse:
        """``GET /capabilities``"""
        self._require_ready(known=bool(self._dependencies.capabilities))
        return web.json_response(dict(self._dependencies.capabilities))

    async def openapi(self, request: web.Request) -> web.StreamResponse:
        """``GET /openapi.json``"""
        return web.json_response(self.document)

    async def docs(self, request: web.Request) -> web.StreamResponse:
        """``GET /docs``"""
        return web.FileResponse(WEB / "docs.html")

    async def close(self, app: web.Application) -> None:
        """End every stream with ``goodbye`` and wait for the peers."""
        await self._dependencies.streams.close()
        endpoints = (self.publish, self.whep, self.whip)
        await asyncio.gather(*(one.close() for one in (*endpoints, *self._peers)))
        self.output.close()

    def _require_ready(self, known: bool = False) -> None:
        reason = self._dependencies.not_ready()
        if reason is not None and not known:
            raise StreamError("at_capacity", f"The server is not ready: {reason}.", ahead=0)

    def _find(self, request: web.Request) -> LiveStream:
        return self._dependencies.streams.find(request.match_info["stream"])


async def _read_offer_body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.text())
    except (ValueError, LookupError, RecursionError) as error:
        raise StreamError("bad_offer", 'Send JSON: {"type": "offer", "sdp": "..."}.') from error
    if not isinstance(body, dict) or body.get("type") != "offer":
        raise StreamError("bad_offer", 'Send a JSON object: {"type": "offer", "sdp": "..."}.')
    return body


async def _revalidate_files(request: web.Request, response: web.StreamResponse) -> None:
    if request.method in ("GET", "HEAD"):
        # Or a browser would run the page of one version with the modules of another.
        response.headers.setdefault("Cache-Control", "no-cache")
    response.headers["X-Content-Type-Options"] = "nosniff"
