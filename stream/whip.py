"""Publishing into a stream by WHIP (RFC 9725): the publishers of all streams, and the routes that they come by."""

from collections.abc import Callable, Sequence

from aiohttp import web

from stream.access import bearer
from stream.config import ServerConfig, StreamConfig
from stream.errors import StreamError
from stream.ice import configured_servers
from stream.link import LinkSettings
from stream.live import LiveStream
from stream.metrics import Metrics
from stream.publisher import PublisherPeer
from stream.sdp import read_publisher_offer
from stream.sessions import OFFER_TYPE, Sessions, read_text, require_type

Authorise = Callable[[str, str], LiveStream]
FindStream = Callable[[str], LiveStream]


class Whip:
    """The publishers that are connected or connecting, and what they may ask over HTTP."""

    def __init__(
        self, find: FindStream, authorise: Authorise, server: ServerConfig, stream: StreamConfig, metrics: Metrics
    ) -> None:
        self._find = find
        self._authorise = authorise
        self._metrics = metrics
        servers = configured_servers(server)
        self._settings = LinkSettings(servers.configuration, stream.handshake_timeout_s)
        self._sessions = Sessions[PublisherPeer]("whip", servers.link_headers, self._check)

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Give the routes of the endpoint and of its sessions."""
        endpoint = "/whip/{stream}"
        return [web.post(endpoint, self.publish), web.get(endpoint, self.show), *self._sessions.routes()]

    async def publish(self, request: web.Request) -> web.StreamResponse:
        """``POST /whip/{stream}``: an offer in, a session and its answer out."""
        try:
            response = await self._publish(request)
        except StreamError as error:
            self._metrics.publisher_answered(error.code)
            raise
        self._metrics.publisher_answered("ok")
        return response

    async def _publish(self, request: web.Request) -> web.StreamResponse:
        live = self._authorise(request.match_info["stream"], bearer(request.headers.get("Authorization")))
        require_type(request, OFFER_TYPE, accept_post=OFFER_TYPE)
        offer = read_publisher_offer(await read_text(request, "bad_offer"))
        peer = PublisherPeer(live, self._settings, lambda: self._sessions.forget(peer))
        self._sessions.add(peer)
        return self._sessions.created(peer, await peer.accept(offer))

    async def show(self, request: web.Request) -> web.StreamResponse:
        """``GET /whip/{stream}``: there is nothing to show."""
        self._find(request.match_info["stream"])
        return web.Response(status=204)

    async def close(self) -> None:
        """Let every publisher go and wait until it is done."""
        await self._sessions.close()

    def _check(self, request: web.Request) -> None:
        # The session's address is a secret by itself, and not every client repeats its token; a wrong one is wrong.
        authorization = request.headers.get("Authorization")
        if authorization is not None:
            self._authorise(request.match_info["stream"], bearer(authorization))
