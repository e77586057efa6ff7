import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stream.bookmarks import Bookmark
from stream.checkpoint_folder import LOCK, MANIFEST, Bounds, CheckpointError, CheckpointFolder
from stream.control import Restart
from stream.kept import Kept
from stream.picture import Picture

PICTURE = Picture(np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8), 16, 12, "ab" * 32, (1, 2, 3, 4))
ASKED = Restart("i2v", "snow, “quietly”", PICTURE, 7, b"what the model saved", "blend", 2.5)
MARK = Bookmark("m", "before", 4, "data:image/jpeg;base64,xx", replace(ASKED, prompt="wind", saved=b"earlier"))
KEPT = Kept("stream", "cd" * 32, "model", "live", 96, 540_000, ASKED, (MARK,), {"fps": 16, "latency": "low"}, True, 2)


class Room:
    """A folder, a clock that is set by hand, and a disk that is as free as told."""

    def __init__(self, path: Path, most_bytes: int = 1 << 20) -> None:
        self.path, self.now, self.is_free = path, 2e9, 1 << 40
        self.most_bytes = most_bytes
        self.folder = self.opened()

    def opened(self) -> CheckpointFolder:
        """A folder as the next server opens it."""
        bounds = Bounds(600.0, self.most_bytes)
        folder = CheckpointFolder(self.path, bounds, lambda: self.now, lambda path: self.is_free)
        folder.begin()
        return folder

    def after_restart(self) -> CheckpointFolder:
        """The folder of a server that comes after this one was killed."""
        self.folder.end()
        self.folder = self.opened()
        return self.folder

    def write(self, kept: Kept = KEPT) -> None:
        """Keep it, at the time that it is."""
        self.folder.write(kept)
        self.folder.tend()

    @property
    def files(self) -> list[Path]:
        """What lies there, the lock left out."""
        return sorted(path for path in self.path.rglob("*") if path.is_file() and path.name != LOCK)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path / "state" / "streams")
    yield room
    room.folder.end()


def same(one: Restart[Picture], other: Restart[Picture]) -> bool:
    assert one.picture is not None
    assert other.picture is not None
    pictures = [replace(restart.picture, pixels=PICTURE.pixels) for restart in (one, other) if restart.picture]
    told = [
        (restart.mode, restart.prompt, restart.seed, restart.saved, restart.policy, restart.over_s, repr(picture))
        for restart, picture in zip((one, other), pictures, strict=True)
    ]
    return told[0] == told[1] and np.array_equal(one.picture.pixels, other.picture.pixels)


def test_what_is_read_is_what_was_written(room: Room) -> None:
    """The next server finds a stream as it was kept last: its place, state, picture, bookmarks, all else."""
    room.write(replace(KEPT, frame=4, asked=replace(ASKED, saved=b"before")))
    room.write()
    folder = room.after_restart()
    assert folder.token_sha256("stream") == KEPT.token_sha256
    kept = folder.read("stream")
    for name in ("stream_id", "model", "state", "frame", "pts", "configured", "is_unattended", "tries"):
        assert getattr(kept, name) == getattr(KEPT, name), name
    assert same(kept.asked, ASKED)
    assert same(kept.bookmarks[0].restart, MARK.restart)
    assert replace(kept.bookmarks[0], restart=MARK.restart).described() == MARK.described()
    assert kept.bookmarks[0].restart.picture is kept.asked.picture


def test_what_is_no_longer_named_is_removed(room: Room) -> None:
    """Of a stream there are its manifest, one picture and the states that it names; a state written before is gone."""
    for number in range(3):
        room.write(replace(KEPT, asked=replace(ASKED, saved=b"%d" % number)))
    assert len(room.files) == 4
    assert {path.read_bytes() for path in room.files if path.suffix == ".bin"} == {b"2", b"earlier"}


def test_only_this_user_can_read_them(room: Room) -> None:
    """Folders and files are the user's alone, and the token is not among what they hold."""
    room.write()
    for path in [room.path, *room.path.rglob("*")]:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_no_name_follows_from_what_a_client_says(room: Room) -> None:
    """Whatever a stream is called, files lie in a folder of random name, and a name that is asked for opens none."""
    room.write(replace(KEPT, stream_id="../../etc/passwd"))
    assert all(len(path.relative_to(room.path).parts) == 2 for path in room.files)
    for name in ("../stream", ".", "", os.fspath(room.path), "\0"):
        assert room.folder.token_sha256(name) is None
        with pytest.raises(CheckpointError):
            room.folder.read(name)


