"""Memory that two processes share, through which a chunk's frames cross."""

import mmap
import os
import tempfile
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle

import numpy as np

from pipeline.types import Pixels

SHARED_BYTES = 1 << 30
"""Room for the largest chunk, a quarter of a second of 3840x2160 at 120 frames/s; what is not used takes no memory."""


class SharedFrames:
    """One chunk's frames at a time: put on one side, taken on the other before the next are put.

    What does not fit must go another way. On Linux the memory has no name and ends with the processes; elsewhere it is
    a file that has no name any more.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._memory = mmap.mmap(handle, SHARED_BYTES)

    @classmethod
    def make(cls) -> "SharedFrames":
        """Make it, in the process that takes the frames. Raises OSError."""
        if hasattr(os, "memfd_create"):
            handle = os.memfd_create("vivant-frames")
        else:
            with tempfile.TemporaryFile() as file:
                handle = os.dup(file.fileno())
        os.truncate(handle, SHARED_BYTES)
        return cls(handle)

    def send(self, connection: Connection, pid: int) -> None:
        """Give it to the process at the other end."""
        send_handle(connection, self._handle, pid)

    @classmethod
    def receive(cls, connection: Connection) -> "SharedFrames":
        """Take it from the process at the other end."""
        return cls(recv_handle(connection))

    def put(self, frames: Pixels) -> bool:
        """Put frames in; False, and nothing is done, when they are too many."""
        if frames.nbytes > SHARED_BYTES:
            return False
        np.copyto(self._view(frames.shape), frames)
        return True

    def take(self, shape: tuple[int, ...]) -> Pixels:
        """Give the frames that were put in last, as an array of its own.

        >>> shared = SharedFrames.make()
        >>> shared.put(np.full((1, 2, 2, 3), 7, np.uint8))
        True
        >>> int(shared.take((1, 2, 2, 3)).sum())
        84
        """
        return self._view(shape).copy()

    def close(self) -> None:
        """Let go of it; idempotent."""
        if not self._memory.closed:
            self._memory.close()
            os.close(self._handle)

    def _view(self, shape: tuple[int, ...]) -> Pixels:
        return np.frombuffer(self._memory, np.uint8, count=int(np.prod(shape))).reshape(shape)
