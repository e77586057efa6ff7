"""What is made of a link: simulated links, in virtual time."""

import pytest

from stream.bandwidth import BandwidthEstimator
from tests.simulated_link import Path, SimulatedLink

FLOOR, LIMIT = 300.0, 2500.0
CAP, CAPPED_S, WIDE = 800.0, 15.0, 100_000.0


def capped(t: float) -> float:
    """Give a wide link that is narrow from the fifth to the twentieth second."""
    return CAP if 5 <= t < 5 + CAPPED_S else WIDE


def wide(t: float) -> float:
    return WIDE


def run(path: Path, seconds: float, activity: float = 1.0) -> SimulatedLink:
    """Send over a link for a while."""
    link = SimulatedLink(path, BandwidthEstimator(FLOOR, LIMIT, 0.0), activity)
    link.run(seconds)
    return link


CAPPED = {
    "short queue": Path(capped),
    "bucket": Path(capped, burst_bytes=10_000),
    "long path": Path(capped, one_way_s=0.075),
    "jitter": Path(capped, jitter_s=0.03),
    "loss": Path(capped, one_way_s=0.075, loss=0.05),
}


@pytest.mark.parametrize("path", CAPPED.values(), ids=CAPPED)
def test_a_narrow_link_is_filled_and_not_flooded(path: Path) -> None:
    """Two seconds after it narrowed the rate fits: little waits, and at least half of what it takes is made use of."""
    link = run(path, 5 + CAPPED_S)
    after = link.since(7.0)
    queues = sorted(sample.queue_s for sample in after)
    assert queues[len(queues) // 2] < 0.08
    assert queues[int(0.95 * len(queues))] < 0.2
    rates = sorted(sample.rate for sample in after)
    assert CAP / 2 < rates[len(rates) // 2] < CAP * 1.1


@pytest.mark.parametrize("path", CAPPED.values(), ids=CAPPED)
def test_the_rate_is_back_when_the_link_is(path: Path) -> None:
    """Within ten seconds, whatever was tried in vain before."""
    link = run(path, 5 + CAPPED_S + 12)
    assert min(sample.rate for sample in link.since(5 + CAPPED_S + 10)) > 0.9 * LIMIT


def test_a_sudden_narrowing_costs_few_packets() -> None:
    """The fall comes within half a second: a queue of 0.3 s overflows for less than that."""
    link = run(Path(capped), 5 + CAPPED_S)
    assert link.since(5.5)[0].rate < CAP
    assert len(link.lost) < 100
    assert max(link.lost) < 5.6


def test_a_deep_queue_is_emptied() -> None:
    """Where nothing is lost, and delay is all that tells: two seconds of queue are gone within five."""
    link = run(Path(capped, queue_s=2.0), 20)
    assert link.lost == []
    queues = sorted(sample.queue_s for sample in link.since(10))
    assert queues[int(0.95 * len(queues))] < 0.15


def test_loss_that_is_not_ours_does_not_lower_the_rate() -> None:
    """Five percent at 150 ms: less would not be lost if less was sent."""
    link = run(Path(wide, one_way_s=0.075, loss=0.05), 30)
    assert min(sample.rate for sample in link.samples) > 0.9 * LIMIT


def test_a_link_that_drops_what_is_too_much_is_found_out_by_loss() -> None:
    """A policer has no queue, so nothing waits."""
    link = run(Path(capped, queue_s=0.004), 5 + CAPPED_S + 12)
    rates = sorted(sample.rate for sample in link.since(8.0) if sample.at < 5 + CAPPED_S)
    assert rates[len(rates) // 2] < 1.2 * CAP
    assert link.samples[-1].rate > 0.9 * LIMIT


def test_a_still_scene_says_nothing_against_a_link() -> None:
    """A fifth of the rate is sent, and fits: the rate stays."""
    link = run(Path(capped), 25, activity=0.2)
    assert min(sample.rate for sample in link.samples) == LIMIT


def test_a_still_scene_is_no_reason_to_stay_low() -> None:
    """What is made use of is a fifth of the rate; the link is tried with more when it is wide again."""
    link = SimulatedLink(Path(capped), BandwidthEstimator(FLOOR, LIMIT, 0.0))
    link.run(15)
    link.activity = 0.2
    link.run(5 + CAPPED_S - 15 + 10)
    assert link.samples[-1].rate > 0.9 * LIMIT


def test_where_all_is_well_nothing_is_sent_twice() -> None:
    """No probe at the limit."""
    estimator = BandwidthEstimator(FLOOR, LIMIT, 0.0)
    link = SimulatedLink(Path(wide), estimator)
    link.run(20)
    assert link.sent_bytes * 8 / 1000 / 20 < 1.05 * LIMIT
    assert estimator.next_probe(100.0) is None


@pytest.mark.parametrize("kbps", [50.0, 100.0])
def test_the_rate_stays_above_its_floor(kbps: float) -> None:
    """Also where the link takes less."""
    link = run(Path(lambda t: kbps), 20)
    assert min(sample.rate for sample in link.samples) == FLOOR


def test_delay_that_comes_and_goes_is_no_queue() -> None:
    """Packets up to 0.1 s late lower nothing while some are in time."""
    estimator = BandwidthEstimator(FLOOR, LIMIT, 0.0)
    link = SimulatedLink(Path(wide, jitter_s=0.1), estimator)
    link.run(20)
    assert min(sample.rate for sample in link.samples) > 0.9 * LIMIT


def test_a_new_limit_is_tried_at_once() -> None:
    """What a director asks for is given a chance."""
    link = run(Path(capped), 10)
    assert link.estimator.rate < CAP * 1.2
    link.estimator.set_limit(4000.0)
    assert link.estimator.rate == 4000.0


FREE = {
    "wide": (Path(wide), True),
    "20 Mbit/s": (Path(lambda t: 20_000.0), False),
    "loss": (Path(wide, loss=0.02), False),
    "jitter": (Path(wide, jitter_s=0.03), False),
    "narrow": (Path(lambda t: CAP), False),
    "small bucket": (Path(lambda t: 4000.0, burst_bytes=10_000), False),
}


@pytest.mark.parametrize(("path", "expected"), FREE.values(), ids=FREE)
def test_a_link_is_free_where_bursts_pass(path: Path, expected: bool) -> None:
    """Where packets are lost, or those of a frame wait for each other, or the rate was lowered, it is not."""
    link = run(path, 5)
    assert link.estimator.is_free == expected


def test_a_link_is_not_free_before_it_has_shown_it() -> None:
    """Nor from the first packets on that come late."""
    estimator = BandwidthEstimator(FLOOR, LIMIT, 0.0)
    assert not estimator.is_free
    link = SimulatedLink(Path(capped), estimator)
    link.run(5)
    assert estimator.is_free
    link.run(0.3)
    assert not estimator.is_free
