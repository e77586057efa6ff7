"""How many streams a machine carries, and how well: one quality for all of them alike."""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Literal, NoReturn

from pipeline.types import QualityLevel
from stream.errors import StreamError

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 10
_FULL = 0.97
_BUSY = 0.88
_ROOMY = 0.7
_SETTLE_S = 2.0
_PATIENCE_S = 6.0
# A climb that had to be taken back within this time makes the next one wait twice as long.
_HELD_S = 30.0
_MOST_PATIENCE_S = 96.0
_LATE_CHUNKS = 3
_SMOOTHING = 0.1

Timing = Literal["ample", "tight", "late"]
"""How a chunk came: with time to spare, in time though the next would be late at this pace, or too late."""
Why = Literal["asked", "machine", "streams", "slow", "tight", "late"]
"""Why a stream is not made at the best rung."""


class Capacity:
    """Admits streams and sets their common quality, by what chunks cost when measured and while it runs.

    ``seconds`` is what a chunk takes at each rung of ``ladder``, ``playing`` how long it plays, ``now``
    tells the time, ``replicas`` how many models share the streams evenly. Rungs under half the nominal rate
    are not used: below that a stream is refused. One stream a model is always admitted, because a measurement
    taken in a bad moment must not shut the server.
    """

    def __init__(
        self,
        ladder: Sequence[QualityLevel],
        seconds: Sequence[float],
        playing: float,
        max_streams: int,
        now: Callable[[], float],
        replicas: Callable[[], int] = lambda: 1,
    ) -> None:
        self.rungs = [rung for rung in ladder if rung.fps >= ladder[0].fps / 2]
        """The part of the ladder that is used."""
        self._loads = [cost / playing for _, cost in zip(self.rungs, seconds, strict=False)]
        self._playing = playing
        self._max_streams = max_streams
        self._now = now
        self._replicas = replicas
        self._running: set[str] = set()
        self._holding: set[str] = set()
        self._slowness = 1.0
        self._late = 0.0
        self._passed_over: int | None = None
        self._busy_s = 0.0
        self._settled_at = self._roomy_since = self._spared_at = now()
        self._spared_s = 0.0
        self._patience_s, self._climbed_at = _PATIENCE_S, -math.inf
        self.level = 0
        """The rung of the ladder that every stream is made at."""
        self.why: Why | None = None
        """Why it is not the best one; None where it is."""

    @property
    def running(self) -> int:
        """How many streams take capacity."""
        return len(self._running)

    @property
    def company(self) -> int:
        """How many other streams share a stream's model, at the model with the most of them."""
        return max(0, math.ceil(len(self._running) / max(1, self._replicas())) - 1)

    def load(self, level: int, streams: int) -> float:
        """Give the share of its time that so many streams would take of the model with the most of them, at a rung."""
        return math.ceil(streams / max(1, self._replicas())) * self._loads[level] * self._slowness

    def check(self) -> None:
        """Raise StreamError ``at_capacity`` when one more stream could not run now."""
        streams = len(self._running)
        if streams >= max(1, self._replicas()) and self.load(len(self._loads) - 1, streams + 1) > _FULL:
            self._refuse("The machine is busy with other streams")
        if streams >= self._max_streams:
            self._refuse(f"At most {self._max_streams} streams run at once")

    def admit(self, stream_id: str) -> None:
        """Take capacity for a stream; does nothing when it has it. Raises StreamError ``at_capacity``."""
        if stream_id in self._running:
            return
        self.check()
        if stream_id not in self._holding and len(self._holding) >= self._max_streams:
            self._refuse("Paused streams hold the places that are left")
        self._running.add(stream_id)
        self._holding.add(stream_id)
        fitting = self._fitting()
        if fitting > self.level:
            self._step(fitting, "streams" if self.company else "machine")

    def release(self, stream_id: str, keep_state: bool = False) -> None:
        """Free a stream's capacity; with ``keep_state`` its place in the model stays taken. Idempotent."""
        self._running.discard(stream_id)
        if not keep_state:
            self._holding.discard(stream_id)
        if not self._running:
            # What slowed the machine down may be gone with them; the next stream measures again.
            self._slowness, self._late, self.level, self.why = 1.0, 0.0, 0, None
            self._passed_over = None
            self._patience_s, self._climbed_at = _PATIENCE_S, -math.inf
        self._settled_at = self._roomy_since = self._now()

    def take_spare(self) -> bool:
        """Take the time to make one chunk again; False when the other streams leave none, and nothing is taken.

        What they leave is saved up to a chunk's making, where one stream more would find its place: a chunk that is
        made again is as urgent as any. A stream alone harms nobody, and need not ask twice.
        """
        streams, cost_s = len(self._running), self._loads[self.level] * self._slowness * self._playing
        now, models = self._now(), max(1, self._replicas())
        left = models * max(0.0, _FULL - self.load(self.level, streams))
        self._spared_s = min(cost_s * models, self._spared_s + left * (now - self._spared_at))
        self._spared_at = now
        if streams <= models:
            return True
        if self._spared_s < cost_s or self.load(self.level, streams + 1) > _FULL:
            return False
        self._spared_s -= cost_s
        return True

    def observe(self, level: int, busy_s: float, timing: Timing) -> None:
        """Take in one chunk: its rung, the engine's busy seconds so far, how it came.

        One that came in time, but the next would not, takes the quality down at once, before anything stutters; of
        those made before a step down none is asked. A rung whose chunks take less time only after a while is passed
        over then, and gone back to after that while, if it fits.
        """
        seconds, self._busy_s = busy_s - self._busy_s, busy_s
        self._slowness += _SMOOTHING * (seconds / self._playing / self._loads[level] - self._slowness)
        self._late = self._late + 1 if timing == "late" else max(0.0, self._late - 0.25)
        now, streams = self._now(), len(self._running)
        if timing != "ample" or self._late or self.level == 0 or self.load(self.level - 1, streams) > _ROOMY:
            self._roomy_since = now
        if timing == "tight" and self.level <= level < len(self._loads) - 1:
            self._help(level, "tight")
        if now - self._settled_at < _SETTLE_S:
            return
        fitting = self._fitting()
        if fitting > self.level:
            self._step(fitting, "slow")
        elif self._late >= _LATE_CHUNKS and self.level < len(self._loads) - 1:
            self._help(self.level, "late")
        elif self._passed_over is not None:
            self._go_back(self._passed_over)
        elif now - self._roomy_since >= self._patience_s:
            self._step(self.level - 1)

    def _fitting(self) -> int:
        """Give the best rung at which those who run leave the machine some air, or the lowest."""
        streams = len(self._running)
        rungs = range(len(self._loads))
        return next((rung for rung in rungs if self.load(rung, streams) <= _BUSY), rungs[-1])

    def _help(self, level: int, why: Why) -> None:
        """Go down from a rung to the next whose first chunk already takes less time."""
        below = range(level + 1, len(self._loads))
        there = next((rung for rung in below if self.rungs[rung].helps_at_once), below[-1])
        self._step(there, why)
        self._passed_over = level + 1 if there > level + 1 else None

    def _go_back(self, level: int) -> None:
        """Go up to a rung that was passed over, if it fits."""
        self._passed_over = None
        if self.load(level, len(self._running)) <= _BUSY:
            self._step(level)

    def _step(self, level: int, why: Why | None = None) -> None:
        """Go down for a reason, or up without one."""
        streams, now = len(self._running), self._now()
        logger.info("capacity: quality %s to %s for %s streams, %s", self.level, level, streams, why or "there is room")
        if why is None:
            self._climbed_at = now
        elif why not in ("machine", "streams"):
            was_too_soon = now - self._climbed_at < _HELD_S
            self._patience_s = min(_MOST_PATIENCE_S, 2 * self._patience_s) if was_too_soon else _PATIENCE_S
        self.level, self._passed_over = level, None
        if why or not level:
            self.why = why
        self._late = 0.0
        self._settled_at = self._roomy_since = self._now()

    def _refuse(self, why: str) -> NoReturn:
        ahead = len(self._running)
        raise StreamError(
            "at_capacity", f"{why}; try again when one has ended.", ahead=ahead, retry_after=RETRY_AFTER_S
        )
