"""The log of a stream's session: every frame's making, every command, so that the video can be made again.

What is noted on the event loop is written by one thread, in order, and nobody waits for it. A log that can't go on
ends with a warning; its stream never does.
"""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipeline.session import APART, VERSION, SentChunk, conditioning_line
from pipeline.types import Conditioning, Pixels
from stream.clock import Timer
from stream.config import StreamConfig
from stream.control import Opening
from stream.playout import DueFrame
from stream.protocol import ClientMessage
from stream.session_folder import LogBounds, LogEnds, LogFile, SessionFolder

logger = logging.getLogger(__name__)

CLOSE_S = 2.0
# Each holds a chunk's frames until they are hashed: 5 to 16 MB.
WAITING = 32

Describe = Callable[[], dict[str, Any]]
"""Tells the model: its settings and hashes, as JSON values; called by the writing thread, for it may read files."""


@dataclass(frozen=True, slots=True)
class SessionLogs:
    """What the logs of a server share: the folder (None: no logs), the thread that writes there, the model."""

    folder: SessionFolder | None
    thread: ThreadPoolExecutor
    describe: Describe

    @classmethod
    def of(cls, config: StreamConfig, describe: Describe = dict) -> "SessionLogs":
        """Make it as configured; nothing is written before the first frame."""
        bounds = LogBounds(config.session_logs_bytes, config.session_logs_count)
        folder = SessionFolder(config.session_logs, bounds) if config.session_logs else None
        return cls(folder, ThreadPoolExecutor(1, "session-log"), describe)


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """A command as the log has it: the message, who gave it, loop time when it came, the picture that it brought."""

    message: ClientMessage
    by: str
    received: float
    picture: Pixels | None = None


class SessionLog:
    """The log of one stream, from its first frame on; :meth:`sent` and :meth:`applied` return at once."""

    def __init__(self, stream_id: str, logs: SessionLogs, timer: Timer) -> None:
        self._id = stream_id
        self._logs = logs
        self._timer = timer
        self._begun: float | None = None
        self._writer: _Writer | None = None
        self._jobs: deque[Future[None]] = deque()
        self._early: deque[tuple[Any, ...]] = deque(maxlen=WAITING)
        self._is_over = logs.folder is None

    def sent(self, frame: DueFrame) -> None:
        """Note a chunk whose first frame is sent."""
        if frame.opens is None or self._is_over:
            return
        if self._writer is None:
            self._writer = _Writer(self._id, self._logs)
        for values in self._early:
            self._do("command", *values)
        self._early.clear()
        self._do("chunk", frame)

    def applied(self, given: Given, frame: int) -> None:
        """Note a command that took effect at this frame."""
        if not self._is_over:
            times = {"given_s": self._since(given.received), "applied_s": self._since(self._timer.time())}
            if self._writer is None:
                # A stream of which no frame is ever sent leaves no log.
                self._early.append((given, frame, times))
            else:
                self._do("command", given, frame, times)

    async def close(self, frames: int) -> None:
        """End the log of a stream that sent so many frames; waits for what is under way, but not for ever."""
        if self._writer is None:
            return
        self._do("end", frames)
        self._is_over = True
        if self._jobs:
            rest = asyncio.wrap_future(self._jobs[-1])
            if not (await asyncio.wait({rest}, timeout=CLOSE_S))[0]:
                logger.warning("stream %s: its session log could not be finished in %s s", self._id, CLOSE_S)
            for job in self._jobs:
                if job.done():
                    self._check(job)

    def _since(self, at: float) -> float:
        if self._begun is None:
            self._begun = self._timer.time()
        return round(at - self._begun, 3)

    def _do(self, what: str, *values: Any) -> None:
        assert self._writer is not None
        while self._jobs and self._jobs[0].done():
            self._check(self._jobs.popleft())
        if self._is_over:
            return
        if len(self._jobs) >= WAITING:
            self._is_over = True
            logger.warning("stream %s: its session log ends: the disk is too slow for it", self._id)
            what, values = "give_up", ()
        self._jobs.append(self._logs.thread.submit(getattr(self._writer, what), *values))

    def _check(self, job: "Future[None]") -> None:
        assert self._writer is not None
        self._is_over = self._is_over or self._writer.is_over
        if (error := job.exception()) is not None:
            self._is_over = True
            logger.error("stream %s: its session log failed", self._id, exc_info=error)


