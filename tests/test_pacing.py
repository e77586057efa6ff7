"""Packets leave a few at once and in time; what is sent at a rate is known by time alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.pacing import BURST_PACKETS, BURST_PACKETS_FREE, Allowance, Backlog, spread


@given(st.integers(1, 400), st.floats(1 / 60, 1 / 8), st.sampled_from([BURST_PACKETS, BURST_PACKETS_FREE]))
def test_a_frame_is_out_within_half_its_interval(packets: int, frame_s: float, most: int) -> None:
    """In bursts of ten packets at most, or of forty, the last one begun by then."""
    burst, gap_s = spread(packets, frame_s, most)
    bursts = -(-packets // burst)
    assert burst <= most
    assert gap_s * (bursts - 1) <= frame_s / 2 + 1e-9
    assert (gap_s > 0) == (packets > most)


def test_a_backlog_empties_at_the_rate_of_its_link() -> None:
    """25,000 bytes at 1000 kbit/s take 0.2 s; more time leaves nothing less than nothing."""
    backlog = Backlog()
    backlog.add(25_000)
    assert backlog.seconds(1000, 0.0) == pytest.approx(0.2)
    assert backlog.seconds(1000, 0.15) == pytest.approx(0.05)
    assert backlog.seconds(500, 0.15) == pytest.approx(0.1)
    assert backlog.seconds(1000, 9.0) == 0


def test_an_allowance_is_a_share_of_the_rate() -> None:
    """At once what a quarter of a second carries, then the share, never more than at first."""
    allowance = Allowance(share=0.5, most_s=0.25)
    spent = [allowance.take(1000, 1000, 0.0) for _ in range(40)]
    assert spent.count(True) == 31
    spent = [allowance.take(1000, 1000, 0.1) for _ in range(40)]
    assert spent.count(True) == 6
    spent = [allowance.take(1000, 1000, 100.0) for _ in range(40)]
    assert spent.count(True) == 31
