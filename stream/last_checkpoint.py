"""The last checkpoint of a stream, kept beside it: the video never waits for a disk."""

import asyncio
import logging
from typing import Any, Protocol

from stream.bookmarks import Bookmarks
from stream.checkpoint_folder import CheckpointError
from stream.checkpoints import Checkpoints, token_sha256
from stream.clock import Timer
from stream.control import Restart
from stream.generation import Generation
from stream.kept import Kept
from stream.protocol import Latency

logger = logging.getLogger(__name__)

SOON_S = 1.0
"""Seconds after a checkpoint at which a command brings the next one."""


class Stream(Protocol):
    """The part of a stream that is kept."""

    id: str
    control_token: str
    generation: Generation
    bookmarks: Bookmarks


class LastCheckpoint:
    """What is kept of one stream; :meth:`made` and :meth:`changed` return at once."""

    def __init__(self, stream: Stream, checkpoints: Checkpoints, timer: Timer) -> None:
        self._stream, self._checkpoints, self._timer = stream, checkpoints, timer
        self.is_unattended = False
        self._newest: tuple[Restart[Any], int, int] | None = None
        self._ahead: tuple[Restart[Any], int, int] | None = None
        self._tries = 0
        self._has_begun = self._has_warned = False
        self._at, self._revision = -checkpoints.interval_s, -1
        self._is_stale = False
        self._writing: asyncio.Task[None] | None = None

    @property
    def is_due(self) -> bool:
        """Whether the next chunk's beginning is to be kept: so much later than the last, sooner after a command."""
        if not self._checkpoints.is_on:
            return False
        is_other = self._revision != self._stream.generation.control.revision
        wait_s = min(SOON_S, self._checkpoints.interval_s) if is_other else self._checkpoints.interval_s
        return self._timer.time() >= self._at + wait_s

    def missed(self) -> None:
        """Take note that there could be none now."""
        self._at = self._timer.time()

    def made(self, saved: bytes, frame: int, pts: int) -> None:
        """Keep the take as it is before the frame of this index and timestamp, once all before it was sent.

        Who goes on from there would miss what was made and not sent yet.
        """
        generation = self._stream.generation
        self._ahead = (generation.control.restart(saved), frame, pts)
        self._at, self._revision = self._timer.time(), generation.control.revision
        self.sent(generation.frames_sent)

    def sent(self, frames: int) -> None:
        """Take note that so many frames of the stream were sent."""
        if self._ahead is not None and frames >= self._ahead[1]:
            self._newest, self._ahead, self._tries = self._ahead, None, 0
            self._write()

    def thrown_away(self, frame: int) -> None:
        """Take note that what was made from this frame on will never be sent."""
        if self._ahead is not None and self._ahead[1] > frame:
            self._ahead = None

    def changed(self) -> None:
        """Keep what else there is to a stream, its state and its bookmarks, where anything of it is kept."""
        if self._has_begun:
            self._write()

    def take_up(self, kept: Kept) -> None:
        """Go on from what was kept, before anything else: its frame is the next. Raises ``at_capacity``."""
        _go_on(self._stream.generation, kept)
        self._newest = (kept.asked, kept.frame, kept.pts) if kept.state != "idle" else None
        self._tries = kept.tries + 1
        self.is_unattended = kept.is_unattended
        self._write()

    async def close(self, forget: bool) -> None:
        """End with the stream: from now on its time runs, or it is removed at once."""
        if not self._has_begun:
            return
        self._is_stale = False
        if self._writing is not None:
            await asyncio.wait({self._writing})
        await (self._checkpoints.forget if forget else self._checkpoints.release)(self._stream.id)

    def _write(self) -> None:
        self._has_begun = self._is_stale = True
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_out(), name=f"checkpoint-{self._stream.id}")

    async def _write_out(self) -> None:
        model = await self._checkpoints.model()
        while self._is_stale:
            self._is_stale = False
            kept = self._kept(model)
            if kept is None:
                return
            try:
                await self._checkpoints.write(kept)
            except CheckpointError as error:
                if not self._has_warned:
                    logger.warning("stream %s: it can't go on after a restart: %s", self._stream.id, error)
                self._has_warned = True

    def _kept(self, model: str) -> Kept | None:
        generation, control = self._stream.generation, self._stream.generation.control
        state = generation.state
        if state == "idle":
            asked = control.restart(b"")
            frame, pts = generation.playout.next_place()
            # The next start begins a take of its own.
            self._newest = self._ahead = None
        elif state == "ended" or self._newest is None:
            return None
        else:
            asked, frame, pts = self._newest
        return Kept(
            stream_id=self._stream.id,
            token_sha256=token_sha256(self._stream.control_token),
            model=model,
            state=state,
            frame=frame,
            pts=pts,
            asked=asked,
            bookmarks=self._stream.bookmarks.all,
            configured=generation.delivery.in_force(),
            is_unattended=self.is_unattended,
            tries=self._tries,
        )


def _go_on(generation: Generation, kept: Kept) -> None:
    asked, wished = kept.asked, kept.configured
    generation.playout.take_up(kept.frame, kept.pts)
    if wished:
        latency: Latency = "smooth" if wished["latency"] == "smooth" else "low"
        generation.configure(float(wished["fps"]), int(wished["bitrate_kbps"]), latency)
    if kept.state == "idle":
        control = generation.control
        control.mode, control.prompt, control.picture = asked.mode, asked.prompt, asked.picture
        control.policy, control.over_s = asked.policy, asked.over_s
        return
    generation.go_back(asked, lambda shown: None)
    if kept.state == "paused":
        # With a frame to show.
        generation.pause(lambda shown: None)
