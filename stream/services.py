"""What a stream is given by its server, and how its commands are answered."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from stream.capacity import Capacity
from stream.checkpoints import Checkpoints
from stream.clock import Timer
from stream.config import StreamConfig
from stream.control import Making, Restart
from stream.engine import Engine
from stream.meter import Observer
from stream.picture import Picture
from stream.recorder import Recordings
from stream.session_log import SessionLogs

Answer = Callable[["Shown"], None]
"""Called once, when the frame that answers a command has been published."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame that was sent: index in the stream, timestamp in 90 kHz ticks, loop time of its sending.

    Before the stream's first frame the index is 0 and the timestamp None. ``making`` tells of the chunk that it opens.
    """

    frame: int
    pts: int | None
    at: float
    making: Making | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """What all streams of a server share."""

    engine: Engine
    capacity: Capacity
    config: StreamConfig
    timer: Timer
    observer: Observer
    picture_thread: Executor
    """Where pictures are decoded, one at a time."""
    describe: Mapping[str, Any]
    """The body of ``GET /capabilities``."""
    recordings: Recordings
    fork: Callable[[Restart[Picture]], tuple[str, str]]
    """Makes a stream that goes on from there; gives its id and control token. Raises ``at_capacity``."""
    sessions: SessionLogs
    checkpoints: Checkpoints


def answer_all(answers: Iterable[Answer], shown: Shown) -> None:
    """Answer each command by the same frame."""
    for answer in answers:
        answer(shown)
