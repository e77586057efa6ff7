"""A model with its streams' states by id, for the one thread that owns it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pipeline.errors import PipelineError
from pipeline.interface import Abandoning, Pipeline, Preparing, Progress, Resumable, Swapping
from pipeline.types import Capabilities, Chunk, Conditioning, VideoFormat
from stream.journal import Journal

Build = Callable[[Progress], Pipeline[Any]]
"""Makes the model, telling the stages of that."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a warm model tells of itself."""

    format: VideoFormat
    capabilities: Capabilities
    chunk_seconds: tuple[float, ...]
    is_resumable: bool = False
    """Whether its streams can go on in another process."""
    can_abandon: bool = False
    """Whether what it makes can be given up before it is made."""


StateT = TypeVar("StateT")


class PipelineHost(Generic[StateT]):
    """A pipeline with its streams' states by id; blocking, for the one thread that owns the model.

    ``is_given_up`` tells whether the chunk or context that is being made is not wanted any more.
    """

    def __init__(
        self,
        build: Callable[[Progress], Pipeline[StateT]],
        progress: Progress,
        is_given_up: Callable[[], bool] | None = None,
    ) -> None:
        self._pipeline = build(progress)
        self._can_abandon = is_given_up is not None and isinstance(self._pipeline, Abandoning)
        if is_given_up is not None and isinstance(self._pipeline, Abandoning):
            self._pipeline.heed(is_given_up)
        self._states: dict[str, StateT] = {}

    def warm_up(self, progress: Progress) -> EngineInfo:
        """Warm the model up and tell of it."""
        seconds = self._pipeline.warm_up(progress)
        is_resumable = isinstance(self._pipeline, Resumable)
        return EngineInfo(self._pipeline.format, self._pipeline.capabilities, seconds, is_resumable, self._can_abandon)

    def open(self, stream_id: str, conditioning: Conditioning, saved: bytes | None = None) -> None:
        """Begin a take, or go on with one that was saved, instead of the one before if any, or out of it."""
        before = self._states.get(stream_id)
        if before is not None and conditioning.enter != "cut" and isinstance(self._pipeline, Swapping):
            self._states[stream_id] = self._pipeline.swap(before, conditioning)
            return
        self.close_stream(stream_id)
        self._states[stream_id] = self._pipeline.open(conditioning)
        if saved is not None:
            assert isinstance(self._pipeline, Resumable)
            try:
                self._pipeline.restore(self._states[stream_id], saved)
            except PipelineError:
                self.close_stream(stream_id)
                raise

    def generate(self, stream_id: str, conditioning: Conditioning) -> Chunk:
        """Make the next chunk of a stream."""
        return self._pipeline.generate_chunk(self._states[stream_id], conditioning)

    def commit(self, stream_id: str) -> None:
        """Write the context of a stream's last chunk."""
        self._pipeline.commit(self._states[stream_id])

    def truncate(self, stream_id: str, latent: int) -> None:
        """Take a stream back to a boundary."""
        self._pipeline.truncate(self._states[stream_id], latent)

    def prepare(self, stream_id: str, conditioning: Conditioning) -> None:
        """Read what may be asked for, where the pipeline can."""
        if isinstance(self._pipeline, Preparing):
            self._pipeline.prepare(conditioning)

    def save(self, stream_id: str) -> bytes:
        """Give a stream's checkpoint; for a pipeline that is Resumable."""
        assert isinstance(self._pipeline, Resumable)
        return self._pipeline.save(self._states[stream_id])

    def resume(self, stream_id: str, journal: Journal) -> None:
        """Bring a stream to where it was elsewhere: its checkpoint, then again what was called since."""
        self.open(stream_id, journal.opening, journal.saved)
        for method, arguments in journal.calls:
            getattr(self, method)(stream_id, *arguments)

    def close_stream(self, stream_id: str) -> None:
        """Free a stream's state; idempotent."""
        if stream_id in self._states:
            self._pipeline.close(self._states.pop(stream_id))

    def close(self) -> None:
        """Free every stream's state."""
        for stream_id in list(self._states):
            self.close_stream(stream_id)
