"""Makes the chunks of one stream, each just in time."""

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import replace
from fractions import Fraction
from typing import Any

from pipeline.errors import AbandonedError, PipelineError
from pipeline.types import Chunk
from stream.capacity import Timing
from stream.control import Control, Making, Opening, Snapshot
from stream.engine import Engine
from stream.generation_time import FADING
from stream.pace import Pace, TakesCheckpoints
from stream.playout import Place, PlayoutBuffer, Room

logger = logging.getLogger(__name__)

GUARD_S = 0.02
"""Seconds between the expected end of a chunk's making and its time, when one is made again."""
KNOWN_PROMPTS = 16
"""Fewer than the models remember, which other streams share."""
HELD_UP = 0.3
"""The share of its own making that a chunk is begun the earlier for each stream beside it."""


class ChunkProducer:
    """The one who asks the engine for chunks, from a start to a stop."""

    def __init__(
        self, stream_id: str, engine: Engine, playout: PlayoutBuffer, control: Control[Any, Any], pace: Pace
    ) -> None:
        self.pace = pace
        self.checkpoint: TakesCheckpoints | None = None
        self._id = stream_id
        self._engine = engine
        self._playout = playout
        self._control = control
        self._take: int | None = None
        self._openings: tuple[Opening, ...] = ()
        self._rewind: int | None = None
        self._hurry = 0
        self._skip_s = Fraction(0)
        self._read = deque[str](maxlen=KNOWN_PROMPTS)
        self._head_latent = 0
        self._open_s = self._rewind_s = self._commit_s = 0.0
        self._busy_until = 0.0
        self._due: float | None = None
        self._spare_s: float | None = None

    async def run(self, after: "asyncio.Task[None] | None" = None) -> None:
        """Produce until cancelled, then close the stream in the engine. Raises what the engine raises.

        ``after`` is the run before this one, which may still be closing the stream.
        """
        if after is not None:
            await asyncio.wait({after})
        self._take, self._rewind, self._hurry, self._skip_s = None, None, 0, Fraction(0)
        try:
            while True:
                room = await self._playout.wait_for_room(self._lead)  # the viewers' clock paces the model
                snapshot = self._snapshot()  # newest commands, frozen
                # What a newer command leaves of no use is given up, and made under that.
                with contextlib.suppress(AbandonedError):
                    await self._make(snapshot, room)
        finally:
            self._engine.abandon(self._id)
            await self._engine.close_stream(self._id)

    async def _make(self, snapshot: Snapshot, room: Room) -> None:
        begun = self._playout.timer.time()
        chunk = await self._generate(snapshot, room)  # never on the event loop
        making = Making(begun, self._playout.timer.time(), chunk.timings_ms.get("text", 0.0) / 1000)
        if self._deliver(room, chunk, replace(snapshot, making=making)):  # frames leave it when due
            await self._commit()  # clean-context cache write, off the hot path
            await self._keep()

    def has_begun(self, take: int) -> bool:
        """Whether the engine holds this take."""
        return self._take == take and self._head_latent > 0

    def read(self, prompt: str) -> None:
        """Note that the model has read a prompt and remembers it."""
        if prompt not in self._read:
            self._read.append(prompt)

    def overtake(self) -> None:
        """Throw away what was made before the newest command and can be made again in time."""
        begin = self._playout.timer.time() + GUARD_S
        if not self._engine.can_abandon:
            begin = max(begin, self._busy_until + GUARD_S)
        opened = begin + self._estimate() + self._open_s
        if self._control.take != self._take and not self._control.carries:
            self._abandon(opened, is_thrown_away=self._drop(opened) is not None)
            return
        # One chunk more may be in the making; what lies further back than the model can go stays.
        oldest = (
            self._head_latent + self._engine.format.latents_per_chunk - self._engine.capabilities.truncatable_latents
        )
        if self._control.take != self._take:
            # The take comes out of the one before, as that is at the last frame which is left of it.
            latent = self._drop(opened, self._take, oldest)
            self._rewind = self._rewind if latent is None else latent
            self._abandon(opened, is_thrown_away=latent is not None)
            return
        begin += 0.0 if self._control.prompt in self._read else self.pace.time.reading_s
        place, quality = self._soonest(begin + self._rewind_s, oldest)
        is_better = place is not None or self._is_in_time(begin + self._estimate())
        if not is_better or not self.pace.take_spare():
            return
        if place is not None:
            self._playout.drop(place)
            self._thrown_away()
            self._rewind, self._skip_s, self._hurry = place.latent, place.skip / place.fps, quality
        self._engine.abandon(self._id)

    def _is_in_time(self, ready: float) -> bool:
        """Whether one in the place of the chunk that is being made would still be in time."""
        return self._engine.can_abandon and self._due is not None and self._playout.running and self._due > ready

    def _abandon(self, ready: float, is_thrown_away: bool) -> None:
        """Give up what is being made where it comes after what is thrown away, or another is there before its time."""
        if is_thrown_away or self._is_in_time(ready):
            self._engine.abandon(self._id)

    def _drop(self, after: float, take: int | None = None, from_latent: int = 0) -> int | None:
        latent = self._playout.drop_unsent(after, take, from_latent)
        if latent is not None:
            self._thrown_away()
        return latent

    def _thrown_away(self) -> None:
        if self.checkpoint is not None:
            self.checkpoint.thrown_away(self._playout.next_frame_index)

    def _soonest(self, begin: float, oldest: int) -> tuple[Place | None, int]:
        """The first place that can be made again from then on; at the common quality, or that below if it is sooner.

        One chunk of fewer denoising steps is hardly seen, a latent's time of waiting is felt. A rung of another frame
        rate is no such choice, nor one whose first chunk takes as long.
        """
        quality, ladder = self.pace.quality(), self._engine.capabilities.quality
        usual = self._place(begin, quality, oldest)
        below = ladder[quality + 1] if quality + 1 < len(ladder) else None
        if below is None or below.fps != ladder[quality].fps or not below.helps_at_once:
            return usual, quality
        sooner = self._place(begin, quality + 1, oldest)
        gains = sooner is not None and (usual is None or sooner.due < usual.due)
        return (sooner, quality + 1) if gains else (usual, quality)

    def _place(self, begin: float, quality: int, oldest: int) -> Place | None:
        playout, fps = self._playout, self._engine.capabilities.quality[quality].fps
        for place in playout.places(self._take, oldest):
            left_s = self._engine.format.chunk_seconds - place.skip / place.fps
            ready = begin + self._estimate(left_s, quality)
            if place.is_midway:
                # What is left of it plays for less than a chunk, and by then the next one must be there. A take's first
                # latent may begin elsewhere under another prompt.
                is_known = self._engine.capabilities.joins_midway and place.latent and place.fps == fps
                next_ready = ready + self._commit_s + self._estimate()
                if not is_known or (playout.running and place.due + left_s < next_ready):
                    continue
            if place.due > ready or not playout.running:
                return place
        return None

    def _snapshot(self) -> Snapshot:
        (hurry, self._hurry), (skip_s, self._skip_s) = (self._hurry, 0), (self._skip_s, Fraction(0))
        snapshot = self._control.snapshot(max(hurry, self.pace.quality()))
        if not skip_s or snapshot.take != self._take:
            return snapshot
        fps = self._engine.capabilities.quality[snapshot.conditioning.quality].fps
        return replace(snapshot, conditioning=replace(snapshot.conditioning, skip=round(skip_s * fps)))

    def _estimate(self, seconds: Fraction | None = None, quality: int | None = None) -> float:
        """Give how long a chunk takes, or so many seconds of it, at the common quality or another."""
        made = 1.0 if seconds is None else float(seconds / self._engine.format.chunk_seconds)
        return self.pace.time.estimate(self.pace.quality() if quality is None else quality, made)

    async def _commit(self) -> None:
        began = self._playout.timer.time()
        await self._engine.commit(self._id)
        self._commit_s = max(self._playout.timer.time() - began, self._commit_s * FADING)

    def _lead(self) -> float:
        # Another stream's chunk that was just begun is not broken off, so this one keeps some of that time more ahead.
        return self._estimate() * (1 + HELD_UP * self.pace.company()) + self.pace.buffer_s

    async def _generate(self, snapshot: Snapshot, room: Room) -> Chunk:
        conditioning, timer = snapshot.conditioning, self._playout.timer
        can_miss = snapshot.take == self._take and not room.after_gap
        if not can_miss or self._rewind is not None:
            self._spare_s = None  # What is made again is made just in time on purpose.
        if snapshot.take != self._take:
            await self._open(snapshot)
        elif self._rewind is not None:
            await self._go_back(self._rewind)
        fps = self._engine.capabilities.quality[conditioning.quality].fps
        left_s = self._engine.format.chunk_seconds - conditioning.skip / fps
        began, expected = timer.time(), self._estimate(left_s)
        self._busy_until = began + expected
        # A take that begins, or one that is late already, must not push aside another stream's chunk that can
        # still be in time: its own frames are shown when they come.
        self._due = room.due
        try:
            chunk = await self._engine.generate(self._id, conditioning, max(room.due, began + expected))
        except AbandonedError:
            if self._rewind is None:
                self._skip_s = conditioning.skip / fps  # The same place again, which is still midway.
            self._spare_s = None
            raise
        finally:
            self._busy_until, self._due = 0.0, None
        self._head_latent = chunk.first_latent + chunk.latents
        ended = timer.time()
        made = float(left_s / self._engine.format.chunk_seconds)
        self.pace.time.observe(conditioning.quality, ended - began, conditioning.prompt not in self._read, made)
        self.read(conditioning.prompt)
        self.pace.made(chunk, ended - began, self._timing(room.due - ended, ended - began) if can_miss else "ample")
        return chunk

    def _timing(self, spare_s: float, took_s: float) -> Timing:
        """Tell how a chunk came that was there so long before its time.

        It was tight where the buffer is half used up, and the next chunk and a half at its pace would use up the rest.
        """
        before, self._spare_s = self._spare_s, spare_s
        if spare_s < 0:
            return "late"
        if before is None or took_s <= self._engine.format.chunk_seconds or spare_s >= self.pace.buffer_s / 2:
            return "ample"
        return "tight" if spare_s <= 1.5 * (before - spare_s) else "ample"

    async def _open(self, snapshot: Snapshot) -> None:
        began = self._playout.timer.time()
        is_first = self._take is None
        is_cut = snapshot.conditioning.enter == "cut"
        is_out_of_unsent = not is_cut and self._playout.last_take != self._take
        if is_cut and not is_first:
            await self._engine.close_stream(self._id)
        elif self._rewind is not None and not is_first:
            await self._go_back(self._rewind)
        self._take, self._rewind, self._head_latent = snapshot.take, None, 0
        await self._engine.open(self._id, snapshot.conditioning, snapshot.saved)
        opening = Opening(snapshot.conditioning, snapshot.saved)
        self._openings = (*self._openings, opening) if is_out_of_unsent else (opening,)
        self._open_s = self._playout.timer.time() - began
        logger.info("stream %s: take %s begins", self._id, snapshot.take)

    async def _keep(self) -> None:
        """Have a checkpoint kept when one is due."""
        if self.checkpoint is None or not self.checkpoint.is_due or self._control.take != self._take:
            return
        place = self._playout.next_place()
        try:
            saved = await self._engine.save(self._id)
        except PipelineError as error:
            logger.debug("stream %s: no checkpoint: %s", self._id, error)
            self.checkpoint.missed()
            return
        # What was thrown away meanwhile is in it.
        if self._rewind is None and self._control.take == self._take:
            self.checkpoint.made(saved, *place)

    async def _go_back(self, latent: int) -> None:
        began, self._rewind = self._playout.timer.time(), None
        await self._engine.truncate(self._id, latent)
        self._rewind_s = self._playout.timer.time() - began

    def _deliver(self, room: Room, chunk: Chunk, snapshot: Snapshot) -> bool:
        """Put the chunk into playout; False when it is not wanted any more, nor is its context."""
        if not self._playout.put(room, chunk, replace(snapshot, openings=self._openings)):
            return False
        logger.debug("stream %s: frames %s+%s made", self._id, room.first_frame, len(chunk.frames))
        if self._control.revision != chunk.revision:
            self.overtake()
        return self._rewind is None
