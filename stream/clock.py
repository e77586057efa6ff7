"""When a frame is due and what its timestamp is."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

VIDEO_CLOCK_HZ = 90_000
"""Ticks per second of RTP timestamps for every video payload (RFC 6184 section 8.1, RFC 7741 section 4.1)."""


JITTER_S = 0.015
"""By how much a timer may fire late where a model's thread and encoders share the processor with it."""


class Cancellable(Protocol):
    """A callback that was booked and can be called off."""

    def cancel(self) -> None:
        """Call it off; does nothing when it has run."""
        ...


class Timer(Protocol):
    """The part of an event loop that tells and waits for time; every asyncio loop is one."""

    def time(self) -> float:
        """Tell the seconds of a clock that only rises."""
        ...

    def call_at(self, when: float, callback: Callable[..., object], /, *args: object) -> Cancellable:
        """Call back at this time of :meth:`time`, or soon when it is past."""
        ...


@dataclass(frozen=True, slots=True)
class FrameClock:
    """Display slots of a video: the timestamp and due time of each; pure, and rounding cannot add up.

    Slot ``first_slot`` comes ``origin`` seconds after ``epoch``, a time of the :class:`Timer`; the slots
    after it come at ``fps``.

    >>> clock = FrameClock(fps=Fraction(16), epoch=100.0)
    >>> clock.pts(3), clock.due(3)
    (16875, 100.1875)
    """

    fps: Fraction
    epoch: float
    first_slot: int = 0
    origin: Fraction = Fraction(0)

    def _seconds(self, slot: int) -> Fraction:
        return self.origin + (slot - self.first_slot) / self.fps

    def pts(self, slot: int) -> int:
        """Give the timestamp of a slot in 90 kHz ticks from the epoch."""
        return round(self._seconds(slot) * VIDEO_CLOCK_HZ)

    def due(self, slot: int) -> float:
        """Give the time at which the frame of a slot is to be sent."""
        return self.epoch + float(self._seconds(slot))

    def with_rate(self, fps: Fraction, slot: int) -> "FrameClock":
        """Give the clock that goes on at another rate from ``slot`` on, which keeps its time.

        >>> FrameClock(Fraction(16), 100.0).with_rate(Fraction(8), 4).pts(5)
        33750
        """
        return replace(self, fps=fps, first_slot=slot, origin=self._seconds(slot))

    def slot_at(self, now: float) -> int:
        """Give the slot that is on show at a time.

        >>> FrameClock(Fraction(16), 100.0).slot_at(100.12)
        1
        """
        return self.first_slot + math.floor((now - self.epoch - float(self.origin)) * self.fps + 1e-6)

    def tolerance(self) -> float:
        """Give the seconds that a frame may be late and still keep its slot: a quarter of one, or what jitter takes.

        >>> FrameClock(Fraction(8), 0.0).tolerance(), FrameClock(Fraction(60), 0.0).tolerance()
        (0.03125, 0.015)
        """
        return max(float(1 / (4 * self.fps)), min(JITTER_S, float(1 / self.fps)))

    def hold(self, slot: int, now: float) -> int:
        """Give the slot that a frame meant for ``slot`` can still have: that one, or if late the next.

        >>> clock = FrameClock(Fraction(16), 100.0)
        >>> clock.hold(3, 100.19), clock.hold(3, 100.21)
        (3, 4)
        """
        late = now - self.due(slot)
        if late <= self.tolerance():
            return slot
        return slot + math.ceil(late * self.fps - 1e-6)


class Alarm:
    """Wakes those who wait for a change, or for a time, whichever is first."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Wake everyone who waits now."""
        for future in self._waiting:
            _wake(future)

    async def wait(self, until: float | None = None) -> None:
        """Wait for the next :meth:`ring`, at most until a time of the timer."""
        future = asyncio.get_running_loop().create_future()
        booked = None if until is None else self._timer.call_at(until, _wake, future)
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)
            if booked is not None:
                booked.cancel()


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
