"""Watching by WHEP (draft-ietf-wish-whep): the viewers of all streams, and the routes that they come by."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import cast

from aiohttp import web

from stream.broadcast import Broadcast
from stream.config import ServerConfig, StreamConfig
from stream.errors import StreamError
from stream.ice import connection_configuration, link_headers
from stream.link import LinkSettings
from stream.metrics import Metrics
from stream.registry import Streams
from stream.sdp import read_viewer_offer
from stream.trickle import read_fragment
from stream.viewer import ViewerPeer

OFFER_TYPE = "application/sdp"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"
NO_VIDEO_RETRY_S = 2
ETAG_BYTES = 9


class Whep:
    """The viewers that are connected or connecting, and what they may ask over HTTP."""

    def __init__(self, streams: Streams, server: ServerConfig, stream: StreamConfig, metrics: Metrics) -> None:
        self._streams = streams
        self._find = streams.find
        self._metrics = metrics
        self._limit = stream.max_viewers
        self._links = link_headers(server.ice_servers)
        self._settings = LinkSettings(connection_configuration(server.ice_servers), stream.handshake_timeout_s)
        self._peers: dict[str, ViewerPeer] = {}

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Give the routes of the endpoint and of its sessions."""
        endpoint, session = "/whep/{stream}", "/whep/{stream}/{session}"
        return [
            web.post(endpoint, self.watch),
            web.head(endpoint, self.head),
            web.get(endpoint, self.show, allow_head=False),
            web.options(endpoint, self.describe_endpoint),
            web.get(session, self.show_session),
            web.patch(session, self.trickle),
            web.delete(session, self.end),
            web.options(session, self.describe_session),
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
        _require_type(request, OFFER_TYPE, accept_post=OFFER_TYPE)
        offer = read_viewer_offer(await _read_text(request, "bad_offer"))
        if not live.has_video:
            why = "The stream makes no video yet; ask again in a moment."
            raise StreamError("wrong_state", why, retry_after=NO_VIDEO_RETRY_S)
        if self._streams.viewers >= self._limit:
            raise StreamError("at_capacity", f"This server takes at most {self._limit} viewers.", ahead=self._limit)
        peer = ViewerPeer(live, cast(Broadcast, live.broadcast), self._settings, lambda: self._forget(peer))
        self._peers[peer.secret] = peer
        answer = await peer.accept(offer)
        response = web.Response(status=201, body=answer.encode(), content_type=OFFER_TYPE)
        response.headers["Location"] = f"/whep/{live.id}/{peer.secret}"
        response.headers["ETag"] = f'"{secrets.token_urlsafe(ETAG_BYTES)}"'
        for link in self._links:
            response.headers.add("Link", link)
        return response

    async def head(self, request: web.Request) -> web.StreamResponse:
        """``HEAD /whep/{stream}``"""
        self._find(request.match_info["stream"])
        return web.Response(content_type=OFFER_TYPE)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """``GET /whep/{stream}``: there is nothing to show."""
        self._find(request.match_info["stream"])
        return web.Response(status=204)

    async def show_session(self, request: web.Request) -> web.StreamResponse:
        """``GET`` of a session: there is nothing to show."""
        self._session(request)
        return web.Response(status=204)

    async def describe_endpoint(self, request: web.Request) -> web.StreamResponse:
        """``OPTIONS /whep/{stream}``; whether the stream is there is not told."""
        return web.Response(status=204, headers={"Allow": "GET, HEAD, OPTIONS, POST", "Accept-Post": OFFER_TYPE})

    async def describe_session(self, request: web.Request) -> web.StreamResponse:
        """``OPTIONS`` of a session, the same for any."""
        return web.Response(status=204, headers={"Allow": "DELETE, GET, OPTIONS, PATCH", "Accept-Patch": FRAGMENT_TYPE})

    async def trickle(self, request: web.Request) -> web.StreamResponse:
        """``PATCH`` of a session: more candidates of the client.

        ``If-Match`` is not looked at: it orders ICE restarts, which there are none of, and real clients send
        what they like in it.
        """
        peer = self._session(request)
        _require_type(request, FRAGMENT_TYPE, accept_patch=FRAGMENT_TYPE)
        fragment = read_fragment(await _read_text(request, "bad_message"))
        if peer.is_restart(fragment.ufrag, fragment.pwd):
            raise StreamError("unprocessable", "This server does not restart ICE: DELETE the session and POST anew.")
        await peer.add_candidates(fragment.candidates)
        return web.Response(status=204)

    async def end(self, request: web.Request) -> web.StreamResponse:
        """``DELETE`` of a session."""
        await self._session(request).close()
        return web.Response(status=200)

    async def close(self) -> None:
        """Let every viewer go and wait until it is done."""
        await asyncio.gather(*(peer.close() for peer in list(self._peers.values())))

    def _forget(self, peer: ViewerPeer) -> None:
        self._peers.pop(peer.secret, None)

    def _session(self, request: web.Request) -> ViewerPeer:
        # A secret of 192 random bits is not found by how long the look-up takes.
        peer = self._peers.get(request.match_info["session"])
        if peer is None or peer.is_leaving or peer.stream != request.match_info["stream"]:
            raise StreamError("not_found", "There is no such session; it may have ended.")
        return peer


def _require_type(request: web.Request, expected: str, **accept: str) -> None:
    if request.content_type != expected:
        raise StreamError("unsupported_media_type", f"Send the body as Content-Type: {expected}.", **accept)


async def _read_text(request: web.Request, code: str) -> str:
    try:
        return await request.text()
    except (ValueError, LookupError) as error:
        raise StreamError(code, "The body is not text in the encoding that it names; send UTF-8.") from error
