"""Streams over HTTP, for machines: made, looked at, commanded, ended without a peer."""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from weakref import WeakKeyDictionary, WeakSet

from aiohttp import web

from pipeline.types import Mode
from stream.access import Access, bearer
from stream.channel import COMMAND_BURST, COMMANDS_PER_S, TokenBucket
from stream.config import StreamConfig
from stream.errors import StreamError
from stream.live import LiveStream
from stream.parsing import check, fill, parse, read_json
from stream.protocol import (
    LATENCY,
    MESSAGE_BYTES,
    ClientMessage,
    Configure,
    Latency,
    Limits,
    Reset,
    SetMode,
    SetPrompt,
    UploadImage,
    UseFrame,
)
from stream.registry import Streams
from stream.replies import Message
from stream.request_director import command
from stream.rules import MODE, POSITIVE, RATE, SEED, TEXT

ENTRY = ("policy", "over_s")
NO_ID = 0
"""The ``id`` of commands that a request means and does not spell."""
RATE_RETRY_S = 1


@dataclass(frozen=True, slots=True)
class NewStream:
    """How a stream begins; what is left out is as for any stream. ``seed`` is that of the first start."""

    prompt: Annotated[str | None, TEXT] = None
    mode: Annotated[Mode | None, MODE] = None
    seed: Annotated[int | None, SEED] = None
    fps: Annotated[float | None, RATE] = None
    bitrate_kbps: Annotated[int | None, POSITIVE] = None
    latency: Annotated[Latency | None, LATENCY] = None

    def commands(self) -> list[ClientMessage]:
        """Give the commands that say the same.

        >>> NewStream(prompt="snow", seed=7).commands()
        [SetPrompt(id=0, prompt='snow', policy='auto', over_s=0.5), Reset(id=0, seed=7)]
        """
        said: list[ClientMessage] = []
        if self.mode is not None:
            said.append(SetMode(NO_ID, self.mode))
        if self.prompt is not None:
            said.append(SetPrompt(NO_ID, self.prompt))
        if (self.fps, self.bitrate_kbps, self.latency) != (None, None, None):
            said.append(Configure(NO_ID, self.fps, self.bitrate_kbps, self.latency))
        if self.seed is not None:
            said.append(Reset(NO_ID, self.seed))
        return said


