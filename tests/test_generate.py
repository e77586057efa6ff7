"""Tests of pipeline.generate with a pipeline whose pixels tell what made them."""

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import ConditioningError
from pipeline.generate import TimedPrompt, generate, parse_prompt, read_picture, write_mp4
from tests.fakes import REFUSE, FakePipeline

RED = np.full((32, 64, 3), (200, 0, 0), np.uint8)


def test_a_prompt_holds_from_the_first_chunk_at_its_second_or_later() -> None:
    """Prompts given for 0 s and 0.3 s are heard by the chunks at 0 s and 0.5 s, whatever their order."""
    prompts = [TimedPrompt(0.3, "snow falls"), TimedPrompt(0.0, "pan")]
    chunks = list(generate(FakePipeline(), RED, prompts, 1.0, seed=5, quality=0))
    assert [chunk.revision for chunk in chunks] == [1, 1, 2, 2]
    lengths = [int(chunk.frames[0, 0, 1, 1]) for chunk in chunks]
    assert lengths == [3, 3, 10, 10]
    assert {int(chunk.frames[0, 0, 1, 0]) for chunk in chunks} == {5}


@pytest.mark.parametrize(("seconds", "chunks"), [(0.25, 1), (0.26, 2), (1.0, 4), (10.0, 40)])
def test_the_seconds_are_full(seconds: float, chunks: int) -> None:
    """There are as many chunks as the seconds need, and no more."""
    assert len(list(generate(FakePipeline(), RED, [TimedPrompt(0, "x")], seconds, 1, 0))) == chunks


def test_every_chunk_is_committed_and_the_take_is_closed() -> None:
    """The pipeline is driven as the server drives it, and its place is given back."""
    pipeline = FakePipeline()
    list(generate(pipeline, RED, [TimedPrompt(0, "x")], 0.5, 1, 0))
    assert [name for name, _ in pipeline.calls] == ["open", *["generate", "commit"] * 2, "close"]


def test_a_refused_prompt_closes_the_take() -> None:
    """An error of the pipeline passes through, and its place is given back all the same."""
    pipeline = FakePipeline()
    with pytest.raises(ConditioningError):
        list(generate(pipeline, RED, [TimedPrompt(0, "x"), TimedPrompt(0.5, REFUSE)], 1.0, 1, 0))
    assert pipeline.calls[-1] == ("close", None)


@pytest.mark.parametrize(("quality", "fps"), [(0, 16), (2, 8)])
def test_the_file_holds_every_frame_at_the_rate_of_its_quality(tmp_path: Path, quality: int, fps: int) -> None:
    """An MP4 has one second of frames at the quality's rate, with the pixels that were made."""
    path = tmp_path / "out.mp4"
    chunks = generate(FakePipeline(), RED, [TimedPrompt(0, "x")], 1.0, 1, quality)
    assert write_mp4(path, chunks) == fps
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [Fraction(frame.pts or 0) * Fraction(frame.time_base or 0) for frame in frames]
    assert stream.codec_context.name == "h264"
    assert [b - a for a, b in pairwise(times)] == [Fraction(1, fps)] * (fps - 1)
    middle = frames[0].to_ndarray(format="rgb24")[16, 32].astype(int)
    assert abs(middle - 200).max() < 6


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("0:the camera pans left", TimedPrompt(0.0, "the camera pans left")),
        ("4.5:snow: heavy", TimedPrompt(4.5, "snow: heavy")),
        ("pan left", TimedPrompt(0.0, "pan left")),
        ("style: snow", TimedPrompt(0.0, "style: snow")),
    ],
)
def test_prompts_are_read(text: str, prompt: TimedPrompt) -> None:
    """What stands before the first colon is a second, when it is a number."""
    assert parse_prompt(text) == prompt


@pytest.mark.parametrize("text", ["-1:pan", "nan:pan", "inf:pan"])
def test_impossible_seconds_are_refused(text: str) -> None:
    """A prompt cannot begin before the video or never."""
    with pytest.raises(ValueError, match="cannot begin"):
        parse_prompt(text)


def test_pictures_are_read_upright_and_on_black(tmp_path: Path) -> None:
    """An orientation tag is obeyed, and what is transparent is black."""
    pixels = np.zeros((2, 4, 4), np.uint8)
    pixels[0, :, :] = (255, 255, 255, 255)
    pixels[1, :, :] = (255, 255, 255, 0)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    read = read_picture(tmp_path / "a.png")
    assert read.shape == (2, 4, 3)
    assert (read[0] == 0).all()
    assert (read[1] == 255).all()


def test_a_file_that_is_no_picture_is_one_line(tmp_path: Path) -> None:
    """The command line says what is wrong, without a traceback."""
    (tmp_path / "a.jpg").write_text("no picture")
    command = [sys.executable, "-m", "pipeline.generate", str(tmp_path / "a.jpg"), "out.mp4", "--prompt", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
