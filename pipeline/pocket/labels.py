"""Where things are in the held-out pictures, by hand: what a model's layers and motion are judged by.

The shapes lie in ``labels.toml`` with the prompts, the seeds and the bars; beside the photos and paintings stand a few
drawn scenes, whose masks are exact.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.pocket.scenes import draw
from pipeline.pocket.view import HEIGHT, WIDTH
from pipeline.types import Pixels

LAYERS = ("sky", "water", "foliage", "subject")
Mask = npt.NDArray[np.float32]
# Share of the frame from which a drawn scene is judged by a layer; a photo says itself by what.
LEAST_DRAWN, MOST_DRAWN = 0.04, 0.9


@dataclass(frozen=True, slots=True)
class Wish:
    """A prompt, and the layer in which it should act: one of LAYERS, or ``background``, all but the subject."""

    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Bars:
    """Least correlation with the labels, least lead over the picture-independent prior, most ghost in grey levels."""

    correlation: float
    lead: float
    ghost: float


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """Masks ``float32 [4, 480, 832]`` in 0..1 of the view, and the layers that are judged by them."""

    masks: Mask
    judged: frozenset[str]

    def layer(self, name: str) -> Mask:
        """One mask ``float32 [480, 832]``; ``background`` is all but the subject."""
        return 1 - self.layer("subject") if name == "background" else self.masks[LAYERS.index(name)]


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "labels.toml").read_text(encoding="utf-8"))


def bars() -> Bars:
    """The bars, fixed before training."""
    return Bars(*(float(_data()[name]) for name in ("correlation", "lead", "ghost")))


def wishes() -> dict[str, Wish]:
    """Prompts by their short name."""
    return {name: Wish(**entry) for name, entry in _data()["prompts"].items()}


def drawn() -> tuple[str, ...]:
    """Names of the drawn scenes."""
    return tuple(f"drawn-{number}" for number in range(_data()["drawn"]))


def labelled() -> tuple[str, ...]:
    """Names of all labelled pictures: numbers of held-out ones, then the drawn ones."""
    return (*_data()["pictures"], *drawn())


def drawing(name: str) -> Pixels:
    """The drawn scene of a name, ``uint8 [480, 832, 3]``."""
    return draw(_rng(name), HEIGHT, WIDTH).pixels


@cache
def label(name: str) -> Label:
    """Masks of a picture; raises KeyError for one that has none."""
    if name in drawn():
        masks = np.asarray(draw(_rng(name), HEIGHT, WIDTH).masks / 255, np.float32)
        judged = (n for n, m in zip(LAYERS, masks, strict=True) if LEAST_DRAWN < float(m.mean()) < MOST_DRAWN)
        return Label(masks, frozenset(judged))
    entry = _data()["pictures"][name]
    return Label(rasterise(entry["paint"]), frozenset(entry["judged"].split()))


def rasterise(paint: str) -> Mask:
    """Masks ``float32 [4, 480, 832]`` from lines of a layer (or ``rest``) and its points in percent of the view.

    >>> masks = rasterise("sky 0,0 100,0 100,50 0,50" + chr(10) + "rest 0,0 50,0 50,50 0,50")
    >>> [round(float(m.mean()), 2) for m in masks]
    [0.25, 0.0, 0.0, 0.0]
    """
    masks = np.zeros((len(LAYERS), HEIGHT, WIDTH), np.float32)
    for line in paint.strip().splitlines():
        name, *points = line.split()
        places = np.array([[float(v) for v in point.split(",")] for point in points])
        shape = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.fillPoly(shape, [np.round(places * (WIDTH / 100, HEIGHT / 100)).astype(np.int32)], 1)
        masks *= 1 - shape
        if name != "rest":
            masks[LAYERS.index(name)] += shape
    return masks


def prior(name: str, where: str) -> Mask:
    """What would be guessed without seeing the picture: the mean label of the others, ``float32 [480, 832]``."""
    layer = "subject" if where == "background" else where
    others = [label(other) for other in labelled() if other != name and layer in label(other).judged]
    return np.asarray(np.mean([other.layer(where) for other in others], axis=0), np.float32)


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng([_data()["seed"], int(name.removeprefix("drawn-"))])
