"""The rate falls for loss, climbs back, stays in its bounds, and does not follow a receiver down a spiral."""

from hypothesis import given
from hypothesis import strategies as st

from stream.congestion import BitrateBounds, BitrateControl
from stream.twcc import PacketResult

BOUNDS = BitrateBounds(start=2500, floor=300, ceiling=4000, viewer_floor=800)


def control_of(directors: int, viewers: int) -> BitrateControl:
    """A control with receivers numbered from 1, the directors first."""
    control = BitrateControl(BOUNDS)
    for number in range(1, directors + viewers + 1):
        control.join(number, number > directors, 0.0)
    return control


def alone() -> BitrateControl:
    """A control with one director, number 1."""
    return control_of(1, 0)


def lose(control: BitrateControl, receivers: range | tuple[int, ...], seconds: int, since: float = 5.0) -> None:
    """Let receivers report heavy loss, once a second."""
    for second in range(seconds):
        for receiver in receivers:
            control.report_loss(receiver, 0.5, since + 1.1 * second)


def test_heavy_loss_lowers_the_rate_once_a_second() -> None:
    """Three reports of the same second count once; a second later the next step is taken."""
    control = alone()
    for now in (5.0, 5.1, 5.2):
        control.report_loss(1, 0.3, now)
    assert control.target == 1875
    control.report_loss(1, 0.3, 6.1)
    assert control.target == 1406


def test_the_rate_climbs_back_to_what_was_asked_for() -> None:
    """After two clean seconds it rises by 8 % a second up to the rate asked for, and no higher."""
    control = alone()
    control.report_loss(1, 0.3, 5.0)
    control.report_loss(1, 0.0, 6.0)
    assert control.target == 1875
    for second in range(7, 9):
        control.report_loss(1, 0.0, float(second))
    assert 1875 < control.target < 2500
    for second in range(9, 30):
        control.report_loss(1, 0.0, float(second))
    assert control.target == 2500


def test_light_loss_holds_the_rate() -> None:
    """Five percent neither lowers the rate nor lets it rise."""
    control = alone()
    control.report_loss(1, 0.3, 5.0)
    for second in range(6, 20):
        control.report_loss(1, 0.05, float(second))
    control.report_loss(1, 0.0, 20.0)
    assert control.target == 1875


def test_an_estimate_never_lowers_the_rate() -> None:
    """REMB follows what is sent, so it must not be followed down: not while starved, not in a still scene."""
    control = alone()
    control.report_estimate(1, kbps=600, sending_kbps=2400)
    control.report_loss(1, 0.0, 5.0)
    assert control.target == 2500
    control.report_estimate(1, kbps=150, sending_kbps=100)
    control.report_loss(1, 0.0, 6.0)
    assert control.target == 2500


def test_an_estimate_above_what_is_sent_bounds_the_climb() -> None:
    """After a loss the rate climbs no higher than a receiver trusts its link, while it does."""
    control = alone()
    control.report_loss(1, 0.3, 5.0)
    control.report_estimate(1, kbps=2000, sending_kbps=1800)
    for second in range(8, 20):
        control.report_loss(1, 0.0, float(second))
    assert control.target == 2000
    control.report_estimate(1, kbps=1900, sending_kbps=2000)
    for second in range(20, 30):
        control.report_loss(1, 0.0, float(second))
    assert control.target == 2500


def test_one_viewer_in_three_cannot_lower_the_rate() -> None:
    """The better half decides; who loses alone has to do with fewer frames."""
    control = control_of(1, 3)
    lose(control, (4,), 20)
    assert control.target == 2500
    lose(control, (3,), 20, since=30.0)
    assert control.target == 800


def test_viewers_lower_the_rate_to_their_floor_and_no_further() -> None:
    """All of them, without end; a director goes on from there."""
    control = control_of(1, 5)
    lose(control, range(2, 7), 30)
    assert control.target == 800
    lose(control, (1,), 1, since=60.0)
    assert control.target == 600
    lose(control, (1,), 10, since=70.0)
    assert control.target == 300


