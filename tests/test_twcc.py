"""Feedback is read as its draft says, and matched with what was sent."""

from struct import pack

import pytest
from aiortc.rtp import RtcpPsfbPacket, RtcpReceiverInfo, RtcpRrPacket
from hypothesis import given
from hypothesis import strategies as st

from stream.twcc import KEPT_PACKETS, Feedback, PacketResult, SentPackets, split_rtcp


def message(first: int, count: int, reference: int, chunks: tuple[int, ...], deltas: bytes) -> bytes:
    """Build a feedback message (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1)."""
    body = pack("!LLHHL", 1, 2, first, count, reference << 8) + b"".join(pack("!H", chunk) for chunk in chunks) + deltas
    body += bytes(-len(body) % 4)
    return pack("!BBH", 0x80 | 15, 205, len(body) // 4) + body


def only(data: bytes) -> Feedback:
    """Give the feedback that is all there is."""
    (feedback,), left = split_rtcp(data)
    assert left == b""
    return feedback


def test_a_run_of_packets_is_read() -> None:
    """Run-length chunks: three that came, two that did not."""
    feedback = only(message(7, 5, 100, (0x2003, 0x0002), bytes([4, 8, 40])))
    assert (feedback.first, feedback.reference) == (7, 100)
    assert feedback.arrivals == [0.001, 0.003, pytest.approx(0.013), None, None]


def test_vectors_of_one_and_two_bits_are_read() -> None:
    """The first symbol is the highest; a large delta has two bytes and a sign; what is beyond the count is left out."""
    one_bit = 0x8000 | 0b10100000000000
    two_bits = 0xC000 | 0b01_10_00_01_00_00_00
    feedback = only(message(65535, 18, 1, (one_bit, two_bits), bytes([4, 4, 8]) + pack("!h", -12) + bytes([4])))
    assert feedback.arrivals == [
        0.001,
        None,
        0.002,
        *[None] * 11,
        0.004,
        pytest.approx(0.001),
        None,
        pytest.approx(0.002),
    ]


def test_other_packets_of_a_datagram_are_left_as_they_are() -> None:
    """Feedback is taken out from among them, padded or not."""
    report = bytes(RtcpRrPacket(ssrc=5, reports=[RtcpReceiverInfo(1, 0, 0, 0, 0, 0, 0)]))
    pli = bytes(RtcpPsfbPacket(fmt=1, ssrc=5, media_ssrc=6))
    found, left = split_rtcp(report + message(1, 1, 1, (0x2001,), bytes([4])) + pli)
    assert left == report + pli
    assert [feedback.first for feedback in found] == [1]


@given(st.binary(max_size=200))
def test_nothing_that_comes_in_raises(data: bytes) -> None:
    """Neither as a datagram nor as the body of a feedback."""
    split_rtcp(data)
    split_rtcp(pack("!BBH", 0x8F, 205, len(data) // 4) + data[: len(data) // 4 * 4])


def test_each_packet_is_reported_once_with_what_it_was() -> None:
    """Numbers wrap around, and so does the receiver's clock."""
    sent = SentPackets()
    for at in range(65_534):
        sent.add(1, float(at))
    numbers = [sent.add(size, 70_000.0 + size) for size in (100, 200, 300)]
    assert numbers == [65_534, 65_535, 0]
    results = sent.match(Feedback(65_534, (1 << 24) - 1, [0.01, None, 0.02]))
    base = ((1 << 24) - 1) * 0.064
    assert results == [
        PacketResult(70_100.0, base + 0.01, 100),
        PacketResult(70_200.0, None, 200),
        PacketResult(70_300.0, base + 0.02, 300),
    ]
    assert sent.match(Feedback(65_534, 0, [0.01, None, 0.02])) == []
    sent.add(400, 1.0)
    (result,) = sent.match(Feedback(1, 0, [0.0]))
    assert result.arrived == pytest.approx(base + 0.064)


def test_what_is_never_reported_is_forgotten() -> None:
    """Receivers that say nothing cost no memory."""
    sent = SentPackets()
    for _ in range(3 * KEPT_PACKETS):
        sent.add(1, 0.0)
    assert len(sent._waiting) == KEPT_PACKETS
