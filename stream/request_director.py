"""A director for the length of one HTTP request: it gives one command and waits for one of its replies."""

import asyncio

from stream.errors import StreamError
from stream.live import LiveStream
from stream.protocol import ClientMessage, UploadImage
from stream.replies import Message

REPLY_WAIT_S = 30.0
"""How long a reply is waited for. The first frame of a large model may take ten seconds."""


class RequestDirector:
    """Keeps the replies to one command; has no video, so ``rtp_timestamp`` is None in what it keeps."""

    def __init__(self, message_id: int) -> None:
        self.replies: dict[str, Message] = {}
        """By type, in the order they came."""
        self._id = message_id
        self._gone: str | None = None
        self._news = asyncio.Event()

    def send(self, message: Message) -> None:
        """Keep a reply to the command; the stream's news are not for it."""
        if message.get("id") == self._id:
            self.replies[message["type"]] = message
            self._news.set()

    def send_at(self, message: Message, pts: int) -> None:
        """Keep a reply that names a frame."""
        self.send(message | {"rtp_timestamp": None})

    def goodbye(self, reason: str) -> None:
        """Take note that the stream has ended."""
        self._gone = reason
        self._news.set()

    async def next_reply(self) -> bool:
        """Wait until something comes; False when nothing came in time."""
        self._news.clear()
        try:
            async with asyncio.timeout(REPLY_WAIT_S):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def check(self) -> None:
        """Raise StreamError when the command was refused, or ``not_found`` when the stream ended meanwhile."""
        if self._gone is not None:
            raise StreamError("not_found", f"The stream ended before the command was answered: {self._gone}.")
        if (error := self.replies.get("error")) is not None:
            extra = {"ahead": error["ahead"]} if "ahead" in error else {}
            raise StreamError(error["code"], error["message"], **extra)


async def command(
    live: LiveStream, message: ClientMessage, wanted: str, picture: bytes | None = None
) -> tuple[Message | None, bool]:
    """Give a stream a command; gives the reply of the ``wanted`` type, or the last that came, and whether it is it.

    Waits while the stream is live, because there the frame that answers is on its way, for at most
    :data:`REPLY_WAIT_S`; else a reply that needs a frame is not waited for. ``picture`` holds the bytes of an
    UploadImage. Raises StreamError when the command is refused, or the stream ends.
    """
    director = RequestDirector(message.id)
    live.attach_director(director, is_peer=False)
    try:
        await live.handle(director, message)
        if isinstance(message, UploadImage) and picture is not None:
            await live.upload_complete(director, message, picture)
        director.check()
        while wanted not in director.replies and live.state == "live" and await director.next_reply():
            director.check()
    finally:
        live.detach_director(director)
    last = next(reversed(director.replies.values()), None)
    return director.replies.get(wanted, last), wanted in director.replies
