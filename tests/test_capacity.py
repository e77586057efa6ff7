from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest

from pipeline.types import QualityLevel
from stream.capacity import Capacity, Timing
from stream.errors import StreamError

LADDER = [
    QualityLevel("full", Fraction(16)),
    QualityLevel("less", Fraction(16)),
    QualityLevel("half", Fraction(8)),
    QualityLevel("too low", Fraction(4)),
]


class Machine:
    """A capacity on a clock of its own, whose chunks cost the measured seconds times a slowness."""

    def __init__(
        self, *seconds: float, max_streams: int = 8, replicas: int = 1, ladder: Sequence[QualityLevel] = LADDER
    ) -> None:
        self.seconds = seconds
        self.time = 0.0
        self.busy = 0.0
        self.replicas = replicas
        self.capacity = Capacity(ladder, seconds, 0.25, max_streams, lambda: self.time, lambda: self.replicas)

    def run(self, chunks: int, slowness: float = 1.0, timing: Timing = "ample") -> None:
        for _ in range(chunks):
            self.time += 0.25 / max(1, self.capacity.running)
            self.busy += self.seconds[self.capacity.level] * slowness
            self.capacity.observe(self.capacity.level, self.busy, timing)


def refusal(machine: Machine, stream_id: str) -> StreamError:
    with pytest.raises(StreamError) as caught:
        machine.capacity.admit(stream_id)
    return caught.value


def test_quality_goes_down_before_anyone_is_refused() -> None:
    """Streams are admitted at ever lower rungs, then refused with how many run before."""
    machine = Machine(0.12, 0.08, 0.05, 0.01)
    levels = []
    for stream_id in "abcd":
        machine.capacity.admit(stream_id)
        levels.append(machine.capacity.level)
    assert levels == [0, 1, 2, 2]
    error = refusal(machine, "e")
    assert (error.code, error.extra["ahead"], error.retryable) == ("at_capacity", 4, True)
    assert machine.capacity.level == 2


def test_rungs_below_half_the_rate_are_not_used() -> None:
    """Nobody is made at less than half the nominal rate: rather is the next one refused."""
    machine = Machine(0.2, 0.2, 0.2, 0.001)
    machine.capacity.admit("a")
    refusal(machine, "b")
    assert [rung.name for rung in machine.capacity.rungs] == ["full", "less", "half"]


def test_one_stream_is_always_admitted() -> None:
    """A machine that was measured too slow for any stream still takes one."""
    machine = Machine(1.0, 1.0, 1.0, 1.0)
    machine.capacity.admit("a")
    assert machine.capacity.level == 2


def test_release_makes_room() -> None:
    """A stream that pauses, stops or ends makes room for another; doing it twice is harmless."""
    machine = Machine(0.2, 0.2, 0.2, 0.2)
    machine.capacity.admit("a")
    machine.capacity.admit("a")
    machine.capacity.release("a", keep_state=True)
    machine.capacity.admit("b")
    assert refusal(machine, "a").extra["ahead"] == 1
    machine.capacity.release("b")
    machine.capacity.release("b")
    machine.capacity.admit("a")


def test_paused_streams_hold_their_place() -> None:
    """A paused stream's place in the model is not given away, so that it can go on where it froze."""
    machine = Machine(0.01, 0.01, 0.01, 0.01, max_streams=1)
    machine.capacity.admit("a")
    machine.capacity.release("a", keep_state=True)
    refusal(machine, "b")
    machine.capacity.admit("a")
    machine.capacity.release("a")
    machine.capacity.admit("b")


def test_slow_chunks_lower_the_quality() -> None:
    """When chunks come to take longer than measured, the common rung goes down to one that fits."""
    machine = Machine(0.12, 0.08, 0.05, 0.01)
    machine.capacity.admit("a")
    machine.run(40, slowness=2.2)
    assert machine.capacity.level == 1


def test_late_chunks_lower_the_quality() -> None:
    """Chunks that come late lower the rung even when their cost alone would not."""
    machine = Machine(0.12, 0.08, 0.05, 0.01)
    machine.capacity.admit("a")
    machine.run(12)
    assert machine.capacity.level == 0
    machine.run(4, timing="late")
    assert machine.capacity.level == 1


