"""The meter of drawn effects: what is there is seen, what is not is not, and one is not taken for another."""

from functools import cache, partial

import cv2
import numpy as np
import pytest

from pipeline.pocket.canvas import Canvas
from pipeline.pocket.drawn.drawing import Wish
from pipeline.pocket.drawn.judge import AGAINST, DIRECT, NOISE, SEEN, drawn_class, nearest_means, reading, rule, shown
from pipeline.pocket.drawn.playing import played
from pipeline.pocket.drawn.statistics import CLOSELY, LONG, WATCHED, Clip, clip, light, places, statistics
from pipeline.pocket.names import DEFAULT_REGION, DRAWN
from pipeline.pocket.view import NOMINAL
from tests.test_drawn import LARGE, canvas

NOTHING = "nothing"


def looked_at(of: Canvas, wishes: dict[str, Wish]) -> dict[str, float]:
    return statistics(clip(of.rest.numpy(), played(of, wishes, WATCHED)))


@cache
def found(name: str) -> dict[str, float]:
    """Statistics of an effect over the small scene, or of nothing."""
    return looked_at(canvas(LARGE), {} if name == NOTHING else {name: Wish(1.0, DEFAULT_REGION[name])})


@pytest.mark.parametrize("name", DRAWN)
def test_an_effect_is_seen_by_its_own_statistic_and_only_where_it_is(name: str) -> None:
    """It is there when the effect is on, and next to nothing of it when nothing is."""
    assert shown(name, found(name)) > 1
    assert shown(name, found(NOTHING)) < 0.1


# What an effect might be taken for, which must show less of its own statistic.
OTHERS = {
    "fire": ("dust", "twinkle", "stream", "heat"),
    "twinkle": ("smoke", "aurora", "day", "hue"),
    "aurora": ("twinkle", "dust", "stream", "heat"),
    "leaves": ("dust", "twinkle", "heat", "smoke"),
    "smoke": ("dust", "heat", "stream", "twinkle"),
    "day": ("fire", "aurora", "hue", "smoke"),
    "hue": ("dust", "leaves", "heat", "twinkle"),
    "shake": ("leaves", "heat", "fire", "waves"),
    "dolly": ("fire", "heat", "dust", "stream"),
    "waves": ("dust", "twinkle", "aurora", "stream"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_effect_has_less_of_it(name: str) -> None:
    """What plays beside it in people's words has at most half of what the effect itself has."""
    for other in OTHERS[name]:
        assert shown(name, found(other)) < 0.5 * shown(name, found(name)), other


def test_nothing_is_nothing_whatever_the_rule_says() -> None:
    """Where no effect's own statistic is there to be seen, none is named; nor is one whose own is taken away."""
    assert drawn_class(found(NOTHING)) not in DRAWN
    for name in DRAWN:
        without = found(name) | dict.fromkeys(SEEN[name][0], 0.0)
        assert drawn_class(without) != name


def trembling(px_per_frame: float) -> dict[str, float]:
    """Statistics of grain that trembles by smooth noise, which itself goes down by so many px a frame."""
    rng, (rows, columns) = np.random.default_rng(3), (240, 416)
    smooth = partial(cv2.GaussianBlur, ksize=(0, 0))
    grain = smooth(rng.normal(0, 1, (rows, columns, 3)).astype(np.float32), sigmaX=3)
    rest = np.asarray(120 + 400 * grain, np.float32)
    shift = smooth(rng.normal(0, 1, (3 * rows, columns)).astype(np.float32), sigmaX=8)
    shift *= 3 / shift.std()
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    begins = [round(rows - px_per_frame * n) for n in range(len(CLOSELY))]
    moved = [cv2.remap(rest, x + shift[at : at + rows], y, cv2.INTER_LINEAR) for at in begins]
    return places(Clip(rest, np.asarray(np.stack(moved), np.float32), rest[None]))


def test_trembling_that_rises_is_told_from_what_stays_or_sinks() -> None:
    """Heat rises: what trembles goes up the frame, where a ripple's goes any way, and the faster the quicker."""
    rising, sinking, slow, still = (trembling(speed) for speed in (-3, 3, -1, 0))
    assert rising["lifts"] > 0.1 > -0.1 > sinking["lifts"]
    assert rising["quick"] > 1.5 * slow["quick"] > 1.5 * still["quick"]


def test_a_stream_is_seen_where_its_water_lies() -> None:
    """A river in the middle third counts as one in the lowest does."""
    river = found(NOTHING) | {"fine_1": 4.0}
    assert shown("stream", river) > 1 > shown("stream", found(NOTHING))
    assert shown("stream", found(NOTHING) | {"fine_0": 4.0}) < 1


LARGER = canvas(NOMINAL)


@pytest.mark.parametrize("name", ["twinkle", "waves", "fire"])
def test_a_scene_at_its_full_size_is_named(name: str) -> None:
    """The rule on file, made of photos, names effects over a scene that is none of these."""
    assert drawn_class(looked_at(LARGER, {name: Wish(1.0, DEFAULT_REGION[name])})) == name


def test_dusk_is_no_day() -> None:
    """Light that falls and stays has no way round; light that comes back has."""
    rest = np.full((24, 40, 3), 120, np.float32)

    def lit(sizes: list[float]) -> dict[str, float]:
        return light(Clip(rest, np.stack([rest] * 4), np.stack([rest * size for size in sizes])))

    steps = len(LONG)
    dusk = lit([max(0.3, 1 - n / 5) for n in range(steps)])
    day = lit([0.65 + 0.35 * np.cos(2 * np.pi * n / steps) for n in range(steps)])
    assert dusk["fall"] > 1 > 10 * dusk["round"]
    assert day["round"] > 0.8


def test_the_nearest_mean_is_by_what_all_vary_by() -> None:
    """Of two classes a reading is of the one that it is nearer to where classes vary little."""
    rng = np.random.default_rng(0)
    size = np.array([0.1, 10.0])
    near, far = np.array([0.0, 0.0]), np.array([1.0, 5.0])
    rows = np.concatenate([middle + size * rng.normal(size=(200, 2)) for middle in (near, far)])
    made = nearest_means(rows, ["near"] * 200 + ["far"] * 200, ridge=0.0)
    assert made.nearest(np.array([0.1, 5.0])) == "near"
    assert made.nearest(np.array([0.9, 0.0])) == "far"
    assert made.nearest(np.array([0.9, 0.0]), but=["far"]) == "near"


def test_the_rule_on_file_has_every_statistic_and_effect() -> None:
    """One weight for each number of a reading, and a class for each effect, nothing, and what else may be seen."""
    told = rule()
    assert set(DRAWN) | {"still", "rain", "night", "pan_left"} <= set(told.classes)
    assert told.weights.shape == (len(told.classes), len(NOISE) + len(DIRECT) + len(AGAINST))
    assert set(found(NOTHING)) == {*NOISE, *DIRECT}
    assert reading(found(NOTHING)).shape == told.weights.shape[1:]
