"""What is kept of a server's streams, to go on from after it was killed, or they had ended."""

import asyncio
import hashlib
import hmac
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from stream.checkpoint_folder import Bounds, CheckpointError, CheckpointFolder
from stream.clock import Cancellable, Timer
from stream.config import StreamConfig
from stream.errors import StreamError
from stream.kept import Kept

logger = logging.getLogger(__name__)

TEND_S = 30.0
TRIES = 3
"""How often a stream goes on from the same checkpoint: it may be what it dies of."""
CLOSE_S = 1.0

ResultT = TypeVar("ResultT")


def resume_folder(named: str) -> Path | None:
    """Give the folder that ``stream.resume_folder`` means: ``auto`` is where a user's programs keep their state."""
    if named == "auto":
        return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "vivant" / "streams"
    return Path(named).expanduser() if named else None


def token_sha256(control_token: str) -> str:
    """Hash a control token: who reads the folder can't direct a stream by what stands there."""
    return hashlib.sha256(control_token.encode("utf-8", "replace")).hexdigest()


class Checkpoints:
    """The checkpoints of a server's streams, written and read by one thread.

    ``identify`` tells the model from others by a hash; it is called by that thread, for it may read files.
    """

    def __init__(self, folder: CheckpointFolder | None, identify: Callable[[], str], interval_s: float) -> None:
        self.interval_s = interval_s
        self._folder = folder
        self._identify = identify
        self._model: str | None = None
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._tending: Cancellable | None = None

    @classmethod
    def of(cls, config: StreamConfig, identify: Callable[[], str] = str) -> "Checkpoints":
        """Make it as configured."""
        path = resume_folder(config.resume_folder)
        bounds = Bounds(config.resume_s, config.resume_bytes)
        folder = None if path is None else CheckpointFolder(path, bounds)
        return cls(folder, identify, config.checkpoint_s)

    @property
    def is_on(self) -> bool:
        """Whether streams are kept."""
        return self._folder is not None

    def begin(self, timer: Timer) -> None:
        """Look what there is of a server before, and tend it from now on; returns at once."""
        if self._folder is not None:
            self._thread.submit(self._begin, self._folder)
            self._book(timer)

    async def check(self, stream_id: str, control_token: str) -> None:
        """Raise StreamError ``not_found`` for a stream that is not kept, ``unauthorized`` for another's token."""
        wanted = await self._run(lambda folder: folder.token_sha256(stream_id))
        if wanted is None:
            raise StreamError("not_found", "There is no such stream; it may have ended.")
        if not hmac.compare_digest(wanted, token_sha256(control_token)):
            raise StreamError("unauthorized", "That is not this stream's control token.")

    async def load(self, stream_id: str) -> Kept:
        """Give a stream that is kept. Raises StreamError ``wrong_state`` for one that can't go on here."""
        try:
            kept = await self._run(lambda folder: folder.read(stream_id))
        except CheckpointError as error:
            logger.warning("stream %s: its checkpoint can't be read: %s", stream_id, error)
            await self.forget(stream_id)
            raise StreamError("not_found", "There is no such stream; it may have ended.") from error
        if kept is None:
            raise StreamError("not_found", "There is no such stream; it may have ended.")
        if kept.tries >= TRIES:
            await self.forget(stream_id)
            why = f"The stream ended {TRIES} times where it was to go on; begin a new one."
            raise StreamError("wrong_state", why)
        if kept.model != await self.model():
            await self.release(stream_id)
            why = "The stream can't go on: the server has another model now, or other settings of it. Begin a new one."
            raise StreamError("wrong_state", why)
        return kept

    async def model(self) -> str:
        """Tell the model from others."""
        if self._model is None:
            self._model = await self._run(lambda folder: self._identify())
        return self._model or ""

    async def write(self, kept: Kept) -> None:
        """Keep a stream as it is. Raises CheckpointError."""
        await self._run(lambda folder: folder.write(kept))

    async def release(self, stream_id: str) -> None:
        """Count a stream as gone from now on; what is kept of it is so for a while."""
        await self._run(lambda folder: folder.release(stream_id))

    async def forget(self, stream_id: str) -> None:
        """Remove what is kept of a stream."""
        await self._run(lambda folder: folder.forget(stream_id))

    async def close(self) -> None:
        """Let go of the folder, once what is under way is done."""
        if self._tending is not None:
            self._tending.cancel()
        closing = asyncio.ensure_future(self._run(lambda folder: folder.end()))
        if not (await asyncio.wait({closing}, timeout=CLOSE_S))[0]:
            logger.warning("the disk is too slow for what is kept of the streams")
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _begin(self, folder: CheckpointFolder) -> None:
        try:
            folder.begin()
        except CheckpointError as error:
            logger.warning("streams can't go on after a restart: %s; name another stream.resume_folder", error)
            self._folder = None

    def _book(self, timer: Timer) -> None:
        self._tending = timer.call_at(timer.time() + TEND_S, self._tend, timer)

    def _tend(self, timer: Timer) -> None:
        if self._folder is not None:
            self._thread.submit(self._folder.tend)
            self._book(timer)

    async def _run(self, work: Callable[[CheckpointFolder], ResultT]) -> ResultT | None:
        def do() -> ResultT | None:
            return None if self._folder is None else work(self._folder)

        return await asyncio.get_running_loop().run_in_executor(self._thread, do)
