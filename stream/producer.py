"""Makes the chunks of one stream, each just in time."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pipeline.errors import PipelineError
from pipeline.types import Chunk
from stream.capacity import Timing
from stream.control import Control, Making, Opening, Snapshot
from stream.engine import Engine
from stream.playout import PlayoutBuffer, Room

logger = logging.getLogger(__name__)

GUARD_S = 0.02
"""Seconds between the expected end of a chunk's making and its time, when one is made again."""
_WINDOW = 32
_FADING = 0.8
KNOWN_PROMPTS = 16
"""Fewer than the models remember, which other streams share."""
HELD_UP = 0.3
"""The share of its own making that a chunk is begun the earlier for each stream beside it."""
OUTLIER = 1.75
"""How many times the median an estimate may be."""


class GenerationTime:
    """How long a chunk takes from the asking to the having, by quality: the 95th percentile of the last ones.

    ``expected`` is seconds by quality, which stand until enough was seen. ``reading_s`` is what the first chunk under a
    prompt takes beyond: the prompt is read then.
    """

    def __init__(self, expected: Sequence[float]) -> None:
        self._expected = expected
        self._seen = [deque[float](maxlen=_WINDOW) for _ in expected]
        # Until a prompt was read: on an H200 30 to 50 ms beside chunks of 180.
        self.reading_s = 0.15 * expected[0]

    def observe(self, quality: int, seconds: float, reads: bool = False) -> None:
        """Take in one chunk; ``reads``: it was the first under its prompt."""
        if reads and self._seen[quality]:
            beyond = seconds - sorted(self._seen[quality])[len(self._seen[quality]) // 2]
            self.reading_s = max(0.0, beyond, self.reading_s * _FADING)
        else:
            self._seen[quality].append(seconds)

    def estimate(self, quality: int) -> float:
        """Give the seconds in which 19 of 20 chunks are there.

        >>> times = GenerationTime([0.5])
        >>> for number in range(1, 21):
        ...     times.observe(0, 0.5 + number / 100)
        >>> times.estimate(0)
        0.69
        >>> times.observe(0, 3.0)
        >>> times.estimate(0)
        0.7
        """
        seen = sorted(self._seen[quality])
        if len(seen) < 4:
            return max([self._expected[quality], *seen[: len(seen) // 2 + 1]])
        # One chunk that took very long must not make every prompt of the next seconds late.
        return min(seen[(len(seen) * 19 + 19) // 20 - 1], OUTLIER * seen[len(seen) // 2])


@dataclass(slots=True)
class Pace:
    """What a producer goes by: seconds of video to keep ahead, the quality to make, how long that takes.

    ``made(chunk, seconds, timing)`` is told of each chunk: the seconds it took, how it came.
    ``take_spare`` asks whether other streams leave the time to make a chunk again, ``company`` how many there are.
    """

    buffer_s: float
    quality: Callable[[], int]
    time: GenerationTime
    made: Callable[[Chunk, float, Timing], None]
    take_spare: Callable[[], bool] = lambda: True
    company: Callable[[], int] = lambda: 0


class TakesCheckpoints(Protocol):
    """Who keeps a take's newest state elsewhere."""

    @property
    def is_due(self) -> bool:
        """Whether the beginning of the next chunk is to be kept."""
        ...

    def missed(self) -> None:
        """Take note that there could be no checkpoint now."""
        ...

    def made(self, saved: bytes, frame: int, pts: int) -> None:
        """Take a checkpoint, and where it stands: the index and timestamp of the first frame to come."""
        ...

    def sent(self, frames: int) -> None:
        """Take note that so many frames of the stream were sent."""
        ...

    def thrown_away(self, frame: int) -> None:
        """Take note that what was made from this frame on will never be sent."""
        ...


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
        self._read = deque[str](maxlen=KNOWN_PROMPTS)
        self._head_latent = 0
        self._open_s = self._rewind_s = 0.0
        self._busy_until = 0.0
        self._spare_s: float | None = None

    async def run(self, after: "asyncio.Task[None] | None" = None) -> None:
        """Produce until cancelled, then close the stream in the engine. Raises what the engine raises.

        ``after`` is the run before this one, which may still be closing the stream.
        """
        if after is not None:
            await asyncio.wait({after})
        self._take, self._rewind, self._hurry = None, None, 0
        try:
            while True:
                room = await self._playout.wait_for_room(self._lead)  # the viewers' clock paces the model
                snapshot = self._control.snapshot(self._quality())  # newest commands, frozen
                begun = self._playout.timer.time()
                chunk = await self._generate(snapshot, room)  # never on the event loop
                making = Making(begun, self._playout.timer.time(), chunk.timings_ms.get("text", 0.0) / 1000)
                if self._deliver(room, chunk, replace(snapshot, making=making)):  # frames leave it when due
                    await self._engine.commit(self._id)  # clean-context cache write, off the hot path
                    await self._keep()
        finally:
            await self._engine.close_stream(self._id)

    def has_begun(self, take: int) -> bool:
        """Whether the engine holds this take."""
        return self._take == take and self._head_latent > 0

    def read(self, prompt: str) -> None:
        """Note that the model has read a prompt and remembers it."""
        if prompt not in self._read:
            self._read.append(prompt)

    def overtake(self) -> None:
        """Throw away what was made before the newest command and can be made again in time."""
        begin = max(self._playout.timer.time(), self._busy_until) + GUARD_S
        if self._control.take != self._take and not self._control.carries:
            self._drop(begin + self._estimate() + self._open_s)
            return
        # One chunk more may be in the making; what lies further back than the model can go stays.
        oldest = (
            self._head_latent + self._engine.format.latents_per_chunk - self._engine.capabilities.truncatable_latents
        )
        if self._control.take != self._take:
            # The take comes out of the one before, as that is at the last frame which is left of it.
            latent = self._drop(begin + self._estimate() + self._open_s, self._take, oldest)
            self._rewind = self._rewind if latent is None else latent
            return
        begin += self._rewind_s + (0.0 if self._control.prompt in self._read else self.pace.time.reading_s)
        quality = self._soonest(begin, oldest)
        ready = begin + self.pace.time.estimate(quality)
        if self._playout.place(ready, self._take, oldest) is not None and self.pace.take_spare():
            self._rewind, self._hurry = self._drop(ready, self._take, oldest), quality

    def _drop(self, after: float, take: int | None = None, from_latent: int = 0) -> int | None:
        latent = self._playout.drop_unsent(after, take, from_latent)
        if latent is not None and self.checkpoint is not None:
            self.checkpoint.thrown_away(self._playout.next_frame_index)
        return latent

    def _soonest(self, begin: float, oldest: int) -> int:
        """The quality to begin at then: the common one, or the one below where the command shows sooner by that.

        One chunk of fewer denoising steps is hardly seen, a latent's time of waiting is felt. A rung of another frame
        rate is no such choice.
        """
        quality, ladder = self.pace.quality(), self._engine.capabilities.quality
        if quality + 1 >= len(ladder) or ladder[quality + 1].fps != ladder[quality].fps:
            return quality
        ready = (begin + self.pace.time.estimate(rung) for rung in (quality, quality + 1))
        usual, sooner = (self._playout.place(time, self._take, oldest) for time in ready)
        gains = sooner is not None and (usual is None or sooner.due < usual.due)
        return quality + 1 if gains else quality

    def _quality(self) -> int:
        hurry, self._hurry = self._hurry, 0
        return max(hurry, self.pace.quality())

    def _estimate(self) -> float:
        return self.pace.time.estimate(self.pace.quality())

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
        began, expected = timer.time(), self._estimate()
        self._busy_until = began + expected
        # A take that begins, or one that is late already, must not push aside another stream's chunk that can
        # still be in time: its own frames are shown when they come.
        chunk = await self._engine.generate(self._id, conditioning, max(room.due, began + expected))
        self._busy_until = 0.0
        self._head_latent = chunk.first_latent + chunk.latents
        ended = timer.time()
        self.pace.time.observe(conditioning.quality, ended - began, conditioning.prompt not in self._read)
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
