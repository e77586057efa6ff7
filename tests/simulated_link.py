"""A link in virtual time: a bottleneck with a queue, loss and delay, a sender on it, feedback on the way back."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from stream.bandwidth import BandwidthEstimator
from stream.twcc import PacketResult

FEEDBACK_S = 0.1
FRAME_S = 1 / 16
PACKET_BYTES = 1250
TICK_S = 0.005
# The receiver's clock began at another time.
CLOCK_OFFSET_S = -1234.5


class Sample(NamedTuple):
    """A moment of the run: seconds, estimated kbit/s, the bottleneck's queue in seconds."""

    at: float
    rate: float
    queue_s: float


@dataclass(frozen=True, slots=True)
class Path:
    """What a link is like: kbit/s at a time, seconds one way and of queue, share lost, bytes that pass at once."""

    kbps: Callable[[float], float]
    one_way_s: float = 0.01
    queue_s: float = 0.3
    loss: float = 0.0
    jitter_s: float = 0.0
    burst_bytes: int = 0


@dataclass(slots=True)
class SimulatedLink:
    """Sends frames at the estimated rate, times ``activity``, and gives the estimator what a receiver reports."""

    path: Path
    estimator: BandwidthEstimator
    activity: float = 1.0
    samples: list[Sample] = field(default_factory=list[Sample])
    sent_bytes: int = 0
    lost: list[float] = field(default_factory=list[float])
    _random: random.Random = field(default_factory=lambda: random.Random(7))
    _now: float = 0.0
    _served_until: float = 0.0
    _reported: list[tuple[float, PacketResult]] = field(default_factory=list[tuple[float, PacketResult]])
    _probed_bytes: float = 0.0

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        ticks_of_frame, ticks_of_feedback = round(FRAME_S / TICK_S), round(FEEDBACK_S / TICK_S)
        probe = None
        begin = round(self._now / TICK_S)
        for tick in range(begin, begin + round(seconds / TICK_S)):
            self._now = tick * TICK_S
            if tick % ticks_of_frame == 0:
                size = self.estimator.rate * self.activity * 125 * ticks_of_frame * TICK_S
                self._send(round(size * self._random.uniform(0.8, 1.2)))
            if probe is None and (probe := self.estimator.next_probe(self._now)) is not None:
                self._probed_bytes = 0.0
            if probe is not None and self._now < probe.end:
                missing = probe.kbps * 125 * (self._now - probe.begin) - self._probed_bytes
                if missing > 0:
                    self._send(round(missing))
            elif probe is not None:
                probe = None
            if tick % ticks_of_feedback == 0:
                self._report()
            self.samples.append(Sample(self._now, self.estimator.rate, self._queue_s()))

    def since(self, at: float) -> list[Sample]:
        """Give the samples from a time on."""
        return [sample for sample in self.samples if sample.at >= at]

    def _queue_s(self) -> float:
        # What has come later than the rate allows waits, but for a bucket's worth.
        passed_s = self.path.burst_bytes / (self.path.kbps(self._now) * 125)
        return max(0.0, self._served_until - passed_s - self._now)

    def _send(self, size: int) -> None:
        self._probed_bytes += size
        self.sent_bytes += size
        while size > 0:
            self._send_packet(min(size, PACKET_BYTES))
            size -= PACKET_BYTES

    def _send_packet(self, size: int) -> None:
        now, path = self._now, self.path
        if self._queue_s() > path.queue_s or self._random.random() < path.loss:
            self.lost.append(now)
            self._reported.append((now + 2 * path.one_way_s, PacketResult(now, None, size)))
            return
        self._served_until = max(now, self._served_until) + size / (path.kbps(now) * 125)
        out = now + self._queue_s()
        arrived = out + path.one_way_s + self._random.uniform(0, path.jitter_s)
        result = PacketResult(now, arrived + CLOCK_OFFSET_S, size)
        self._reported.append((arrived + path.one_way_s, result))

    def _report(self) -> None:
        """Report all up to the last one that has arrived, and what is missing between."""
        came = [at <= self._now and result.arrived is not None for at, result in self._reported]
        end = max((number for number, has_come in enumerate(came) if has_come), default=-1) + 1
        due, self._reported = self._reported[:end], self._reported[end:]
        self._reported[:0] = [entry for entry in due if entry[0] > self._now]
        if reported := [result for at, result in due if at <= self._now]:
            self.estimator.report(reported, self._now)
