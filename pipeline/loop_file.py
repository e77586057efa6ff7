"""An animated picture of made chunks that goes round: small, and shown wherever a picture is."""

import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.errors import ConfigError
from pipeline.types import Chunk, Pixels

LONG_SIDE_PX = 416
QUALITY = 45
FADE_S = Fraction(3, 2)
"""For so long, or a quarter of the whole, the end fades into the beginning."""


def write_loop(path: Path, chunks: Iterable[Chunk]) -> int:
    """Write chunks of one rate and size as an animated WebP that goes round without a jump; give its frames.

    They are fewer than those given by the fade. The file has its name only once it is whole. Raises ConfigError for
    fewer than four frames or chunks of several rates, OSError when it can't be written, and what ``chunks`` raises.
    """
    small: list[Pixels] = []
    rates: set[Fraction] = set()
    for chunk in chunks:
        rates.add(chunk.fps)
        small += [reduced(pixels) for pixels in chunk.frames]
    if len(rates) != 1 or len(small) < 4:
        raise ConfigError(f"a loop needs four frames of one rate; got {len(small)} of {len(rates)}")
    fps = rates.pop()
    frames = looped(small, min(round(FADE_S * fps), len(small) // 4))
    first, *others = (Image.fromarray(frame) for frame in frames)
    times_ms = [round(number * 1000 / fps) for number in range(len(frames) + 1)]
    durations = [end - begin for begin, end in pairwise(times_ms)]
    told = io.BytesIO()
    # kmax=1: every frame by itself. Else what changes by little is left out for many frames, and blocks of it stay.
    ways = {"duration": durations, "loop": 0, "quality": QUALITY, "method": 5, "kmax": 1}
    first.save(told, "WEBP", save_all=True, append_images=others, **ways)
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(told.getvalue())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return len(frames)


def looped(frames: Sequence[Pixels], fade: int) -> list[Pixels]:
    """Let the last ``fade`` frames fade into the first ones, which are left out.

    >>> [int(frame) for frame in looped([np.uint8(level) for level in (0, 10, 20, 30, 40, 50)], 2)]
    [20, 30, 27, 23]
    """
    out = list(frames[fade:])
    for number in range(fade):
        share = (number + 1) / (fade + 1)
        end, begin = (np.asarray(each, np.float32) for each in (frames[number - fade], frames[number]))
        out[number - fade] = np.rint(end + share * (begin - end)).astype(np.uint8)
    return out


def reduced(pixels: Pixels) -> Pixels:
    """Make a frame smaller, to at most LONG_SIDE_PX."""
    image = Image.fromarray(pixels)
    image.thumbnail((LONG_SIDE_PX, LONG_SIDE_PX), Image.Resampling.LANCZOS)
    return np.asarray(image)
