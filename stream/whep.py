"""Watching by WHEP (draft-ietf-wish-whep): the viewers of all streams, and the routes that they come by."""

from collections.abc import Sequence
from typing import cast

from aiohttp import web

from stream.broadcast import Broadcast
from stream.config import ServerConfig, StreamConfig
from stream.errors import StreamError
from stream.ice import configured_servers
from stream.link import LinkSettings
from stream.metrics import Metrics
from stream.registry import Streams
from stream.sdp import read_viewer_offer
from stream.sessions import OFFER_TYPE, Sessions, read_text, require_type
from stream.viewer import ViewerPeer

NO_VIDEO_RETRY_S = 2


class Whep:
    """The viewers that are connected or connecting, and what they may ask over HTTP."""

    def __init__(self, streams: Streams, server: ServerConfig, stream: StreamConfig, metrics: Metrics) -> None:
        self._streams = streams
        self._find = streams.find
        self._metrics = metrics
        self._limit = stream.max_viewers
        servers = configured_servers(server)
        self._settings = LinkSettings(servers.configuration, stream.handshake_timeout_s)
        self._sessions = Sessions[ViewerPeer]("whep", servers.link_headers)

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Give the routes of the endpoint and of its sessions."""
        endpoint = "/whep/{stream}"
        return [
            web.post(endpoint, self.watch),
            web.head(endpoint, self.head),
            web.get(endpoint, self.show, allow_head=False),
            *self._sessions.routes(),
        ]

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """``POST /whep/{stream}``: an offer in, a session and its answer out."""
        try:
            response = await self._watch(request)
        except StreamError as error:
            self._metrics.viewer_answered(error.code)
            raise
        self._metrics.viewer_answered("ok")
        return response

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        live = self._find(request.match_info["stream"])
        require_type(request, OFFER_TYPE, accept_post=OFFER_TYPE)
        offer = read_viewer_offer(await read_text(request, "bad_offer"))
        if not live.has_video:
            why = "The stream makes no video yet; ask again in a moment."
            raise StreamError("wrong_state", why, retry_after=NO_VIDEO_RETRY_S)
        if self._streams.viewers >= self._limit:
            raise StreamError("at_capacity", f"This server takes at most {self._limit} viewers.", ahead=self._limit)
        broadcast = cast(Broadcast, live.broadcast)
        peer = ViewerPeer(live, broadcast, self._settings, lambda: self._sessions.forget(peer))
        self._sessions.add(peer)
        return self._sessions.created(peer, await peer.accept(offer))

    async def head(self, request: web.Request) -> web.StreamResponse:
        """``HEAD /whep/{stream}``"""
        self._find(request.match_info["stream"])
        return web.Response(content_type=OFFER_TYPE)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """``GET /whep/{stream}``: there is nothing to show."""
        self._find(request.match_info["stream"])
        return web.Response(status=204)

    async def close(self) -> None:
        """Let every viewer go and wait until it is done."""
        await self._sessions.close()
