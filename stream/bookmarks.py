"""Places of a stream that one can go back to, or go on from in a stream of its own."""

import asyncio
import base64
import io
import secrets
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from PIL import Image

from pipeline.types import Pixels
from stream.control import Restart
from stream.errors import StreamError
from stream.picture import Picture

THUMBNAIL_SIZE = (160, 160)
_THUMBNAIL_QUALITY = 70
NAME_CHARS = 80


@dataclass(frozen=True, slots=True, eq=False)
class Bookmark:
    """A place: its own id, the director's name for it, the frame on air and a ``data:`` URL of that, how to go on."""

    id: str
    name: str
    frame: int
    thumbnail: str
    restart: Restart[Picture]

    def described(self) -> dict[str, Any]:
        """Tell of it, as on the wire."""
        told = {"bookmark": self.id, "name": self.name, "frame": self.frame, "thumbnail": self.thumbnail}
        return told | {"mode": self.restart.mode, "prompt": self.restart.prompt, "seed": self.restart.seed}


class Bookmarks:
    """The bookmarks of one stream, at most ``limit`` of them: a new one takes the place of the oldest.

    ``save`` gives what the stream goes on from; thumbnails are made in ``thread``.
    """

    def __init__(self, save: Callable[[], Awaitable[Restart[Picture]]], thread: Executor, limit: int) -> None:
        self._save, self._thread, self._limit = save, thread, limit
        self._held: dict[str, Bookmark] = {}

    async def add(self, name: str, frame: int, on_air: Pixels | None) -> Bookmark:
        """Make one of this moment. Raises ``not_supported``, ``wrong_state``, ``too_long`` for its name."""
        if self._limit == 0:
            raise StreamError("not_supported", "This server keeps no bookmarks (stream.bookmarks is 0).")
        if len(name) > NAME_CHARS:
            raise StreamError("too_long", f"A bookmark's `name` may have {NAME_CHARS} characters, not {len(name)}.")
        if on_air is None:
            raise StreamError("wrong_state", "No frame is on air yet; start the stream first.")
        restart = await self._save()
        made = await asyncio.get_running_loop().run_in_executor(self._thread, thumbnail, on_air)
        bookmark = Bookmark(secrets.token_urlsafe(6), name, frame, made, restart)
        while len(self._held) >= self._limit:
            del self._held[next(iter(self._held))]
        self._held[bookmark.id] = bookmark
        return bookmark

    def find(self, bookmark_id: str) -> Bookmark:
        """Give the one of this id. Raises ``not_found``."""
        if bookmark_id not in self._held:
            raise StreamError("not_found", "There is no such bookmark (any more); those there are follow `welcome`.")
        return self._held[bookmark_id]

    @property
    def all(self) -> tuple[Bookmark, ...]:
        """They, the oldest first."""
        return tuple(self._held.values())

    def take_up(self, kept: Iterable[Bookmark]) -> None:
        """Hold those of a stream that goes on, the newest of them."""
        self._held = {bookmark.id: bookmark for bookmark in [*kept][-self._limit :]} if self._limit else {}

    def described(self) -> list[dict[str, Any]]:
        """Tell of them all, the oldest first."""
        return [bookmark.described() for bookmark in self._held.values()]


def thumbnail(pixels: Pixels) -> str:
    """Make a small JPEG of ``uint8 [H, W, 3]`` RGB as a ``data:`` URL, about 5 kB; blocking.

    >>> import numpy as np
    >>> thumbnail(np.zeros((48, 80, 3), np.uint8))[:23]
    'data:image/jpeg;base64,'
    """
    image, file = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail(THUMBNAIL_SIZE)
    image.save(file, "JPEG", quality=_THUMBNAIL_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
