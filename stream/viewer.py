"""A viewer's peer: it watches, and that is all."""

from collections.abc import Callable

from stream.broadcast import Broadcast
from stream.errors import StreamError
from stream.link import LinkEvents, LinkSettings, VideoLink
from stream.live import LiveStream
from stream.sdp import Offer, Unacceptable
from stream.sessions import SessionPeer


class ViewerPeer(SessionPeer[VideoLink]):
    """One viewer's WebRTC peer; counted by its stream from the answer until the connection is over."""

    kind = "viewer"

    def __init__(
        self, live: LiveStream, broadcast: Broadcast, settings: LinkSettings, on_closed: Callable[[], None]
    ) -> None:
        super().__init__(live.id, on_closed)
        self._live = live
        self._link = VideoLink(broadcast, settings, LinkEvents(self._on_lost))
        self._leave: Callable[[], None] | None = None

    async def accept(self, offer: Offer) -> str:
        """Answer an offer; gives the SDP of the answer.

        Raises StreamError ``unprocessable`` when aiortc can't answer it; the peer is closed then.
        """
        self._leave = self._live.add_viewer()
        accepted = False
        try:
            answer = await self._link.answer(offer, is_viewer=True)
            self._remember(offer.sdp)
            accepted = True
            return answer
        except Unacceptable as error:
            raise StreamError("unprocessable", error.message) from error
        finally:
            if not accepted:
                await self.close()

    def _left(self) -> None:
        if self._leave is not None:
            self._leave()
