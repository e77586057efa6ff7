"""Recordings as files: kept from others, bounded, whole when the disk is full."""

import errno
import io
import stat
from pathlib import Path

import pytest

from stream.errors import StreamError
from stream.recording import FREE_BYTES, RecordingFile, RecordingFolder, make_name, recording_path

PLENTY = 10**12


class FullDisk(io.RawIOBase):
    """A file on a disk that takes so many bytes, and the last of them by halves."""

    def __init__(self, room: int) -> None:
        self.kept = bytearray()
        self.room = room

    def write(self, data: "bytes | memoryview") -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        if len(self.kept) >= self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = bytes(data)[: self.room - len(self.kept)]
        self.kept += taken
        return len(taken)

    def truncate(self, size: int | None = None) -> int:
        del self.kept[size:]
        return len(self.kept)


def folder(path: Path, most_bytes: int = 1 << 20, free: int = PLENTY) -> RecordingFolder:
    return RecordingFolder(str(path), most_bytes, lambda _: free)


def test_a_recording_is_its_owners_alone(tmp_path: Path) -> None:
    """The folder is made; it and the file are closed to others, the name can't be guessed."""
    name = make_name()
    file = folder(tmp_path / "deep" / "recordings").create(name)
    file.write(b"video")
    file.close()
    path = tmp_path / "deep" / "recordings" / name
    assert path.read_bytes() == b"video"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len({make_name() for _ in range(100)}) == 100
    assert len(name) >= 32


def test_an_empty_recording_leaves_nothing(tmp_path: Path) -> None:
    """A file without a byte is taken away."""
    folder(tmp_path).create(make_name()).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".mp4", "a.mp4", "../" + "a" * 29 + ".mp4", "a" * 32, "a" * 32 + ".mp4\n"])
def test_only_recordings_have_a_path(tmp_path: Path, name: str) -> None:
    """No other name leads to a file, whatever is in it."""
    assert recording_path(str(tmp_path), name) is None
    assert recording_path(str(tmp_path), make_name()) is not None


def test_all_recordings_together_are_bounded(tmp_path: Path) -> None:
    """What is there already counts; at the bound the recording ends, and another does not begin."""
    (tmp_path / make_name()).write_bytes(bytes(600))
    (tmp_path / "other").write_bytes(bytes(10_000))
    kept = folder(tmp_path, 1000)
    file = kept.create(make_name())
    file.write(bytes(300))
    with pytest.raises(StreamError, match=r"recordings_bytes") as refused:
        file.write(bytes(200))
    assert refused.value.code == "at_capacity"
    assert file.bytes == 300
    file.write(bytes(100))
    file.close()
    with pytest.raises(StreamError, match=r"recordings_bytes"):
        kept.create(make_name())


def test_the_disk_is_not_filled(tmp_path: Path) -> None:
    """With little left on the disk nothing begins, and what runs ends."""
    with pytest.raises(StreamError, match="disk") as refused:
        folder(tmp_path, free=FREE_BYTES).create(make_name())
    assert refused.value.code == "at_capacity"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_a_whole_file(tmp_path: Path) -> None:
    """What does not fit wholly is not there at all, and the reason is told without the path."""
    disk = FullDisk(150)
    file = RecordingFile(folder(tmp_path), tmp_path / "x", disk)  # pyright: ignore[reportArgumentType]
    file.write(bytes(100))
    with pytest.raises(StreamError, match="full") as refused:
        file.write(bytes(100))
    assert refused.value.code == "at_capacity"
    assert str(tmp_path) not in refused.value.message
    assert (len(disk.kept), file.bytes) == (100, 100)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    """A folder that can't be made is our fault, told with the key to set; without one there are no recordings."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StreamError, match=r"stream\.recordings") as failed:
        folder(tmp_path / "file" / "recordings").create(make_name())
    assert failed.value.code == "internal"
    with pytest.raises(StreamError) as refused:
        RecordingFolder("", 1000).create(make_name())
    assert refused.value.code == "not_supported"
