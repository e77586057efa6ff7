"""An engine in a process of its own, whose death costs its streams and nothing else."""

import asyncio
import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from pipeline.errors import PipelineError
from pipeline.interface import Progress, silent
from pipeline.types import Chunk, Pixels
from stream.engine_calls import ReceivedPictures, Request, SentPictures, Stage, failure, result
from stream.engine_host import Build, EngineInfo, PipelineHost
from stream.engine_jobs import ScheduledEngine, completed
from stream.engine_queue import Job
from stream.errors import StreamError
from stream.shared_frames import SharedFrames

logger = logging.getLogger(__name__)

_NO_FRAMES: Pixels = np.empty((0, 0, 0, 3), np.uint8)
_END_S = 2.0


class ProcessEngine(ScheduledEngine):
    """An engine whose model lives in a spawned process; a fresh one takes its place when it dies.

    ``build`` must be picklable. Pictures cross as one buffer each, frames through memory that both sides share, read
    and written in a thread.
    The process ends with this one, however this one ends.
    """

    def __init__(self, build: Build) -> None:
        super().__init__()
        self._build = build
        self._pipe_thread = ThreadPoolExecutor(1, "engine-pipe")
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._frames: SharedFrames | None = None
        self._relaunch: asyncio.Task[None] | None = None
        self._sent_pictures = SentPictures()
        # No lock: a process that is killed while it holds one would leave this one waiting.
        self._given_up = multiprocessing.get_context("spawn").RawValue(ctypes.c_bool, False)

    @property
    def ready(self) -> bool:
        """Whether the process is up and the model warm."""
        return super().ready and self._process is not None and self._relaunch is None

    @property
    def pid(self) -> int | None:
        """Id of the process, or None between two."""
        return None if self._process is None else self._process.pid

    async def _launch(self, progress: Progress) -> EngineInfo:
        spawning = self._pipe_thread.submit(_spawn, self._build, self._given_up)
        try:
            process, connection, frames = await asyncio.wrap_future(spawning)
        except asyncio.CancelledError:
            spawning.add_done_callback(_discard)
            raise
        self._process, self._connection, self._frames = process, connection, frames
        asyncio.get_running_loop().add_reader(process.sentinel, self._lost, process)
        return await self._ask(Request("warm_up", "", ()), None, progress)

    async def _execute(self, job: Job) -> Any:
        if self._process is None and self._relaunch is None:
            self._relaunch = asyncio.create_task(self._start_afresh(), name="engine-relaunch")
        if self._relaunch is not None:
            await asyncio.wait({self._relaunch})
        return await self._ask(*self._sent_pictures.split(job))

    def _give_up(self, is_given_up: bool) -> None:
        self._given_up.value = is_given_up

    async def _ask(self, request: Request, picture: Pixels | None, progress: Progress = silent) -> Any:
        process, connection, frames = self._process, self._connection, self._frames
        if process is None or connection is None or frames is None:
            raise StreamError("internal", "The engine's process could not be started.")
        exchange = self._pipe_thread.submit(_exchange, connection, frames, request, picture, progress)
        error = await completed(exchange)
        if isinstance(error, EOFError | OSError):
            self._lost(process)
            raise StreamError("internal", "The engine's process ended.") from error
        if error is not None:
            logger.error("stream %s: %s failed", request.stream_id, request.method, exc_info=error)
            raise StreamError("internal", "The call did not reach the model.") from error
        return result(request, exchange.result())

    def _lost(self, process: BaseProcess) -> None:
        """Note that the process ended by itself: its streams are lost, a fresh one is started."""
        if process is not self._process:
            return
        asyncio.get_running_loop().remove_reader(process.sentinel)
        connection, frames = self._connection, self._frames
        self._process = self._connection = self._frames = None
        self._sent_pictures.clear()
        if self._worker is None or self._relaunch is not None:
            self._pipe_thread.submit(_bury, process, connection, frames)
            return
        logger.error("engine: process %s ended by itself; starting another", process.pid)
        self._relaunch = asyncio.create_task(self._start_afresh(process, connection, frames), name="engine-relaunch")
        self._lose_streams("The process that made this video ended.")

    async def _start_afresh(
        self,
        process: BaseProcess | None = None,
        connection: Connection | None = None,
        frames: SharedFrames | None = None,
    ) -> None:
        try:
            if process is not None:
                await asyncio.wrap_future(self._pipe_thread.submit(_bury, process, connection, frames))
            self._info = await self._launched()
        except (PipelineError, StreamError) as error:
            # The next call tries again.
            logger.error("engine: %s", error)
        finally:
            self._relaunch = None

    async def _shut(self) -> None:
        if self._relaunch is not None:
            self._relaunch.cancel()
            await asyncio.wait({self._relaunch})
        process, self._process = self._process, None
        if process is not None:
            asyncio.get_running_loop().remove_reader(process.sentinel)
            # The thread may be waiting for an answer, and is freed by this.
            process.terminate()
            await asyncio.wrap_future(self._pipe_thread.submit(_bury, process, self._connection, self._frames))
        self._pipe_thread.shutdown(wait=False, cancel_futures=True)


