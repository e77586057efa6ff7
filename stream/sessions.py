"""What WHIP and WHEP have in common: peers found by a secret, and what may be asked of one over HTTP."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from aiohttp import web
from aiortc import RTCIceCandidate

from stream.errors import StreamError
from stream.link import Link
from stream.trickle import ice_credentials, read_fragment

logger = logging.getLogger(__name__)

OFFER_TYPE = "application/sdp"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"
SECRET_BYTES = 24
ETAG_BYTES = 9


LinkT = TypeVar("LinkT", bound=Link)


class SessionPeer(Generic[LinkT]):
    """One peer that came by an offer over HTTP; ``secret`` is what its resource is found by, and nobody can guess.

    Its maker sets ``_link``, and says by ``_left`` what to do when it goes.
    """

    kind = "peer"
    _link: LinkT

    def __init__(self, stream_id: str, on_closed: Callable[[], None]) -> None:
        self.stream = stream_id
        self.secret = secrets.token_urlsafe(SECRET_BYTES)
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._credentials: tuple[str | None, str | None] = (None, None)
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_leaving(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._closing is not None

    def is_restart(self, ufrag: str | None, pwd: str | None) -> bool:
        """Tell whether these ICE credentials, as far as given, are others than the offer's."""
        known_ufrag, known_pwd = self._credentials
        return ufrag not in (None, known_ufrag) or pwd not in (None, known_pwd)

    async def add_candidates(self, candidates: Iterable[RTCIceCandidate]) -> None:
        """Try more addresses of the client."""
        await self._link.add_candidates(candidates)

    async def close(self) -> None:
        """Leave the stream and free the connection; idempotent; waits until it is done."""
        await asyncio.shield(self._begin_close())

    def _remember(self, sdp: str) -> None:
        self._credentials = ice_credentials(sdp)

    def _begin_close(self) -> "asyncio.Task[None]":
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(), name=f"{self.kind}-close-{self.stream}")
        return self._closing

    async def _close(self) -> None:
        self._left()
        await self._link.close()
        self._on_closed()
        logger.info("stream %s: a %s left", self.stream, self.kind)

    def _left(self) -> None:
        raise NotImplementedError

    def _on_lost(self, reason: str) -> None:
        logger.info("stream %s: a %s is lost, %s", self.stream, self.kind, reason)
        self._begin_close()


PeerT = TypeVar("PeerT", bound=SessionPeer[Any])


class Sessions(Generic[PeerT]):
    """The peers of one endpoint, connected or connecting, and the routes of their sessions.

    ``links`` gives the ``Link`` headers of the STUN and TURN servers. ``check`` looks at every request for a session
    before its peer is touched, and raises StreamError.
    """

    def __init__(
        self,
        endpoint: str,
        links: Callable[[], Sequence[str]],
        check: Callable[[web.Request], None] = lambda request: None,
    ) -> None:
        self._endpoint = endpoint
        self._links = links
        self._check = check
        self._peers: dict[str, PeerT] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Give the routes of the sessions, and ``OPTIONS`` of the endpoint."""
        session = f"/{self._endpoint}/{{stream}}/{{session}}"
        return [
            web.options(f"/{self._endpoint}/{{stream}}", self.describe_endpoint),
            web.get(session, self.show),
            web.patch(session, self.trickle),
            web.delete(session, self.end),
            web.options(session, self.describe),
        ]

    def add(self, peer: PeerT) -> None:
        """Keep a peer until :meth:`forget`."""
        self._peers[peer.secret] = peer

    def forget(self, peer: PeerT) -> None:
        """Let go of one that has closed."""
        self._peers.pop(peer.secret, None)

    def created(self, peer: PeerT, answer: str) -> web.Response:
        """Make the 201 that gives a peer its session (RFC 9725 section 4.2)."""
        response = web.Response(status=201, body=answer.encode(), content_type=OFFER_TYPE)
        response.headers["Location"] = f"/{self._endpoint}/{peer.stream}/{peer.secret}"
        response.headers["ETag"] = f'"{secrets.token_urlsafe(ETAG_BYTES)}"'
        for link in self._links():
            response.headers.add("Link", link)
        return response

    async def describe_endpoint(self, request: web.Request) -> web.StreamResponse:
        """``OPTIONS`` of the endpoint; whether the stream is there is not told."""
        return web.Response(status=204, headers={"Allow": "GET, HEAD, OPTIONS, POST", "Accept-Post": OFFER_TYPE})

    async def describe(self, request: web.Request) -> web.StreamResponse:
        """``OPTIONS`` of a session, the same for any."""
        return web.Response(status=204, headers={"Allow": "DELETE, GET, OPTIONS, PATCH", "Accept-Patch": FRAGMENT_TYPE})

    async def show(self, request: web.Request) -> web.StreamResponse:
        """``GET`` of a session: there is nothing to show."""
        self._find(request)
        return web.Response(status=204)

    async def trickle(self, request: web.Request) -> web.StreamResponse:
        """``PATCH`` of a session: more candidates of the client.

        ``If-Match`` is not looked at: it orders ICE restarts, which there are none of, and real clients send
        what they like in it.
        """
        peer = self._find(request)
        self._check(request)
        require_type(request, FRAGMENT_TYPE, accept_patch=FRAGMENT_TYPE)
        fragment = read_fragment(await read_text(request, "bad_message"))
        if peer.is_restart(fragment.ufrag, fragment.pwd):
            raise StreamError("unprocessable", "This server does not restart ICE: DELETE the session and POST anew.")
        await peer.add_candidates(fragment.candidates)
        return web.Response(status=204)

    async def end(self, request: web.Request) -> web.StreamResponse:
        """``DELETE`` of a session."""
        peer = self._find(request)
        self._check(request)
        await peer.close()
        return web.Response(status=200)

    async def close(self) -> None:
        """Let every peer go and wait until it is done."""
        await asyncio.gather(*(peer.close() for peer in list(self._peers.values())))

    def _find(self, request: web.Request) -> PeerT:
        # A secret of 192 random bits is not found by how long the look-up takes.
        peer = self._peers.get(request.match_info["session"])
        if peer is None or peer.is_leaving or peer.stream != request.match_info["stream"]:
            raise StreamError("not_found", "There is no such session; it may have ended.")
        return peer


def require_type(request: web.Request, expected: str, **accept: str) -> None:
    """Raise StreamError ``unsupported_media_type``, with what is accepted, for a body of another type."""
    if request.content_type != expected:
        raise StreamError("unsupported_media_type", f"Send the body as Content-Type: {expected}.", **accept)


async def read_text(request: web.Request, code: str) -> str:
    """Give the body as text. Raises StreamError with this code."""
    try:
        return await request.text()
    except (ValueError, LookupError) as error:
        raise StreamError(code, "The body is not text in the encoding that it names; send UTF-8.") from error
