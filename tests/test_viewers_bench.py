"""Measuring how many viewers there can be: what is told is what came."""

from fractions import Fraction

import pytest

from stream.viewers_bench import Bench, Measurement, lateness, read_cores, share_cores, summary
from stream.viewers_bench_receivers import Arrival
from stream.viewers_bench_sender import Sent, Task

TASK = Task("H264", (832, 480), Fraction(16), 1500)


def measured(viewers: int = 20, frames: int = 64, lost: int = 0, p95: float = 40.0) -> Measurement:
    """Give a measurement of four seconds."""
    return Measurement(TASK, viewers, 4.0, 1400, frames, lost, (20.0, p95, 60.0), 1.0, 0.5)


def test_lateness_is_counted_from_the_due_time_by_each_viewers_own_timestamps() -> None:
    """RTP timestamps begin anywhere, and wrap; a frame with a packet missing has not come."""
    sent = Sent({5625: 10.0, 11_250: 11.0}, 1.0, 1500, [2**32 - 5625, 100])
    first = [Arrival(0, 10.02, True), Arrival(5625, 11.04, True)]
    second = [Arrival(5725, 10.02, True), Arrival(11_350, 11.5, False)]
    (p50, _, p99), lost = lateness(sent, [first, second])
    assert lost == 1
    assert p50 == pytest.approx(20)
    assert 20 < p99 < 41


def test_what_is_late() -> None:
    """A slow frame in twenty, one lost in a thousand, or fewer frames than there should be."""
    assert not measured().is_late(100)
    assert not measured(lost=1).is_late(100)
    assert measured(lost=2).is_late(100)
    assert measured(p95=101).is_late(100)
    assert measured(frames=58).is_late(100)


def test_the_summary_says_where_the_limit_is() -> None:
    """The last count in time and the first that was not."""
    said = summary(measured(120), measured(140, p95=300), 100)
    assert said.startswith(
        "120 viewers at 1400 kbit/s were served in time, p95 40 ms; the sender spent 25 % of a core."
    )
    assert "140 were not: p95 300 ms, 0 of 8960 frames lost." in said
    assert summary(measured(120), None, 100).endswith("No limit was met.")
    assert summary(None, measured(), 100).startswith("Late from the first count on")


def test_cores() -> None:
    """Both shares are there, and on a machine of several cores nobody is in both."""
    assert read_cores("0,1") == {0, 1}
    assert read_cores("2-15") == {*range(2, 16)}
    mine, theirs = share_cores()
    assert mine
    assert theirs
    assert not mine & theirs or mine == theirs


@pytest.mark.slow
def test_viewers_are_added_while_it_runs() -> None:
    """One, then two of them get every frame of the same stream, in processes of their own."""
    task = Task("VP8", (64, 48), Fraction(16), 300)
    cores = share_cores()
    bench = Bench(task, *cores)
    try:
        for viewers in (1, 2):
            bench.grow(viewers)
            found = bench.measure(0.5, settle_s=0.2)
            assert found.viewers == viewers
            assert found.frames >= 4
            assert found.lost == 0
            assert found.late_ms[0] < 500
            assert found.receivers_cpu_s > 0
    finally:
        bench.end()
