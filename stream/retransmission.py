"""What was sent and may be asked for again, and how much of that a link is given; pure, no clock of its own."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from stream.pacing import Allowance
from stream.twcc import PacketResult

# What a receiver may still ask for again: 2 s at 16 frames/s, longer than any receiver waits.
HISTORY_FRAMES = 32
# Of what a link takes, the most that goes into it twice, in the long run and at once. Beyond it a keyframe, which
# costs about as much, mends everything.
SHARE = 0.4
AT_ONCE_S = 0.25
# On a longer path a packet lost twice would freeze the picture, so each goes twice at the first request, and one that
# is reported missing goes again unasked: a request may be lost too, and is repeated only 0.1 s later.
LONG_PATH_S = 0.12
# Whose arrival is remembered: of more packets than the frames kept ever have.
ARRIVED_PACKETS = 2048


@dataclass(frozen=True, slots=True)
class SentFrame:
    """A frame as it went out: the number of its first packet, its RTP timestamp, the payloads."""

    sequence: int
    timestamp: int
    payloads: list[bytes]


@dataclass(frozen=True, slots=True)
class SentPacket:
    """One packet of a frame."""

    frame: SentFrame
    number: int


def copies(rtt: float) -> int:
    """Tell how often a missing packet is sent again at once.

    >>> copies(0.02), copies(0.15)
    (1, 2)
    """
    return 2 if rtt > LONG_PATH_S else 1


class Retransmissions:
    """The last frames, and which of their packets are to be sent again."""

    def __init__(self) -> None:
        self.is_exhausted = False
        """Whether a packet was refused that nothing but a keyframe replaces."""
        self._frames: deque[SentFrame] = deque(maxlen=HISTORY_FRAMES)
        self._sent_again: dict[int, float] = {}
        self._arrived: dict[int, None] = {}
        self._allowance = Allowance(SHARE, AT_ONCE_S)

    def keep(self, frame: SentFrame) -> None:
        """Remember a frame for those who miss a part of it."""
        self._frames.append(frame)

    def forget(self) -> None:
        """Forget all frames: what comes next needs none of them."""
        self._frames.clear()
        self._sent_again.clear()
        self._arrived.clear()
        self.is_exhausted = False

    def request(self, sequence: int, kbps: float, rtt: float, now: float) -> SentPacket | None:
        """Give the packet that was reported missing if it is to be sent again.

        Not if it is on its way again already, nor beyond the share of a link that takes ``kbps``.
        """
        packet = self._find(sequence)
        # A receiver that can't know the round trip asks again before an answer could come: it gets one more
        # after half of it, for its first request may have been lost.
        if packet is None or now - self._sent_again.get(sequence, float("-inf")) < rtt / 2:
            return None
        if not self._allowance.take(copies(rtt) * len(packet.frame.payloads[packet.number]), kbps, now):
            self.is_exhausted = True
            return None
        self._sent_again[sequence] = now
        while len(self._sent_again) > HISTORY_FRAMES * 8:
            del self._sent_again[next(iter(self._sent_again))]
        return packet

    def missing(self, results: Sequence[PacketResult], rtt: float, now: float) -> list[int]:
        """Tell which packets are lost by a report, with all of their copies, on a path where that is worth to know.

        None of which a copy may still be on its way.
        """
        for result in results:
            if result.arrived is not None:
                self._arrived[result.sequence] = None
        while len(self._arrived) > ARRIVED_PACKETS:
            del self._arrived[next(iter(self._arrived))]
        if rtt <= LONG_PATH_S:
            return []
        lost = dict.fromkeys(result.sequence for result in results if result.arrived is None)
        return [
            sequence
            for sequence in lost
            if sequence not in self._arrived and now - self._sent_again.get(sequence, float("-inf")) >= rtt
        ]

    def padding(self, count: int) -> SentPacket | None:
        """Give a packet of the last frame that may be sent again for nothing; another one at each count."""
        if not self._frames:
            return None
        frame = self._frames[-1]
        return SentPacket(frame, count % len(frame.payloads))

    def _find(self, sequence: int) -> SentPacket | None:
        for frame in self._frames:
            number = (sequence - frame.sequence) & 0xFFFF
            if number < len(frame.payloads):
                return SentPacket(frame, number)
        return None
