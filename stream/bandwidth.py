"""What one link takes, from when its packets arrived; pure, no clock of its own.

The delay of a packet beyond the least of late is the time that it waited in queues. A queue that does not empty
between two frames is one that we made: the rate falls to what came out of it. What a link takes beyond what is sent
shows only when more is sent, so it is probed: for a moment packets that were sent already are sent again.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from stream.twcc import PacketResult

# A queue is standing if no packet that arrived in so long found it shorter, of two frames at 16 a second at least: what
# a frame's own packets wait for each other does not count.
WINDOW_S, WINDOW_SENT_S = 0.14, 0.07
WINDOW_PACKETS = 8
STANDING_S = 0.05
EMPTY_S = 0.02
# Least delays are kept for 10 to 20 s: clocks drift, routes change.
BASE_S = 10.0
UTILISATION = 0.85
# Of what a queue holds, so much as would take a second to empty is taken off the rate, and half of it at most.
DRAIN_S = 1.0
DRAIN_MOST = 0.5
SETTLE_QUEUES = 2.5

# A link is free if of so many packets none was lost and hardly any waited: those of a burst, then, neither.
FREE_PACKETS = 60
FREE_WAIT_S = 0.005
FREE_SHARE = 0.1

HEAVY_LOSS = 0.10
POLICED_LOSS = 0.30
LOSS_WINDOW_S = 2.0
LOSS_PACKETS = 60
POLICED_WINDOW_S = 0.3
POLICED_PACKETS = 20

RISE_PER_SECOND = 1.04
# A rate that is not made use of is not proven by its packets' arrival.
USED_SHARE = 0.8
# A first probe is long, for a bucket of tokens lets a short one pass; the others are short.
PROBE_S, PROBE_S_RISING = 0.4, 0.2
PROBE_FACTOR, PROBE_FACTOR_RISING = 1.5, 2.0
PROBE_WAIT_S, PROBE_WAIT_MOST_S, PROBE_WAIT_GROWTH = 1.5, 5.0, 1.5
PROBE_AGAIN_S = 0.4
PROBE_SHARE = 0.85
PROBE_GAIN = 1.02
PROBE_PACE = 0.75
PROBE_TIMEOUT_S = 1.0
# A fall so soon after a probe says that the probe was wrong: a bucket of tokens had let it pass.
PROBE_REFUTED_S = 2.0


@dataclass(frozen=True, slots=True)
class Probe:
    """Send at this rate in all, kbit/s, from ``begin`` to ``end``, s."""

    kbps: float
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class _Arrival:
    sent: float
    arrived: float
    size: int
    delay: float
    has_waited: bool


class BandwidthEstimator:
    """The rate that one link takes, between ``floor`` and ``limit``, kbit/s on the wire.

    It begins at the limit: a link is trusted until it shows that it takes less.
    """

    def __init__(self, floor: float, limit: float, now: float) -> None:
        self.rate = limit
        self.rtt = 0.1
        self._floor = floor
        self._limit = limit
        self._bases = [float("inf"), float("inf")]
        self._base_turn = now
        self._arrivals: deque[_Arrival] = deque()
        self._results: deque[PacketResult] = deque()
        self._waited = 0
        self._rtts: deque[float] = deque(maxlen=10)
        self._fell = now
        self._drained_by: float | None = now
        self._draining_to: float | None = None
        self._drain_rate = limit
        self._rose = now
        self._probe: Probe | None = None
        self._probe_at = now
        self._probe_wait_s = PROBE_WAIT_S
        self._probe_succeeded = float("-inf")

    def set_limit(self, limit: float) -> None:
        """Allow this much, and try it at once."""
        self.rate = self._limit = limit
        self._draining_to = self._probe = None

    def report(self, results: Sequence[PacketResult], now: float) -> None:
        """Take what became of packets, in the order of sending; ``now`` is by the clock that they were sent by."""
        if not results:
            return
        self._note(results, now)
        if self._is_overused(now):
            self._fall()
            self._lower(self._drain_rate, now)
        elif (rate := self._rate_of_loss(now)) is not None:
            self._draining_to = None
            self._lower(rate, now)
        else:
            self._judge_probe(now)
            self._rise(now)

    def next_probe(self, now: float) -> Probe | None:
        """Give the probe that is to begin now, once; None where none is due."""
        if self._probe is not None or self.rate >= self._limit or now < self._probe_at or self._draining_to:
            return None
        rising = self._probe_succeeded > self._fell
        factor, seconds = (PROBE_FACTOR_RISING, PROBE_S_RISING) if rising else (PROBE_FACTOR, PROBE_S)
        self._probe = Probe(min(self.rate * factor, PROBE_GAIN * self._limit / PROBE_SHARE), now, now + seconds)
        return self._probe

    def is_probing(self, probe: Probe) -> bool:
        """Tell whether a probe is still to go on: it ends early when packets begin to wait."""
        return probe is self._probe

    @property
    def is_free(self) -> bool:
        """Whether packets pass as fast as they are sent, also those of a burst: no limit is near."""
        return (
            self.rate >= self._limit
            and len(self._arrivals) >= FREE_PACKETS
            and len(self._arrivals) == len(self._results)
            # What has just begun to wait is no share yet.
            and not self._arrivals[-1].has_waited
            and self._waited <= FREE_SHARE * len(self._arrivals)
        )

    def queue_s(self) -> float:
        """Tell how long packets waited of late, at least."""
        window = self._window()
        return min(arrival.delay for arrival in window) - min(self._bases) if window else 0.0

    def _note(self, results: Sequence[PacketResult], now: float) -> None:
        if now - self._base_turn > BASE_S:
            self._bases = [self._bases[1], float("inf")]
            self._base_turn = now
        for result in results:
            self._results.append(result)
            if result.arrived is not None:
                delay = result.arrived - result.sent
                self._bases[1] = min(self._bases[1], delay)
                has_waited = delay > min(self._bases) + FREE_WAIT_S
                self._arrivals.append(_Arrival(result.sent, result.arrived, result.size, delay, has_waited))
                self._waited += has_waited
        while self._arrivals and self._arrivals[0].sent < now - LOSS_WINDOW_S:
            self._waited -= self._arrivals.popleft().has_waited
        while self._results[0].sent < now - LOSS_WINDOW_S:
            self._results.popleft()
            if not self._results:
                break
        # The last packet of a report waited least for it.
        self._rtts.append(now - results[-1].sent)
        self.rtt = min(self._rtts)

    def _window(self) -> list[_Arrival]:
        """Give the packets that arrived last: of a while, and a few at least."""
        window: list[_Arrival] = []
        for arrival in reversed(self._arrivals):
            last = self._arrivals[-1]
            is_long = last.arrived - arrival.arrived > WINDOW_S and last.sent - arrival.sent > WINDOW_SENT_S
            if is_long and len(window) >= WINDOW_PACKETS:
                break
            window.append(arrival)
        window.reverse()
        return window

    def _is_overused(self, now: float) -> bool:
        """Tell whether a queue stands that packets sent since the last fall have found, and had time to leave."""
        window = self._window()
        if len(window) < WINDOW_PACKETS or window[0].sent < self._fell:
            return False
        queue_s = self.queue_s()
        if self._drained_by is None:
            self._drained_by = now + SETTLE_QUEUES * queue_s
        if self._draining_to is not None and (queue_s < EMPTY_S or (now >= self._drained_by and queue_s < STANDING_S)):
            self.rate, self._draining_to = self._draining_to, None
        return queue_s > STANDING_S and now >= self._drained_by

    def _fall(self) -> None:
        """Go below what comes out of the queue, and lower until it is empty."""
        window = self._window()
        capacity = min(max(self.rate, self._draining_to or 0.0), _kbps(window))
        self._draining_to = max(self._floor, capacity * UTILISATION)
        queue_s = window[-1].delay - min(self._bases)
        self._drain_rate = self._draining_to * (1 - min(DRAIN_MOST, queue_s / DRAIN_S))

    def _lower(self, rate: float, now: float) -> None:
        if self._probe is not None or now - self._probe_succeeded < PROBE_REFUTED_S:
            self._probe_wait_s = min(PROBE_WAIT_MOST_S, self._probe_wait_s * PROBE_WAIT_GROWTH)
        elif now - self._fell > PROBE_WAIT_MOST_S:
            self._probe_wait_s = PROBE_WAIT_S
        self.rate = max(self._floor, min(self.rate, rate))
        self._fell = self._rose = now
        self._probe = self._drained_by = None
        self._probe_succeeded = float("-inf")
        self._probe_at = now + self._probe_wait_s

    def _rate_of_loss(self, now: float) -> float | None:
        """Give the rate that heavy loss leaves, None where there is none."""
        if self._draining_to is not None:
            return None  # the queue that the fall was for is still full
        recent = [result for result in self._results if result.sent > max(self._fell, now - LOSS_WINDOW_S)]
        sudden = [result for result in recent if result.sent > now - self.rtt - POLICED_WINDOW_S]
        if len(sudden) >= POLICED_PACKETS and _loss(sudden) > POLICED_LOSS:
            return self.rate * (1 - _loss(sudden))
        if len(recent) >= LOSS_PACKETS and _loss(recent) > HEAVY_LOSS:
            return self.rate * (1 - _loss(recent) / 2)
        return None

    def _rise(self, now: float) -> None:
        used = _kbps(list(self._arrivals)) > USED_SHARE * self.rate
        if self._draining_to is None and used and self.queue_s() < EMPTY_S:
            self.rate = min(self._limit, self.rate * RISE_PER_SECOND ** min(1.0, now - self._rose))
        self._rose = now

    def _judge_probe(self, now: float) -> None:
        probe = self._probe
        if probe is None:
            return
        sent = [result for result in self._results if probe.begin <= result.sent <= probe.end]
        arrived = [arrival for arrival in self._arrivals if probe.begin <= arrival.sent <= probe.end]
        if self._results[-1].sent < probe.end:
            if self.queue_s() > STANDING_S or now > probe.end + self.rtt + PROBE_TIMEOUT_S:
                self._fail_probe(now)
            return
        queue_s = min((arrival.delay for arrival in arrived[-WINDOW_PACKETS:]), default=0.0) - min(self._bases)
        passed_kbps = sum(result.size for result in sent) * 8 / 1000 / (probe.end - probe.begin) * (1 - _loss(sent))
        proven = PROBE_SHARE * passed_kbps
        if queue_s > EMPTY_S or proven < self.rate * PROBE_GAIN or _kbps(arrived) < PROBE_PACE * passed_kbps:
            self._fail_probe(now)
            return
        self.rate = min(self._limit, proven)
        self._probe, self._probe_succeeded, self._probe_at = None, now, now + PROBE_AGAIN_S

    def _fail_probe(self, now: float) -> None:
        self._probe = None
        self._probe_succeeded = float("-inf")
        self._probe_wait_s = min(PROBE_WAIT_MOST_S, self._probe_wait_s * PROBE_WAIT_GROWTH)
        self._probe_at = now + self._probe_wait_s


def _kbps(arrivals: Sequence[_Arrival]) -> float:
    """Give the rate at which packets arrived: the first one came before it."""
    if len(arrivals) < 2:
        return 0.0
    seconds = max(arrival.arrived for arrival in arrivals) - arrivals[0].arrived
    return sum(arrival.size for arrival in arrivals[1:]) * 8 / 1000 / max(seconds, 0.001)


def _loss(results: Sequence[PacketResult]) -> float:
    return sum(result.arrived is None for result in results) / max(1, len(results))
