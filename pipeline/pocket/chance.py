"""What chance makes of a stream at each latent: smooth fields and numbers, by its seed alone.

Every latent brings white noise on a coarse, endless grid, keyed by (seed, latent) as the sampler's is. What is felt is
the sum of the last MEMORY of them, each carried on by its wind, swelling and dying (a moving average: a stationary
Gaussian field). So there is no state to keep: going back, saving and making again give the same, and an hour is as the
first minute.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import torch
from torch import Tensor

from pipeline.pocket.latents import GRID

# Gives standard normal noise of (seed, latent, step, shape), see :func:`pipeline.schedule.noise`.
Noise = Callable[[int, int, int, tuple[int, ...]], Tensor]

MEMORY = 40
# Latents' noise that is kept, of all streams: 8 kB each.
REMEMBERED = 1024
# Steps that no sampler reaches: what a latent brings, and what the whole stream keeps.
LATENT_STEP, STREAM_STEP = 1000, 1001
# The coarse grid: a point every 4 cells of 48 x 80, beyond which it repeats, so that what leaves the view is not soon
# back.
SPACING, POINTS = 4, (12, 20)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of field: how far it reaches up and along (cells), how slowly it changes (latents), and how it is carried
    by a latent, in cells right (with the wind) and down."""

    count: int
    reach: tuple[float, float]
    slowness: float
    wind: float = 0.0
    down: float = 0.0


# Leaves swing in patches; gusts run over them faster than the patches do; waves come in packets, which go at half of
# the waves' own speed; eddies in a sky; patches of weather.
SWAY, GUST, WAVES, EDDIES, PATCHES = range(5)
KINDS = (
    Kind(2, (6.0, 6.0), 4.0, wind=0.5),
    Kind(1, (9.0, 9.0), 4.0, wind=1.8),
    Kind(2, (5.0, 8.0), 4.0, down=-0.4),
    Kind(2, (8.0, 10.0), 4.0, wind=0.5),
    Kind(1, (9.0, 9.0), 3.0, down=0.6),
)
FIELDS = sum(kind.count for kind in KINDS)
# Numbers of a latent: breath (2), wind (2), light, and a hand that holds the camera (right, down, clockwise).
NUMBERS = 8
SLOWNESS, HAND_SLOWNESS = 4.0, 6.0


@dataclass(frozen=True, slots=True, eq=False)
class Chance:
    """Chance at one latent; every value is standard normal, but ``side``, ``beginning`` and ``hand``.

    ``fields float32 [8, h, w]`` are those of KINDS one after the other. ``side`` is where the wind blows, -1 or 1, and
    ``beginning`` a complex number of size 1, both for the whole stream; ``hand`` is the velocity of what stays about a
    place, of variance 1. Without noise all is 0.
    """

    fields: Tensor
    side: int
    beginning: complex
    breath: complex
    wind: tuple[float, float]
    light: float
    hand: tuple[float, float, float]


def chance(noise: Noise, seed: int, latent: int) -> Chance:
    """Draw what chance makes of a latent; ``latent`` counts from 0, and there was wind before it."""
    size = FIELDS * POINTS[0] * POINTS[1]
    drawn = torch.stack([noise(seed, latent - age, LATENT_STEP, (size + NUMBERS,)) for age in range(MEMORY)])
    kept = noise(seed, 0, STREAM_STEP, (3,))
    side = int(torch.sign(kept[0]))
    white = drawn[:, :size].view(MEMORY, FIELDS, *POINTS)
    fields: list[Tensor] = []
    for kind in range(len(KINDS)):
        rows, columns = _maps(kind, side)
        fields.append(rows @ (white[:, fields_of(kind)] @ columns).transpose(0, 1).flatten(1, 2))
    numbers = drawn[:, size:]
    a, b, c, d, e = (_swell(SLOWNESS) @ numbers[:, :5]).tolist()
    right, down, clockwise = (_velocity(HAND_SLOWNESS) @ numbers[:, 5:]).tolist()
    start = complex(float(kept[1]), float(kept[2]))
    beginning = start / max(abs(start), 1e-6)
    swung = 2**-0.5
    return Chance(torch.cat(fields), side, beginning, complex(a, b) * swung, (c, d), e, (right, down, clockwise))


class Draws:
    """Chance of latents, its fields on a device; the last few are remembered, so what is drawn ahead is there later.

    Noise is remembered longer: of the MEMORY latents' that one is made of, all but its own was drawn for those before.
    """

    def __init__(self, noise: Noise, device: torch.device, kept: int = 8) -> None:
        self._noise, self._device, self._kept = lru_cache(REMEMBERED)(noise), device, kept
        self._drawn: OrderedDict[tuple[int, int], Chance] = OrderedDict()

    def of(self, seed: int, latent: int) -> Chance:
        """Draw what :func:`chance` does, or remember it."""
        key = seed, latent
        if key not in self._drawn:
            made = chance(self._noise, seed, latent)
            self._drawn[key] = replace(made, fields=made.fields.to(self._device))
            if len(self._drawn) > self._kept:
                self._drawn.popitem(last=False)
        return self._drawn[key]


def fields_of(kind: int) -> slice:
    """Where the fields of a kind lie in :attr:`Chance.fields`."""
    first = sum(one.count for one in KINDS[:kind])
    return slice(first, first + KINDS[kind].count)


@cache
def _swell(slowness: float) -> Tensor:
    """How much of each of the last latents' noise is felt, ``[MEMORY]``: it comes up smoothly and dies smoothly."""
    age = torch.arange(MEMORY) + 0.5
    weights = age.square() * torch.exp(-age / slowness)
    return weights / weights.norm()


@cache
def _velocity(slowness: float) -> Tensor:
    """The same of a velocity whose way stays about a place."""
    weights = torch.diff(_swell(slowness), prepend=torch.zeros(1))
    return weights / weights.norm()


@cache
def _maps(index: int, side: int) -> tuple[Tensor, Tensor]:
    """What makes fields of white noise: rows ``[32, MEMORY * 12]``, columns ``[MEMORY, 1, 20, 56]``."""
    kind = KINDS[index]
    columns = _map(1, kind.reach[1], kind.wind * side)
    rows = _map(0, kind.reach[0], kind.down) * _swell(kind.slowness)[:, None, None]
    return rows.transpose(0, 1).flatten(1), columns.transpose(1, 2)[:, None].contiguous()


def _map(axis: int, reach: float, carried: float) -> Tensor:
    """How each point ``[MEMORY, cells, points]`` is felt by each cell when it has been carried on for its age."""
    length = POINTS[axis] * SPACING
    points = torch.arange(POINTS[axis]) * SPACING + carried * torch.arange(MEMORY)[:, None]
    apart = torch.arange(GRID[axis])[:, None] + 0.5 - points[:, None]
    apart = (apart + length / 2) % length - length / 2
    weights = torch.exp(-((apart / reach) ** 2))
    return weights / weights.norm(dim=2, keepdim=True)
