"""What one stream does, in figures: for ``stats`` and for metrics."""

from collections import deque
from typing import Protocol

from stream.clock import Timer
from stream.protocol import Percentiles

_WINDOW_S = 2.0
_COMMANDS = 64


class Observer(Protocol):
    """Who counts for all streams, as Prometheus metrics do."""

    def chunk_made(self, seconds: float, frames: int) -> None:
        """Note a chunk of so many frames, and the seconds from the asking to the having."""
        ...

    def frame_sent(self) -> None:
        """Note a frame handed to the encoder."""
        ...

    def underran(self, times: int) -> None:
        """Note that frames came too late so many times."""
        ...

    def command_shown(self, seconds: float) -> None:
        """Note the seconds from a command to its first frame."""
        ...


class Unobserved:
    """An observer that counts nothing."""

    def chunk_made(self, seconds: float, frames: int) -> None:
        """Ignore it."""

    def frame_sent(self) -> None:
        """Ignore it."""

    def underran(self, times: int) -> None:
        """Ignore it."""

    def command_shown(self, seconds: float) -> None:
        """Ignore it."""


def percentiles(values: list[float]) -> Percentiles:
    """Give the 50th and 95th percentile, each one of the values; None of none.

    >>> percentiles([3.0, 1.0, 2.0])
    Percentiles(p50=2.0, p95=3.0)
    """
    if not values:
        return Percentiles(None, None)
    ordered = sorted(values)
    return Percentiles(ordered[(len(ordered) - 1) // 2], ordered[max(0, (len(ordered) * 19 + 19) // 20 - 1)])


class Meter:
    """Counts the frames, chunks and commands of one stream over the last seconds."""

    def __init__(self, timer: Timer, observer: Observer) -> None:
        self._timer = timer
        self._observer = observer
        self._began = timer.time()
        self._made: deque[tuple[float, int, float]] = deque()
        self._sent: deque[float] = deque()
        self._underruns = 0
        self._latencies: deque[float] = deque(maxlen=_COMMANDS)

    def begin(self) -> None:
        """Note that the video starts or goes on: rates count from here."""
        self._began = self._timer.time()
        self._made.clear()
        self._sent.clear()

    def chunk(self, seconds: float, frames: int) -> None:
        """Count a chunk that was made."""
        self._made.append((self._timer.time(), frames, seconds))
        self._observer.chunk_made(seconds, frames)
        self._trim()

    def frame(self, underruns: int) -> None:
        """Count a frame that was sent; ``underruns`` is the stream's count up to now."""
        self._sent.append(self._timer.time())
        self._observer.frame_sent()
        if underruns != self._underruns:
            self._observer.underran(underruns - self._underruns)
            self._underruns = underruns
        self._trim()

    def command(self, seconds: float) -> None:
        """Count a command whose first frame was handed to the encoder so long after it came."""
        self._latencies.append(seconds)
        self._observer.command_shown(seconds)

    def fps_generated(self) -> float:
        """Frames made each second."""
        self._trim()
        return round(sum(frames for _, frames, _ in self._made) / self._span(), 2)

    def fps_sent(self) -> float:
        """Frames sent each second."""
        self._trim()
        return round(len(self._sent) / self._span(), 2)

    def chunk_ms(self) -> float:
        """Milliseconds that a chunk took of late, in the mean; 0 without one."""
        self._trim()
        seconds = [seconds for _, _, seconds in self._made]
        return round(1000 * sum(seconds) / len(seconds), 1) if seconds else 0.0

    def control_latency_ms(self) -> Percentiles:
        """Milliseconds from a command to its first frame, over the last commands."""
        return percentiles([round(1000 * seconds, 1) for seconds in self._latencies])

    def _span(self) -> float:
        return max(0.25, min(_WINDOW_S, self._timer.time() - self._began))

    def _trim(self) -> None:
        since = self._timer.time() - _WINDOW_S
        while self._made and self._made[0][0] <= since:
            self._made.popleft()
        while self._sent and self._sent[0] <= since:
            self._sent.popleft()
