"""An engine over Ray actors: one model on each of several GPUs or machines."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline.interface import Progress
from pipeline.types import Pixels
from stream.engine_calls import Request, SentPictures, Stage, result
from stream.engine_host import Build, EngineInfo
from stream.engine_jobs import completed
from stream.engine_queue import Job
from stream.engine_replicas import ReplicatedEngine
from stream.errors import StreamError
from stream.ray_actor import ModelActor
from stream.ray_cluster import RayCluster, import_ray
from stream.replica import Replica

logger = logging.getLogger(__name__)

_GONE = "The machine that made this video was lost."


@dataclass(frozen=True, slots=True)
class RaySettings:
    """Where the replicas run: ``address`` as of :class:`RayCluster`; how many (0: one for each GPU, or each machine
    where there are none); the GPUs that each takes; the chunks between two checkpoints of a stream."""

    address: str = ""
    replicas: int = 0
    replica_gpus: float = 1.0
    checkpoint_chunks: int = 4


class RayReplica(Replica):
    """A model in a Ray actor. Frames come as one buffer a chunk, on the same machine without a copy on this side."""

    def __init__(self, build: Build, checkpoint_chunks: int, choose: Callable[["RayReplica"], dict[str, Any]]) -> None:
        super().__init__(checkpoint_chunks)
        self._build = build
        self._choose = choose
        self._sent_pictures = SentPictures()
        self._thread = ThreadPoolExecutor(1, "ray-replica")
        self._actor: Any = None
        self._watch: Any = None
        self.node: str | None = None
        """Id of the machine that it was placed on; where Ray places by GPUs it is not known."""
        self.pid: int | None = None
        """Id of the actor's process, on its machine."""

    async def _launch(self, progress: Progress) -> EngineInfo:
        loop = asyncio.get_running_loop()

        def lost() -> None:
            # A loop that is closed has nobody left to tell.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._died, _GONE)

        info, self.pid = await self._reach(Request("warm_up", "", ()), self._create, progress, lost)
        return info

    async def _ask(self, job: Job) -> Any:
        request, picture = self._sent_pictures.split(job)
        return await self._reach(request, self._exchange, request, picture)

    async def _reach(self, request: Request, function: Callable[..., Any], *arguments: Any) -> Any:
        """Have the thread talk to the actor; give what came of it."""
        if self._is_dead:
            raise StreamError("internal", _GONE)
        future = self._thread.submit(function, *arguments)
        error = await completed(future)
        if error is None:
            return result(request, future.result())
        if isinstance(error, ConnectionError):
            logger.error("engine: the actor of process %s is dead: %s", self.pid, error)
            self._died(_GONE)
            raise StreamError("internal", f"{_GONE} {error}") from error
        logger.error("stream %s: %s failed", request.stream_id, request.method, exc_info=error)
        raise StreamError("internal", "The call did not reach the model.") from error

    def _create(self, progress: Progress, lost: Callable[[], None]) -> Any:
        """Start the actor and warm it up. Raises ConnectionError when it dies meanwhile."""
        ray = import_ray()
        actor = self._actor = self._take_actor()
        item: Any = None
        with _death_as_connection_error():
            pid = ray.get(actor.pid.remote())
            for reference in actor.warm_up.options(num_returns="streaming").remote(self._build):
                item = ray.get(reference)
                if isinstance(item, Stage):
                    progress(item.text)
        self._watch = actor.watch.remote()
        self._watch.future().add_done_callback(lambda done: lost())
        return (item, pid) if isinstance(item, EngineInfo) else item

    def _take_actor(self) -> Any:
        """Have Ray start an actor; it waits for a place where there is none."""
        level = logging.getLogger().getEffectiveLevel()
        return import_ray().remote(ModelActor).options(max_restarts=0, **self._choose(self)).remote(level)

    def _exchange(self, request: Request, picture: Pixels | None) -> Any:
        """Make a call and wait for its answer. Raises ConnectionError when the actor is dead."""
        with _death_as_connection_error():
            return import_ray().get(self._actor.answer.remote(request, picture))

    def _give_up(self, is_given_up: bool) -> None:
        # The actor takes it back itself, with the next call.
        if is_given_up and self._actor is not None and not self._is_dead:
            self._actor.give_up.remote()

    async def _shut(self) -> None:
        if self._actor is not None:
            # Also frees the thread, which may be waiting for the actor.
            await asyncio.to_thread(self._drop_actor)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _drop_actor(self) -> None:
        if (ray := import_ray()).is_initialized():
            ray.kill(self._actor)


class RayEngine(ReplicatedEngine):
    """An engine whose replicas are the actors of a Ray cluster, which this process starts or joins."""

    def __init__(self, build: Build, settings: RaySettings) -> None:
        super().__init__(self._make)
        self._build = build
        self._settings = settings
        self._cluster = RayCluster(settings.address)
        self._gpus = 0.0
        self._made: list[RayReplica] = []
        self._choosing = threading.Lock()

    async def close(self) -> None:
        """End the actors, then the cluster if it was started here, else the connection to it. Idempotent."""
        if self._closed:
            return
        await super().close()
        await asyncio.wrap_future(self._cluster.thread.submit(self._cluster.disconnect))
        self._cluster.thread.shutdown(wait=False)

    async def _prepare(self) -> int:
        connecting = self._cluster.thread.submit(self._cluster.connect)
        if (error := await completed(connecting)) is not None:
            raise error
        settings = self._settings
        nodes, gpus = await asyncio.wrap_future(self._cluster.thread.submit(resources))
        self._gpus = settings.replica_gpus if gpus >= settings.replica_gpus else 0.0
        count = settings.replicas or (int(gpus / self._gpus) if self._gpus else len(nodes))
        logger.info("engine: %s replicas on %s machines with %g GPUs", count, len(nodes), gpus)
        return count

    def _make(self) -> Replica:
        self._made = [replica for replica in self._made if not replica.is_over]
        self._made.append(RayReplica(self._build, self._settings.checkpoint_chunks, self._choose))
        return self._made[-1]

    def _choose(self, replica: RayReplica) -> dict[str, Any]:
        """Tell Ray where a replica goes: to any free GPU, or where there are none to the machine with the fewest.

        Called in the replica's thread.
        """
        if self._gpus:
            return {"num_gpus": self._gpus}
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        with self._choosing:
            taken = [other.node for other in self._made if not other.is_over]
            replica.node = min(resources()[0], key=taken.count)
        # Not soft: what asks for no resources Ray then puts anywhere, two on one machine of two.
        return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(replica.node, soft=False)}


def resources() -> tuple[list[str], float]:
    """Give the ids of the machines that are up, and their GPUs together."""
    ray = import_ray()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    return [node["NodeID"] for node in nodes], sum(node["Resources"].get("GPU", 0.0) for node in nodes)


@contextlib.contextmanager
def _death_as_connection_error() -> Iterator[None]:
    """Raise ConnectionError for a dead actor: Ray's own exceptions can't be named before it is imported."""
    from ray.exceptions import ActorUnschedulableError, RayActorError

    try:
        yield
    except (RayActorError, ActorUnschedulableError) as error:
        raise ConnectionError(" ".join(str(error).split())) from error
