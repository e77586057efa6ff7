"""Recordings as files: where they lie, how much they may take, what becomes of a full disk. Blocking."""

import errno
import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from stream.errors import StreamError

logger = logging.getLogger(__name__)

SECRET_BYTES = 24
NAME = re.compile(r"[A-Za-z0-9_-]{32}\.mp4")
# A full disk harms more than a recording.
FREE_BYTES = 64 << 20
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def make_name() -> str:
    """Make a file name that nobody can guess."""
    return f"{secrets.token_urlsafe(SECRET_BYTES)}.mp4"


def recording_url(name: str) -> str:
    """Give the URL of a recording: who knows it may fetch it."""
    return f"/recordings/{name}"


def recording_path(folder: str, name: str) -> Path | None:
    """Give the file of that name, or None where it can't be one of ours.

    >>> recording_path("/videos", "../../etc/passwd"), recording_path("", "a" * 32 + ".mp4")
    (None, None)
    """
    return Path(folder).expanduser() / name if folder and NAME.fullmatch(name) else None


def free_bytes(folder: Path) -> int:
    """Tell how much more the disk of a folder takes."""
    return shutil.disk_usage(folder).free


class RecordingFolder:
    """A folder of recordings that takes at most ``most_bytes`` in all; used by one thread."""

    def __init__(self, folder: str, most_bytes: int, free: Callable[[Path], int] = free_bytes) -> None:
        self._folder = folder
        self._most = most_bytes
        self._free = free
        self._used = 0

    def create(self, name: str) -> "RecordingFile":
        """Create an empty file that only this user can read.

        Raises StreamError ``not_supported`` where recordings are turned off, ``at_capacity`` where there is no
        room, ``internal`` where the folder can't be written.
        """
        path = recording_path(self._folder, name)
        if path is None:
            raise StreamError("not_supported", "This server keeps no recordings: stream.recordings is empty.")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.scandir(path.parent) as entries:
                self._used = sum(entry.stat().st_size for entry in entries if NAME.fullmatch(entry.name))
            self._check_room(path.parent, 1)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            return RecordingFile(self, path, open(descriptor, "wb", buffering=0))
        except OSError as error:
            raise explain(error) from error

    def take(self, folder: Path, size: int) -> None:
        """Take so many bytes of what is allowed. Raises StreamError ``at_capacity``."""
        self._check_room(folder, size)
        self._used += size

    def _check_room(self, folder: Path, size: int) -> None:
        if self._used + size > self._most:
            why = f"The recordings of this server take the {self._most} bytes that stream.recordings_bytes allows"
            raise StreamError("at_capacity", f"{why}; delete some, or allow more.", ahead=0)
        if self._free(folder) < FREE_BYTES + size:
            raise _disk_full()


class RecordingFile:
    """One recording being written."""

    def __init__(self, folder: RecordingFolder, path: Path, file: BinaryIO) -> None:
        self._folder = folder
        self._path = path
        self._file = file
        self.bytes = 0
        """How long the file is."""

    def write(self, data: bytes) -> None:
        """Add bytes, all or none.

        Raises StreamError ``at_capacity`` where there is no room, ``internal`` for other faults.
        """
        self._folder.take(self._path.parent, len(data))
        rest, begin = memoryview(data), self.bytes
        try:
            while rest:
                written = self._file.write(rest)
                self.bytes += written
                rest = rest[written:]
        except OSError as error:
            # Half a fragment would be the end of the file for many a player.
            self._file.truncate(begin)
            self.bytes = begin
            raise explain(error) from error

    def close(self) -> None:
        """End the file; an empty one is taken away."""
        self._file.close()
        if self.bytes == 0:
            self._path.unlink(missing_ok=True)


def _disk_full() -> StreamError:
    why = "The disk of this server's recordings is full; free some space, or set stream.recordings elsewhere."
    return StreamError("at_capacity", why, ahead=0)


def explain(error: OSError) -> StreamError:
    """Say to a client why a recording can't be written; the path is for the log alone."""
    if error.errno in DISK_FULL:
        return _disk_full()
    logger.error("recordings can't be written: %s", error)
    return StreamError("internal", f"The folder stream.recordings can't be written: {error.strerror}.")
