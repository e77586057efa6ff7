"""When packets leave: a frame's spread over a part of its interval, a link's by what it takes; pure."""

from dataclasses import dataclass

# So many leave at once, or a small frame would wait for nothing.
BURST_PACKETS = 10
# And where packets are seen to arrive as fast as they are sent: two frames at 2.5 Mbit/s and 16 a second. In tens a
# frame of 20 packets takes 2 ms, one of 40 takes 12.
BURST_PACKETS_FREE = 40
# Between two bursts, times their number: a frame of twenty packets takes 2 ms, one of sixty 30 ms. Most frames are
# small, and what they wait here comes on top of everything else.
GAP_S = 0.001


def spread(packets: int, frame_s: float, most: int = BURST_PACKETS) -> tuple[int, float]:
    """Tell how a frame's packets leave: how many at once, ``most`` at most, and the seconds between.

    All are out within half the frame's interval.

    >>> spread(60, 1 / 16)
    (10, 0.006)
    >>> spread(10, 1 / 16), spread(11, 1 / 16)
    ((10, 0.0), (6, 0.002))
    """
    bursts = -(-packets // most)
    if bursts < 2:
        return packets, 0.0
    return -(-packets // bursts), min(GAP_S * bursts, frame_s / 2 / (bursts - 1))


@dataclass(slots=True)
class Backlog:
    """What is thought to wait at a bottleneck that takes a rate: filled by what is sent, emptied by time."""

    _bits: float = 0.0
    _at: float = 0.0

    def add(self, size: int) -> None:
        """Put so many bytes in."""
        self._bits += 8 * size

    def seconds(self, kbps: float, now: float) -> float:
        """Tell how long it takes to empty at a rate; time until now was spent at that rate."""
        self._bits = max(0.0, self._bits - (now - self._at) * kbps * 1000)
        self._at = now
        return self._bits / (kbps * 1000)


@dataclass(slots=True)
class Allowance:
    """Bytes that may be spent: grows with time up to what is sent at a rate in ``most_s`` seconds."""

    share: float
    most_s: float
    _bytes: float = float("inf")
    _at: float = 0.0

    def take(self, size: int, kbps: float, now: float) -> bool:
        """Spend so many bytes if there are; a ``share`` of the rate comes in."""
        rate = kbps * 125
        self._bytes = min(rate * self.most_s, self._bytes + (now - self._at) * rate * self.share)
        self._at = now
        if size > self._bytes:
            return False
        self._bytes -= size
        return True
