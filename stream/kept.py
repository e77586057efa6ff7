"""What is kept of a stream, to go on from when its server or its people were gone, as JSON and files beside."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.types import Pixels
from stream.bookmarks import Bookmark
from stream.control import Restart
from stream.picture import Picture

VERSION = 1

Keep = Callable[[Pixels | bytes], str]
"""Keeps a picture's pixels, or what a model saved, and names the file."""
Read = Callable[[str], Pixels | bytes]
"""Reads such a file."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A stream as it is kept.

    ``token_sha256`` is of its control token, ``model`` tells the model from others. ``frame`` and ``pts`` are those of
    the first frame to be made from ``asked`` on, whose ``saved`` is empty where the stream is idle. ``configured`` is
    what :meth:`stream.generation.Generation.configure` gave; ``tries`` counts how often it was gone on from.
    """

    stream_id: str
    token_sha256: str
    model: str
    state: str
    frame: int
    pts: int
    asked: Restart[Picture]
    bookmarks: tuple[Bookmark, ...] = ()
    configured: dict[str, float | int | str] = field(default_factory=dict[str, "float | int | str"])
    is_unattended: bool = False
    tries: int = 0


def told(kept: Kept, keep: Keep) -> dict[str, Any]:
    """Tell of a stream as JSON values."""
    simple = ("token_sha256", "model", "state", "frame", "pts", "configured", "is_unattended", "tries")
    marks = [
        {"id": mark.id, "name": mark.name, "frame": mark.frame, "thumbnail": mark.thumbnail}
        | {"restart": _told_restart(mark.restart, keep)}
        for mark in kept.bookmarks
    ]
    return (
        {"version": VERSION, "stream": kept.stream_id}
        | {name: getattr(kept, name) for name in simple}
        | {"asked": _told_restart(kept.asked, keep), "bookmarks": marks}
    )


def _told_restart(restart: Restart[Picture], keep: Keep) -> dict[str, Any]:
    picture, told = restart.picture, None
    if picture is not None:
        told = {"width": picture.width, "height": picture.height, "sha256": picture.sha256}
        told |= {"cropped": picture.cropped, "pixels": keep(picture.pixels)}
    saved = keep(restart.saved) if restart.saved else ""
    asked = {name: getattr(restart, name) for name in ("mode", "prompt", "seed", "policy", "over_s", "size")}
    return asked | {"picture": told, "saved": saved}
    return asked | {"picture": told, "saved": saved}


def kept_of(told: dict[str, Any], read: Read) -> Kept:
    """Give the stream that was told of. Raises what ``read`` does, and what JSON of another shape makes."""
    pictures: dict[str, Picture] = {}
    marks = (
        Bookmark(one["id"], one["name"], one["frame"], one["thumbnail"], _restart(one["restart"], read, pictures))
        for one in told["bookmarks"]
    )
    return Kept(
        stream_id=told["stream"],
        token_sha256=told["token_sha256"],
        model=told["model"],
        state=told["state"],
        frame=told["frame"],
        pts=told["pts"],
        asked=_restart(told["asked"], read, pictures),
        bookmarks=tuple(marks),
        configured=told["configured"],
        is_unattended=told["is_unattended"],
        tries=told["tries"],
    )


def _restart(told: dict[str, Any], read: Read, pictures: dict[str, Picture]) -> Restart[Picture]:
    """Give where a take goes on from; ``pictures`` are those read so far, by name, so that each is there once."""
    saved = read(told["saved"]) if told["saved"] else b""
    if not isinstance(saved, bytes):
        raise ValueError("a picture stands where a state should")
    shown = told["picture"]
    if shown is not None and shown["pixels"] not in pictures:
        pixels = read(shown["pixels"])
        if isinstance(pixels, bytes):
            raise ValueError("a state stands where a picture should")
        left, top, right, bottom = shown["cropped"]
        cropped = left, top, right, bottom
        pictures[shown["pixels"]] = Picture(pixels, shown["width"], shown["height"], shown["sha256"], cropped)
    picture = None if shown is None else pictures[shown["pixels"]]
    # What was kept before streams had policies lacks them, and before there were several sizes that.
    policy, over_s = told.get("policy", "auto"), float(told.get("over_s", 0.5))
    width, height = told.get("size") or (0, 0)
    size = (width, height) if width else None
    return Restart(told["mode"], told["prompt"], picture, told["seed"], saved, policy, over_s, size)
