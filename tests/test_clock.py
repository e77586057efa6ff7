import asyncio
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.clock import VIDEO_CLOCK_HZ, Alarm, FrameClock
from tests.fakes import FakeClock, settle

RATES = st.sampled_from([*map(Fraction, (16, 12, 8, 24, 7)), Fraction(30000, 1001)])


@given(RATES, st.integers(0, 10_000_000))
def test_rounding_cannot_add_up(fps: Fraction, slot: int) -> None:
    """A timestamp lies within half a tick of the exact time of its slot, however late the slot."""
    pts = FrameClock(fps, 5.0).pts(slot)
    assert abs(Fraction(pts, VIDEO_CLOCK_HZ) - slot / fps) <= Fraction(1, 2 * VIDEO_CLOCK_HZ)


@given(st.lists(st.tuples(RATES, st.integers(1, 50)), min_size=1, max_size=8))
def test_timestamps_rise_over_rate_changes(changes: list[tuple[Fraction, int]]) -> None:
    """Timestamps rise strictly over any changes of rate."""
    clock, slot, seen = FrameClock(Fraction(16), 0.0), 0, [-1]
    for fps, frames in changes:
        clock = clock.with_rate(fps, slot)
        for _ in range(frames):
            seen.append(clock.pts(slot))
            slot += 1
    assert all(later > earlier for earlier, later in pairwise(seen))


def test_a_new_rate_keeps_the_time_of_its_first_slot() -> None:
    """At a change of rate the boundary slot comes when it would have, and the next one a new step later."""
    clock = FrameClock(Fraction(16), 100.0).with_rate(Fraction(8), 4)
    assert (clock.due(4), clock.due(5)) == (100.25, 100.375)


@pytest.mark.parametrize(("late", "slot"), [(-1.0, 8), (0.0, 8), (0.015, 8), (0.02, 9), (0.0625, 9), (0.07, 10)])
def test_hold_moves_by_whole_slots(late: float, slot: int) -> None:
    """A few milliseconds late keeps the slot; more takes the next slot to come, never one that is past."""
    clock = FrameClock(Fraction(16), 100.0)
    assert clock.hold(8, clock.due(8) + late) == slot


@pytest.mark.parametrize(("late", "slot"), [(0.012, 8), (0.0155, 9), (0.035, 11)])
def test_jitter_costs_no_slot_at_a_high_rate(late: float, slot: int) -> None:
    """At 60 frames/s a timer that fires 12 ms late, as beside a busy model, still sends the frame of that slot."""
    clock = FrameClock(Fraction(60), 100.0)
    assert clock.hold(8, clock.due(8) + late) == slot


@given(RATES, st.integers(0, 1000), st.floats(0, 1000))
def test_a_held_slot_is_not_late(fps: Fraction, slot: int, seconds: float) -> None:
    """The slot given to a late frame is due no earlier than now, but for the tolerance."""
    clock = FrameClock(fps, 100.0)
    held = clock.hold(slot, 100.0 + seconds)
    assert clock.due(held) >= 100.0 + seconds - clock.tolerance() - 1e-6
    assert held == slot or clock.due(held - 1) < 100.0 + seconds


def test_slot_at_is_the_one_on_show() -> None:
    """The slot on show is the last one whose time has come."""
    clock = FrameClock(Fraction(16), 100.0).with_rate(Fraction(8), 4)
    assert [clock.slot_at(now) for now in (100.25, 100.37, 100.38)] == [4, 4, 5]


async def test_alarm_wakes_by_ring_or_time() -> None:
    """A waiter of an alarm is woken by a ring or at its time, whichever is first."""
    clock = FakeClock()
    alarm = Alarm(clock)
    by_time = asyncio.create_task(alarm.wait(clock.time() + 1))
    await clock.advance(0.9)
    assert not by_time.done()
    await clock.advance(0.2)
    assert by_time.done()
    by_ring = asyncio.create_task(alarm.wait(clock.time() + 1))
    await settle()
    alarm.ring()
    await settle()
    assert by_ring.done()


async def test_alarm_forgets_a_cancelled_waiter() -> None:
    """A waiter that is cancelled leaves nothing behind that a later ring could trip over."""
    alarm = Alarm(FakeClock())
    waiting = asyncio.create_task(alarm.wait())
    await settle()
    waiting.cancel()
    await settle()
    alarm.ring()
    assert waiting.cancelled()
