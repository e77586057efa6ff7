"""What is missing is sent again: once in a while, and not beyond what the link can take."""

from stream.retransmission import HISTORY_FRAMES, Retransmissions, SentFrame
from stream.twcc import PacketResult

RATE, RTT = 1000.0, 0.1


def kept(frames: int, packets: int = 3, first: int = 65_530) -> Retransmissions:
    """Keep frames of a few packets each."""
    retransmissions = Retransmissions()
    for number in range(frames):
        sequence = (first + number * packets) & 0xFFFF
        retransmissions.keep(SentFrame(sequence, number, [bytes([number] * 1000)] * packets))
    return retransmissions


def test_a_packet_is_found_by_its_number() -> None:
    """Also when numbers wrap around; what was not sent is not found."""
    retransmissions = kept(4)
    for sequence, frame, number in ((65_530, 0, 0), (65_535, 1, 2), (0, 2, 0), (5, 3, 2)):
        packet = retransmissions.request(sequence, RATE, RTT, 0.0)
        assert packet is not None
        assert (packet.frame.timestamp, packet.number) == (frame, number)
    assert retransmissions.request(6, RATE, RTT, 0.0) is None
    assert not retransmissions.is_exhausted


def test_old_frames_are_forgotten() -> None:
    """After two seconds nobody waits for them."""
    retransmissions = kept(HISTORY_FRAMES + 1, packets=1, first=0)
    assert retransmissions.request(0, RATE, RTT, 0.0) is None
    assert retransmissions.request(1, RATE, RTT, 0.0) is not None


def test_what_is_on_its_way_is_not_sent_again() -> None:
    """For half a round trip; then it may have been lost once more."""
    retransmissions = kept(1)
    asked = [retransmissions.request(65_530, RATE, RTT, at) is not None for at in (0.0, 0.02, 0.04, 0.06, 0.08, 0.12)]
    assert asked == [True, False, False, True, False, True]
    assert not retransmissions.is_exhausted


def test_a_link_is_not_filled_with_what_it_lost() -> None:
    """A quarter of a second's worth at once; then a keyframe serves better, after which all is well."""
    retransmissions = kept(20, first=0)
    again = [retransmissions.request(sequence, RATE, RTT, 0.0) for sequence in range(60)]
    assert 25 <= sum(packet is not None for packet in again) <= 31
    assert retransmissions.is_exhausted
    retransmissions.forget()
    assert not retransmissions.is_exhausted
    assert retransmissions.request(59, RATE, RTT, 10.0) is None


def test_on_a_long_path_packets_go_twice_and_count_twice() -> None:
    """So half as many of them fit into what the link is given."""
    retransmissions = kept(20, first=0)
    again = [retransmissions.request(sequence, RATE, 0.15, 0.0) for sequence in range(60)]
    assert sum(packet is not None for packet in again) == 15


def test_padding_goes_through_the_last_frame() -> None:
    """There is none before the first."""
    assert Retransmissions().padding(0) is None
    packets = [kept(2).padding(count) for count in range(4)]
    assert [(packet.frame.timestamp, packet.number) for packet in packets if packet] == [(1, 0), (1, 1), (1, 2), (1, 0)]


LONG_RTT = 0.15


def report(*packets: tuple[int, bool]) -> list[PacketResult]:
    """Report packets and whether they arrived."""
    return [PacketResult(0.0, 1.0 if arrived else None, 1000, sequence) for sequence, arrived in packets]


def test_on_a_long_path_what_is_reported_lost_is_missing() -> None:
    """Once, though two copies are lost; on a short one a request is soon enough."""
    lost = report((1, True), (2, False), (3, True), (2, False))
    assert kept(4, first=0).missing(lost, LONG_RTT, 1.0) == [2]
    assert kept(4, first=0).missing(lost, 0.02, 1.0) == []


def test_what_arrived_as_a_copy_is_not_missing() -> None:
    """Whichever of the two is reported first."""
    retransmissions = kept(4, first=0)
    assert retransmissions.missing(report((2, False), (2, True)), LONG_RTT, 1.0) == []
    assert retransmissions.missing(report((2, False)), LONG_RTT, 1.1) == []


def test_what_was_asked_for_is_missing_only_when_its_copies_are_lost() -> None:
    """A report of the first loss that comes after the request tells nothing new: copies are on their way."""
    retransmissions = kept(4, first=0)
    assert retransmissions.request(2, RATE, LONG_RTT, 1.0) is not None
    assert retransmissions.missing(report((2, False)), LONG_RTT, 1.05) == []
    assert retransmissions.missing(report((2, False), (2, False)), LONG_RTT, 1.16) == [2]
