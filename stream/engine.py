"""Where generation runs and where the state of models lives."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from pipeline.errors import PipelineError
from pipeline.interface import Progress
from pipeline.types import Capabilities, Chunk, Conditioning, VideoFormat
from stream.engine_host import Build, EngineInfo, PipelineHost
from stream.engine_jobs import DeathCallback, ScheduledEngine, completed
from stream.engine_queue import Job
from stream.errors import StreamError

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """Models at work, for many streams by id; never blocks the event loop, on which all of it is called.

    A stream's calls run in the order they were made; among streams the earliest deadline goes first. A call
    raises what the pipeline raises where that is a PipelineError, and StreamError ``internal`` for anything
    else that goes wrong; no stream's failure touches another.
    """

    @property
    def ready(self) -> bool:
        """Whether the model is warm and can be asked."""
        ...

    @property
    def stage(self) -> str:
        """Where the start is that goes on now, in words for people; empty once it is ready."""
        ...

    @property
    def format(self) -> VideoFormat:
        """What is made. Known from :meth:`start` on, as are the next two."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do."""
        ...

    @property
    def chunk_seconds(self) -> tuple[float, ...]:
        """Seconds that a chunk takes at each quality, as measured when the model was warmed up."""
        ...

    @property
    def is_resumable(self) -> bool:
        """Whether the model's streams can be saved, and go on from that."""
        ...

    @property
    def can_abandon(self) -> bool:
        """Whether :meth:`abandon` does anything."""
        ...

    @property
    def replicas(self) -> int:
        """How many models alike work side by side; each stream is with one of them."""
        ...

    @property
    def busy_s(self) -> float:
        """Seconds spent on calls so far, all streams together."""
        ...

    async def start(self) -> None:
        """Build and warm up the model. Raises PipelineError or StreamError ``internal`` when that fails."""
        ...

    async def open(self, stream_id: str, conditioning: Conditioning, saved: bytes | None = None) -> None:
        """Begin a take, or go on where one was when it was saved.

        Raises ConditioningError or CapacityError as :meth:`Pipeline.open` does, PipelineError for bytes of another.
        """
        ...

    async def save(self, stream_id: str) -> bytes:
        """Give all that came to a stream since it was opened, of a model that is resumable."""
        ...

    async def generate(self, stream_id: str, conditioning: Conditioning, deadline: float) -> Chunk:
        """Make the next chunk, wanted at ``deadline`` (loop time)."""
        ...

    async def commit(self, stream_id: str) -> None:
        """Write the clean context of the chunk made last; as urgent as the stream's next chunk."""
        ...

    def abandon(self, stream_id: str) -> None:
        """Have the :meth:`generate` or :meth:`commit` that goes on raise AbandonedError soon, the state as before it.

        Does nothing where none does, where it is just done, or where the model can't.
        """
        ...

    async def truncate(self, stream_id: str, latent: int) -> None:
        """Go back to the boundary before ``latent``. Raises TruncationError."""
        ...

    async def prepare(self, stream_id: str, conditioning: Conditioning) -> None:
        """Read what a stream may be asked for, in time that is left over.

        For a stream that is not open yet it is read only while none is: a picture takes as long as several chunks.
        """
        ...

    async def close_stream(self, stream_id: str) -> None:
        """Free the stream's state; idempotent."""
        ...

    def on_death(self, callback: DeathCallback) -> None:
        """Have this called when streams are lost because what runs them died."""
        ...

    def on_stage(self, callback: Progress) -> None:
        """Have this called with each new :attr:`stage` of a start, also of one after a death."""
        ...

    async def close(self) -> None:
        """End it all; calls still waiting raise StreamError ``internal``. Idempotent."""
        ...


class ThreadEngine(ScheduledEngine):
    """An engine whose model lives in one thread of this process."""

    def __init__(self, build: Build) -> None:
        super().__init__()
        self._build = build
        self._thread = ThreadPoolExecutor(1, "engine")
        self._host: PipelineHost[Any] | None = None
        self._given_up = threading.Event()

    async def _launch(self, progress: Progress) -> EngineInfo:
        is_given_up = self._given_up.is_set
        host: PipelineHost[Any] = await self._run("the model's start", PipelineHost, self._build, progress, is_given_up)
        self._host = host
        return await self._run("the model's start", host.warm_up, progress)

    async def _execute(self, job: Job) -> Any:
        what = f"stream {job.stream_id}: {job.method}"
        return await self._run(what, getattr(self._host, job.method), job.stream_id, *job.arguments)

    def _give_up(self, is_given_up: bool) -> None:
        if is_given_up:
            self._given_up.set()
        else:
            self._given_up.clear()

    async def _run(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        future = self._thread.submit(function, *arguments)
        error = await completed(future)
        if error is None:
            return future.result()
        if isinstance(error, PipelineError):
            raise error
        logger.error("%s failed", what, exc_info=error)
        raise StreamError("internal", f"The model failed: {type(error).__name__}.") from error

    async def _shut(self) -> None:
        if self._host is not None:
            await self._run("the model's end", self._host.close)
        self._thread.shutdown(wait=False, cancel_futures=True)
