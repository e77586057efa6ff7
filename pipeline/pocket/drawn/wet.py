"""Rain that wets: the ground darkens little by little, gleams and gathers puddles; on water drops leave rings."""

import math

import numpy as np
import torch
from torch import Tensor

from pipeline.pocket.drawn.dice import Numbers, dice
from pipeline.pocket.drawn.marks import LUMA
from pipeline.pocket.drawn.noise import noise
from pipeline.pocket.drawn.shot import COARSE, Shot
from pipeline.pocket.drawn.wetness import LEAST_GROUND, LEAST_RAIN, Wetness, fallen_share, read_at
from pipeline.pocket.layers import FOLIAGE, REST, WATER

WET, RINGS = 400, 500
GROUND_LAYERS, EDGE = {REST: 1.0, FOLIAGE: 0.65}, 0.25
# Where the ground is taken to begin, and to be seen from above, by shares of the picture's height from its middle.
GROUND, FLAT = (-0.1, 0.15), (0.02, 0.3)
# What wet ground loses of its light, and a puddle besides; how much more colour it has; what it mirrors.
DARKER, POOL_DARKER, RICHER, GLEAM, MIRRORS = 0.24, 0.36, 0.25, 0.4, 0.62
LIT_LUMA = 70.0
# Shares of the height over which what stands above is smeared in a puddle.
SMEAR = 0.16
RING_COUNT, RING_S, RING_UNITS, RING_LIGHT, FLATTER = 200, 0.9, 15.0, 46.0, 2.6
# Radii in units up to which rings are drawn on stamps of one size.
RING_SIZES = (4.0, 8.0, RING_UNITS)


def wetted(image: Tensor, shot: Shot, wet: Wetness, time_s: float, rain: Tensor | None = None) -> Tensor:
    """Wet a frame ``float32 [3, H, W]`` in 0..255, which is painted over; give it.

    ``rain`` is how much falls at each place of the screen, ``[h, w]``; that is looked at where it is not all alike.
    """
    if wet.ground > LEAST_GROUND:
        _soaked(image, shot, wet)
    layers = shot.canvas.layers
    if wet.rain > LEAST_RAIN and layers is not None and layers.has(WATER):
        _ringed(image, shot, (wet.rain, None if wet.patches is None else rain), time_s)
    return image


def _soaked(image: Tensor, shot: Shot, wet: Wetness) -> None:
    """Darken the ground, give it more of its colour, and let it mirror what stands above, most in puddles."""
    height = shot.view.extent[1]
    _, down = shot.places(COARSE)
    lowest = (down.amax(1) > GROUND[0] * height).nonzero()[:, 0]
    if not len(lowest):
        return
    rows = slice(COARSE * int(lowest[0]), shot.view.height) if shot.is_fourfold else slice(0, shot.view.height)
    x, y = shot.places(COARSE, rows)
    ground = wet.ground if wet.patches is None else shot.local(wet.patches.ground[None, None], x, y)[0]
    soak = ground * ground * (3 - 2 * ground)
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


def puddles(shot: Shot, x: Tensor, y: Tensor, soak: float | Tensor) -> Tensor:
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


def _ringed(image: Tensor, shot: Shot, falls: tuple[float, Tensor | None], time_s: float) -> None:
    """Lay rings on the water that drops leave, wide and flat, which spread and fade.

    ``falls`` is how much it rains, and where on the screen, None for everywhere.
    """
    rain, where = falls
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
    found = share[None] if where is None else torch.stack([share, _fallen(shot, where, here)])
    # A GPU is waited for once.
    on_water, *fallen = found.cpu().numpy()
    bright = 1 - age if where is None else (1 - age) * fallen[0]
    hit = (on_water > 0.1) & (bright > 0)
    parts: list[tuple[Tensor, Tensor]] = []
    for least, most in zip((0.0, *RING_SIZES[:-1]), RING_SIZES, strict=True):
        some = hit & (radius > least * scale) & (radius <= most * scale)
        if some.any():
            parts.append(_rings(shot, (px[some], py[some]), (radius[some], near[some], bright[some]), most))
    if not parts:
        return
    pixels = torch.cat([where for where, _ in parts])
    (total,) = shot.summed(pixels, torch.cat([light for _, light in parts])[None])
    share = shot.share(WATER, pixels)
    assert share is not None
    flat = image.view(3, -1)
    flat.index_copy_(1, pixels, flat.index_select(1, pixels) + 255 * share * total * rain)


def _fallen(shot: Shot, rain: Tensor, pixels: Tensor) -> Tensor:
    """How much of rain ``[h, w]`` on the screen falls at some pixels ``int64 [N]``, 0..1."""
    width, height = shot.view.width, shot.view.height
    across = (pixels % width + 0.5) * (2 / width) - 1
    down = (pixels.div(width, rounding_mode="floor") + 0.5) * (2 / height) - 1
    return read_at(fallen_share(rain, rain.amax().clamp(min=1e-3)), across[None], down[None])[0]


def _rings(
    shot: Shot, place: tuple[Numbers, Numbers], told: tuple[Numbers, Numbers, Numbers], most: float
) -> tuple[Tensor, Tensor]:
    """Pixels of rings of at most a radius in units, and the light there, over 255."""
    (radius, near, bright), scale = told, shot.view.scale
    reach = 2 * math.ceil((most + 3) * scale)
    dx, dy, index = shot.stamp(*place, reach)
    # They are flat: most of a square would be empty.
    rows = slice(round(reach * (0.5 - 0.5 / FLATTER)) - 1, round(reach * (0.5 + 0.5 / FLATTER)) + 1)
    dx, dy, index = dx[:, rows], dy[:, rows], index[:, rows].contiguous()
    size, line, light = shot.numbers(
        radius, 1 / (np.maximum(0.8, 1.1 * near) * scale), RING_LIGHT / 255 * near**0.5 * bright
    )
    far = ((dx.square() + (dy * FLATTER).square_()).sqrt_() - size).mul_(line)
    # A bright crest, and a dark trough within.
    wave = far.square().neg_().exp_().sub_((far + 2).square_().neg_().exp_(), alpha=0.6).mul_(light)
    return shot.left(index, wave)[:2]
