"""A publisher's peer: what it sends is a stream's camera."""

from collections.abc import Callable
from typing import Any

from av import VideoFrame

from stream.errors import StreamError
from stream.ingest import IngestLink
from stream.link import LinkEvents, LinkSettings
from stream.live import LiveStream
from stream.sdp import Offer, Unacceptable
from stream.sessions import SessionPeer


class PublisherPeer(SessionPeer[IngestLink]):
    """Who publishes into a stream by WebRTC; a :class:`stream.guests.Publisher` towards it.

    It has its place from the offer on, until the connection is over.
    """

    kind = "publisher"

    def __init__(self, live: LiveStream, settings: LinkSettings, on_closed: Callable[[], None]) -> None:
        super().__init__(live.id, on_closed)
        self._live = live
        self._link = IngestLink(settings, LinkEvents(self._on_lost), live.guests.changed)

    async def accept(self, offer: Offer) -> str:
        """Answer an offer; gives the SDP of the answer.

        Raises StreamError ``wrong_state`` while another publishes, ``unprocessable`` when aiortc can't answer it;
        the peer is closed then.
        """
        accepted = False
        try:
            self._live.guests.add_publisher(self)
            answer = await self._link.answer(offer)
            self._remember(offer.sdp)
            accepted = True
            return answer
        except Unacceptable as error:
            raise StreamError("unprocessable", error.message) from error
        finally:
            if not accepted:
                await self.close()

    @property
    def newest(self) -> VideoFrame | None:
        """The newest decoded frame, None before the first."""
        return self._link.newest

    def describe(self) -> dict[str, Any]:
        """Give ``{"state", "width", "height"}``; connecting and without a size before the first frame."""
        frame = self.newest
        if frame is None:
            return {"state": "connecting", "width": None, "height": None}
        return {"state": "live", "width": frame.width, "height": frame.height}

    def dismiss(self) -> None:
        """Close, for the stream has ended; returns at once."""
        self._begin_close()

    def _left(self) -> None:
        self._live.guests.remove(self)
