"""Every bar is told, as met or missed or not run."""

from typing import Any

import pytest

from pipeline.pocket.endless import verdicts
from pipeline.pocket.summary import Results, summary
from pipeline.pocket.tables import tables
from pipeline.pocket.towers import TOWERS

MOTION = {"correlation": 0.1, "spread": 0.1, "strength": 5.0, "silent_strength": 0.1, "silent_db": 9.0, "db": 3.0}
MOTION |= {"modes": 1.0, "silent_modes": 1.0}
ENDLESS: dict[str, Any] = {
    "soon": [0.001, 0.001, 0.001, 0.5], "late": [0.01, 0.01, 0.01, 0.5], "jump": 1.0, "block_jump": 1.0,
    "hitch_px": 0.1, "pulse": 0.0, "outside": [0.2, 0.04, 0.01], "like": 0.99, "sharp": [0.95, 1.05],
    "speed": {"camera": [1.0, 0.001, 0.01, 0.001, 0.001]},
}  # fmt: skip
RIGHT = {"class": "pan_left", "prompt": "pan left", "speed": 1.0}
WHERE = {"correlation": 0.9, "strength": 0.8, "prior": 0.5, "ghost": 0.5}
FINE: Results = {
    "camera/pan_left/001/0/0": RIGHT,
    "effect/rain/001/0/0": {"class": "rain"},
    "drawn/fire/001/0/0": {"class": "fire"},
    "phrase/pan_left/001/0/0": RIGHT,
    "where/sway/001/0/0": WHERE,
    "still/still/001/0/60": {"first": 99.0, "first_against_lanczos": 41.0, "end": 52.0, "least": 51.0},
    "drift/still/001/0/300": {"early": [1.0] * 4, "late": [1.0] * 4, "psnr": 99.0, "like": 1.0},
    "outside/pan_left/001/0/20": {"largest": 0.04, "mean": 0.01},
    "endless/pan/001/0/3600": ENDLESS,
    "motion/sway/001/0/0": MOTION,
    "steps/sway/001/0/0": {"one_db": 1.0, "more_db": 2.0, "shipped": 1},
    **{f"camera-{tower}/pan_left/001/0/0": RIGHT | {"class": "drift"} for tower in TOWERS},
    "text": {"negation": {"1": [9, 10]}, "beyond": {"1": [19, 20]}},
    "costs": {"weights_mb": 24.8, "load_s": 1.0, "memory_mb": 700},
}


def missed(results: Results) -> list[str]:
    return [bar.name for bar in summary(results) if bar.met is not True]


def test_what_is_over_every_bar_is_told_so() -> None:
    """Nothing is missed or left out, and the table says so."""
    assert missed(FINE) == []
    assert all(verdicts(ENDLESS).values())
    assert tables(FINE).count("| met |") == len(summary(FINE))


def test_what_was_not_run_is_not_met() -> None:
    """Of no results every bar is told as not run."""
    assert all(bar.met is None for bar in summary({}))
    assert tables({}).count("| not run |") == len(summary(FINE))


@pytest.mark.parametrize(
    ("key", "changed", "name"),
    [
        ("camera/pan_left/002/0/0", RIGHT | {"class": "still"}, "camera moves read right"),
        ("camera/pan_left/001/0/0", RIGHT | {"speed": 1.08}, "speed of each camera move"),
        ("effect/rain/002/0/0", {"class": "snow"}, "effects read right"),
        ("drawn/fire/002/0/0", {"class": "dust"}, "drawn effects read right"),
        ("where/sway/001/0/0", WHERE | {"correlation": 0.8}, "where it acts"),
        ("where/sway/001/0/0", WHERE | {"prior": 0.8}, "its lead"),
        ("where/sway/001/0/0", WHERE | {"ghost": 1.1}, "ghosts"),
        ("still/still/001/0/60", FINE["still/still/001/0/60"] | {"end": 49.0}, "at rest"),
        ("drift/still/001/0/300", FINE["drift/still/001/0/300"] | {"like": 0.9}, "identity"),
        ("drift/still/001/0/300", FINE["drift/still/001/0/300"] | {"late": [1.02, 1, 1, 1]}, "luma"),
        ("endless/pan/001/0/3600", ENDLESS | {"sharp": [0.9, 1.0]}, "sharpness"),
        ("endless/pan/001/0/3600", ENDLESS | {"late": [0.06, 0, 0, 0]}, "luma"),
        ("endless/pan/001/0/3600", ENDLESS | {"speed": {"camera": [1.0, 0.02, 0.0, 0.001, 0.001]}}, "speed after"),
        ("endless/pan/001/0/3600", ENDLESS | {"outside": [0.2, 0.06, 0.01]}, "share of a frame"),
        ("motion/sway/001/0/0", MOTION | {"correlation": 0.7}, "own motion differs"),
        ("motion/sway/001/0/0", MOTION | {"spread": 0.4}, "own motion equally"),
        ("motion/sway/001/0/0", MOTION | {"silent_strength": 3.0, "silent_db": 4.0}, "own motion the noise"),
        ("steps/sway/001/0/0", {"one_db": 1.0, "more_db": 2.0, "shipped": 2}, "steps"),
        ("camera-text/pan_left/001/0/0", RIGHT, "without text, and without the picture"),
        ("camera-sight/pan_left/001/0/0", RIGHT, "without text, and without the picture"),
        ("text", {"negation": {"1": [8, 10]}, "beyond": {"1": [19, 20]}}, "negations"),
        ("text", {"negation": {"1": [9, 10]}, "beyond": {"1": [18, 20]}}, "beyond"),
        ("costs", FINE["costs"] | {"weights_mb": 25.1}, "weights"),
        ("costs", FINE["costs"] | {"load_s": 2.1}, "loaded"),
        ("costs", FINE["costs"] | {"memory_mb": 1001}, "memory"),
    ],
)
def test_one_figure_under_its_bar_is_one_bar_missed(key: str, changed: dict[str, Any], name: str) -> None:
    """The bar of that figure is missed, and no other."""
    (only,) = missed(FINE | {key: changed})
    assert only.startswith(name)


def test_a_phrasing_that_is_misread_counts_for_all_and_for_its_class() -> None:
    """Both bars of the phrasings are missed, and the class is named."""
    results = FINE | {"phrase/rain/002/0/0": RIGHT | {"class": "snow"}}
    assert missed(results) == ["held-out phrasings read right", "held-out phrasings, the least class"]
    assert "rain 0%" in tables(results)
