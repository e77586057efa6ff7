"""The part that all engines share: calls by stream id, queued by deadline, carried out one at a time."""

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pipeline.errors import PipelineError
from pipeline.interface import Progress
from pipeline.types import Capabilities, Chunk, Conditioning, VideoFormat
from stream.engine_host import EngineInfo
from stream.engine_queue import ABANDONABLE, Job, JobQueue
from stream.errors import StreamError

logger = logging.getLogger(__name__)

DeathCallback = Callable[[list[str], str], None]
"""(ids of the streams that were lost, a sentence why)."""


async def completed(future: Future[Any]) -> BaseException | None:
    """Wait for a thread to finish a call; give what that raised. Cancelling the wait leaves the call."""
    waiting = asyncio.wrap_future(future)
    # Looked at here, so that nobody is told of an exception that was never retrieved.
    waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait({waiting})
    return future.exception()


class ScheduledEngine(ABC):
    """An engine of one model but for where the calls are carried out."""

    replicas = 1

    def __init__(self) -> None:
        self.busy_s = 0.0
        self.stage = ""
        self._info: EngineInfo | None = None
        self._jobs = JobQueue()
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._running: Job | None = None
        self._open: dict[str, float] = {}
        self._on_death: list[DeathCallback] = []
        self._on_stage: list[Progress] = []
        self._launching: object = None
        self._closed = False

    @abstractmethod
    async def _launch(self, progress: Progress) -> EngineInfo:
        """Build the model and warm it up; ``progress`` is for any thread. Raises PipelineError or StreamError."""

    @abstractmethod
    async def _execute(self, job: Job) -> Any:
        """Carry out one call. Raises PipelineError or StreamError, nothing else."""

    @abstractmethod
    def _give_up(self, is_given_up: bool) -> None:
        """Let the model know whether what it makes now is given up; False before each call."""

    @abstractmethod
    async def _shut(self) -> None:
        """Free the model, also one that was never launched."""

    @property
    def _accepting(self) -> bool:
        return self._worker is not None and not self._closed

    @property
    def ready(self) -> bool:
        """Whether the model is warm and can be asked."""
        return self._accepting

    @property
    def _known(self) -> EngineInfo:
        if self._info is None:
            raise StreamError("internal", "The engine has not been started.")
        return self._info

    @property
    def format(self) -> VideoFormat:
        """What is made."""
        return self._known.format

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do."""
        return self._known.capabilities

    @property
    def is_resumable(self) -> bool:
        """Whether the model's streams can be saved, and go on from that."""
        return self._known.is_resumable

    @property
    def can_abandon(self) -> bool:
        """Whether a chunk or context can be given up while it is made."""
        return self._known.can_abandon

    @property
    def chunk_seconds(self) -> tuple[float, ...]:
        """Seconds that a chunk takes at each quality, as measured at the warm-up."""
        return self._known.chunk_seconds

    def on_death(self, callback: DeathCallback) -> None:
        """Have this called when streams are lost."""
        self._on_death.append(callback)

    def on_stage(self, callback: Progress) -> None:
        """Have this called with each stage of a start."""
        self._on_stage.append(callback)

    async def start(self) -> None:
        """Build and warm up the model. Raises PipelineError or StreamError ``internal`` when that fails."""
        self._info = await self._launched()
        self._worker = asyncio.create_task(self._work(), name="engine")
        logger.info("engine: %s is warm, a chunk takes %s s", self.capabilities.model, self.chunk_seconds)

    async def open(self, stream_id: str, conditioning: Conditioning, saved: bytes | None = None) -> None:
        """Begin a take, or go on with one that was saved."""
        deadline = self._now() + float(self.format.chunk_seconds)
        self._open[stream_id] = deadline
        await self._call("open", stream_id, (conditioning, saved), deadline)

    async def save(self, stream_id: str) -> bytes:
        """Give all that came to a stream since it was opened."""
        return await self._call("save", stream_id, (), self._open.get(stream_id, self._now()))

    async def generate(self, stream_id: str, conditioning: Conditioning, deadline: float) -> Chunk:
        """Make the next chunk."""
        if stream_id in self._open:
            self._open[stream_id] = deadline
        return await self._call("generate", stream_id, (conditioning,), deadline)

    async def commit(self, stream_id: str) -> None:
        """Write the clean context of the chunk made last."""
        # Its stream needs it by the time that its next chunk is due, so others may go first until then.
        next_due = self._open.get(stream_id, self._now()) + float(self.format.chunk_seconds)
        await self._call("commit", stream_id, (), next_due)

    def abandon(self, stream_id: str) -> None:
        """Give up the chunk or context that is asked for, whether it waits or is being made."""
        if not self.can_abandon:
            return
        self._jobs.abandon(stream_id)
        running = self._running
        if running is not None and running.stream_id == stream_id and running.method in ABANDONABLE:
            self._give_up(True)

    async def truncate(self, stream_id: str, latent: int) -> None:
        """Go back to a boundary."""
        await self._call("truncate", stream_id, (latent,), self._now())

    async def prepare(self, stream_id: str, conditioning: Conditioning) -> None:
        """Read what may be asked for; other streams' chunks go first, and before a stream is open there may be none."""
        if stream_id in self._open or not self._open:
            await self._call("prepare", stream_id, (conditioning,), self._now() + float(self.format.chunk_seconds))

    async def close_stream(self, stream_id: str) -> None:
        """Free the stream's state; idempotent, and no error when the engine is gone."""
        if self._open.pop(stream_id, None) is not None and self._accepting:
            # What is lost already needs no closing.
            with contextlib.suppress(StreamError):
                await self._call("close_stream", stream_id, (), self._now())

    async def close(self) -> None:
        """End it all; idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait({self._worker})
        gone = StreamError("internal", "The engine was closed.")
        if self._running is not None and not self._running.result.done():
            self._running.result.set_exception(gone)
        self._jobs.fail(gone)
        self._open.clear()
        await self._shut()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _launched(self) -> EngineInfo:
        """Launch, and tell the stages meanwhile."""
        loop, launch = asyncio.get_running_loop(), object()

        def progress(stage: str) -> None:
            # A loop that is closed has left this thread behind, and nobody listens.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._tell, launch, stage)

        self._launching = launch
        try:
            return await self._launch(progress)
        finally:
            self._launching, self.stage = None, ""

    def _tell(self, launch: object, stage: str) -> None:
        # What an abandoned launch still says comes too late.
        if launch is not self._launching or stage == self.stage:
            return
        self.stage = stage
        for callback in self._on_stage:
            callback(stage)

    async def _call(self, method: str, stream_id: str, arguments: tuple[Any, ...], deadline: float) -> Any:
        if not self._accepting:
            raise StreamError("internal", "The engine is not running.")
        if stream_id not in self._open and method not in ("close_stream", "prepare"):
            raise StreamError("internal", "The engine does not hold this stream (any more).")
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.put(Job(method, stream_id, arguments, deadline, result))
        self._arrived.set()
        return await result

    async def _work(self) -> None:
        while True:
            job = self._running = self._jobs.pop()
            if job is None:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            began = self._now()
            self._give_up(False)
            try:
                value = await self._execute(job)
            except (PipelineError, StreamError) as error:
                if not job.result.done():
                    job.result.set_exception(error)
            else:
                if not job.result.done():
                    job.result.set_result(value)
            self.busy_s += self._now() - began

    def _lose_streams(self, reason: str) -> None:
        """Tell that every stream's state is gone."""
        lost = sorted(self._open)
        self._open.clear()
        self._jobs.fail(StreamError("internal", reason))
        for callback in self._on_death:
            callback(lost, reason)