class _Writer:
    """The part of a log that runs in the thread."""

    def __init__(self, stream_id: str, logs: SessionLogs) -> None:
        self._id = stream_id
        self._logs = logs
        self._file: LogFile | None = None
        self._conditionings: deque[tuple[Conditioning, int]] = deque(maxlen=2)
        self._openings: tuple[Opening, ...] = ()
        self._number = 0
        self.is_over = False

    def chunk(self, frame: DueFrame) -> None:
        """Write a chunk, after the conditionings that are new in it."""
        self._guard(self._chunk, frame)

    def command(self, given: Given, frame: int, times: dict[str, float]) -> None:
        """Write a command, after keeping its picture."""
        self._guard(self._command, given, frame, times)

    def end(self, frames: int) -> None:
        """Write the end, and close."""
        self._guard(self._end, frames)

    def give_up(self) -> None:
        """Close without an end."""
        self.is_over = True
        if self._file is not None:
            self._file.close()

    def _guard(self, write: Callable[..., None], *values: Any) -> None:
        if self.is_over:
            return
        try:
            write(*values)
        except LogEnds as error:
            logger.warning("stream %s: its session log ends: %s", self._id, error)
            self.give_up()
        except BaseException:
            self.give_up()
            raise

    def _chunk(self, frame: DueFrame) -> None:
        assert frame.opens is not None
        chunk, opens = frame.chunk, frame.opens
        under = self._conditioning(opens.conditioning)
        opened = tuple(self._opening(opening) for opening in self._new(opens.openings))
        digest = hashlib.sha256(np.ascontiguousarray(chunk.frames).data).hexdigest()
        sent = SentChunk(
            frame=frame.index,
            pts=frame.pts,
            take=opens.take,
            latent=chunk.first_latent,
            latents=chunk.latents,
            frames=len(chunk.frames),
            fps=chunk.fps,
            quality=chunk.quality,
            under=under,
            opened=opened,
            sha256=digest,
            skip=opens.conditioning.skip,
        )
        self._opened().write(sent.line())

    def _command(self, given: Given, frame: int, times: dict[str, float]) -> None:
        file = self._opened()
        said = {name: value for name, value in asdict(given.message).items() if name != "id" and value is not None}
        line = {"type": "command", "frame": frame, **times, "by": given.by}
        line["command"] = {"type": given.message.type, **said}
        if given.picture is not None:
            line["picture"] = file.keep_picture(given.picture)
        file.write(line)

    def _end(self, frames: int) -> None:
        self._opened().write({"type": "end", "frames": frames})
        self._opened().close()
        self.is_over = True

    def _new(self, openings: tuple[Opening, ...]) -> tuple[Opening, ...]:
        """Give the openings since those of the chunk before."""
        before, self._openings = self._openings, openings
        return openings[sum(one is other for one, other in zip(before, openings, strict=False)) :]

    def _opening(self, opening: Opening) -> tuple[int, str]:
        saved = "" if opening.saved is None else self._opened().keep_state(opening.saved)
        return self._conditioning(opening.conditioning), saved

    def _conditioning(self, conditioning: Conditioning) -> int:
        """Give the number of a conditioning, and write it if it is new."""
        for known, number in self._conditionings:
            if _is_alike(known, conditioning):
                return number
        self._number += 1
        file = self._opened()
        picture = None if conditioning.image is None else file.keep_picture(conditioning.image)
        file.write(conditioning_line(self._number, conditioning, picture))
        self._conditionings.append((conditioning, self._number))
        return self._number

    def _opened(self) -> LogFile:
        if self._file is None:
            assert self._logs.folder is not None
            now = datetime.now(UTC)
            self._file = self._logs.folder.create(f"{now:%Y%m%d-%H%M%S}-{self._id}")
            header = {"type": "session", "version": VERSION, "stream": self._id, "begun": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
            self._file.write(header | self._logs.describe())
        return self._file


def _is_alike(one: Conditioning, other: Conditioning) -> bool:
    """Whether they ask for the same, but for what stands with each chunk."""
    names = [item.name for item in fields(Conditioning) if item.name not in APART]
    return one.image is other.image and all(getattr(one, name) == getattr(other, name) for name in names)
