"""The data channel ``control``, seen from the server: texts become commands, bytes become pictures."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from stream.errors import StreamError
from stream.live import Director, LiveStream
from stream.parsing import parse
from stream.protocol import ClientMessage, Limits, UploadImage
from stream.upload import Complete, Progress, Upload

logger = logging.getLogger(__name__)

COMMANDS_PER_S = 50
COMMAND_BURST = 100
INBOX_BYTES = 32 << 20
# First replies keep the order of commands, and an upload's comes with its last byte. A client that waits for another
# reply before it sends on would wait for ever, so after this long without a byte later replies may pass.
STALL_S = 0.5


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """What one client may send: sizes, the pause between two of a picture's bytes, commands a second."""

    messages: Limits
    upload_timeout_s: float
    commands_per_s: float = COMMANDS_PER_S
    command_burst: float = COMMAND_BURST


class TokenBucket:
    """Allows ``rate`` events a second and ``burst`` of them at once; pure.

    >>> bucket = TokenBucket(rate=1, burst=2, now=0.0)
    >>> [bucket.take(now) for now in (0.0, 0.0, 0.0, 1.0)]
    [True, True, False, True]
    """

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, now

    def take(self, now: float) -> bool:
        """Take one event at a time that does not go back; False when there are too many."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class ControlChannel:
    """Hands on what one director's client sends, in the order it came; pictures are decoded beside."""

    def __init__(self, live: LiveStream, director: Director, limits: ChannelLimits) -> None:
        self._live = live
        self._director = director
        self._limits = limits.messages
        self._clock = asyncio.get_running_loop().time
        self._bucket = TokenBucket(limits.commands_per_s, limits.command_burst, self._clock())
        self._upload = Upload(limits.messages, limits.upload_timeout_s)
        self._uploading: UploadImage | None = None
        self._stalled = False
        self._decoding: asyncio.Task[None] | None = None
        self._inbox: deque[str | bytes] = deque()
        self._inbox_bytes = 0
        self._arrived = asyncio.Event()

    def receive(self, data: str | bytes) -> bool:
        """Take a message that came; False when too much waits already, and the client should be left."""
        self._inbox.append(data)
        self._inbox_bytes += len(data)
        self._arrived.set()
        return self._inbox_bytes <= INBOX_BYTES

    async def run(self) -> None:
        """Serve messages until cancelled; no message, however broken, ends it."""
        try:
            while True:
                data = await self._next()
                await self._guard(data)
        finally:
            await self._give_up()

    async def _give_up(self) -> None:
        # A turn that nobody settles would hold up the replies to all later commands.
        self._fail(StreamError("upload_timeout", "The channel closed before the picture was complete."))
        if self._decoding is not None:
            self._decoding.cancel()
            await asyncio.gather(self._decoding, return_exceptions=True)

    async def _next(self) -> str | bytes:
        while not self._inbox:
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(self._next_look()):
                    await self._arrived.wait()
            except TimeoutError:
                self._look_at_upload()
        data = self._inbox.popleft()
        self._inbox_bytes -= len(data)
        return data

    def _next_look(self) -> float | None:
        """When the upload under way is looked at if nothing comes: once for a stall, then for its end."""
        deadline = self._upload.deadline
        if deadline is None or self._stalled:
            return deadline
        return deadline - self._upload.timeout_s + min(STALL_S, self._upload.timeout_s / 2)

    def _look_at_upload(self) -> None:
        error = self._upload.expired(self._clock())
        if error is not None:
            self._fail(error)
        elif not self._stalled:
            self._stalled = True
            if self._uploading is not None:
                self._live.upload_stalled(self._director, self._uploading)

    async def _guard(self, data: str | bytes) -> None:
        message: ClientMessage | None = None
        try:
            if isinstance(data, str):
                message = self._read(data)
                if message is not None:
                    await self._carry_out(message)
            else:
                self._feed(data)
        except Exception:
            # The border: one client's message must not end its channel, whatever we got wrong.
            logger.exception("stream %s: a message could not be served", self._live.id)
            error = StreamError("internal", "The server failed at this; it is logged. Try again.")
            self._live.refuse(self._director, error, message.id if message else None)

    def _read(self, text: str) -> ClientMessage | None:
        allowed = self._bucket.take(self._clock())
        try:
            message = parse(text, self._limits)
        except StreamError as error:
            self._live.refuse(self._director, error, error.extra.get("id"))
            return None
        if allowed:
            return message
        error = StreamError("rate_limited", "Too many commands a second; wait a moment, then send it again.")
        self._live.refuse(self._director, error, message.id)
        return None

    async def _carry_out(self, message: ClientMessage) -> None:
        if isinstance(message, UploadImage):
            if self._decoding is not None:
                # One picture at a time, or a client could pile them up faster than they are decoded.
                await self._decoding
            try:
                self._upload.begin(message, self._clock())
            except StreamError as error:
                self._live.refuse(self._director, error, message.id)
                return
            self._uploading, self._stalled = message, False
        await self._live.handle(self._director, message)

    def _feed(self, data: bytes) -> None:
        try:
            result = self._upload.feed(data, self._clock())
        except StreamError as error:
            self._fail(error)
            return
        if isinstance(result, Progress) and self._uploading is not None:
            self._live.upload_progress(self._director, self._uploading, result.received)
        elif isinstance(result, Complete):
            self._uploading = None
            name = f"picture-{self._live.id}"
            self._decoding = asyncio.create_task(self._complete(result), name=name)

    def _fail(self, error: StreamError) -> None:
        if self._uploading is not None:
            message, self._uploading = self._uploading, None
            self._live.upload_failed(self._director, message, error)

    async def _complete(self, upload: Complete) -> None:
        try:
            await self._live.upload_complete(self._director, upload.message, upload.data)
        except asyncio.CancelledError:
            error = StreamError("upload_timeout", "The channel closed before the picture was decoded.")
            self._live.upload_failed(self._director, upload.message, error)
            raise
        except Exception:
            # The same border, for the part of a message that is served beside.
            logger.exception("stream %s: a picture could not be taken", self._live.id)
            error = StreamError("internal", "The server failed at this picture; it is logged. Try again.")
            self._live.upload_failed(self._director, upload.message, error)
