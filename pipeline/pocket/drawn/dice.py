"""Chance without state: any number of a stream's dice, each thrown by a seed and whole numbers alone."""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

_ODD = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def dice(seed: int, kind: int, index: Whole, life: Whole | int = 0) -> Numbers:
    """Even numbers in 0..1 of whole numbers of one shape (SplitMix64, Steele, Lea, Flood 2014).

    >>> [round(float(n), 3) for n in dice(1, 2, np.arange(3))] == [round(float(n), 3) for n in dice(1, 2, np.arange(3))]
    True
    """
    if isinstance(life, int):
        # The same for every frame.
        return _thrown(seed, kind, index.tobytes(), life).reshape(index.shape)
    return _mixed(seed, kind, index, life)


@lru_cache(256)
def _thrown(seed: int, kind: int, index: bytes, life: int) -> Numbers:
    found = _mixed(seed, kind, np.frombuffer(index, np.int64), life)
    found.setflags(write=False)
    return found


def _mixed(seed: int, kind: int, index: Whole, life: Whole | int) -> Numbers:
    with np.errstate(over="ignore"):
        mixed = _stirred(np.asarray(seed & (2**64 - 1), np.uint64) + np.uint64(kind + 1) * np.uint64(_ODD[0]))
        mixed = _stirred(mixed + index.astype(np.uint64) * np.uint64(_ODD[0]))
        mixed = _stirred(mixed + np.asarray(life, np.int64).astype(np.uint64) * np.uint64(_ODD[0]))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _stirred(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_ODD[1])
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_ODD[2])
    return x ^ (x >> np.uint64(31))


def flicker(seed: int, kind: int, time_s: float, paces_hz: tuple[float, ...]) -> float:
    """A trembling of mean 0 and root mean square 1, the slower the larger (1/f power), which never comes back."""
    phases = dice(seed, kind, np.arange(2 * len(paces_hz)))
    total = power = 0.0
    for index, hz in enumerate(paces_hz):
        size = hz**-0.5
        pace = hz * (0.85 + 0.3 * float(phases[2 * index + 1]))
        total += size * math.sin(2 * math.pi * (pace * time_s % 1 + float(phases[2 * index])))
        power += size * size / 2
    return total / math.sqrt(power)
