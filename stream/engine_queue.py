"""Calls for a model that wait, by stream and deadline."""

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from pipeline.errors import AbandonedError
from stream.errors import StreamError

ABANDONABLE = ("generate", "commit")
"""Calls that can be given up."""


@dataclass(slots=True, eq=False)
class Job:
    """One call for the model: a method of :class:`PipelineHost`, its arguments after the id, who waits."""

    method: str
    stream_id: str
    arguments: tuple[Any, ...]
    deadline: float
    result: "asyncio.Future[Any]"


class JobQueue:
    """Jobs by stream: first come, first served within a stream, the earliest deadline first among streams.

    A job that waits behind another of its stream lends it its urgency.
    """

    def __init__(self) -> None:
        self._lines: dict[str, deque[Job]] = {}

    def put(self, job: Job) -> None:
        """Add a job at the end of its stream's line."""
        self._lines.setdefault(job.stream_id, deque()).append(job)

    def pop(self) -> Job | None:
        """Take out the most urgent job that anyone still waits for, or give None."""
        best: str | None = None
        earliest = math.inf
        for stream_id in list(self._lines):
            wanted = (job for job in self._lines[stream_id] if not job.result.done())
            line = self._lines[stream_id] = deque(wanted)
            if not line:
                del self._lines[stream_id]
            elif best is None or min(job.deadline for job in line) < earliest:
                best, earliest = stream_id, min(job.deadline for job in line)
        return None if best is None else self._lines[best].popleft()

    def abandon(self, stream_id: str) -> None:
        """Give up the chunk or context of a stream that waits."""
        for job in self._lines.get(stream_id, ()):
            if job.method in ABANDONABLE and not job.result.done():
                job.result.set_exception(AbandonedError("a newer command came"))

    def fail(self, error: StreamError) -> None:
        """Refuse all that wait."""
        for line in self._lines.values():
            for job in line:
                if not job.result.done():
                    job.result.set_exception(error)
        self._lines.clear()