@pytest.mark.parametrize("moment", ["before", "torn"])
def test_a_write_that_was_broken_off_changes_nothing(room: Room, moment: str) -> None:
    """Killed before its manifest was renamed, what was kept before is still there, whole."""
    room.write()
    place = room.files[0].parent
    (place / f"{'0' * 64}.bin.part").write_bytes(b"half")
    (place / f"{'0' * 64}.bin").write_bytes(b"whole, but not named yet")
    if moment == "torn":
        (place / f"{MANIFEST}.part").write_bytes(b'{"version"')
    assert same(room.after_restart().read("stream").asked, ASKED)
    room.write()
    assert len(room.files) == 4


def _change(place: Path, **values: object) -> None:
    manifest = json.loads((place / MANIFEST).read_text())
    changes = {name: manifest[name] | value if isinstance(value, dict) else value for name, value in values.items()}
    (place / MANIFEST).write_text(json.dumps(manifest | changes))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "another state": lambda place: next(place.glob("*.bin")).write_bytes(b"other"),
    "another picture": lambda place: next(place.glob("*.png")).write_bytes(b"other"),
    "a file missing": lambda place: next(place.glob("*.bin")).unlink(),
    "a path": lambda place: _change(place, asked={"saved": "../../secret"}),
    "a path that ends well": lambda place: _change(place, asked={"saved": f"../{'0' * 64}.bin"}),
    "another shape": lambda place: _change(place, asked=[]),
    "numbers": lambda place: _change(place, frame=None, bookmarks=3),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_not_gone_on_from(room: Room, damage: str) -> None:
    """A file of another hash, one that is missing, a manifest of another shape or with a path in it: an error."""
    room.write()
    DAMAGES[damage](room.files[0].parent)
    folder = room.after_restart()
    with pytest.raises(CheckpointError):
        folder.read("stream")
    folder.forget("stream")
    assert folder.token_sha256("stream") is None


@pytest.mark.parametrize("text", ["", "[]", "3", '{"version": 2}', pytest.param("[" * 100_000, id="deep")])
def test_a_manifest_that_is_none_is_cleared_away(room: Room, text: str) -> None:
    """The next server removes what it can't read, and what is not its own stays."""
    room.write()
    (room.files[0].parent / MANIFEST).write_text(text)
    own = room.path / "mine.txt"
    own.write_text("mine")
    assert room.after_restart().token_sha256("stream") is None
    assert room.files == [own]


def test_a_stream_that_is_gone_is_kept_for_a_while(room: Room) -> None:
    """Its time runs from when it was released, or from when its server was last alive; a live one's never."""
    room.write()
    room.now += 10_000
    room.folder.tend()
    assert room.folder.token_sha256("stream")
    room.now += 599
    assert room.after_restart().token_sha256("stream")
    room.now += 2
    assert room.folder.token_sha256("stream") is None
    assert room.files == []
    room.write()
    room.now += 700
    room.folder.release("stream")
    room.now += 599
    assert room.folder.token_sha256("stream")
    room.now += 2
    room.folder.tend()
    assert room.files == []


def test_there_is_a_bound(tmp_path: Path) -> None:
    """Streams that are gone make room, the oldest first; where all are live a new one is not kept, and nothing is left
    of the attempt but what was there."""
    room = Room(tmp_path / "streams", most_bytes=14_000)
    state = np.random.default_rng(0).bytes(3000)
    for number in range(3):
        room.write(replace(KEPT, stream_id=f"s{number}", asked=replace(ASKED, saved=state + b"%d" % number)))
    with pytest.raises(CheckpointError, match="resume_bytes"):
        room.write(replace(KEPT, stream_id="s3", asked=replace(ASKED, saved=state + b"3")))
    assert room.folder.token_sha256("s3") is None
    assert len({path.parent for path in room.files}) == 3
    assert sum(path.stat().st_size for path in room.files) <= 14_000
    room.folder.release("s1")
    room.now += 5
    room.folder.release("s0")
    room.write(replace(KEPT, stream_id="s3", asked=replace(ASKED, saved=state + b"3")))
    assert [bool(room.folder.token_sha256(f"s{number}")) for number in range(4)] == [True, False, True, True]
    room.folder.end()


def test_a_full_disk_is_said(room: Room) -> None:
    """With less than 64 MB left nothing is written, and what was kept before stays."""
    room.write()
    room.is_free = 1 << 20
    with pytest.raises(CheckpointError, match="No space left"):
        room.folder.write(replace(KEPT, frame=200))
    assert room.after_restart().read("stream").frame == KEPT.frame


def test_a_folder_is_one_servers(room: Room) -> None:
    """A second server is told, until the first has ended, however that was."""
    with pytest.raises(CheckpointError, match="another server"):
        room.opened()
    room.after_restart()


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    """A path that is a file is refused in words."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="can't be used"):
        CheckpointFolder(tmp_path / "file" / "streams", Bounds(1, 1)).begin()
