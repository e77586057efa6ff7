"""Who is at a stream besides directors and viewers: one that publishes into it, one place that it is published to."""

from collections.abc import Callable
from typing import Any, Protocol

from av import VideoFrame

from stream.errors import StreamError

Description = dict[str, Any]


class Guest(Protocol):
    """Somebody that a stream has one of at most; compared by identity."""

    def describe(self) -> Description:
        """Give what ``state`` tells of it, as JSON values."""
        ...

    def dismiss(self) -> None:
        """Leave, for the stream has ended; returns at once."""
        ...


class Publisher(Guest, Protocol):
    """Who publishes into a stream: its camera, so to say."""

    @property
    def newest(self) -> VideoFrame | None:
        """The newest picture that came, None before the first."""
        ...


class Guests:
    """The guests of one stream; ``changed`` is called when someone comes, leaves or has news."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.changed = changed
        self._publisher: Publisher | None = None
        self._publication: Guest | None = None
        self._closed = False

    def add_publisher(self, publisher: Publisher) -> None:
        """Let somebody publish. Raises StreamError ``wrong_state`` while another does, or when all has ended."""
        self._require_open()
        if self._publisher is not None:
            raise StreamError("wrong_state", "Somebody publishes into this stream already; end that first.")
        self._publisher = publisher
        self.changed()

    def add_publication(self, publication: Guest) -> None:
        """Publish elsewhere. Raises StreamError ``wrong_state`` while it is done already, or when all has ended."""
        self._require_open()
        if self._publication is not None:
            raise StreamError("wrong_state", "This stream is being published already; DELETE that first.")
        self._publication = publication
        self.changed()

    @property
    def publication(self) -> Guest | None:
        """What publishes it elsewhere, None where nothing does."""
        return self._publication

    def remove(self, guest: Guest) -> None:
        """Take one away; idempotent."""
        if guest is self._publisher:
            self._publisher = None
        elif guest is self._publication:
            self._publication = None
        else:
            return
        self.changed()

    def camera_frame(self) -> VideoFrame:
        """Give the newest picture of who publishes. Raises StreamError ``wrong_state`` where there is none."""
        if self._publisher is None:
            raise StreamError("wrong_state", "Nobody publishes into this stream: POST an offer to its whip_url first.")
        frame = self._publisher.newest
        if frame is None:
            raise StreamError("wrong_state", "No picture of the publisher has come yet; try again in a moment.")
        return frame

    def describe(self) -> Description:
        """Give what ``state`` tells of them: ``publisher`` and ``publish``, each left out where there is none."""
        guests = {"publisher": self._publisher, "publish": self._publication}
        return {key: guest.describe() for key, guest in guests.items() if guest is not None}

    def dismiss(self) -> None:
        """Send all away for good; idempotent."""
        self._closed = True
        for guest in (self._publisher, self._publication):
            if guest is not None:
                guest.dismiss()

    def _require_open(self) -> None:
        if self._closed:
            raise StreamError("wrong_state", "The stream has ended; make another.")
