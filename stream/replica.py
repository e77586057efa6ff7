"""One of several models alike: an engine of its own that keeps for each stream what another needs to go on with it."""

import logging
from abc import abstractmethod
from typing import Any

from pipeline.errors import PipelineError
from stream.engine_host import EngineInfo
from stream.engine_jobs import ScheduledEngine
from stream.engine_queue import Job
from stream.errors import StreamError
from stream.journal import Journal
from stream.load import Load

logger = logging.getLogger(__name__)


class Replica(ScheduledEngine):
    """An engine that dies once and stays dead; its streams' journals are at hand afterwards.

    A checkpoint is taken every ``checkpoint_chunks`` chunks, after a commit, in the time before the next chunk.
    """

    def __init__(self, checkpoint_chunks: int) -> None:
        super().__init__()
        self.journals: dict[str, Journal] = {}
        """Of every stream that was opened here and not closed."""
        self.load = Load(0.0)
        self.running_at_death: str | None = None
        """The stream whose call was being carried out when it died."""
        self._checkpoint_chunks = checkpoint_chunks
        self._is_dead = False

    @property
    def is_alive(self) -> bool:
        """Whether it is warm and can be asked."""
        return self.ready and not self._is_dead

    @property
    def is_over(self) -> bool:
        """Whether it died or was closed."""
        return self._is_dead or self._closed

    @property
    def info(self) -> EngineInfo:
        """What it tells of itself, once started."""
        return self._known

    @property
    def has_room(self) -> bool:
        """Whether the model keeps state for one stream more."""
        return self.load.streams < self.capabilities.max_streams

    @abstractmethod
    async def _ask(self, job: Job) -> Any:
        """Carry out one call. Raises PipelineError or StreamError; calls :meth:`_died` first if that was the end."""

    async def start(self) -> None:
        """Build and warm up the model."""
        await super().start()
        self.load = Load(self.chunk_seconds[0] / float(self.format.chunk_seconds))

    async def resume(self, stream_id: str, journal: Journal) -> None:
        """Go on with a stream from where its journal ends."""
        deadline = self._now() + float(self.format.chunk_seconds)
        self._open[stream_id] = deadline
        await self._call("resume", stream_id, (journal,), deadline)

    async def _execute(self, job: Job) -> Any:
        began = self._now()
        try:
            value = await self._ask(job)
            await self._note(job)
        finally:
            now = self._now()
            self.load.spent(job.stream_id, now - began, now)
        return value

    async def _note(self, job: Job) -> None:
        """Enter a call that was carried out; here and not where it is awaited, since nobody may be awaiting it."""
        stream_id = job.stream_id
        if job.method == "open" and job.arguments[0].enter != "cut" and stream_id in self.journals:
            self.journals[stream_id].add(job.method, job.arguments)
        elif job.method == "open":
            self.journals[stream_id] = Journal(*job.arguments)
        elif job.method == "resume":
            self.journals[stream_id] = job.arguments[0]
        elif job.method == "close_stream":
            self.journals.pop(stream_id, None)
        elif self.info.is_resumable and job.method not in ("save", "prepare"):
            journal = self.journals[stream_id]
            journal.add(job.method, job.arguments)
            if job.method == "commit" and journal.chunks >= self._checkpoint_chunks:
                await self._save(job, journal)

    async def _save(self, job: Job, journal: Journal) -> None:
        try:
            journal.checkpoint(await self._ask(Job("save", job.stream_id, (), job.deadline, job.result)))
        except (PipelineError, StreamError) as error:
            if self._is_dead:
                raise
            # The stream itself is well, and the next commit tries again.
            logger.warning("stream %s: no checkpoint: %s", job.stream_id, error)

    def _died(self, reason: str) -> None:
        """Note that the model is gone, and tell which streams that was the end of. Idempotent."""
        if self._is_dead or self._closed:
            return
        self._is_dead = True
        if (job := self._running) is not None:
            self.running_at_death = job.stream_id
            if not job.result.done():
                job.result.set_exception(StreamError("internal", reason))
        self._lose_streams(reason)
