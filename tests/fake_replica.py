"""A replica whose model lives in a thread of this process and dies when it is told to."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipeline.interface import Progress
from pipeline.types import Conditioning
from stream.engine_host import EngineInfo, PipelineHost
from stream.engine_jobs import completed
from stream.engine_queue import Job
from stream.engine_replicas import ReplicatedEngine
from stream.errors import StreamError
from stream.replica import Replica
from tests.fakes import DIE, FakePipeline, ResumableFake


class ThreadReplica(Replica):
    """A replica on a fake pipeline; the prompt DIE kills it, as :meth:`die` does."""

    def __init__(self, pipeline: FakePipeline, checkpoint_chunks: int = 2) -> None:
        super().__init__(checkpoint_chunks)
        self.pipeline = pipeline
        self._host = PipelineHost(lambda progress: pipeline, lambda stage: None)
        self._thread = ThreadPoolExecutor(1, "replica")

    def die(self) -> None:
        """Die."""
        self._died("The machine was lost.")

    def made(self) -> int:
        """Tell how many chunks this one made, of all streams."""
        return sum(method == "generate" for method, _ in self.pipeline.calls)

    async def _launch(self, progress: Progress) -> EngineInfo:
        return await self._run(self._host.warm_up, progress)

    async def _ask(self, job: Job) -> Any:
        conditioning = job.arguments[0] if job.arguments else None
        if isinstance(conditioning, Conditioning) and conditioning.prompt == DIE:
            self.die()
        return await self._run(getattr(self._host, job.method), job.stream_id, *job.arguments)

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._is_dead:
            raise StreamError("internal", "This replica is dead.")
        future = self._thread.submit(function, *arguments)
        if (error := await completed(future)) is not None:
            raise error
        return future.result()

    def _give_up(self, is_given_up: bool) -> None:
        pass

    async def _shut(self) -> None:
        self._thread.shutdown(wait=False)


class FakeReplicas(ReplicatedEngine):
    """An engine on thread replicas; ``made`` are all that there ever were, in order."""

    def __init__(self, count: int, make: Callable[[int], FakePipeline] = lambda number: ResumableFake()) -> None:
        self.made: list[ThreadReplica] = []
        self._count = count
        self._make_pipeline = make
        super().__init__(self._make)

    def number(self, stream_id: str) -> int:
        """Tell which replica a stream is with, by its place in ``made``."""
        home = self.home(stream_id)
        return next(number for number, replica in enumerate(self.made) if replica is home)

    async def _prepare(self) -> int:
        return self._count

    def _make(self) -> Replica:
        self.made.append(ThreadReplica(self._make_pipeline(len(self.made))))
        return self.made[-1]
