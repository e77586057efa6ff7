"""How fast a stream's video may be sent, from what its receivers report; pure, no clock of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from stream.bandwidth import BandwidthEstimator, Probe
from stream.twcc import PacketResult


@dataclass(frozen=True, slots=True)
class BitrateBounds:
    """Kilobits per second on the wire: where to begin, the least and most ever aimed at.

    ``viewer_floor`` is how far the viewers alone may lower the rate; without one, as far as anybody.
    """

    start: int
    floor: int
    ceiling: int
    viewer_floor: int = 0


@dataclass(slots=True)
class Link:
    """What one receiver's link is thought to take, kbit/s, and its round trip, s."""

    rate: float
    changed: float
    is_viewer: bool
    estimator: BandwidthEstimator
    rtt: float = 0.1
    held_until: float = 0.0
    estimate: int | None = None
    is_measured: bool = False
    """Whether the receiver tells of every packet: then its other reports say nothing new."""
    is_queueing: bool = False
    """Whether its round trip says that packets wait on the way."""
    _least_rtt: float = float("inf")

    queueing_s = 0.2

    def report_arrivals(self, results: Sequence[PacketResult], now: float) -> None:
        """Take what became of packets, in the order of sending."""
        self.is_measured = True
        self.estimator.report(results, now)
        self.rate, self.rtt = self.estimator.rate, self.estimator.rtt

    @property
    def is_free(self) -> bool:
        """Whether packets are seen to pass as fast as they are sent."""
        return self.is_measured and self.estimator.is_free

    def next_probe(self, now: float) -> Probe | None:
        """Give the probe that is to begin now, if one is due."""
        return self.estimator.next_probe(now) if self.is_measured else None

    def is_probing(self, probe: Probe) -> bool:
        """Tell whether a probe is still to go on."""
        return self.estimator.is_probing(probe)

    def report_rtt(self, seconds: float) -> None:
        """Take a round trip, which about every second report tells of."""
        self._least_rtt = min(self._least_rtt, seconds)
        if not self.is_measured:
            self.rtt = seconds
            self.is_queueing = seconds > self._least_rtt + self.queueing_s

    def set_limit(self, limit: float) -> None:
        """Give the link a new chance."""
        self.rate = limit
        self.estimator.set_limit(limit)


@dataclass(slots=True)
class BitrateControl:
    """One rate for all receivers of a stream, which none of the viewers sets alone.

    Each link has a rate of its own: what :class:`stream.bandwidth.BandwidthEstimator` makes of when each packet
    arrived. Of receivers that do not tell, loss and round trips are all there is. Heavy loss lowers the rate by a
    quarter, at most once a second, and so does a round trip that has grown by 0.2 s; light loss holds it; none lets
    it climb back. A receiver's own estimate (REMB) is at most 1.5 times what it receives: while
    little is sent, in a still scene, it says more about us than about the link, and a sender that follows it
    starves itself (aiortc issue 402). So it never lowers the rate; it only bounds the climb, and only while it
    is above what is sent.

    The stream is encoded once, at the rate that every director's link takes and the better half of the
    viewers' links, whose part in it ends at ``viewer_floor``: where anyone's link takes that. A viewer whose link
    takes less loses frames.
    """

    bounds: BitrateBounds
    limit: int = field(init=False)
    """The rate asked for, which good links get."""
    _links: dict[int, Link] = field(init=False, default_factory=dict[int, Link])

    heavy_loss = 0.10
    light_loss = 0.02
    fall = 0.75
    rise_per_second = 1.08
    fall_pause_s = 1.0
    rise_pause_s = 2.0
    # How far beyond what is really sent a link's rate may climb unproven.
    headroom = 1.25

    def __post_init__(self) -> None:
        self.limit = self.bounds.start

    @property
    def target(self) -> int:
        """The rate to encode at now, in kbit/s."""
        directors = [link.rate for link in self._links.values() if not link.is_viewer]
        viewers = sorted((link.rate for link in self._links.values() if link.is_viewer), reverse=True)
        rates = [float(self.limit), *directors]
        if viewers:
            better_half = viewers[: (len(viewers) + 1) // 2]
            # A floor that nobody's link takes would protect nobody.
            floor = min(float(self.bounds.viewer_floor), max(viewers[0], *directors, 0.0))
            rates.append(max(better_half[-1], floor))
        return round(min(rates))

    def set_limit(self, kbps: int) -> int:
        """Ask for a rate; gives the one in force, within the bounds. Every link is given the chance anew."""
        self.limit = max(self.bounds.floor, min(kbps, self.bounds.ceiling))
        for link in self._links.values():
            link.set_limit(float(self.limit))
        return self.limit

    def join(self, receiver: int, is_viewer: bool, now: float) -> Link:
        """Take a receiver in, whose link is trusted until it loses."""
        limit = float(self.limit)
        estimator = BandwidthEstimator(float(self.bounds.floor), limit, now)
        link = self._links[receiver] = Link(limit, now, is_viewer, estimator)
        return link

    def forget(self, receiver: int) -> None:
        """Drop a receiver that left; idempotent."""
        self._links.pop(receiver, None)

    def report_loss(self, receiver: int, fraction: float, now: float) -> None:
        """Take the share of packets that a receiver missed since its last report (RFC 3550 section 6.4.1)."""
        link = self._links.get(receiver)
        if link is None or link.is_measured:
            return
        sending = self.target
        if fraction > self.heavy_loss or link.is_queueing:
            if now - link.changed >= self.fall_pause_s:
                link.rate = max(float(self.bounds.floor), min(link.rate, sending) * self.fall)
                link.changed = now
            link.held_until = now + self.rise_pause_s
        elif fraction > self.light_loss:
            link.held_until = now + self.rise_pause_s
        elif now >= link.held_until and link.rate < self.limit:
            elapsed = min(1.0, now - link.changed)
            bound = min(self.limit, sending * self.headroom, *([] if link.estimate is None else [link.estimate]))
            link.rate = max(link.rate, min(bound, link.rate * self.rise_per_second**elapsed))
            link.changed = now

    def report_estimate(self, receiver: int, kbps: int, sending_kbps: int) -> None:
        """Take a receiver's REMB; it counts only if it is above what is being sent."""
        if (link := self._links.get(receiver)) is not None:
            link.estimate = kbps if kbps > sending_kbps else None
