"""What is written is what was made, and is whole or not there."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from pipeline.types import Chunk
from pipeline.video_file import write_mp4


def chunk(frames: int = 4, fps: int = 16) -> Chunk:
    """A chunk that is red all over."""
    pixels = np.full((frames, 32, 64, 3), (200, 0, 0), np.uint8)
    return Chunk(0, 0, 0, 1, pixels, Fraction(fps), 1, 0)


def breaking(error: BaseException) -> Iterator[Chunk]:
    """Frames enough that the encoder has begun to write, then an error."""
    yield chunk(frames=100)
    raise error


@pytest.mark.parametrize("fps", [16, 8])
def test_the_file_holds_every_frame_at_its_rate(tmp_path: Path, fps: int) -> None:
    """An MP4 has every frame, evenly spaced at the chunks' rate, in H.264 and in the colours that were made."""
    path = tmp_path / "out.mp4"
    assert write_mp4(path, [chunk(4, fps), chunk(3, fps)]) == 7
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [Fraction(frame.pts or 0) * Fraction(frame.time_base or 0) for frame in frames]
    assert stream.codec_context.name == "h264"
    assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (Colorspace.ITU601, ColorRange.MPEG)
    assert [b - a for a, b in pairwise(times)] == [Fraction(1, fps)] * 6
    assert abs(frames[0].to_ndarray(format="rgb24")[16, 32].astype(int) - (200, 0, 0)).max() < 6
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("error", [ZeroDivisionError("made wrong"), KeyboardInterrupt()])
def test_what_is_not_whole_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    """An error in the middle passes through; a file that was there stays, and no half file is left."""
    path = tmp_path / "out.mp4"
    path.write_bytes(b"before")
    with pytest.raises(type(error)):
        write_mp4(path, breaking(error))
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_a_half_file_has_another_name(tmp_path: Path) -> None:
    """Until all is written there is a .part alone, so that nobody takes it for the video."""
    path, seen = tmp_path / "out.mp4", list[str]()

    def chunks() -> Iterator[Chunk]:
        # The encoder looks some forty frames ahead before it gives anything to be written.
        yield chunk(frames=100)
        seen.extend(file.name for file in tmp_path.iterdir())

    write_mp4(path, chunks())
    assert seen == ["out.mp4.part"]


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A folder that is missing is an OSError in one line with the path."""
    with pytest.raises(OSError, match=r"can't write .*none/out\.mp4: No such file"):
        write_mp4(tmp_path / "none" / "out.mp4", [chunk()])