def test_one_late_chunk_changes_nothing() -> None:
    """A single late chunk now and then leaves the rung as it is."""
    machine = Machine(0.12, 0.08, 0.05, 0.01)
    machine.capacity.admit("a")
    for _ in range(10):
        machine.run(12)
        machine.run(1, timing="late")
    assert machine.capacity.level == 0


def test_quality_comes_back_with_patience() -> None:
    """When a stream ends the rung goes up again, one at a time, and only after a while of room."""
    machine = Machine(0.12, 0.08, 0.05, 0.01)
    for stream_id in "abc":
        machine.capacity.admit(stream_id)
    machine.run(30)
    assert machine.capacity.level == 2
    machine.capacity.release("c")
    machine.capacity.release("b")
    machine.run(16)
    assert machine.capacity.level == 2
    machine.run(12)
    assert machine.capacity.level == 1
    machine.run(40)
    assert machine.capacity.level == 0


def test_the_rung_does_not_swing() -> None:
    """A load that fits the lower rung but not, with air, the upper one stays at the lower."""
    machine = Machine(0.12, 0.10, 0.05, 0.01)
    machine.capacity.admit("a")
    machine.capacity.admit("b")
    assert machine.capacity.level == 1
    seen = set()
    for _ in range(200):
        machine.run(1)
        seen.add(machine.capacity.level)
    assert seen == {1}


def test_streams_are_shared_by_models_alike() -> None:
    """Two models carry twice the streams at each rung, the fuller one decides; with one left there is no more room."""
    machine = Machine(0.12, 0.08, 0.05, 0.01, replicas=2)
    levels = []
    for stream_id in "abcdefgh":
        machine.capacity.admit(stream_id)
        levels.append(machine.capacity.level)
    assert levels == [0, 0, 1, 1, 2, 2, 2, 2]
    machine.capacity.release("h")
    machine.replicas = 1
    assert refusal(machine, "h").code == "at_capacity"


def test_one_stream_a_model_is_always_admitted() -> None:
    """Models too slow for one stream get one each."""
    machine = Machine(0.5, 0.5, 0.5, 0.5, replicas=2)
    machine.capacity.admit("a")
    machine.capacity.admit("b")
    refusal(machine, "c")


def test_what_streams_leave_can_be_taken_once() -> None:
    """With company a chunk is made again only in time left over, saved up to one chunk; alone always."""
    machine = Machine(0.06, 0.05, 0.04, 0.01)
    machine.capacity.admit("a")
    assert [machine.capacity.take_spare() for _ in range(5)] == [True] * 5
    machine.capacity.admit("b")
    machine.time += 100.0
    assert [machine.capacity.take_spare() for _ in range(3)] == [True, False, False]
    # Two streams take 0.48 of the machine: 0.49 is left, a chunk takes 0.06 s.
    machine.time += 0.11
    assert not machine.capacity.take_spare()
    machine.time += 0.02
    assert [machine.capacity.take_spare() for _ in range(2)] == [True, False]
    # With three there is no place for a fourth at 0.96, nor for a chunk that is as urgent.
    machine = Machine(0.07, 0.05, 0.04, 0.01)
    for stream_id in "abc":
        machine.capacity.admit(stream_id)
    machine.time += 100.0
    assert not machine.capacity.take_spare()


