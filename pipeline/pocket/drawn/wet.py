"""Rain that wets: the ground darkens little by little, gleams and gathers puddles; on water drops leave rings."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.pocket.drawn.dice import Numbers, dice
from pipeline.pocket.drawn.marks import LUMA
from pipeline.pocket.drawn.noise import noise
from pipeline.pocket.drawn.shot import COARSE, Shot
from pipeline.pocket.latents import LATENTS_PER_SECOND
from pipeline.pocket.layers import FOLIAGE, REST, WATER

WET, RINGS = 400, 500
GROUND_LAYERS, EDGE = {REST: 1.0, FOLIAGE: 0.65}, 0.25
# Seconds in which steady rain wets the ground wholly, and in which it dries.
WETS_S, DRIES_S = 10.0, 20.0
# Where the ground is taken to begin, and to be seen from above, by shares of the picture's height from its middle.
GROUND, FLAT = (-0.1, 0.15), (0.02, 0.3)
# What wet ground loses of its light, and a puddle besides; how much more colour it has; what it mirrors.
DARKER, POOL_DARKER, RICHER, GLEAM, MIRRORS = 0.24, 0.36, 0.25, 0.4, 0.62
LIT_LUMA = 70.0
# Shares of the height over which what stands above is smeared in a puddle.
SMEAR = 0.16
RING_COUNT, RING_S, RING_UNITS, RING_LIGHT, FLATTER = 200, 0.9, 15.0, 46.0, 2.6
# Of rain and of wetness, what changes no colour by half a grey level.
LEAST_RAIN, LEAST_GROUND = 0.01, 0.025
# Radii in units up to which rings are drawn on stamps of one size.
RING_SIZES = (4.0, 8.0, RING_UNITS)


class Wetness(NamedTuple):
    """How much it rains, and how wet the ground is, each 0..1, at a latent's boundary."""

    rain: float = 0.0
    ground: float = 0.0

    def after(self, rain: float) -> "Wetness":
        """The same a latent later, when so much rain falls; steps are even, so that a rate plays no part.

        >>> wet = Wetness()
        >>> for _ in range(round(WETS_S * LATENTS_PER_SECOND)):
        ...     wet = wet.after(1.2)
        >>> round(wet.ground, 3), round(wet.after(0.0).ground, 4)
        (1.0, 0.9875)
        """
        rain = max(0.0, min(1.0, rain))
        step = max(-1 / (DRIES_S * LATENTS_PER_SECOND), min(1 / (WETS_S * LATENTS_PER_SECOND), rain - self.ground))
        return Wetness(rain, self.ground + step)

    @property
    def is_seen(self) -> bool:
        """Whether any of it could be seen: a transformer that is asked for no rain still says a little of it.

        >>> Wetness(0.002, 0.002).is_seen, Wetness(0.0, 0.1).is_seen, Wetness(0.1, 0.0).is_seen
        (False, True, True)
        """
        return self.ground > LEAST_GROUND or self.rain > LEAST_RAIN

    def towards(self, after: "Wetness", share: float) -> "Wetness":
        """What is at a share of the way to the state a latent later."""
        return Wetness(*(a + (b - a) * share for a, b in zip(self, after, strict=True)))


def wetted(image: Tensor, shot: Shot, wet: Wetness, time_s: float) -> Tensor:
    """Wet a frame ``float32 [3, H, W]`` in 0..255, which is painted over; give it."""
    if wet.ground > LEAST_GROUND:
        _soaked(image, shot, wet.ground)
    layers = shot.canvas.layers
    if wet.rain > LEAST_RAIN and layers is not None and layers.has(WATER):
        _ringed(image, shot, wet.rain, time_s)
    return image


def _soaked(image: Tensor, shot: Shot, ground: float) -> None:
    """Darken the ground, give it more of its colour, and let it mirror what stands above, most in puddles."""
    height, soak = shot.view.extent[1], ground * ground * (3 - 2 * ground)
    _, down = shot.places(COARSE)
    lowest = (down.amax(1) > GROUND[0] * height).nonzero()[:, 0]
    if not len(lowest):
        return
    rows = slice(COARSE * int(lowest[0]), shot.view.height) if shot.is_fourfold else slice(0, shot.view.height)
    x, y = shot.places(COARSE, rows)
    low, flat = (((y / height - at) / (to - at)).clamp(0, 1) for at, to in (GROUND, FLAT))
    pool = puddles(shot, x, y, soak) * flat
    small = _reduced(image)
    above = _smeared(small, len(y))
    small = small[:, -len(y) :]
    luma = _luma(small)
    if shot.canvas.layers is not None:
        # An edge is that of every fourth pixel, so it lies within the ground.
        low = low * ((shot.mixed(GROUND_LAYERS, COARSE, rows) - EDGE) / (1 - EDGE)).clamp(min=0)
    lost = soak * low * (DARKER + POOL_DARKER * pool)
    # What is dark stays so: it is seldom ground.
    lit = (luma / LIT_LUMA).clamp(max=1).mul_(soak * low)
    gleam = GLEAM * (_luma(above) - luma).clamp(min=0) * lit
    gained = small.sub_(luma).mul_(RICHER * soak * low).add_(gleam).add_((MIRRORS * POOL_DARKER) * pool * lit * above)
    kept, part = shot.enlarge(lost).neg_().add_(1), image[:, rows]
    for channel, light in enumerate(gained):
        part[channel].mul_(kept).add_(shot.enlarge(light))


