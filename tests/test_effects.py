"""Tests of pipeline.pocket.effects on effects drawn here, apart from the decoder's own."""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from pipeline.pocket.effects import effect_class, level, read, shows
from pipeline.types import Pixels
from stream.encoder_bench import draw_photo

PICTURE = draw_photo(832, 480)
FPS = 8
Y, X = np.mgrid[0:480, 0:832].astype(np.float32)
Field = npt.NDArray[np.float32]


def graded(*gain: float) -> Callable[[float], Pixels]:
    """The picture with its colours multiplied."""
    return lambda _: np.clip(PICTURE * np.array(gain), 0, 255).astype(np.uint8)


def moved(across: Callable[[float], Field], along: Callable[[float], Field]) -> Callable[[float], Pixels]:
    """The picture with its places moved right and down by px."""
    return lambda t: np.asarray(
        cv2.remap(PICTURE, X - across(t), Y - along(t), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def particles(size: tuple[int, int], px_per_s: float) -> Callable[[float], Pixels]:
    """White boxes that fall."""
    rng = np.random.default_rng(3)
    places = rng.random((900, 2)) * (832, 480)

    def frame(t: float) -> Pixels:
        out = PICTURE.copy()
        for x, y in places:
            left, top = int(x), int(y + px_per_s * t) % 480
            out[top : top + size[1], left : left + size[0]] = 240
        return out

    return frame


def wave(t: float, hz: float, x_cycles: float, y_cycles: float) -> Field:
    """A travelling wave of size 1."""
    return np.sin(2 * np.pi * (hz * t - x_cycles * X / 832 - y_cycles * Y / 480)).astype(np.float32)


def nowhere(_: float) -> Field:
    """No motion."""
    return np.zeros_like(X)


def swell(t: float, place: Field) -> Field:
    """A breath about the middle: what is near it goes outward and back."""
    near = np.exp(-(((X - 416) / 200) ** 2) - ((Y - 240) / 160) ** 2)
    return (0.04 * np.sin(2 * np.pi * 0.28 * t) * place * near).astype(np.float32)


CLIPS: dict[str, Callable[[float], Pixels]] = {
    "still": graded(1, 1, 1),
    "night": graded(0.4, 0.45, 0.65),
    "warm": graded(1.2, 1.0, 0.75),
    "cold": graded(0.75, 0.97, 1.2),
    "fog": lambda t: (PICTURE * 0.45 + 205 * 0.55).astype(np.uint8),
    "rain": particles((2, 24), 900),
    "snow": particles((4, 4), 80),
    "sway": moved(lambda t: 4 * wave(t, 0.45, 1.4, 0.3), nowhere),
    "ripple": moved(nowhere, lambda t: 3 * wave(t, 0.6, 0.4, 5.8)),
    "breathe": moved(lambda t: swell(t, X - 416), lambda t: swell(t, Y - 240)),
    "clouds": moved(lambda t: 20 * t * np.clip(1.5 - Y / 160, 0, 1), nowhere),
}


@pytest.mark.parametrize("name", ["sway", "ripple", "breathe"])
def test_a_swing_is_read_by_night(name: str) -> None:
    """A swing of a picture that has grown dark is as large as by day, and shown beside the night."""
    day = read(PICTURE, [CLIPS[name](n / FPS) for n in range(3 * FPS)], FPS)
    dark = [np.asarray(CLIPS[name](n / FPS) * np.array([0.2, 0.23, 0.35]), np.uint8) for n in range(3 * FPS)]
    night = read(PICTURE, dark, FPS)
    assert (night.across, night.along) == pytest.approx((day.across, day.along), rel=0.15, abs=0.05)
    assert shows(name, night)
    assert shows("night", night)


@pytest.mark.parametrize(("name", "clip"), CLIPS.items())
def test_each_effect_is_read(name: str, clip: Callable[[float], Pixels]) -> None:
    """Two seconds of an effect are named."""
    frames = [clip(n / FPS) for n in range(2 * FPS)]
    assert effect_class(read(PICTURE, frames, FPS)) == name


def test_which_way_it_swings_does_not_tell_leaves_from_ripples() -> None:
    """Chance turns a swing: broad patches that lean up and down sway, fine rows that go sideways ripple."""
    leaning = moved(lambda t: 1.5 * wave(t, 0.45, 1.4, 0.3), lambda t: 3 * wave(t, 0.45, 1.1, 0.6))
    sideways = moved(lambda t: 2 * wave(t, 0.6, 0.4, 7.8), lambda t: 1 * wave(t, 0.6, 0.4, 7.8))
    named = [effect_class(read(PICTURE, [clip(n / FPS) for n in range(2 * FPS)], FPS)) for clip in (leaning, sideways)]
    assert named == ["sway", "ripple"]


@pytest.mark.parametrize("name", [name for name in CLIPS if name not in ("still", "breathe")])
def test_the_level_of_an_effect_is_far_above_that_of_rest(name: str) -> None:
    """One frame of an effect has a level many times that of the picture itself."""
    before, frame = CLIPS[name](2.0), CLIPS[name](2.25)
    rest = level(name, PICTURE, PICTURE, PICTURE)
    assert level(name, PICTURE, before, frame) > 8 * abs(rest) + 0.02
