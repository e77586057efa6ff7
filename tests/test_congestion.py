"""The rate falls for loss, climbs back, stays in its bounds, and does not follow a receiver down a spiral."""

from hypothesis import given
from hypothesis import strategies as st

from stream.congestion import BitrateBounds, BitrateControl

BOUNDS = BitrateBounds(start=2500, floor=300, ceiling=4000)


def test_heavy_loss_lowers_the_rate_once_a_second() -> None:
    """Three reports of the same second count once; a second later the next step is taken."""
    control = BitrateControl(BOUNDS, 0.0)
    for now in (5.0, 5.1, 5.2):
        control.report_loss(0.3, now)
    assert control.target == 1875
    control.report_loss(0.3, 6.1)
    assert control.target == 1406


def test_the_rate_climbs_back_to_what_was_asked_for() -> None:
    """After two clean seconds it rises by 8 % a second up to the rate asked for, and no higher."""
    control = BitrateControl(BOUNDS, 0.0)
    control.report_loss(0.3, 5.0)
    control.report_loss(0.0, 6.0)
    assert control.target == 1875
    for second in range(7, 9):
        control.report_loss(0.0, float(second))
    assert 1875 < control.target < 2500
    for second in range(9, 30):
        control.report_loss(0.0, float(second))
    assert control.target == 2500


def test_light_loss_holds_the_rate() -> None:
    """Five percent neither lowers the rate nor lets it rise."""
    control = BitrateControl(BOUNDS, 0.0)
    control.report_loss(0.3, 5.0)
    for second in range(6, 20):
        control.report_loss(0.05, float(second))
    control.report_loss(0.0, 20.0)
    assert control.target == 1875


def test_an_estimate_never_lowers_the_rate() -> None:
    """REMB follows what is sent, so it must not be followed down: not while starved, not in a still scene."""
    control = BitrateControl(BOUNDS, 0.0)
    control.report_estimate(1, kbps=600, sending_kbps=2400)
    control.report_loss(0.0, 5.0)
    assert control.target == 2500
    control.report_estimate(1, kbps=150, sending_kbps=100)
    control.report_loss(0.0, 6.0)
    assert control.target == 2500


def test_an_estimate_above_what_is_sent_bounds_the_climb() -> None:
    """After a loss the rate climbs no higher than the receiver trusts its link, till that leaves."""
    control = BitrateControl(BOUNDS, 0.0)
    control.report_loss(0.3, 5.0)
    control.report_estimate(1, kbps=2000, sending_kbps=1800)
    for second in range(8, 20):
        control.report_loss(0.0, float(second))
    assert control.target == 2000
    control.forget(1)
    for second in range(20, 30):
        control.report_loss(0.0, float(second))
    assert control.target == 2500


def test_a_rate_asked_for_is_kept_in_bounds() -> None:
    """What is in force is told."""
    control = BitrateControl(BOUNDS, 0.0)
    assert [control.set_limit(kbps) for kbps in (1, 1200, 90_000)] == [300, 1200, 4000]
    assert control.target == 4000


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 5), st.integers(0, 9000), st.integers(0, 5000))))
def test_the_target_stays_in_bounds_whatever_is_reported(
    reports: list[tuple[float, float, int, int]],
) -> None:
    """No report takes the target below the floor or above what was asked for."""
    control, now = BitrateControl(BOUNDS, 0.0), 0.0
    for fraction, pause, estimate, sending in reports:
        now += pause
        control.report_loss(fraction, now)
        control.report_estimate(1, estimate, sending)
        assert BOUNDS.floor <= control.target <= 2500
