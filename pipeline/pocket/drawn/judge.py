"""Which drawn effect a clip shows: the nearest of a few classes by statistics of its frames, if there is enough of it.

Statistics (:mod:`pipeline.pocket.drawn.statistics`) are taken as logarithms of how far above their noise they are. Of
each class, which are the drawn effects, the learned ones, the camera's moves and nothing, the mean over renders of
training pictures is known, and what all classes vary by around their means (``python -m pipeline.pocket.drawn.fit``
makes ``judge.json`` of them). A clip is of the class whose mean is nearest by that measure; a drawn effect of which
nobody would see anything is none.
"""

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
RULE = Path(__file__).parent / "judge.json"
# From where each statistic is above its noise; those of DIRECT are correlations and logarithms already.
NOISE = {
    "shake": 0.1, "slide": 0.3, "outer": 1e-3, "inner": 1e-3, "apart": 1e-3, "pulse": 1e-3, "turns": 5e-4,
    "tremble_low": 0.03, "tremble_high": 0.03, "swing_across": 0.05, "swing_along": 0.05,
    "fall": 0.02, "rise": 0.02, "round": 0.02, "warmer": 0.03, "colder": 0.03, "hue": 0.03, "opposite": 0.03,
    "broad_red": 0.3, "broad_green": 0.3, "broad_blue": 0.3, "broad_all": 0.2,
    "green": 2.0, "green_moves": 0.3, "paler": 0.5, "lighter": 2.0, "darker": 2.0, "veil_moves": 0.5,
    "fine_0": 0.3, "fine_1": 0.3, "fine_2": 0.3, "speck": 1.5, "sparse": 1.0,
    "bright": 1e-3, "dark": 1e-3, "bright_still": 3e-3, "dark_still": 3e-3, "warm_speck": 1.0, "warm_share": 1e-3,
    "bands": 0.3, "columns": 0.3,
}  # fmt: skip
DIRECT = (
    "broad_quick", "upright", "stay", "fall_specks", "rise_specks", "side", "warm_stay", "warm_fall", "warm_rise",
    "warm_side", "come", "quick", "lifts",
)  # fmt: skip
# Pairs of which one more than the other tells: red light than blue, bright specks than dark ones.
AGAINST = (("broad_red", "broad_blue"), ("bright", "dark"), ("bright_still", "dark_still"))
# Each effect's own statistic, and how much of it is there to be seen: of two, the one that there is more of.
SEEN: dict[str, tuple[tuple[str, ...], float]] = {
    "fire": (("broad_red",), 1.5), "twinkle": (("speck",), 4.0), "aurora": (("green_moves",), 0.25),
    "leaves": (("warm_share",), 2e-3), "smoke": (("veil_moves",), 3.0), "dust": (("bright_still",), 8e-4),
    "heat": (("tremble_low",), 0.01), "stream": (("fine_1", "fine_2"), 0.8), "waves": (("bands",), 0.8),
    "day": (("fall",), 0.3), "hue": (("hue",), 0.1), "shake": (("shake",), 1.0), "dolly": (("outer",), 0.003),
}  # fmt: skip


class Rule(NamedTuple):
    """A linear rule: of CLASSES the one whose row of ``weights [C, F]`` and ``bias [C]`` gives a reading the most."""

    classes: tuple[str, ...]
    weights: Numbers
    bias: Numbers

    def nearest(self, reading: Numbers, but: Sequence[str] = ()) -> str:
        """The class that a reading ``[F]`` is nearest to, but for some."""
        sizes = self.weights @ reading + self.bias
        return max((size, name) for size, name in zip(sizes.tolist(), self.classes, strict=True) if name not in but)[1]


def drawn_class(found: dict[str, float], told: Rule | None = None) -> str:
    """Name what statistics are of: a drawn effect, a learned one, a move of the camera, or ``still``.

    By the rule on file, if no other is told.
    """
    unseen = [name for name in SEEN if shown(name, found) < 1]
    return (told or rule()).nearest(reading(found), unseen)


def shown(name: str, found: dict[str, float]) -> float:
    """How much of a drawn effect statistics hold by its own one, in units of what is there to be seen."""
    statistics, least = SEEN[name]
    return max(found[one] for one in statistics) / least


def reading(found: dict[str, float]) -> Numbers:
    """Statistics as a row ``[F]`` of numbers of like size."""
    logs = {name: math.log1p(max(found[name], 0.0) / noise) for name, noise in NOISE.items()}
    direct = [2 * found[name] for name in DIRECT]
    return np.array([*logs.values(), *direct, *(logs[one] - logs[other] for one, other in AGAINST)])


@cache
def rule() -> Rule:
    """The rule on file."""
    told = json.loads(RULE.read_text(encoding="utf-8"))
    return Rule(tuple(told["classes"]), np.array(told["weights"]), np.array(told["bias"]))


def nearest_means(readings: Numbers, names: Sequence[str], ridge: float = 0.3) -> Rule:
    """The rule that gives readings ``[N, F]`` of classes to the nearest class's mean, by how all vary about theirs.

    ``ridge`` draws what they vary by together towards each statistic for itself.
    """
    classes = tuple(sorted(set(names)))
    means = np.stack([readings[[name == one for name in names]].mean(0) for one in classes])
    size = readings.std(0) + 1e-3
    apart = (readings - means[[classes.index(name) for name in names]]) / size
    together = apart.T @ apart / len(apart)
    together = (1 - ridge) * together + ridge * np.diag(np.diag(together)) + 0.02 * np.eye(len(size))
    scaled = means / size
    weights = scaled @ np.linalg.inv(together)
    return Rule(classes, weights / size, -0.5 * (weights * scaled).sum(1))
