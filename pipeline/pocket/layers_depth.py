"""What the network of layers learns of depth: how near each place of a picture is, as far as that is known.

Paintings and drawings know it; of photos it follows from their kinds, where these leave no doubt. A view that shows a
part of a picture shows ground that rises the faster. In a batch depth is two planes: how much nearer than the horizon a
place is, where that is known and else 0, and whether it is known.
"""

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.pocket.nearness import CUT_OFF, HORIZON, RISE, STANDING

REST, SKY, WATER, FOLIAGE, SUBJECT = range(5)
UNKNOWN, FARTHEST, LEVELS = 0, 1, 254
# Weight of depth in the loss, and in it of steps that are not where they are.
NEARNESS, STEPS = 2.0, 2.0
# Less of a sky than this tells no horizon.
LEAST_SKY, LEAST_WATER = 0.04, 0.05
# Change across over change down of what is below a horizon, from which it may well be no ground.
UPRIGHT = 0.95
# Where no horizon is seen: nearness at the top, and how much nearer the lower edge is; with a subject there.
UNSEEN, UNSEEN_RISE, RISE_BELOW_SUBJECT = 0.35, 0.25, 0.2
# What is smaller is not looked at, pixels.
LEAST_PART = 150
# How much wider than high what may be both standing and lying is.
WIDE = 1.5
# What is wide and stands no nearer than this is heights beyond: all of it is as near as its foot.
FAR = 0.22
# The lowest part of what stands, by which its foot is told.
FOOT = 0.06

Kinds = npt.NDArray[np.uint8]
Near = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def in_bytes(near: Near) -> Kinds:
    """Nearness in bytes; what is below 0 is unknown.

    >>> in_bytes(np.array([-1, 0, 1], np.float32)).tolist()
    [0, 1, 255]
    """
    return np.where(near < 0, UNKNOWN, 1 + np.round(near * LEVELS)).astype(np.uint8)


def near_of_photo(kinds: Kinds, pixels: Kinds) -> Kinds:
    """How near places of a photo ``uint8 [H, W, 3]`` of these kinds ``[H, W]`` are, in bytes."""
    y = ((np.arange(len(kinds)) + 0.5) / len(kinds)).astype(np.float32)[:, None]
    horizon = _horizon(kinds, y)
    if horizon is None:
        rise = RISE_BELOW_SUBJECT if (kinds == SUBJECT).mean() > LEAST_SKY else UNSEEN_RISE
        ground = np.broadcast_to(UNSEEN + rise * y, kinds.shape).astype(np.float32)
        near = ground.copy()
    else:
        ground = np.broadcast_to(HORIZON + RISE * np.maximum(y - horizon, 0), kinds.shape).astype(np.float32)
        below = np.broadcast_to(y > horizon, kinds.shape)
        near = np.where(below & (kinds == WATER), ground, np.float32(-1))
        is_ground = _slanted(pixels, below & (kinds != SKY))
        for kind in (REST, FOLIAGE):
            for part in _parts(kinds == kind):
                _rise(near, part, (ground, below), is_ground or kind == FOLIAGE)
        near[kinds == SKY] = 0
    for part in _parts(kinds == SUBJECT):
        foot = _foot(part)
        near[part] = ground[foot, 0] + (CUT_OFF if foot >= len(kinds) - 3 else STANDING)
    return in_bytes(near.clip(max=1))


def _horizon(kinds: Kinds, y: Near) -> float | None:
    """Where flat ground would end: no higher than the lowest sky, and a little above a far shore."""
    sky, water = kinds == SKY, kinds == WATER
    if sky.mean() < LEAST_SKY:
        return None
    lowest = (sky * y).max(0)
    horizon = float(np.quantile(lowest[lowest > 0], 0.97))
    if water.mean() < LEAST_WATER:
        return horizon
    shore = float(np.quantile(np.broadcast_to(y, kinds.shape)[water], 0.02))
    return max(horizon, shore - 0.02) if shore > horizon else horizon