def test_models_leave_their_time_each() -> None:
    """Over several models so many chunks can be made again at once."""
    machine = Machine(0.06, 0.05, 0.04, 0.01, replicas=2)
    for stream_id in "abc":
        machine.capacity.admit(stream_id)
    machine.time += 100.0
    assert [machine.capacity.take_spare() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(("replicas", "company"), [(1, [0, 0, 1, 2]), (2, [0, 0, 0, 1])])
def test_company_is_at_the_fullest_model(replicas: int, company: list[int]) -> None:
    """Nobody alone has any; streams over several models are with those of their own."""
    machine = Machine(0.02, 0.02, 0.02, 0.01, replicas=replicas)
    told = [machine.capacity.company]
    for stream_id in "abc":
        machine.capacity.admit(stream_id)
        told.append(machine.capacity.company)
    assert told == company


def test_a_tight_chunk_lowers_the_quality_at_once() -> None:
    """One that came in time, but whose like would not, takes one rung; those begun before that take no other."""
    machine = Machine(0.12, 0.08, 0.05, 0.01)
    machine.capacity.admit("a")
    machine.run(4, timing="tight")
    assert (machine.capacity.level, machine.capacity.why) == (2, "tight")
    machine = Machine(0.12, 0.08, 0.05, 0.01)
    machine.capacity.admit("a")
    machine.run(1, timing="tight")
    machine.capacity.observe(0, machine.busy, "tight")
    assert machine.capacity.level == 1


def slow_to_help(second: float) -> Machine:
    """A machine whose second rung saves its work only after a while, just too slow for the first."""
    machine = Machine(0.2, second, 0.12, 0.01, ladder=[LADDER[0], replace(LADDER[1], helps_at_once=False), *LADDER[2:]])
    machine.capacity.admit("a")
    machine.run(12)
    machine.run(1, timing="tight")
    return machine


def test_what_helps_only_after_a_while_is_passed_over() -> None:
    """Where the next chunk would be late the rung below it is taken; the one passed over is, after the while."""
    machine = slow_to_help(0.18)
    assert (machine.capacity.level, machine.capacity.why) == (2, "tight")
    machine.run(7)
    assert machine.capacity.level == 2
    machine.run(2)
    assert (machine.capacity.level, machine.capacity.why) == (1, "tight")


def test_what_was_passed_over_and_does_not_fit_waits_its_turn() -> None:
    """A machine that turns out too slow for it stays below, and nothing of it is left when its streams have gone."""
    machine = slow_to_help(0.18)
    seen = set()
    for _ in range(60):
        machine.run(1, slowness=1.6)
        seen.add(machine.capacity.level)
    assert seen == {2}
    machine = slow_to_help(0.18)
    machine.capacity.release("a")
    machine.capacity.admit("a")
    machine.run(12)
    assert machine.capacity.level == 0


def test_late_chunks_pass_it_over_too() -> None:
    """Nor does it help where chunks come late, but where they only take longer there is the time for it."""
    machine = slow_to_help(0.18)
    machine.capacity.release("a")
    machine.capacity.admit("a")
    machine.run(12)
    machine.run(4, timing="late")
    assert machine.capacity.level == 2
    machine = slow_to_help(0.16)
    machine.capacity.release("a")
    machine.capacity.admit("a")
    machine.run(20, slowness=1.25)
    assert (machine.capacity.level, machine.capacity.why) == (1, "slow")


def test_climbs_that_do_not_hold_come_ever_more_rarely() -> None:
    """After each climb that is taken back the next one waits twice as long; one that holds ends that."""
    machine = Machine(0.12, 0.08, 0.05, 0.01)
    machine.capacity.admit("a")
    waits = []
    for _ in range(4):
        machine.run(1, timing="tight")
        below = machine.time
        while machine.capacity.level:
            machine.run(1)
        waits.append(machine.time - below)
    assert waits == pytest.approx([6, 12, 24, 48], abs=0.5)
    machine.run(200)
    machine.run(1, timing="tight")
    below = machine.time
    while machine.capacity.level:
        machine.run(1)
    assert machine.time - below == pytest.approx(6, abs=0.5)


def test_why_the_quality_is_what_it_is() -> None:
    """Each cause has its word, which stays until the best rung is back."""
    machine = Machine(0.12, 0.08, 0.05, 0.01)
    assert machine.capacity.why is None
    machine.capacity.admit("a")
    machine.run(40, slowness=2.2)
    assert machine.capacity.why == "slow"
    machine.run(120)
    assert (machine.capacity.level, machine.capacity.why) == (0, None)
    machine.capacity.admit("b")
    assert machine.capacity.why == "streams"
    machine.capacity.release("a")
    machine.capacity.release("b")
    assert machine.capacity.why is None
    machine = Machine(0.3, 0.2, 0.05, 0.01)
    machine.capacity.admit("a")
    assert (machine.capacity.level > 0, machine.capacity.why) == (True, "machine")
