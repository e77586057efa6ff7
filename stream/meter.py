"""What one stream does, in figures: for ``stats`` and for metrics."""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from stream.clock import Timer
from stream.control import Making
from stream.server_messages import ControlStages, Percentiles

_WINDOW_S = 2.0
_COMMANDS = 64


@dataclass(frozen=True, slots=True)
class CommandLife:
    """The seconds from a command to its first frame, by what they were spent on; they add up.

    ``waiting`` until a chunk was begun under it, ``reading`` its prompt, ``making`` the chunk, ``playout`` until the
    first frame's time. A command that another overtook before any chunk is all waiting.
    """

    waiting: float
    reading: float = 0.0
    making: float = 0.0
    playout: float = 0.0

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.waiting + self.reading + self.making + self.playout


def command_life(received: float, making: Making | None, shown: float) -> CommandLife:
    """Divide the time between a command's coming and its first frame's going, all in loop time.

    >>> command_life(10.0, Making(10.5, 11.0, 0.25), 11.5)
    CommandLife(waiting=0.5, reading=0.25, making=0.25, playout=0.5)
    """
    if making is None:
        return CommandLife(shown - received)
    worked = making.ended - making.begun
    reading = min(making.reading_s, worked)
    return CommandLife(making.begun - received, reading, worked - reading, shown - making.ended)


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

    def command_shown(self, life: "CommandLife") -> None:
        """Note how long a command took to its first frame."""
        ...


class Unobserved:
    """An observer that counts nothing."""

    def chunk_made(self, seconds: float, frames: int) -> None:
        """Ignore it."""

    def frame_sent(self) -> None:
        """Ignore it."""

    def underran(self, times: int) -> None:
        """Ignore it."""

    def command_shown(self, life: "CommandLife") -> None:
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


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


class Meter:
    """Counts the frames, chunks and commands of one stream over the last seconds."""

    def __init__(self, timer: Timer, observer: Observer) -> None:
        self._timer = timer
        self._observer = observer
        self._began = timer.time()
        self._made: deque[tuple[float, int, float]] = deque()
        self._sent: deque[float] = deque()
        self._underruns = 0
        self._commands: deque[CommandLife] = deque(maxlen=_COMMANDS)

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

    def command(self, life: CommandLife) -> None:
        """Count a command whose first frame was handed to the encoder."""
        self._commands.append(life)
        self._observer.command_shown(life)

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
        return percentiles([_ms(life.seconds) for life in self._commands])

    def control_stages_ms(self) -> ControlStages:
        """Milliseconds of each part of that, over the last commands; the parts' percentiles need not add up."""
        lives = [(_ms(life.waiting), _ms(life.reading), _ms(life.making), _ms(life.playout)) for life in self._commands]
        return ControlStages(*(percentiles([life[part] for life in lives]) for part in range(4)))

    def _span(self) -> float:
        return max(0.25, min(_WINDOW_S, self._timer.time() - self._began))

    def _trim(self) -> None:
        since = self._timer.time() - _WINDOW_S
        while self._made and self._made[0][0] <= since:
            self._made.popleft()
        while self._sent and self._sent[0] <= since:
            self._sent.popleft()