def test_every_director_lowers_the_rate() -> None:
    """A stream is for those who direct it: the worst of their links decides."""
    control = control_of(3, 10)
    lose(control, (2,), 1)
    assert control.target == 1875


def test_who_leaves_takes_its_loss_along() -> None:
    """The rate is then what the others take."""
    control = control_of(2, 0)
    lose(control, (2,), 3)
    assert control.target < 1875
    control.forget(2)
    control.forget(2)
    control.report_loss(2, 0.9, 100.0)
    assert control.target == 2500


def test_a_link_does_not_climb_on_what_others_leave_unused() -> None:
    """While the rate is low because of someone else, no loss proves little about a link."""
    control = control_of(2, 0)
    lose(control, (1, 2), 4)
    lose(control, (2,), 2, since=10.0)
    low = control.target
    for second in range(20, 60):
        control.report_loss(1, 0.0, float(second))
    control.forget(2)
    assert control.target <= 1.25 * low + 1


def test_a_wish_gives_every_link_a_new_chance() -> None:
    """What a director configures is tried, whatever was lost before."""
    control = control_of(1, 1)
    lose(control, (1, 2), 5)
    assert control.set_limit(3000) == 3000
    assert control.target == 3000


def test_a_rate_asked_for_is_kept_in_bounds() -> None:
    """What is in force is told."""
    control = alone()
    assert [control.set_limit(kbps) for kbps in (1, 1200, 90_000)] == [300, 1200, 4000]
    assert control.target == 4000


@given(
    st.integers(0, 3),
    st.integers(0, 4),
    st.lists(
        st.tuples(st.integers(1, 7), st.floats(0, 1), st.floats(0, 5), st.integers(0, 9000), st.integers(0, 5000))
    ),
)
def test_the_target_stays_in_bounds_whatever_is_reported(
    directors: int, viewers: int, reports: list[tuple[int, float, float, int, int]]
) -> None:
    """No report takes the target below the floor, viewers' none below theirs, none above what was asked for."""
    control, now = control_of(directors, viewers), 0.0
    for receiver, fraction, pause, estimate, sending in reports:
        now += pause
        control.report_loss(receiver, fraction, now)
        control.report_estimate(receiver, estimate, sending)
        assert (BOUNDS.floor if directors else BOUNDS.viewer_floor) <= control.target <= 2500


def test_a_floor_that_nobody_reaches_protects_nobody() -> None:
    """Viewers whose links all take less than their floor get what the best of them takes."""
    control = control_of(0, 2)
    for receiver in (1, 2):
        control._links[receiver].rate = 500.0
    assert control.target == 500
    control._links[2].rate = 2000.0
    assert control.target == 2000
    control.join(3, False, 0.0)
    control._links[2].rate = 500.0
    assert control.target == BOUNDS.viewer_floor


def test_who_tells_of_every_packet_is_not_judged_by_less() -> None:
    """Loss that leaves the measured rate where it is lowers nothing; the rate is the measured one."""
    control = alone()
    link = control._links[1]
    link.report_arrivals([PacketResult(1.0 + at / 100, 5.0 + at / 100, 1000) for at in range(20)], 1.3)
    control.report_loss(1, 0.5, 5.0)
    assert control.target == 2500
    assert link.rtt < 0.2
    link.estimator.rate = 700.0
    link.report_arrivals([PacketResult(2.0, 6.0, 1000)], 2.1)
    assert control.target == 700


def test_a_round_trip_that_grows_counts_as_loss() -> None:
    """Of a receiver that tells no more, and only while it is long."""
    control = alone()
    for now, rtt in ((5.0, 0.03), (6.0, 0.1), (8.0, 0.4), (10.0, 0.03)):
        control._links[1].report_rtt(rtt)
        control.report_loss(1, 0.0, now)
        assert (control.target < 2500) == (now >= 8)
