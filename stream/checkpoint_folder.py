"""Streams' last checkpoints as files, to go on from when their server or their people were gone. Blocking.

``FOLDER/NAME/stream.json``           what was asked, and where the video stands; names the others by their hash
``FOLDER/NAME/SHA256.png``, ``.bin``  pictures, and what the model saved

Each file is written under another name, flushed to the disk, then renamed, ``stream.json`` last: at any moment what it
names is there, and whole. NAME is random, and nothing that a client says becomes part of a path.
"""

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.picture import PictureError, read_picture
from pipeline.types import Pixels
from stream.kept import VERSION, Kept, kept_of, told
from stream.recording import FREE_BYTES, free_bytes

MANIFEST, LOCK = "stream.json", ".lock"
NAME = re.compile(r"[0-9a-f]{32}")
BLOB = re.compile(r"[0-9a-f]{64}\.(png|bin)")
_ODD = (KeyError, TypeError, ValueError, AttributeError, RecursionError)
"""What reading JSON of another shape raises."""


class CheckpointError(Exception):
    """Why a checkpoint can't be written or read, in words for whoever runs the server."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a checkpoint is kept once its stream is gone, in seconds, and the most bytes of all together."""

    seconds: float
    bytes: int


@dataclass(slots=True, eq=False)
class _Place:
    """One stream's folder; ``known`` are the names of what was written last."""

    path: Path
    token_sha256: str
    size: int = 0
    is_live: bool = False
    known: list[tuple[Pixels | bytes, str]] = field(default_factory=list[tuple[Pixels | bytes, str]])

    @property
    def seen_at(self) -> float:
        try:
            return (self.path / MANIFEST).stat().st_mtime
        except OSError:
            return 0.0


def _now() -> float:
    """Seconds since 1970: this process's own clock says nothing to the next one."""
    return datetime.now(UTC).timestamp()