def _reduced(image: Tensor) -> Tensor:
    """Of blocks of COARSE pixels each way the mean of two, ``[3, h, w]``: of all of them takes five times as long."""
    height, width = (COARSE * (side // COARSE) for side in image.shape[1:])
    return torch.add(image[:, :height:COARSE, :width:COARSE], image[:, 2:height:COARSE, 2:width:COARSE]).mul_(0.5)


def puddles(shot: Shot, x: Tensor, y: Tensor, soak: float) -> Tensor:
    """Where puddles stand at places in the picture, 0..1: low ones, which fill; on the ground, so wide and narrow."""
    near = (y / shot.view.extent[1] + 0.12).clamp(min=0.06)
    wide, narrow = 340 * near, 150 * near
    deep = noise(WET, WET, x / wide, y / narrow) + 0.45 * noise(WET, WET + 1, 2.7 * x / wide, 2.7 * y / narrow)
    return ((deep - (1.05 - 0.30 * soak)) * 5).clamp_(0, 1)


def _smeared(small: Tensor, rows: int) -> Tensor:
    """What stands above each of the last rows of ``[3, h, w]``, smeared downwards, ``[3, rows, w]``."""
    count = small.shape[1]
    at = torch.arange(count, device=small.device, dtype=small.dtype)
    far = (at[count - rows :, None] - at) / (SMEAR * count)
    weights = torch.exp(-far) * ((far * 8).clamp(0, 1))
    weights /= weights.sum(1, keepdim=True).clamp(min=1e-3)
    return weights @ small


def _luma(parts: Tensor) -> Tensor:
    red, green, blue = LUMA
    return red * parts[0] + green * parts[1] + blue * parts[2]


def _ringed(image: Tensor, shot: Shot, rain: float, time_s: float) -> None:
    """Lay rings on the water that drops leave, wide and flat, which spread and fade."""
    numbers = np.arange(round(RING_COUNT * rain))
    lives = time_s / RING_S + dice(WET, RINGS, numbers)
    age, life = lives % 1, lives.astype(np.int64)
    u, v = (dice(WET, RINGS, numbers, 4 * life + part) for part in (1, 2))
    height, scale = shot.view.extent[1], shot.view.scale
    # On the screen, so that as many are seen from everywhere; for so short a time nobody sees them go along.
    px, py = u * (shot.view.width - 1), (0.3 + 0.7 * v) * (shot.view.height - 1)
    near = 0.25 + 0.95 * (py / (height * scale) - 0.3)
    radius = RING_UNITS * scale * near * age**0.7
    here = torch.from_numpy((py.round() * shot.view.width + px.round()).astype(np.int64)).to(shot.device)
    share = shot.share(WATER, here)
    assert share is not None
    on_water = share.cpu().numpy() > 0.1
    parts: list[tuple[Tensor, Tensor]] = []
    for least, most in zip((0.0, *RING_SIZES[:-1]), RING_SIZES, strict=True):
        some = on_water & (radius > least * scale) & (radius <= most * scale)
        if some.any():
            parts.append(_rings(shot, (px[some], py[some]), (radius[some], near[some], age[some]), most))
    if not parts:
        return
    pixels = torch.cat([where for where, _ in parts])
    (total,) = shot.summed(pixels, torch.cat([light for _, light in parts])[None])
    share = shot.share(WATER, pixels)
    assert share is not None
    flat = image.view(3, -1)
    flat.index_copy_(1, pixels, flat.index_select(1, pixels) + 255 * share * total * rain)


def _rings(
    shot: Shot, place: tuple[Numbers, Numbers], told: tuple[Numbers, Numbers, Numbers], most: float
) -> tuple[Tensor, Tensor]:
    """Pixels of rings of at most a radius in units, and the light there, over 255."""
    (radius, near, age), scale = told, shot.view.scale
    reach = 2 * math.ceil((most + 3) * scale)
    dx, dy, index = shot.stamp(*place, reach)
    # They are flat: most of a square would be empty.
    rows = slice(round(reach * (0.5 - 0.5 / FLATTER)) - 1, round(reach * (0.5 + 0.5 / FLATTER)) + 1)
    dx, dy, index = dx[:, rows], dy[:, rows], index[:, rows].contiguous()
    size, line, light = shot.numbers(
        radius, 1 / (np.maximum(0.8, 1.1 * near) * scale), RING_LIGHT / 255 * near**0.5 * (1 - age)
    )
    far = ((dx.square() + (dy * FLATTER).square_()).sqrt_() - size).mul_(line)
    # A bright crest, and a dark trough within.
    wave = far.square().neg_().exp_().sub_((far + 2).square_().neg_().exp_(), alpha=0.6).mul_(light)
    return shot.left(index, wave)[:2]
