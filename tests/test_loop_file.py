"""An animated picture that goes round."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from pipeline.errors import ConfigError
from pipeline.loop_file import LONG_SIDE_PX, looped, write_loop
from pipeline.types import Chunk, Pixels

SIZE = (60, 104)


def sliding(count: int, height: int = SIZE[0], width: int = SIZE[1]) -> Pixels:
    """A soft hill that moves on by a little from frame to frame, and is elsewhere at the end."""
    x = np.arange(width)
    rows = [120 + 80 * np.cos((x - 2 * frame) / 12) for frame in range(count)]
    return np.stack([np.broadcast_to(row[None, :, None], (height, width, 3)) for row in rows]).astype(np.uint8)


def chunk(frames: Pixels, index: int = 0, fps: int = 8) -> Chunk:
    return Chunk(
        index=index,
        first_frame=0,
        first_latent=index,
        latents=1,
        frames=frames,
        fps=Fraction(fps),
        revision=0,
        quality=0,
        timings_ms={},
    )


def steps(frames: list[Pixels]) -> list[float]:
    """How much each frame differs from the one before it, the first from the last."""
    wide = [frame.astype(float) for frame in frames]
    return [float(np.abs(a - b).mean()) for a, b in zip(wide, [wide[-1], *wide], strict=False)]


def test_the_end_goes_over_into_the_beginning() -> None:
    """From the last frame to the first it is about as far as from any frame to the next; a cut would be far more."""
    frames = list(sliding(30))
    assert steps(frames)[0] > 4 * max(steps(frames)[1:])
    round_ = looped(frames, 7)
    assert len(round_) == 23
    assert max(steps(round_)) < 2 * max(steps(frames)[1:])


def test_the_file_goes_round_for_ever(tmp_path: Path) -> None:
    """It is an animated WebP of the chunks' rate, as long as they are but for the fade, small, and alone there."""
    out = tmp_path / "loop.webp"
    frames = sliding(24, 480, 832)
    assert write_loop(out, [chunk(frames[:12], fps=12), chunk(frames[12:], 1, fps=12)]) == 18
    with Image.open(out) as image:
        assert (image.format, image.info["loop"], getattr(image, "n_frames", 1)) == ("WEBP", 0, 18)
        assert image.size == (LONG_SIDE_PX, 240)
        durations: list[int] = []
        for frame in ImageSequence.Iterator(image):
            frame.load()
            durations.append(frame.info["duration"])
    assert set(durations) == {83, 84}
    assert sum(durations) == 1500
    assert list(tmp_path.iterdir()) == [out]


def test_what_can_not_go_round_is_refused(tmp_path: Path) -> None:
    """Too few frames, or several rates: an error, and no file."""
    for chunks in ([chunk(sliding(3))], [chunk(sliding(4)), chunk(sliding(4), 1, fps=16)]):
        with pytest.raises(ConfigError, match="a loop needs"):
            write_loop(tmp_path / "loop.webp", chunks)
    assert not list(tmp_path.iterdir())


def test_what_changes_by_little_changes(tmp_path: Path) -> None:
    """A sky that darkens by a level a frame beside a light that blinks does so all over: no block stays behind."""
    sky = np.stack([np.full((240, 416, 3), (110 - n, 160 - n, 220 - n), np.uint8) for n in range(40)])
    sky[::2, 200:, 380:] = 255
    out = tmp_path / "loop.webp"
    count = write_loop(out, [chunk(sky)])
    with Image.open(out) as image:
        for number in range(20):
            image.seek(number)
            shown = np.asarray(image.convert("RGB"), int)[:, :360, 0]
            assert np.abs(shown - (110 - 40 + count - number)).max() <= 7, number
