"""An engine of several models alike: a stream is placed where there is most time left, and outlives its model."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from pipeline.errors import PipelineError
from pipeline.interface import Progress
from pipeline.types import Capabilities, Chunk, Conditioning, VideoFormat
from stream.engine_jobs import DeathCallback
from stream.errors import StreamError
from stream.journal import Journal
from stream.replica import Replica
from stream.replica_pool import ReplicaPool

logger = logging.getLogger(__name__)

RESUME_S = 60.0
"""Seconds in which a stream must have found another replica."""

ResultT = TypeVar("ResultT")


class ReplicatedEngine(ABC):
    """Several replicas of one model behind the interface of :class:`stream.engine.Engine`.

    Each has a queue of its own, so the earliest deadline goes first among the streams of one replica. Where a replica
    dies another is started in its place, and its streams go on elsewhere from their last checkpoint: what was made
    since is made again, so their next chunk is the one that it would have been. Streams of a model that is not
    :class:`pipeline.interface.Resumable` end, and so does one whose call was being carried out at two deaths.
    """

    def __init__(self, make: Callable[[], Replica]) -> None:
        self._pool = ReplicaPool(make, self._replica_died, self._tell)
        self._homes: dict[str, Replica] = {}
        self._moves: dict[str, asyncio.Task[None]] = {}
        self._suspects: set[str] = set()
        self._on_death: list[DeathCallback] = []
        self._on_stage: list[Progress] = []
        self._closed = False

    @abstractmethod
    async def _prepare(self) -> int:
        """Make ready for replicas; give how many there are to be. Raises PipelineError or StreamError."""

    @property
    def ready(self) -> bool:
        """Whether any replica is warm."""
        return self._pool.is_started and bool(self._pool.warm)

    @property
    def stage(self) -> str:
        """Where the start is that goes on now."""
        return self._pool.stage

    @property
    def format(self) -> VideoFormat:
        """What is made."""
        return self._pool.info.format

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do; ``max_streams`` of all replicas together, as they were started."""
        return self._pool.info.capabilities

    @property
    def is_resumable(self) -> bool:
        """Whether streams can be saved, and go on from that."""
        return self._pool.info.is_resumable

    @property
    def can_abandon(self) -> bool:
        """Whether a chunk or context can be given up while it is made."""
        return self._pool.info.can_abandon

    @property
    def chunk_seconds(self) -> tuple[float, ...]:
        """Seconds that a chunk takes at each quality on the slowest replica."""
        return self._pool.info.chunk_seconds

    @property
    def replicas(self) -> int:
        """How many replicas are warm."""
        return len(self._pool.warm)

    @property
    def busy_s(self) -> float:
        """Seconds spent on calls by all replicas together, also those that died."""
        return self._pool.busy_s

    def on_death(self, callback: DeathCallback) -> None:
        """Have this called when streams are lost, which those that go on elsewhere are not."""
        self._on_death.append(callback)

    def on_stage(self, callback: Progress) -> None:
        """Have this called with each stage of a start; of several at once the first one's."""
        self._on_stage.append(callback)

    def home(self, stream_id: str) -> Replica | None:
        """Tell which replica a stream is with."""
        return self._homes.get(stream_id)

    async def start(self) -> None:
        """Start every replica. Raises PipelineError or StreamError ``internal`` when one of them fails."""
        await self._pool.start(await self._prepare())

    async def open(self, stream_id: str, conditioning: Conditioning, saved: bytes | None = None) -> None:
        """Begin a take, or go on with one that was saved, where there is most time left, or where the one before is."""
        if conditioning.enter != "cut" and stream_id in self._homes:
            return await self._at_home(stream_id, lambda replica: replica.open(stream_id, conditioning))
        await self.close_stream(stream_id)
        while True:
            replica = self._place(stream_id, await self._pool.some())
            try:
                return await replica.open(stream_id, conditioning, saved)
            except (PipelineError, StreamError):
                if replica.is_alive or self._closed or self._is_guilty(stream_id, replica):
                    self._leave(stream_id)
                    raise

    async def generate(self, stream_id: str, conditioning: Conditioning, deadline: float) -> Chunk:
        """Make the next chunk."""
        chunk = await self._at_home(stream_id, lambda replica: replica.generate(stream_id, conditioning, deadline))
        self._suspects.discard(stream_id)
        return chunk

    async def save(self, stream_id: str) -> bytes:
        """Give all that came to a stream since it was opened."""
        return await self._at_home(stream_id, lambda replica: replica.save(stream_id))

    async def commit(self, stream_id: str) -> None:
        """Write the clean context of the chunk made last."""
        await self._at_home(stream_id, lambda replica: replica.commit(stream_id))

    def abandon(self, stream_id: str) -> None:
        """Give up the chunk or context that is asked for."""
        if (replica := self._homes.get(stream_id)) is not None and stream_id not in self._moves:
            replica.abandon(stream_id)

    async def truncate(self, stream_id: str, latent: int) -> None:
        """Go back to a boundary."""
        await self._at_home(stream_id, lambda replica: replica.truncate(stream_id, latent))

    async def prepare(self, stream_id: str, conditioning: Conditioning) -> None:
        """Read what may be asked for; where a stream will be is not known before it is open."""
        if stream_id in self._homes:
            await self._at_home(stream_id, lambda replica: replica.prepare(stream_id, conditioning))

    async def close_stream(self, stream_id: str) -> None:
        """Free the stream's state; idempotent."""
        if (move := self._moves.get(stream_id)) is not None:
            move.cancel()
            await asyncio.wait({move})
        replica = self._homes.get(stream_id)
        self._leave(stream_id)
        if replica is not None:
            await replica.close_stream(stream_id)

    async def close(self) -> None:
        """End it all; idempotent."""
        self._closed = True
        if moves := set(self._moves.values()):
            for move in moves:
                move.cancel()
            await asyncio.wait(moves)
        await self._pool.close()

    async def _at_home(self, stream_id: str, call: Callable[[Replica], Awaitable[ResultT]]) -> ResultT:
        """Make a call where its stream is, and again where that is moved to when its replica dies."""
        while True:
            if (move := self._moves.get(stream_id)) is not None:
                await asyncio.wait({move})
            replica = self._homes.get(stream_id)
            if replica is None or self._closed:
                raise StreamError("internal", "The engine does not hold this stream (any more).")
            try:
                return await call(replica)
            except StreamError:
                if stream_id not in self._moves and self._homes.get(stream_id) in (replica, None):
                    raise

    def _place(self, stream_id: str, replicas: Collection[Replica]) -> Replica:
        """Give the stream to the replica that would be the least busy with it, of those with room for its state."""
        now = asyncio.get_running_loop().time()
        roomy = [replica for replica in replicas if replica.has_room] or replicas
        chosen = min(roomy, key=lambda replica: replica.load.total(now) + replica.load.expected)
        chosen.load.opened(stream_id, now)
        self._homes[stream_id] = chosen
        return chosen

    def _leave(self, stream_id: str) -> None:
        self._suspects.discard(stream_id)
        if (replica := self._homes.pop(stream_id, None)) is not None:
            replica.load.closed(stream_id)

    def _tell(self, stage: str) -> None:
        for callback in self._on_stage:
            callback(stage)

    def _replica_died(self, replica: Replica, lost: list[str], reason: str) -> None:
        ended: list[str] = []
        for stream_id in lost:
            journal = replica.journals.get(stream_id)
            # One that is being opened or moved is placed again by who does that.
            if self._homes.get(stream_id) is not replica or stream_id in self._moves or journal is None:
                continue
            if replica.info.is_resumable and not self._is_guilty(stream_id, replica):
                move = self._move(stream_id, journal, reason)
                self._moves[stream_id] = asyncio.create_task(move, name=f"engine-move-{stream_id}")
            else:
                ended.append(stream_id)
        self._lose(ended, reason)

    def _is_guilty(self, stream_id: str, replica: Replica) -> bool:
        """Tell whether a second replica died of this stream, which would take one after the other along."""
        if replica.running_at_death != stream_id:
            return False
        is_second = stream_id in self._suspects
        self._suspects.add(stream_id)
        return is_second

    async def _move(self, stream_id: str, journal: Journal, reason: str) -> None:
        """Go on with a stream elsewhere, or tell that it is lost."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(RESUME_S):
                await self._resume(stream_id, journal)
            logger.info("stream %s: goes on with another replica after %.2f s", stream_id, loop.time() - began)
        except (PipelineError, StreamError, TimeoutError) as error:
            logger.error("stream %s: can't go on with another replica: %s", stream_id, error or "none came in time")
            self._lose([stream_id], reason)
        finally:
            del self._moves[stream_id]

    async def _resume(self, stream_id: str, journal: Journal) -> None:
        while True:
            replica = self._place(stream_id, await self._pool.some())
            try:
                await replica.resume(stream_id, journal)
            except StreamError:
                if replica.is_alive or self._is_guilty(stream_id, replica):
                    raise
            # It may have died since, and left a stream that is being moved to who moves it.
            if replica.is_alive:
                return

    def _lose(self, lost: list[str], reason: str) -> None:
        for stream_id in lost:
            self._leave(stream_id)
        if lost:
            for callback in self._on_death:
                callback(lost, reason)
