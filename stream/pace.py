"""What the producer of a stream goes by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.types import Chunk
from stream.capacity import Timing
from stream.generation_time import GenerationTime


@dataclass(slots=True)
class Pace:
    """What a producer goes by: seconds of video to keep ahead, the quality to make, how long that takes.

    ``made(chunk, seconds, timing)`` is told of each chunk: the seconds it took, how it came.
    ``take_spare`` asks whether other streams leave the time to make a chunk again, ``company`` how many there are.
    """

    buffer_s: float
    quality: Callable[[], int]
    time: GenerationTime
    made: Callable[[Chunk, float, Timing], None]
    take_spare: Callable[[], bool] = lambda: True
    company: Callable[[], int] = lambda: 0


class TakesCheckpoints(Protocol):
    """Who keeps a take's newest state elsewhere."""

    @property
    def is_due(self) -> bool:
        """Whether the beginning of the next chunk is to be kept."""
        ...

    def missed(self) -> None:
        """Take note that there could be no checkpoint now."""
        ...

    def made(self, saved: bytes, frame: int, pts: int) -> None:
        """Take a checkpoint, and where it stands: the index and timestamp of the first frame to come."""
        ...

    def sent(self, frames: int) -> None:
        """Take note that so many frames of the stream were sent."""
        ...

    def thrown_away(self, frame: int) -> None:
        """Take note that what was made from this frame on will never be sent."""
        ...