class Rest:
    """The routes of streams; ``require_ready`` raises StreamError while the server can't serve."""

    def __init__(
        self, streams: Streams, access: Access, config: StreamConfig, require_ready: Callable[[], None]
    ) -> None:
        self._streams = streams
        self._access = access
        self._limits = Limits(config.prompt_chars, config.image_bytes, config.image_pixels)
        self._upload_timeout_s = config.upload_timeout_s
        self._require_ready = require_ready
        self._buckets: WeakKeyDictionary[LiveStream, TokenBucket] = WeakKeyDictionary()
        self._uploading: WeakSet[LiveStream] = WeakSet()

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Give the routes of all streams and of one."""
        stream = "/streams/{stream}"
        return [
            web.post("/streams", self.create),
            web.get(stream, self.show),
            web.patch(stream, self.change),
            web.put(f"{stream}/image", self.take_picture),
            web.delete(stream, self.end),
        ]

    async def create(self, request: web.Request) -> web.StreamResponse:
        """``POST /streams``: an idle stream that nobody directs."""
        self._access.check_token(request.headers.get("Authorization"))
        text = await _read_text(request)
        wishes = [check(message, self._limits) for message in _read_new_stream(text).commands()]
        self._require_ready()
        live = self._streams.create(unattended=True)
        made = False
        try:
            for message in wishes:
                await command(live, message, message.replies[0])
            made = True
        finally:
            if not made:
                await live.end("refused", forget=True)
        location = f"/streams/{live.id}"
        body = describe_stream(live) | {"control_token": live.control_token}
        return web.json_response(body, status=201, headers={"Location": location})

    async def show(self, request: web.Request) -> web.StreamResponse:
        """``GET /streams/{stream}``"""
        return web.json_response(describe_stream(self._streams.find(request.match_info["stream"])))

    async def change(self, request: web.Request) -> web.StreamResponse:
        """``PATCH /streams/{stream}``: one command of the channel `control`."""
        live = await self._rejoin(request)
        message = parse(await _read_text(request), self._limits)
        if isinstance(message, UploadImage):
            raise StreamError("not_supported", f"Over HTTP a picture comes by PUT /streams/{live.id}/image.")
        self._check_rate(live)
        return await _answer(live, message, _asks_applied(request))

    async def take_picture(self, request: web.Request) -> web.StreamResponse:
        """``PUT /streams/{stream}/image``: the bytes of a picture, whatever type they are said to be."""
        live = await self._rejoin(request)
        waits, entry = _asks_applied(request), _entry(request)
        self._check_rate(live)
        if live in self._uploading:
            # One at a time, or a client could hold ten megabytes with each of many connections.
            raise StreamError("upload_in_progress", "Wait until the upload under way has ended, then send this one.")
        self._uploading.add(live)
        try:
            data = await self._read_picture(request)
        finally:
            self._uploading.discard(live)
        live = self._authorise(request)  # that may have taken minutes: it may have ended
        digest = hashlib.sha256(data).hexdigest()
        message = UploadImage(NO_ID, len(data), request.content_type, digest, policy=entry.policy, over_s=entry.over_s)
        return await _answer(live, message, waits, data)

    async def end(self, request: web.Request) -> web.StreamResponse:
        """``DELETE /streams/{stream}``"""
        token = bearer(request.headers.get("Authorization"))
        await self._streams.forget(request.match_info["stream"], token)
        return web.Response(status=204)

    async def _rejoin(self, request: web.Request) -> LiveStream:
        token = bearer(request.headers.get("Authorization"))
        return await self._streams.rejoin(request.match_info["stream"], token)

    def _authorise(self, request: web.Request) -> LiveStream:
        token = bearer(request.headers.get("Authorization"))
        return self._streams.authorise(request.match_info["stream"], token)

    def _check_rate(self, live: LiveStream) -> None:
        now = asyncio.get_running_loop().time()
        if not self._buckets.setdefault(live, TokenBucket(COMMANDS_PER_S, COMMAND_BURST, now)).take(now):
            why = "Too many commands a second; wait a moment, then send it again."
            raise StreamError("rate_limited", why, retry_after=RATE_RETRY_S)

    async def _read_picture(self, request: web.Request) -> bytes:
        most, data = self._limits.image_bytes, bytearray()
        if (request.content_length or 0) > most:
            raise _too_large(most)
        while not request.content.at_eof():
            try:
                async with asyncio.timeout(self._upload_timeout_s):
                    data += await request.content.readany()
            except TimeoutError as error:
                text = f"No byte of the picture came for {self._upload_timeout_s:g} s; send it again."
                raise StreamError("upload_timeout", text) from error
            if len(data) > most:
                raise _too_large(most)
        return bytes(data)


def stream_urls(live: LiveStream) -> dict[str, str]:
    """Give where others find a stream."""
    return {f"{kind}_url": f"/{kind}/{live.id}" for kind in ("watch", "whep", "whip")}


def describe_stream(live: LiveStream) -> dict[str, Any]:
    """Give what anyone may know of a stream: its state, who is there, where it is found."""
    state = live.state_message() | {"stream": live.id, "directors": live.directors, "viewers": live.viewers}
    return state | stream_urls(live)


async def _answer(
    live: LiveStream, message: ClientMessage, waits: bool, picture: bytes | None = None
) -> web.StreamResponse:
    """Carry a command out and answer with its first reply, or with its last one where that is waited for."""
    reply, is_wanted = await command(live, message, message.replies[-1 if waits else 0], picture)
    accepted: Message = {"type": "accepted", "id": message.id}
    return web.json_response(reply or accepted, status=200 if is_wanted else 202)


def _read_new_stream(text: str) -> NewStream:
    if len(text.encode("utf-8", "surrogatepass")) > MESSAGE_BYTES:
        raise StreamError("too_long", f"The body may have {MESSAGE_BYTES} bytes.")
    body = read_json(text) if text else {}
    if not isinstance(body, dict):
        raise StreamError("bad_message", 'The body must be a JSON object such as {"prompt": "snow", "seed": 7}.')
    return fill(NewStream, body)


async def _read_text(request: web.Request) -> str:
    try:
        return (await request.read()).decode("utf-8")
    except UnicodeDecodeError as error:
        raise StreamError("bad_json", "The body is not UTF-8, which JSON is written in.") from error


def _asks_applied(request: web.Request) -> bool:
    wait = request.query.get("wait")
    if wait not in (None, "applied"):
        raise StreamError("bad_message", "`wait` must be `applied`, or left out.")
    return wait is not None


def _entry(request: web.Request) -> UseFrame:
    """Read how a picture is to come into the video; the command of a frame has the same fields."""
    wished: dict[str, Any] = {"id": NO_ID} | {name: request.query[name] for name in ENTRY if name in request.query}
    # What is no number stays text, and is refused as that.
    with contextlib.suppress(ValueError, KeyError):
        wished["over_s"] = float(wished["over_s"])
    return fill(UseFrame, wished)


def _too_large(most: int) -> StreamError:
    return StreamError("image_too_large", f"A picture may have {most} bytes; send a smaller one.")
