"""The model in a Ray actor: an event loop that takes calls, and one thread that owns the model."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.types import Chunk, Pixels
from stream.engine_calls import Failure, ReceivedPictures, Request, Stage, failure
from stream.engine_host import Build, EngineInfo, PipelineHost
from stream.engine_jobs import completed


class ModelActor:
    """What each Ray actor runs. Calls come one at a time; what they raise comes back as a :class:`Failure`."""

    def __init__(self, log_level: int) -> None:
        logging.basicConfig(level=log_level, format="%(levelname)s %(name)s: %(message)s")
        # One and the same from the model's building on: threads carry settings of torch's.
        self._thread = ThreadPoolExecutor(1, "model")
        self._pictures = ReceivedPictures()
        self._host: PipelineHost[Any] | None = None
        self._given_up = threading.Event()

    async def warm_up(self, build: Build) -> AsyncIterator[Stage | EngineInfo | Failure]:
        """Build the model and warm it up: gives stages as they begin, at last what the model tells of itself."""
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Stage | EngineInfo | Failure] = asyncio.Queue()

        def tell(item: Stage | EngineInfo | Failure) -> None:
            loop.call_soon_threadsafe(told.put_nowait, item)

        warming = self._thread.submit(self._warm_up, build, lambda stage: tell(Stage(stage)))
        warming.add_done_callback(lambda done: tell(outcome(done)))
        while isinstance(item := await told.get(), Stage):
            yield item
        yield item

    async def answer(self, request: Request, picture: Pixels | None) -> Any:
        """Carry out a call of :class:`PipelineHost`."""
        if picture is not None:
            # A copy: Ray's own is read-only, and keeps its place in the object store.
            picture = picture.copy()
        request = self._pictures.put_back(request, picture)
        self._given_up.clear()
        method = getattr(self._host, request.method)
        work = self._thread.submit(method, request.stream_id, *request.arguments)
        await completed(work)
        return outcome(work)

    async def give_up(self) -> None:
        """Give up the chunk or context that is being made; calls begin in the order in which they were made."""
        self._given_up.set()

    async def watch(self) -> None:
        """Never return, so that whoever waits learns of the actor's death."""
        await asyncio.Event().wait()

    async def pid(self) -> int:
        """Give the id of the actor's process."""
        return os.getpid()

    def _warm_up(self, build: Build, tell: Callable[[str], None]) -> EngineInfo:
        self._host = PipelineHost(build, tell, self._given_up.is_set)
        return self._host.warm_up(tell)


def outcome(work: "Future[Any]") -> Any:
    """Give what a call returned, frames as one contiguous buffer, or how it failed."""
    if (error := work.exception()) is not None:
        return failure(error)
    value = work.result()
    return replace(value, frames=np.ascontiguousarray(value.frames)) if isinstance(value, Chunk) else value
