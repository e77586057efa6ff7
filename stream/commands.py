"""What each command of the wire contract does to a stream."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol, TypeAlias, cast

from pipeline.errors import PipelineError
from stream.abilities import check_entry
from stream.bookmarks import Bookmarks
from stream.errors import StreamError
from stream.generation import Generation
from stream.last_checkpoint import LastCheckpoint
from stream.meter import command_life
from stream.picture import Picture
from stream.protocol import (
    PROTOCOL,
    Bookmark,
    Configure,
    Fork,
    HandOver,
    Hello,
    Pause,
    Ping,
    Prepare,
    RecordStart,
    RecordStop,
    Reset,
    Resume,
    Rewind,
    SetMode,
    SetPrompt,
    Start,
    Stop,
    TakeOver,
    UploadImage,
    UseCameraFrame,
    UseFrame,
)
from stream.recorder import PacketSource, Recorder
from stream.replies import Message
from stream.seats import Command, Seats
from stream.server_messages import error_message, reply
from stream.services import Answer, Services, Shown
from stream.session_log import Given, SessionLog

logger = logging.getLogger(__name__)

FREE_OF_PICTURES: TypeAlias = (
    Hello
    | SetPrompt
    | Prepare
    | Pause
    | Resume
    | Stop
    | Configure
    | RecordStart
    | RecordStop
    | Bookmark
    | HandOver
    | TakeOver
    | Ping
)
"""Commands that mean the same whether a picture before them is there or not."""

TAKES_PICTURE: TypeAlias = UploadImage | UseFrame | UseCameraFrame
"""Commands whose picture is made beside, and is their ``outcome``."""


class Stream(Protocol):
    """The part of a stream that commands act on."""

    id: str
    generation: Generation
    services: Services
    seats: Seats
    recorder: Recorder
    bookmarks: Bookmarks
    checkpoint: LastCheckpoint
    log: SessionLog

    def state_message(self) -> Message:
        """Make the ``state`` message."""
        ...


def frame_reply(type: str, message_id: int, shown: Shown) -> Message:
    """Give a reply that names a frame; whoever sends it adds the timestamp, if the frame has one."""
    message = reply(type, message_id, frame=shown.frame)
    return message | {"rtp_timestamp": None} if shown.pts is None else message


class Commands:
    """Carries out commands on one stream; ``tell_state`` is called when a state changes later than that."""

    def __init__(self, stream: Stream, tell_state: Callable[[], None]) -> None:
        self._stream = stream
        self._generation = stream.generation
        self._tell_state = tell_state
        self._tasks: set[asyncio.Task[dict[str, Any]]] = set()

    def carry_out(self, command: Command) -> None:
        """Do what a command asks and settle its turn, now or later. Raises StreamError when it is refused."""
        generation = self._generation
        match command.message:
            case Hello() as message:
                self._welcome(command, message)
            case SetMode(mode=mode):
                generation.set_mode(mode, self._applied("mode_applied", command))
                self._settle(command, "mode_changed", mode=mode)
            case SetPrompt(prompt=prompt, policy=policy, over_s=over_s):
                generation.set_prompt(prompt, policy, over_s, self._applied("prompt_applied", command))
                self._settle(command, "prompt_accepted")
            case Prepare(prompt=prompt):
                self._settle_later(command, "prepared", self._beside(self._prepare(prompt)), is_news=False)
            case UploadImage() | UseFrame() | UseCameraFrame():
                self._use_picture(command)
            case Start(seed=seed):
                generation.start(seed, self._done("started", command))
            case Pause():
                generation.pause(self._done("paused", command))
            case Resume():
                generation.resume(self._done("resumed", command))
            case Stop():
                self._done("stopped", command)(generation.stop())
            case Reset(seed=seed):
                generation.reset(seed, self._applied("reset_applied", command))
                command.turn.settle(None)
            case Configure(fps=fps, bitrate_kbps=kbps, latency=latency):
                self._note(command, generation.shown)
                self._settle(command, "configured", **generation.configure(fps, kbps, latency))
            case HandOver(to=to):
                self._hand_over(command, to)
            case TakeOver():
                self._hand_over(command, command.by.id)
            case Ping(t=t):
                now_ms = round(asyncio.get_running_loop().time() * 1000, 3)
                self._settle(command, "pong", t=t, server_ms=now_ms)
            case RecordStart():
                # What a stream sends to is a broadcast, but in tests.
                source = cast(PacketSource, generation.sink)
                self._settle_later(command, "recording", self._stream.recorder.start(source))
            case RecordStop():
                self._settle_later(command, "recorded", self._stream.recorder.stop())
            case Bookmark(name=name):
                self._settle_later(command, "bookmarked", self._beside(self._bookmark(name)))
            case Rewind(bookmark=bookmark_id):
                to = self._stream.bookmarks.find(bookmark_id).restart
                generation.go_back(to, self._applied("rewind_applied", command))
                command.turn.settle(None)
            case Fork(bookmark=bookmark_id):
                self._settle_later(command, "forked", self._beside(self._fork(bookmark_id)), is_news=False)

    def _hand_over(self, command: Command, to: str | None) -> None:
        self._stream.seats.hand_over(to)
        self._note(command, self._generation.shown)
        self._settle(command, "handed_over", to=to)

    async def _prepare(self, prompt: str) -> dict[str, Any]:
        await self._generation.prepare(prompt)
        return {}

    async def _bookmark(self, name: str) -> dict[str, Any]:
        generation = self._generation
        made = await self._stream.bookmarks.add(name, generation.shown.frame, generation.on_air)
        self._stream.checkpoint.changed()
        return made.described()

    async def _fork(self, bookmark_id: str | None) -> dict[str, Any]:
        held = None if bookmark_id is None else self._stream.bookmarks.find(bookmark_id)
        start = await self._generation.save() if held is None else held.restart
        stream_id, control_token = self._stream.services.fork(start)
        return {"stream": stream_id, "control_token": control_token}

    def _beside(self, work: "Coroutine[Any, Any, dict[str, Any]]") -> "asyncio.Task[dict[str, Any]]":
        task = asyncio.create_task(work, name=f"command-{self._stream.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """Give up what is carried out beside."""
        for task in self._tasks:
            task.cancel()

    def _settle(self, command: Command, type: str, **values: object) -> None:
        command.turn.settle(reply(type, command.message.id, **values))

    def _settle_later(
        self, command: Command, type: str, values: "asyncio.Task[dict[str, Any]]", is_news: bool = True
    ) -> None:
        """Answer when this has come, and tell the other directors, who did not ask, where it is news for them."""
        values.add_done_callback(partial(self._settle_with, command, type, is_news))

    def _settle_with(self, command: Command, type: str, is_news: bool, values: "asyncio.Task[dict[str, Any]]") -> None:
        if values.cancelled():
            return
        error = values.exception()
        if isinstance(error, PipelineError):
            error = StreamError("internal", f"The model can't: {error}.")
        if isinstance(error, StreamError):
            command.turn.settle(error_message(error, command.message.id))
        elif error is None:
            self._settle(command, type, **values.result())
            if is_news:
                self._stream.seats.tell_others(command.turn.line, {"type": type, **values.result()})
        else:
            raise error

    def _welcome(self, command: Command, message: Hello) -> None:
        if message.protocol != PROTOCOL:
            raise StreamError("unsupported_protocol", f"This server speaks protocol {PROTOCOL} only.")
        capabilities = dict(self._stream.services.describe)
        state = self._stream.state_message()
        self._settle(command, "welcome", stream=self._stream.id, capabilities=capabilities, state=state)
        # One by one: together their thumbnails could be more than a message of a data channel may hold.
        for told in self._stream.bookmarks.described():
            command.turn.follow({"type": "bookmarked", **told})
        if (url := self._stream.recorder.url) is not None:
            command.turn.follow({"type": "recording", "url": url})
        self._stream.seats.introduce(command.turn.line, message.name)

    def _use_picture(self, command: Command) -> None:
        assert isinstance(command.message, TAKES_PICTURE)
        if isinstance(command.outcome, StreamError):
            raise command.outcome
        assert command.outcome is not None
        check_entry(self._stream.services.engine.capabilities, command.message.policy)
        picture = command.outcome
        if isinstance(command.message, UploadImage):
            self._settle(
                command,
                "image_uploaded",
                width=picture.width,
                height=picture.height,
                sha256=picture.sha256,
                cropped=list(picture.cropped),
            )
        else:
            command.turn.settle(None)
        enter = command.message.policy, command.message.over_s
        self._generation.set_picture(picture, enter, self._applied("image_applied", command))
        if self._generation.state == "idle":
            self._beside(self._look_ahead())

    async def _look_ahead(self) -> dict[str, Any]:
        """Have the model see a picture while its prompt is still being written."""
        try:
            await self._generation.prepare(self._generation.control.prompt)
        except (PipelineError, StreamError) as error:
            # Nobody asked for it, and a start says it again.
            logger.info("stream %s: the picture is not looked at yet: %s", self._stream.id, error)
        return {}

    def _note(self, command: Command, shown: Shown) -> None:
        """Have the session's log tell that a command took effect."""
        picture = command.outcome.pixels if isinstance(command.outcome, Picture) else None
        self._stream.log.applied(Given(command.message, command.by.label, command.received, picture), shown.frame)

    def _done(self, type: str, command: Command) -> Answer:
        """Make the answer that is a command's first reply."""

        def answer(shown: Shown) -> None:
            self._note(command, shown)
            command.turn.settle(frame_reply(type, command.message.id, shown), shown.pts)
            self._tell_state()

        return answer

    def _applied(self, type: str, command: Command) -> Answer:
        """Make the answer that follows the first reply, and is what control latency is measured by."""
        generation = self._generation
        # Before a start, while paused, or kept for another mode, a command waits for its director.
        waits = generation.state != "live" or (type == "image_applied" and generation.control.mode != "i2v")

        def answer(shown: Shown) -> None:
            if not waits:
                generation.meter.command(command_life(command.received, shown.making, shown.at))
            self._note(command, shown)
            command.turn.follow(frame_reply(type, command.message.id, shown), shown.pts)

        return answer
