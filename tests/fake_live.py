"""A stand-in for streams towards their peers and the HTTP routes."""

import asyncio
import hmac
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from stream.broadcast import Broadcast
from stream.congestion import BitrateBounds
from stream.errors import StreamError
from stream.guests import Guests
from stream.live import Director
from stream.protocol import ClientMessage, Ping, SetPrompt, UploadImage
from stream.server_messages import error_message, reply

STEP = 5625


class FakeLive:
    """The stream's side of a peer: notes what comes and answers at once."""

    def __init__(self) -> None:
        self.id = "fake-stream"
        self.control_token = "secret"
        self.state = "idle"
        self.viewers = 0
        self.has_video = True
        self.ended: str | None = None
        self.pts = 0
        self.broadcast = Broadcast(self.id, self.take_slot, Fraction(16), BitrateBounds(1000, 300, 4000))
        self.guests = Guests(self._guests_changed)
        self.told: list[dict[str, Any]] = []
        """What ``state`` told of the guests, each time that they had news."""
        self.watching: set[asyncio.Event] = set()
        self.present: list[Director] = []
        self.handled: list[ClientMessage] = []
        self.pictures: list[bytes] = []
        self.failed: list[tuple[int, str]] = []
        self.decoding = asyncio.Event()
        self.decoding.set()
        self.left = asyncio.Event()
        self._heard = asyncio.Condition()

    async def heard(self, count: int) -> None:
        """Wait until this many commands were handled."""
        async with asyncio.timeout(5), self._heard:
            await self._heard.wait_for(lambda: len(self.handled) >= count)

    async def guest(self, holds: Callable[[dict[str, Any]], Any], seconds: float = 10) -> None:
        """Wait until what ``state`` tells of the guests is like this."""
        changed = asyncio.Event()
        self.watching.add(changed)
        async with asyncio.timeout(seconds):
            while not holds(self.guests.describe()):
                changed.clear()
                await changed.wait()
        self.watching.discard(changed)

    def take_slot(self) -> int:
        self.pts += STEP
        return self.pts

    def attach_director(self, director: Director) -> None:
        self.present.append(director)

    def detach_director(self, director: Director) -> None:
        if director in self.present:
            self.present.remove(director)
        self.left.set()

    def add_viewer(self) -> Callable[[], None]:
        self.viewers += 1
        leaves = iter([1])

        def leave() -> None:
            self.viewers -= next(leaves, 0)
            self.left.set()

        return leave

    async def handle(self, director: Director, message: ClientMessage) -> None:
        self.handled.append(message)
        async with self._heard:
            self._heard.notify_all()
        if isinstance(message, Ping):
            director.send(reply("pong", message.id, t=message.t))
        if isinstance(message, SetPrompt):
            if message.prompt == "boom":
                raise ZeroDivisionError
            director.send_at(reply("prompt_applied", message.id, frame=0), self.pts)

    def refuse(self, director: Director, error: StreamError, message_id: int | None) -> None:
        director.send(error_message(error, message_id))

    def upload_progress(self, director: Director, message: UploadImage, received: int) -> None:
        director.send(reply("upload_progress", message.id, received=received))

    async def upload_complete(self, director: Director, message: UploadImage, data: bytes) -> None:
        await self.decoding.wait()
        self.pictures.append(data)
        director.send(reply("image_uploaded", message.id))

    def upload_stalled(self, director: Director, message: UploadImage) -> None:
        """Fakes answer at once, so nothing waits behind an upload."""

    def upload_failed(self, director: Director, message: UploadImage, error: StreamError) -> None:
        self.failed.append((message.id, error.code))
        director.send(error_message(error, message.id))

    async def publish(self, count: int, paced: bool = True) -> None:
        """Send frames whose brightness rises by 10."""
        for number in range(count):
            frame = np.full((64, 96, 3), 20 + number * 10, np.uint8)
            await self.broadcast.publish(frame, number, self.take_slot())
            if paced:
                await asyncio.sleep(0.03)

    @property
    def directors(self) -> int:
        return len(self.present)

    def state_message(self) -> dict[str, Any]:
        return {"type": "state", "state": self.state, "mode": "i2v", "prompt": "", "frame": 0, "image": None} | (
            self.guests.describe()
        )

    def _guests_changed(self) -> None:
        self.told.append(self.guests.describe())
        for changed in self.watching:
            changed.set()

    async def end(self, reason: str, forget: bool = False) -> None:
        self.ended, self.state = reason, "ended"
        for director in list(self.present):
            director.goodbye(reason)
        self.guests.dismiss()
        await self.broadcast.close()


class FakeStreams:
    """A registry of fake streams."""

    def __init__(self) -> None:
        self.made: list[FakeLive] = []
        self.full = False

    def create(self, unattended: bool = False) -> FakeLive:
        if self.full:
            raise StreamError("at_capacity", "Two run before you; try again soon.", ahead=2, retry_after=7)
        live = FakeLive()
        live.id = f"stream-{len(self.made)}"
        self.made.append(live)
        return live

    def find(self, stream_id: str) -> FakeLive:
        for live in self:
            if live.id == stream_id:
                return live
        raise StreamError("not_found", "There is no such stream; it may have ended.")

    def authorise(self, stream_id: str, control_token: str) -> FakeLive:
        live = self.find(stream_id)
        if not hmac.compare_digest(live.control_token, control_token):
            raise StreamError("unauthorized", "That is not the control token of this stream.")
        return live

    async def rejoin(self, stream_id: str, control_token: str) -> FakeLive:
        return self.authorise(stream_id, control_token)

    async def forget(self, stream_id: str, control_token: str) -> None:
        await self.authorise(stream_id, control_token).end("deleted", forget=True)

    def __iter__(self) -> Iterator[FakeLive]:
        return iter([live for live in self.made if live.ended is None])

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def viewers(self) -> int:
        return sum(live.viewers for live in self)

    async def close(self, reason: str = "server_shutdown") -> None:
        for live in list(self):
            await live.end(reason)