def _spawn(build: Build, given_up: ctypes.c_bool) -> tuple[BaseProcess, Connection, SharedFrames]:
    # A forked child would inherit locks of threads that it does not have.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    level = logging.getLogger().getEffectiveLevel()
    process = context.Process(target=serve, args=(theirs, build, given_up, level), name="vivant-engine", daemon=True)
    process.start()
    # Held open here as well, it would never show the end of the other side.
    theirs.close()
    assert process.pid is not None
    frames = SharedFrames.make()
    # One that is dead already is noticed by the first call.
    with contextlib.suppress(OSError):
        frames.send(ours, process.pid)
    return process, ours, frames


def _discard(spawning: "Future[tuple[BaseProcess, Connection, SharedFrames]]") -> None:
    if not spawning.cancelled() and spawning.exception() is None:
        process, connection, frames = spawning.result()
        process.terminate()
        _bury(process, connection, frames)


def _bury(process: BaseProcess, connection: Connection | None, frames: SharedFrames | None) -> None:
    if connection is not None:
        connection.close()
    if frames is not None:
        frames.close()
    process.join(_END_S)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()


def _exchange(
    connection: Connection, frames: SharedFrames, request: Request, picture: Pixels | None, progress: Progress
) -> Any:
    """Send a call, pass its stages on, wait for its answer. Raises EOFError or OSError when the other side is gone."""
    connection.send(request)
    if picture is not None:
        connection.send_bytes(picture.data.cast("B"))
    while isinstance(answer := connection.recv(), Stage):
        progress(answer.text)
    if not isinstance(answer, _Announced):
        return answer
    taken = frames.take(answer.shape) if answer.is_shared else _receive_pixels(connection, answer.shape)
    return replace(answer.chunk, frames=taken)


def _receive_pixels(connection: Connection, shape: tuple[int, ...]) -> Pixels:
    pixels = np.empty(shape, np.uint8)
    connection.recv_bytes_into(pixels.data.cast("B"))
    return pixels


@dataclass(frozen=True, slots=True)
class _Announced:
    """A chunk without its frames, and the shape of those; they follow where they are not in shared memory."""

    chunk: Chunk
    shape: tuple[int, ...]
    is_shared: bool


class _Child:
    """The model in the spawned process: two threads, one that reads the pipe and one that owns the model."""

    def __init__(self, connection: Connection, build: Build, given_up: ctypes.c_bool) -> None:
        self._connection = connection
        self._build = build
        self._given_up = given_up
        self._host: PipelineHost[Any] | None = None
        self._pictures = ReceivedPictures()
        self._frames = SharedFrames.receive(connection)

    def read(self) -> Request:
        """Wait for a call, with its picture put back. Raises EOFError or OSError when the parent is gone."""
        request: Request = self._connection.recv()
        shape = request.picture
        picture = None if isinstance(shape, bool) else _receive_pixels(self._connection, shape)
        return self._pictures.put_back(request, picture)

    def answer(self, request: Request) -> Any:
        """Carry out a call."""
        if self._host is None:
            self._host = PipelineHost(self._build, self._tell, lambda: self._given_up.value)
        if request.method == "warm_up":
            return self._host.warm_up(self._tell)
        return getattr(self._host, request.method)(request.stream_id, *request.arguments)

    def _tell(self, stage: str) -> None:
        self._connection.send(Stage(stage))

    def reply(self, answered: "Future[Any]") -> None:
        """Send back what came of a call."""
        error = answered.exception()
        if error is not None:
            self._connection.send(failure(error))
            return
        value = answered.result()
        if not isinstance(value, Chunk):
            self._connection.send(value)
            return
        is_shared = self._frames.put(value.frames)
        self._connection.send(_Announced(replace(value, frames=_NO_FRAMES), value.frames.shape, is_shared))
        if not is_shared:
            self._connection.send_bytes(np.ascontiguousarray(value.frames).data.cast("B"))


def serve(connection: Connection, build: Build, given_up: ctypes.c_bool, log_level: int) -> None:
    """Run the model for the parent process until that closes the pipe or is gone; the child's main."""
    # Ctrl-C in a terminal goes to every process; the parent ends this one in its own time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    child = _Child(connection, build, given_up)
    with ThreadPoolExecutor(1, "model") as thread:
        while True:
            try:
                request = child.read()
            except (EOFError, OSError):
                # At once, also from the middle of a chunk: nothing of the model outlives the process anyway.
                os._exit(0)
            thread.submit(child.answer, request).add_done_callback(child.reply)
