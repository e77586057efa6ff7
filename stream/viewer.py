"""A viewer's peer: it watches, and that is all."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable

from aiortc import RTCIceCandidate

from stream.broadcast import Broadcast
from stream.errors import StreamError
from stream.link import LinkEvents, LinkSettings, VideoLink
from stream.live import LiveStream
from stream.sdp import Offer, Unacceptable
from stream.trickle import ice_credentials

logger = logging.getLogger(__name__)

SECRET_BYTES = 24


class ViewerPeer:
    """One viewer's WebRTC peer; counted by its stream from the answer until the connection is over.

    ``secret`` is what its resource is found by, and nobody can guess.
    """

    def __init__(
        self, live: LiveStream, broadcast: Broadcast, settings: LinkSettings, on_closed: Callable[[], None]
    ) -> None:
        self.stream = live.id
        self.secret = secrets.token_urlsafe(SECRET_BYTES)
        self._live = live
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._link = VideoLink(broadcast, settings, LinkEvents(self._on_lost))
        self._credentials: tuple[str | None, str | None] = (None, None)
        self._leave: Callable[[], None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def accept(self, offer: Offer) -> str:
        """Answer an offer; gives the SDP of the answer.

        Raises StreamError ``unprocessable`` when aiortc can't answer it; the peer is closed then.
        """
        self._leave = self._live.add_viewer()
        accepted = False
        try:
            answer = await self._link.answer(offer, is_viewer=True)
            self._credentials = ice_credentials(offer.sdp)
            accepted = True
            return answer
        except Unacceptable as error:
            raise StreamError("unprocessable", error.message) from error
        finally:
            if not accepted:
                await self.close()

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

    def _begin_close(self) -> "asyncio.Task[None]":
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(), name=f"viewer-close-{self.stream}")
        return self._closing

    async def _close(self) -> None:
        if self._leave is not None:
            self._leave()
        await self._link.close()
        self._on_closed()
        logger.info("stream %s: a viewer left", self.stream)

    def _on_lost(self, reason: str) -> None:
        logger.info("stream %s: a viewer is lost, %s", self.stream, reason)
        self._begin_close()
