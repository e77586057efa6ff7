"""Replicas of one model: started together, and each started anew when it dies."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from pipeline.errors import PipelineError
from pipeline.interface import Progress
from stream.engine_host import EngineInfo
from stream.errors import StreamError
from stream.replica import Replica

logger = logging.getLogger(__name__)

Died = Callable[[Replica, list[str], str], None]
"""(the replica, ids of the streams that it held, a sentence why)."""


class ReplicaPool:
    """As many warm replicas as there should be, or soon again.

    ``make`` gives one that is not started; ``died`` is called when a warm one dies, ``tell`` with each stage of a
    start, of several at once the first one's.
    """

    def __init__(self, make: Callable[[], Replica], died: Died, tell: Progress) -> None:
        self.warm: list[Replica] = []
        self.stage = ""
        self._make = make
        self._died = died
        self._tell = tell
        self._count = 0
        self._info: EngineInfo | None = None
        self._gone_busy_s = 0.0
        self._all: list[Replica] = []
        self._starting: dict[Replica, asyncio.Task[None]] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def busy_s(self) -> float:
        """Seconds spent on calls by all replicas, also those that died."""
        return self._gone_busy_s + sum(replica.busy_s for replica in self.warm)

    @property
    def info(self) -> EngineInfo:
        """What they are together: the sum of their places, the time of the slowest. Raises StreamError ``internal``."""
        if self._info is None:
            raise StreamError("internal", "The engine has not been started.")
        return self._info

    @property
    def is_started(self) -> bool:
        """Whether they were all warm once and are not closed."""
        return self._info is not None and not self._closed

    async def start(self, count: int) -> None:
        """Start so many. Raises PipelineError or StreamError ``internal`` when one of them fails."""
        self._count = count
        self._fill()
        tasks = list(self._starting.values())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise
        for task in tasks:
            if task.done():
                task.result()
        if not self.warm:
            raise StreamError("internal", "Every replica of the model died while others started.")
        infos = [replica.info for replica in self.warm]
        self._info = replace(
            infos[0],
            chunk_seconds=tuple(max(rung) for rung in zip(*(info.chunk_seconds for info in infos), strict=True)),
            capabilities=replace(
                infos[0].capabilities, max_streams=sum(info.capabilities.max_streams for info in infos)
            ),
        )
        logger.info("engine: %s replicas of %s are warm", len(infos), infos[0].capabilities.model)

    async def some(self) -> list[Replica]:
        """Give the warm ones; wait for one where there is none. Raises StreamError ``internal``."""
        if not self.is_started:
            raise StreamError("internal", "The engine is not running.")
        self._fill()
        while not self.warm and self._starting:
            await asyncio.wait(self._starting.values(), return_when=asyncio.FIRST_COMPLETED)
        if not self.warm:
            raise StreamError("internal", "No replica of the model is running.")
        return self.warm

    async def close(self) -> None:
        """End them all; idempotent."""
        self._closed = True
        starting = set(self._starting.values())
        for task in starting:
            task.cancel()
        if waited := starting | self._endings:
            await asyncio.wait(waited)
        self.warm.clear()
        await asyncio.gather(*(replica.close() for replica in self._all))

    def _fill(self) -> None:
        """Start what is missing; the first of them tells its stages."""
        if self._closed:
            return
        for _ in range(self._count - len(self.warm) - len(self._starting)):
            replica = self._make()
            self._all.append(replica)
            if not self._starting:
                replica.on_stage(self._told)
            replica.on_death(lambda lost, reason, replica=replica: self._lost(replica, lost, reason))
            task = self._starting[replica] = asyncio.create_task(self._start(replica), name="engine-replica")
            # Looked at here: of several that fail only one is raised.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _start(self, replica: Replica) -> None:
        try:
            await replica.start()
            alike = self._info or next((other.info for other in self.warm), replica.info)
            if replica.format != alike.format:
                raise StreamError("internal", f"One replica makes {replica.format}, another {alike.format}.")
            self.warm = [each for each in self._all if each in self.warm or each is replica]
        except (PipelineError, StreamError) as error:
            self._end(replica)
            if self._info is None:
                raise
            # The next stream that is opened tries again.
            logger.error("engine: a replica can't be started: %s", error)
        finally:
            del self._starting[replica]
            if not self._starting:
                self.stage = ""

    def _told(self, stage: str) -> None:
        self.stage = stage
        self._tell(stage)

    def _lost(self, replica: Replica, lost: list[str], reason: str) -> None:
        if replica not in self.warm:
            return
        self.warm.remove(replica)
        self._gone_busy_s += replica.busy_s
        logger.error("engine: a replica is gone, %s are left; starting another", len(self.warm))
        self._end(replica)
        self._fill()
        self._died(replica, lost, reason)

    def _end(self, replica: Replica) -> None:
        """Free what is left of a replica."""
        self._all.remove(replica)
        ending = asyncio.create_task(replica.close(), name="engine-replica-end")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