class CheckpointFolder:
    """The folder of one server's checkpoints, used by one thread."""

    def __init__(
        self,
        path: Path,
        bounds: Bounds,
        now: Callable[[], float] = _now,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._path, self._bounds, self._now, self._free = path, bounds, now, free
        self._places: dict[str, _Place] = {}
        self._lock: int | None = None

    def begin(self) -> None:
        """Make the folder this server's own, and look what there is. Raises CheckpointError."""
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = [path for path in self._path.iterdir() if NAME.fullmatch(path.name)]
        except BlockingIOError as error:
            raise CheckpointError(f"another server keeps its streams in {self._path}") from error
        except OSError as error:
            raise CheckpointError(f"{self._path} can't be used: {error.strerror}") from error
        for path in found:
            try:
                manifest = _read_manifest(path)
                self._places[str(manifest["stream"])] = _Place(path, str(manifest["token_sha256"]), _size(path))
            except (OSError, *_ODD):
                _remove(path)
        self.tend()

    def end(self) -> None:
        """Let go of the folder; what lies there stays."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def token_sha256(self, stream_id: str) -> str | None:
        """Give the hash of a kept stream's control token; None where it is not kept (any more)."""
        self._drop_old()
        return self._places[stream_id].token_sha256 if stream_id in self._places else None

    def write(self, kept: Kept) -> None:
        """Keep a stream that is live here, in place of what was kept of it. Raises CheckpointError."""
        place = self._places.get(kept.stream_id)
        if place is None:
            place = _Place(self._path / secrets.token_hex(16), kept.token_sha256)
        place.is_live, self._places[kept.stream_id] = True, place
        try:
            place.path.mkdir(mode=0o700, exist_ok=True)
            known: list[tuple[Pixels | bytes, str]] = []
            manifest = told(kept, lambda value: self._keep(place, value, known))
            self._put(place, MANIFEST, json.dumps(manifest).encode())
            place.known = known
            for path in place.path.iterdir():
                if path.name != MANIFEST and path.name not in {name for _, name in known}:
                    path.unlink()
        except OSError as error:
            raise CheckpointError(f"{self._path} can't be written: {error.strerror}") from error
        finally:
            place.size = _size(place.path)
            if not (place.path / MANIFEST).exists():
                self.forget(kept.stream_id)

    def read(self, stream_id: str) -> Kept:
        """Give a stream that is kept. Raises CheckpointError, for one that is not (any more) too."""
        place = self._places.get(stream_id)
        if place is None:
            raise CheckpointError("it was removed meanwhile")
        try:
            kept = kept_of(_read_manifest(place.path), lambda name: _read_blob(place, name))
        except (OSError, PictureError, *_ODD) as error:
            raise CheckpointError(f"{place.path} is damaged: {error!r}") from error
        place.is_live = True
        return kept

    def release(self, stream_id: str) -> None:
        """Count a stream as gone from now on."""
        if (place := self._places.get(stream_id)) is not None:
            place.is_live = False
            _touch(place.path, self._now())

    def forget(self, stream_id: str) -> None:
        """Remove what is kept of a stream; idempotent."""
        if (place := self._places.pop(stream_id, None)) is not None:
            _remove(place.path)

    def tend(self) -> None:
        """Note which streams are live now, should the server be killed, and remove those gone for too long."""
        for place in self._places.values():
            if place.is_live:
                _touch(place.path, self._now())
        self._drop_old()

    def _drop_old(self) -> None:
        before = self._now() - self._bounds.seconds
        for stream_id, place in list(self._places.items()):
            if not place.is_live and place.seen_at < before:
                self.forget(stream_id)

    def _keep(self, place: _Place, value: Pixels | bytes, known: list[tuple[Pixels | bytes, str]]) -> str:
        """Keep a picture or what a model saved, unless it is there; gives its file's name."""
        name = next((name for one, name in (*known, *place.known) if one is value), None)
        if name is None:
            data = value if isinstance(value, bytes) else _png(value)
            name = f"{hashlib.sha256(data).hexdigest()}.{'bin' if isinstance(value, bytes) else 'png'}"
            if not (place.path / name).exists():
                self._put(place, name, data)
        known.append((value, name))
        return name

    def _put(self, place: _Place, name: str, data: bytes) -> None:
        """Write a file whole, flushed to the disk, or not at all."""
        self._make_room(place, len(data))
        partial = place.path / f"{name}.part"
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        partial.replace(place.path / name)
        folder = os.open(place.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        place.size += len(data)

    def _make_room(self, place: _Place, size: int) -> None:
        """Make room for so many bytes, by what is gone for longest. Raises CheckpointError."""
        gone = [(one.seen_at, stream_id) for stream_id, one in self._places.items() if not one.is_live]
        for _, stream_id in sorted(gone):
            if self._used() + size <= self._bounds.bytes:
                break
            self.forget(stream_id)
        if self._used() + size > self._bounds.bytes:
            raise CheckpointError(f"the {self._bounds.bytes} bytes that stream.resume_bytes allows are taken")
        if self._free(self._path) < FREE_BYTES + size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _used(self) -> int:
        return sum(place.size for place in self._places.values())


def _png(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    # The hardest compression takes a second, and saves a tenth.
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _read_blob(place: _Place, name: str) -> Pixels | bytes:
    """Read a file of the manifest. Raises ValueError for one that is damaged, or no name of ours."""
    if not BLOB.fullmatch(name):
        raise ValueError(f"{name!r} is no file of a checkpoint")
    data = (place.path / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != name[:64]:
        raise ValueError(f"{name} has another hash")
    value = data if name.endswith(".bin") else read_picture(place.path / name)
    place.known.append((value, name))
    return value


def _read_manifest(path: Path) -> dict[str, Any]:
    manifest = json.loads((path / MANIFEST).read_bytes())
    if manifest["version"] != VERSION:
        raise ValueError("another version's")
    return manifest


def _size(path: Path) -> int:
    try:
        with os.scandir(path) as entries:
            return sum(entry.stat().st_size for entry in entries)
    except OSError:
        return 0


def _touch(path: Path, at: float) -> None:
    # A folder that was taken away from outside is no reason to stop.
    with contextlib.suppress(OSError):
        os.utime(path / MANIFEST, (at, at))


def _remove(path: Path) -> None:
    """Remove a stream's folder, the manifest first; files that are not ours stay, and so does the folder then."""
    with contextlib.suppress(OSError):
        (path / MANIFEST).unlink(missing_ok=True)
        for file in path.iterdir():
            if BLOB.fullmatch(file.name.removesuffix(".part")) or file.name == f"{MANIFEST}.part":
                file.unlink()
        path.rmdir()
