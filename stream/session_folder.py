"""Session logs as files: where they lie, how much they may take, what becomes of a full disk. Blocking."""

import errno
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from PIL import Image

from pipeline.session import PICTURES, STATES, picture_path, picture_sha256, state_path
from pipeline.types import Pixels
from stream.recording import DISK_FULL, FREE_BYTES, free_bytes

SUFFIX = ".jsonl"
KNOWN = 4

KeptT = TypeVar("KeptT", Pixels, bytes)


class LogEnds(Exception):
    """Why a log can't go on, in words for whoever runs the server."""


@dataclass(frozen=True, slots=True)
class LogBounds:
    """The most bytes of all logs and their pictures together, and the most logs."""

    bytes: int
    count: int


class SessionFolder:
    """A folder of logs, with the pictures beside them; used by one thread."""

    def __init__(self, folder: str, bounds: LogBounds, free: Callable[[Path], int] = free_bytes) -> None:
        self.path = Path(folder).expanduser()
        self._bounds = bounds
        self._free = free
        self._used = 0

    def create(self, name: str) -> "LogFile":
        """Create an empty log that only this user can read. Raises LogEnds where there is no room, or no folder."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for beside in (PICTURES, STATES):
                (self.path / beside).mkdir(mode=0o700, exist_ok=True)
            logs, pictures = _sizes(self.path, SUFFIX), _sizes(self.path / PICTURES, ".png")
            states = _sizes(self.path / STATES, ".bin")
            if len(logs) >= self._bounds.count:
                raise LogEnds(f"there are the {self._bounds.count} logs that stream.session_logs_count allows")
            self._used = sum(logs) + sum(pictures) + sum(states)
            self.take(1)
            descriptor = os.open(self.path / f"{name}{SUFFIX}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise explain(error) from error
        return LogFile(self, open(descriptor, "wb", buffering=0))

    def take(self, size: int) -> None:
        """Take so many bytes of what is allowed. Raises LogEnds."""
        if self._used + size > self._bounds.bytes:
            raise LogEnds(f"the logs take the {self._bounds.bytes} bytes that stream.session_logs_bytes allows")
        if self._free(self.path) < FREE_BYTES + size:
            raise explain(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        self._used += size

    def keep_picture(self, pixels: Pixels) -> str:
        """Keep ``uint8 [H, W, 3]`` as PNG, unless it is there; gives its hash. Raises LogEnds."""
        sha256 = picture_sha256(pixels)
        path = picture_path(self.path, sha256)
        if path.exists():
            return sha256
        # The hardest compression takes a second, and saves a tenth.
        self._keep(path, lambda partial: Image.fromarray(pixels).save(partial, "PNG", compress_level=1))
        return sha256

    def keep_state(self, saved: bytes) -> str:
        """Keep what a model saved of a stream, unless it is there; gives its hash. Raises LogEnds."""
        sha256 = hashlib.sha256(saved).hexdigest()
        path = state_path(self.path, sha256)
        if not path.exists():
            self._keep(path, lambda partial: partial.write_bytes(saved))
        return sha256

    def _keep(self, path: Path, write: Callable[[Path], object]) -> None:
        partial = path.with_suffix(f".{os.getpid()}.part")
        try:
            write(partial)
            self.take(partial.stat().st_size)
            partial.chmod(0o600)
            partial.replace(path)
        except OSError as error:
            raise explain(error) from error
        finally:
            partial.unlink(missing_ok=True)


class LogFile:
    """One log being written."""

    def __init__(self, folder: SessionFolder, file: BinaryIO) -> None:
        self._folder = folder
        self._file = file
        self._end = 0
        self._known: deque[tuple[Pixels | bytes, str]] = deque(maxlen=KNOWN)

    def write(self, line: dict[str, Any]) -> None:
        """Add a line, whole or not at all. Raises LogEnds."""
        data = json.dumps(line, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        self._folder.take(len(data))
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._file.truncate(self._end)
            raise explain(error) from error
        self._end += len(data)

    def keep_picture(self, pixels: Pixels) -> str:
        """Keep a picture beside the log, once; gives its hash. Raises LogEnds."""
        return self._keep(pixels, self._folder.keep_picture)

    def keep_state(self, saved: bytes) -> str:
        """Keep a saved state beside the log, once; gives its hash. Raises LogEnds."""
        return self._keep(saved, self._folder.keep_state)

    def _keep(self, value: KeptT, keep: Callable[[KeptT], str]) -> str:
        for known, sha256 in self._known:
            if known is value:
                return sha256
        sha256 = keep(value)
        self._known.append((value, sha256))
        return sha256

    def close(self) -> None:
        """End the file."""
        self._file.close()


def _sizes(folder: Path, suffix: str) -> list[int]:
    with os.scandir(folder) as entries:
        return [entry.stat().st_size for entry in entries if entry.name.endswith(suffix)]


def explain(error: OSError) -> LogEnds:
    """Say why a log can't be written."""
    if error.errno in DISK_FULL:
        return LogEnds("the disk is full")
    return LogEnds(f"stream.session_logs can't be written: {error}")
