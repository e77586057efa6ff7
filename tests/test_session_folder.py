"""Logs are bounded, whole line by line, readable by their owner alone, and a full disk ends them."""

import errno
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from pipeline.session import picture_path
from stream.session_folder import LogBounds, LogEnds, LogFile, SessionFolder, explain

PICTURE = np.full((4, 6, 3), (200, 10, 0), np.uint8)
MANY = LogBounds(1 << 20, 10)


class Files:
    """Opens logs, and closes them after the test."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def create(self, folder: SessionFolder, name: str) -> LogFile:
        """Create a log."""
        file = folder.create(name)
        self._stack.callback(file.close)
        return file


@pytest.fixture
def files() -> Iterator[Files]:
    """What closes the logs of a test."""
    with ExitStack() as stack:
        yield Files(stack)


def test_files_are_for_this_user_alone(tmp_path: Path) -> None:
    """The folder is made when it is needed; prompts and pictures are private."""
    folder = SessionFolder(str(tmp_path / "deep" / "logs"), MANY)
    file = folder.create("a")
    file.write({"type": "session", "prompt": "снег"})
    picture = picture_path(folder.path, file.keep_picture(PICTURE))
    file.close()
    path = folder.path / "a.jsonl"
    assert json.loads(path.read_text()) == {"type": "session", "prompt": "снег"}
    assert [entry.stat().st_mode & 0o777 for entry in (folder.path, path, picture)] == [0o700, 0o600, 0o600]


def test_a_picture_is_kept_once(tmp_path: Path, files: Files) -> None:
    """Another log that names the same picture costs nothing, and nothing half-made stays."""
    folder = SessionFolder(str(tmp_path), MANY)
    names = {files.create(folder, name).keep_picture(PICTURE.copy()) for name in "ab"}
    assert len(names) == 1
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == [f"{names.pop()}.png"]


def test_bytes_are_bounded_over_all_logs(tmp_path: Path, files: Files) -> None:
    """A line that is too much is not written; what earlier runs wrote counts, pictures too."""
    folder = SessionFolder(str(tmp_path), LogBounds(2000, 10))
    file = files.create(folder, "a")
    file.write({"type": "x" * 1000})
    with pytest.raises(LogEnds, match="session_logs_bytes"):
        file.write({"type": "x" * 1000})
    assert len((tmp_path / "a.jsonl").read_bytes().splitlines()) == 1
    (tmp_path / "pictures" / "p.png").write_bytes(b"x" * 990)
    with pytest.raises(LogEnds, match="session_logs_bytes"):
        SessionFolder(str(tmp_path), LogBounds(2000, 10)).create("b")


def test_logs_are_counted(tmp_path: Path, files: Files) -> None:
    """One more than are allowed is not begun."""
    folder = SessionFolder(str(tmp_path), LogBounds(1 << 20, 2))
    files.create(folder, "a")
    files.create(folder, "b")
    with pytest.raises(LogEnds, match="session_logs_count"):
        folder.create("c")


def test_a_full_disk_takes_no_half_line(tmp_path: Path, files: Files) -> None:
    """What the disk took of a line is taken away again."""
    folder = SessionFolder(str(tmp_path), MANY)
    file = files.create(folder, "a")
    file.write({"type": "session"})
    whole = (tmp_path / "a.jsonl").read_bytes()

    class Full:
        """A disk that takes three bytes, then none."""

        def __init__(self, file: object) -> None:
            self.file, self.left = file, 3

        def write(self, data: memoryview) -> int:
            """Take what there is room for."""
            if not self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.left -= 3
            return self.file.write(data[:3])  # type: ignore[attr-defined]

        def truncate(self, size: int) -> None:
            """Cut the file."""
            self.file.truncate(size)  # type: ignore[attr-defined]

        def close(self) -> None:
            """Close the file."""
            self.file.close()  # type: ignore[attr-defined]

    file._file = Full(file._file)  # type: ignore[assignment]
    with pytest.raises(LogEnds, match="the disk is full"):
        file.write({"type": "chunk"})
    assert (tmp_path / "a.jsonl").read_bytes() == whole


def test_the_last_of_a_disk_is_left_alone(tmp_path: Path, files: Files) -> None:
    """A disk with less than 64 MB free takes no log, nor a picture."""
    free = [1 << 40]
    folder = SessionFolder(str(tmp_path), MANY, lambda path: free[0])
    file = files.create(folder, "a")
    free[0] = 1000
    for work in (lambda: file.write({}), lambda: file.keep_picture(PICTURE), lambda: folder.create("b")):
        with pytest.raises(LogEnds, match="the disk is full"):
            work()
    assert list((tmp_path / "pictures").iterdir()) == []


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    """The key to set is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LogEnds, match=r"stream\.session_logs can't be written"):
        SessionFolder(str(tmp_path / "file" / "logs"), MANY).create("a")
    assert "Input/output error" in str(explain(OSError(errno.EIO, "Input/output error")))
