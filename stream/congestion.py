"""How fast a stream's video may be sent, from what its receivers report; pure, no clock of its own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BitrateBounds:
    """Kilobits per second on the wire: where to begin, and the least and most ever aimed at."""

    start: int
    floor: int
    ceiling: int


class BitrateControl:
    """One rate for all viewers of a stream, lowered by the one who loses packets.

    Simple on purpose: heavy loss lowers the rate by a quarter, at most once a second; light loss holds
    it; none lets it climb back. A receiver's own estimate (REMB) is at most 1.5 times what it receives:
    while little is sent, in a still scene, it says more about us than about the link, and a sender that
    follows it starves itself (aiortc issue 402). So it never lowers the rate; it only bounds the climb,
    and only while it is above what is sent.
    """

    heavy_loss = 0.10
    light_loss = 0.02
    fall = 0.75
    rise_per_second = 1.08
    fall_pause_s = 1.0
    rise_pause_s = 2.0

    def __init__(self, bounds: BitrateBounds, now: float) -> None:
        self._bounds = bounds
        self._limit = bounds.start
        self._rate = float(bounds.start)
        self._changed = now
        self._held_until = now
        self._estimates: dict[int, int] = {}

    @property
    def limit(self) -> int:
        """The rate asked for, which good links get."""
        return self._limit

    @property
    def target(self) -> int:
        """The rate to encode at now, in kbit/s."""
        return round(self._rate)

    def set_limit(self, kbps: int) -> int:
        """Ask for a rate; gives the one in force, within the bounds."""
        self._limit = max(self._bounds.floor, min(kbps, self._bounds.ceiling))
        self._rate = float(self._limit)
        return self._limit

    def report_loss(self, fraction: float, now: float) -> None:
        """Take the share of packets that a receiver missed since its last report (RFC 3550 section 6.4.1)."""
        if fraction > self.heavy_loss:
            if now - self._changed >= self.fall_pause_s:
                self._rate = max(float(self._bounds.floor), self._rate * self.fall)
                self._changed = now
            self._held_until = now + self.rise_pause_s
        elif fraction > self.light_loss:
            self._held_until = now + self.rise_pause_s
        elif now >= self._held_until and self._rate < self._limit:
            elapsed = min(1.0, now - self._changed)
            bound = min([self._limit, *self._estimates.values()])
            self._rate = max(self._rate, min(bound, self._rate * self.rise_per_second**elapsed))
            self._changed = now

    def report_estimate(self, receiver: int, kbps: int, sending_kbps: int) -> None:
        """Take a receiver's REMB; it counts only if it is above what is being sent."""
        if kbps > sending_kbps:
            self._estimates[receiver] = kbps
        else:
            self._estimates.pop(receiver, None)

    def forget(self, receiver: int) -> None:
        """Drop what a receiver that left had reported."""
        self._estimates.pop(receiver, None)