def _slanted(pixels: Kinds, where: Mask) -> bool:
    """Whether what is there is likely ground: a slant makes lines across of all, what stands has upright ones."""
    grey = pixels.mean(2)
    across = np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))[where].sum()
    down = np.abs(np.diff(grey, axis=0, append=grey[-1:]))[where].sum()
    return bool(across < UPRIGHT * down)


def _parts(mask: Mask) -> list[Mask]:
    """What hangs together, of some size."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))[:2]
    parts = [np.asarray(labels == number) for number in range(1, count)]
    return [part for part in parts if part.sum() > LEAST_PART]


def _rise(near: Near, part: Mask, plane: tuple[Near, Mask], is_ground: bool) -> None:
    """What stands is as near as its foot, what lies is ground; what may be both is known low down alone."""
    ground, below = plane
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    foot, is_high = _foot(part), not below[rows[0], 0]
    is_cut, is_wide = foot >= len(part) - 3, len(columns) > WIDE * len(rows)
    if not is_cut and (not is_wide or ground[foot, 0] < FAR):
        near[part] = ground[foot, 0]
    elif is_ground and is_high:
        first = int(np.flatnonzero(below[:, 0])[0]) if below.any() else len(part)
        low = part & (np.arange(len(part))[:, None] > (first + len(part)) / 2)
        near[low] = ground[low]
    elif is_ground:
        near[part] = ground[part]


def _foot(part: Mask) -> int:
    """The row in which it stands."""
    rows = part.sum(1).cumsum()
    return int(np.searchsorted(rows, (1 - FOOT / 2) * rows[-1]))


def told(near: Tensor, scale: Tensor) -> Tensor:
    """Depth ``float32 [n, 2, H, W]`` of bytes ``[n, H, W]`` as views show it that are ``scale [n]`` of a picture."""
    known = (near != UNKNOWN).float()
    above = (near.float() - 1) / LEVELS - HORIZON
    # Where no horizon is seen nothing says how far away all of it is, and what is told is the same for any part.
    has_sky = (near == FARTHEST).flatten(1).any(1)
    scale = torch.where(has_sky, scale, 1.0)[:, None, None]
    above = above.clamp(max=0) + (above.clamp(min=0) / scale).clamp(max=1 - HORIZON)
    return torch.stack([above * known, known], 1)


def as_its_foot(depth: Tensor, subject: Tensor) -> Tensor:
    """Depth ``[n, 2, 1, 1]`` of subjects ``[n, 1, H, W]`` set into pictures: that of the ground where they stand."""
    rows = subject.sum(3, keepdim=True)
    # From the bottom up: the share of it that is no higher than a row.
    lower = rows.flip(2).cumsum(2).flip(2) / rows.sum(2, keepdim=True).clamp(min=1e-6)
    foot = subject * (lower < FOOT)
    above, known = (depth * foot).sum((2, 3), keepdim=True).split(1, 1)
    is_known = (known > 0.5 * foot.sum((2, 3), keepdim=True)) & (known > 0)
    is_cut = subject[:, :, -1:].amax((2, 3), keepdim=True) > 0.5
    more = torch.where(is_cut, CUT_OFF, STANDING)
    near = (above / known.clamp(min=1e-6) + more).clamp(max=1 - HORIZON)
    return torch.cat([near * is_known, is_known.float()], 1)


def off(near: Tensor, depth: Tensor) -> Tensor:
    """How far nearness ``[n, 1, h, w]`` is off, of what is known; and its steps, at three sizes."""
    above, known = depth.split(1, 1)
    sure = (known > 0.99).float()
    error = (near - HORIZON - above) * sure
    total = error.abs().sum() / sure.sum().clamp(min=1)
    for reach in (1, 2, 4):
        for axis in (2, 3):
            length = error.shape[axis] - reach
            both = sure.narrow(axis, 0, length) * sure.narrow(axis, reach, length)
            step = (error.narrow(axis, reach, length) - error.narrow(axis, 0, length)).abs() * both
            total = total + STEPS / 6 * step.sum() / both.sum().clamp(min=1)
    return total
