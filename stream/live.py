"""One stream as its directors see it: commands in, replies and news out."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from pipeline.types import VideoFormat
from stream.bookmarks import Bookmarks
from stream.capture import picture_of_frame, picture_of_pixels
from stream.clock import Alarm
from stream.commands import FREE_OF_PICTURES, TAKES_PICTURE, Commands
from stream.errors import StreamError
from stream.generation import Generation
from stream.guests import Guests
from stream.kept import Kept
from stream.last_checkpoint import LastCheckpoint
from stream.news import state_of, stats_of
from stream.picture import Picture, decode_picture
from stream.playout import DueFrame
from stream.protocol import ClientMessage, Limits, StreamState, UploadImage, UseCameraFrame, UseFrame
from stream.recorder import Recorder
from stream.replies import Director, Message
from stream.seats import Command, Seat, Seats
from stream.server_messages import error_message, reply
from stream.services import Services
from stream.session_log import SessionLog
from stream.sink import FrameSink, MakeSink

__all__ = ["Director", "FrameSink", "LiveStream", "Message", "Services"]

logger = logging.getLogger(__name__)

STATS_INTERVAL_S = 1.0


class LiveStream:
    """One generation that goes on until it is stopped, its directors and its viewers.

    ``changed(stream)`` is called when someone comes or leaves, and once when the stream has ended.
    """

    def __init__(
        self,
        stream_id: str,
        control_token: str,
        services: Services,
        make_sink: MakeSink,
        changed: Callable[["LiveStream"], None],
    ) -> None:
        self.id = stream_id
        self.control_token = control_token
        self.services = services
        self._changed = changed
        self.generation = Generation(stream_id, services, make_sink, self._generation_failed)
        self.seats = Seats()
        self._viewers: set[object] = set()
        self.recorder = Recorder(stream_id, services.recordings, self.seats.tell_all)
        self.bookmarks = Bookmarks(self.generation.save, services.picture_thread, services.config.bookmarks)
        self.log = SessionLog(stream_id, services.sessions, services.timer)
        self.generation.on_chunk = self._chunk_sent
        self.checkpoint = LastCheckpoint(self, services.checkpoints, services.timer)
        self.generation.keep_by(self.checkpoint)
        self._commands = Commands(self, self._tell_state)
        self.guests = Guests(self._tell_state)
        self._told: Message = self.state_message()
        self._captures: set[asyncio.Task[None]] = set()
        self._reporting = asyncio.create_task(self._report(), name=f"stats-{stream_id}")
        self._ending: asyncio.Task[None] | None = None
        config = services.config
        self._limits = Limits(config.prompt_chars, config.image_bytes, config.image_pixels)

    @property
    def state(self) -> StreamState:
        """What it does: "idle", "live", "paused" or "ended"."""
        return self.generation.state

    @property
    def broadcast(self) -> FrameSink:
        """Where its frames go: what ``make_sink`` made."""
        return self.generation.sink

    @property
    def format(self) -> VideoFormat:
        """What its model makes: the nominal rate, and the size where no picture asks for another."""
        return self.services.engine.format

    @property
    def has_video(self) -> bool:
        """Whether a frame was sent."""
        return self.generation.playout.last_pts is not None

    @property
    def directors(self) -> int:
        """How many directors are attached."""
        return self.seats.peers

    @property
    def viewers(self) -> int:
        """How many viewers watch."""
        return len(self._viewers)

    def attach_director(self, director: Director, is_peer: bool = True) -> None:
        """Add a director, from when its peer is accepted; sends nothing. Raises ``wrong_state``.

        One without a peer commands like any other, but does not count as being there.
        """
        if self._ending is not None:
            raise StreamError("wrong_state", "The stream has ended; make another.")
        self.seats.take(director, is_peer)
        self._changed(self)

    def detach_director(self, director: Director) -> None:
        """Take a director away; what it waits for is dropped, an upload of it too. Idempotent."""
        if self.seats.leave(director):
            self._changed(self)

    def add_viewer(self) -> Callable[[], None]:
        """Count one viewer more; call what is given back when it leaves (idempotent)."""
        viewer = object()
        self._viewers.add(viewer)
        self._changed(self)
        return partial(self._remove_viewer, viewer)

    def _remove_viewer(self, viewer: object) -> None:
        if viewer in self._viewers:
            self._viewers.discard(viewer)
            self._changed(self)

    async def handle(self, director: Director, message: ClientMessage) -> None:
        """Carry out one command; refusals are sent as ``error`` replies in their turn, none is raised.

        Never suspends, so commands take effect in the order of the calls. An UploadImage only takes its turn:
        tell what became of that very message by :meth:`upload_progress`, :meth:`upload_complete` or
        :meth:`upload_failed`; what needs no picture goes on meanwhile, though its replies wait. So it is with
        the frames that are taken as pictures, which are those of the moment of this call. Messages of one who
        is not attached are ignored.
        """
        if (seat := self.seats.find(director)) is not None:
            turn = seat.line.take_turn(message.id)
            seat.waiting.append(Command(message, turn, self.services.timer.time(), seat.person))
            if isinstance(message, UseFrame | UseCameraFrame):
                self._capture(director, message)
            self._advance(seat)

    def _capture(self, director: Director, message: UseFrame | UseCameraFrame) -> None:
        try:
            make = self._picture_maker(message)
        except StreamError as error:
            self._pictured(director, message, error)
            return
        task = asyncio.create_task(self._make_picture(director, message, make), name=f"picture-{self.id}")
        self._captures.add(task)
        task.add_done_callback(self._captures.discard)

    def _picture_maker(self, message: UseFrame | UseCameraFrame) -> Callable[[], Picture]:
        if isinstance(message, UseCameraFrame):
            return partial(picture_of_frame, self.guests.camera_frame(), self._limits, self.generation.covered)
        if self.generation.on_air is None:
            raise StreamError("wrong_state", "No frame is on air yet; start the stream first.")
        return partial(picture_of_pixels, self.generation.on_air, self.generation.covered)

    def refuse(self, director: Director, error: StreamError, message_id: int | None) -> None:
        """Send an ``error`` reply in the turn of this message.

        For text that :func:`stream.parsing.parse` refused, and for a second ``upload_image`` while one is in
        progress, which must not be passed to :meth:`handle`.
        """
        if (seat := self.seats.find(director)) is not None:
            seat.line.take_turn(message_id).settle(error_message(error, message_id))

    def upload_progress(self, director: Director, message: UploadImage, received: int) -> None:
        """Send ``upload_progress`` with the bytes received so far."""
        if (seat := self.seats.find(director)) is not None:
            seat.line.send(reply("upload_progress", message.id, received=received))

    def upload_stalled(self, director: Director, message: UploadImage) -> None:
        """Let later replies pass an upload whose bytes have stopped coming: its sender may be waiting for one."""
        seat = self.seats.find(director)
        for command in seat.waiting if seat is not None else ():
            if command.message is message:
                command.turn.step_aside()

    async def upload_complete(self, director: Director, message: UploadImage, data: bytes) -> None:
        """Decode the bytes of an upload, whose hash was checked, off the loop and put the picture in use.

        Sends ``image_uploaded``, later ``image_applied``, or the error, each in its turn. Suspends while it
        decodes; other messages may be handled meanwhile.
        """
        sizes = self.generation.covered
        await self._make_picture(director, message, partial(decode_picture, data, self._limits, sizes))

    def upload_failed(self, director: Director, message: UploadImage, error: StreamError) -> None:
        """Give up an upload that took its turn: refused, timed out, wrong hash. Sends the error in turn."""
        self._pictured(director, message, error)

    async def _make_picture(self, director: Director, message: TAKES_PICTURE, make: Callable[[], Picture]) -> None:
        try:
            outcome = await asyncio.get_running_loop().run_in_executor(self.services.picture_thread, make)
        except StreamError as error:
            outcome = error
        self._pictured(director, message, outcome)

    def state_message(self) -> Message:
        """Make the ``state`` message."""
        return state_of(self)

    def take_up(self, kept: Kept) -> None:
        """Go on from a checkpoint, in a stream just made. Raises ``at_capacity``."""
        self.bookmarks.take_up(kept.bookmarks)
        self.checkpoint.take_up(kept)
        self._told = self.state_message()

    async def end(self, reason: str, forget: bool = False) -> None:
        """End for everyone: ``state`` ended, ``goodbye``, then every task and resource. Idempotent; waits.

        With ``forget`` nobody can go on with it.
        """
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(reason, forget), name=f"end-{self.id}")
        await asyncio.shield(self._ending)

    async def _end(self, reason: str, forget: bool = False) -> None:
        logger.info("stream %s: ended, %s", self.id, reason)
        self.generation.state = "ended"
        # While its directors can still be told of it.
        await self.recorder.close()
        self.seats.dismiss(self.state_message(), reason)
        self.guests.dismiss()
        self._reporting.cancel()
        self._commands.close()
        await asyncio.wait({self._reporting, *self._captures})
        await self.generation.close()
        await self.log.close(self.generation.frames_sent)
        await self.checkpoint.close(forget)
        self._changed(self)

    def _generation_failed(self, reason: str) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(reason), name=f"end-{self.id}")

    def _pictured(self, director: Director, message: TAKES_PICTURE, outcome: Picture | StreamError) -> None:
        seat = self.seats.find(director)
        if seat is None:
            return
        for command in seat.waiting:
            if command.message is message:
                command.outcome = outcome
        self._advance(seat)

    def _advance(self, seat: Seat) -> None:
        """Carry out, in order, what no missing picture holds up."""
        picture_missing = False
        for command in list(seat.waiting):
            if isinstance(command.message, TAKES_PICTURE) and command.outcome is None:
                picture_missing = True
                continue
            if picture_missing and not isinstance(command.message, FREE_OF_PICTURES):
                break
            seat.waiting.remove(command)
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        try:
            self.seats.admit(command)
            self._commands.carry_out(command)
        except StreamError as error:
            logger.info("stream %s: %s refused, %s", self.id, command.message.type, error)
            command.turn.settle(error_message(error, command.message.id))
        self._tell_state()

    def _chunk_sent(self, frame: DueFrame) -> None:
        self.log.sent(frame)
        self._tell_state()

    def _tell_state(self) -> None:
        """Tell every director of the state when more than the frame has changed."""
        message = self.state_message()
        if message | {"frame": 0} != self._told | {"frame": 0}:
            self._told = message
            self.seats.tell_all(message)
            self.checkpoint.changed()

    async def _report(self) -> None:
        """Send ``stats`` to the directors every second."""
        alarm, timer = Alarm(self.services.timer), self.services.timer
        due = timer.time()
        while True:
            due = max(due + STATS_INTERVAL_S, timer.time())
            while timer.time() < due:
                await alarm.wait(due)
            if self.seats:
                self.seats.tell_all(self.stats())

    def stats(self) -> Message:
        """Make the ``stats`` message; ``quality`` is the rung in force, ``level`` its number, ``quality_why`` why."""
        return stats_of(self)
