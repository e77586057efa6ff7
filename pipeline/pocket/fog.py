"""Fog that lies in banks between the camera and the picture: how opaque it is where, and what colour it has.

Two looks at one sheet of banks go by each other. They hang in the scene: in a pan or tilt they go past, the nearer
faster; they turn with the picture; in a zoom both come nearer, and a look that has come nearest is no more seen while
it begins again as the farthest. Fog is so soft that a fourth of the frame's pixels each way hold all of it.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.pose import REST, Pose
from pipeline.pocket.view import View

COLOUR = (204.0, 209.0, 214.0)
LUMA = (0.299, 0.587, 0.114)
# A picture of this mean luma or more has fog of its own colour; one at night has it dimmer.
LIT_LUMA = 95.0
# How much fog takes on of the colour of the light that it lies in, and of the colours of the picture.
TINGED, SHINES = 0.25, 0.15
REDUCTION = 4
# The two looks: where each begins, how it drifts in a second (units), and its depth, 0 far to 1 near. What is nearer
# passes sooner, and they change.
BEGINS = ((0.0, 0.0), (310.0, 170.0))
DRIFTS_PER_S = ((11.0, 2.0), (44.0, -3.0))
DEPTHS = (0.25, 0.75)
# The nearest is e**NEARER times as large as the farthest, and a look of depth 0.75 goes past BEFORE times as fast as
# the picture in a pan; by how much all comes nearer in a zoom.
NEARER, BEFORE, CLOSER = 1.0, 1.5, 1.2
# Banks: rows of them and their weight, from coarse to fine; how much wider than high they are, and by how many units
# the coarser push the finer aside, which makes wisps.
BANKS = ((2, 0.7), (4, 0.62), (8, 0.4), (16, 0.2), (30, 0.08))
FLAT, PUSHED = 2.0, 46.0
# A sheet's mean, and by how much it varies.
MEAN, SPREAD = 0.5, 0.23
# Depth of fog where no bank is, what its square makes of both looks' banks, and the most.
GAPS, THICKEST, DEEPEST = 0.3, 0.8, 2.7


class Look(NamedTuple):
    """One look at the sheet: ``cos`` and ``sin`` of the roll over its scale, where it begins, ``x`` and ``y`` in
    pixels of the sheet, and how much is ``seen`` of its banks, 1 at rest."""

    cos: float
    sin: float
    x: float
    y: float
    seen: float


WIDE = len(Look._fields)


def looks(time_s: float, view: View, pose: Pose = REST) -> list[Look]:
    """How a camera at a pose sees each of the two looks at a time."""
    (height, width), close = size(view), math.exp(pose.zoom)
    found: list[Look] = []
    for begin, drift, rest in zip(BEGINS, DRIFTS_PER_S, DEPTHS, strict=True):
        depth = (rest + CLOSER / NEARER * pose.zoom) % 1
        scale, past = math.exp(NEARER * (depth - rest)), close * BEFORE ** (2 * (depth - DEPTHS[0]))
        x, y = (
            (past * at / scale - begun - time_s * pace) * view.scale / REDUCTION
            for at, begun, pace in zip((pose.x, pose.y), begin, drift, strict=True)
        )
        turn = math.cos(pose.roll) / scale, math.sin(pose.roll) / scale
        found.append(Look(*turn, x % width, y % height, math.sqrt(2) * math.sin(math.pi * depth)))
    return found


def size(view: View) -> tuple[int, int]:
    """Height and width in pixels of a sheet, and of fog before it is enlarged."""
    return -(-view.height // REDUCTION), -(-view.width // REDUCTION)


def sheet(rng: np.random.Generator, view: View) -> Tensor:
    """Draw banks ``float32 [h + 1, w + 1]`` in 0..1 that repeat: the first row and column come once more at the end."""
    height, width = size(view)
    total = torch.zeros(height, width)
    for count, weight in BANKS:
        rows, columns = view.cells(count)
        grains = torch.from_numpy(rng.random((rows, max(2, round(columns / FLAT))), dtype=np.float32))
        if float(total.std()):
            aside = PUSHED * view.scale / REDUCTION * (total - total.mean())
            grown = _moved(_grown(grains, (height, width)), aside, aside.roll((height // 3, width // 3), (0, 1)))
        else:
            grown = _grown(grains, (height, width))
        total += weight * grown
    return lapped((MEAN + SPREAD * (total - total.mean()) / total.std()).clamp(0, 1))


def opacity(banks: Tensor, seen: Tensor, fog: Tensor, view: View) -> Tensor:
    """How much of each pixel fog hides, ``float32 [F, H, W]`` in 0..1.

    Args:
        banks: the sheet, ``[h + 1, w + 1]``.
        seen: the numbers of both looks, ``[F, 2 * WIDE]``.
        fog: coarse amounts as they lie (:func:`thinned`), ``[F, rows, columns]``.
        view: the frame.
    """
    far, near = (look[:, -1, None, None] * (_seen(banks, look) - MEAN) for look in seen.split(WIDE, 1))
    amount = F.interpolate(fog[:, None], size=size(view), mode="bilinear", align_corners=False)[:, 0]
    hidden = veil(far + near + 2 * MEAN, amount)
    return F.interpolate(hidden[:, None], size=(view.height, view.width), mode="bilinear", align_corners=False)[:, 0]


def _seen(banks: Tensor, look: Tensor) -> Tensor:
    """A look ``[F, WIDE]`` at the sheet: ``[F, h, w]``."""
    height, width = (side - 1 for side in banks.shape)
    x = torch.arange(width, device=banks.device) - (width - 1) / 2
    y = (torch.arange(height, device=banks.device) - (height - 1) / 2)[:, None]
    cos, sin, right, below = (look[:, number, None, None] for number in range(4))
    at = torch.stack(
        [
            (place + (side - 1) / 2 + begin) % side * (2 / side) - 1
            for place, side, begin in (
                (cos * x + sin * y, width, right),
                (cos * y - sin * x, height, below),
            )
        ],
        -1,
    )
    return F.grid_sample(banks.expand(len(look), 1, -1, -1), at, padding_mode="border", align_corners=True)[:, 0]


def veil(banks: Tensor, fog: Tensor) -> Tensor:
    """How opaque fog is: what gets through falls with the depth of both looks' ``banks`` (Beer and Lambert).

    Where it is thin only its thickest banks are seen.
    """
    thin = (1 - fog).clamp(min=0)
    depth = GAPS * (1 - 0.6 * thin) + THICKEST * (banks - 0.35 * thin).clamp(min=0).square()
    return -torch.expm1(-depth.clamp(max=DEEPEST) * fog)


def thinned(fog: Tensor) -> Tensor:
    """Coarse amounts ``[..., h, w]`` of fog as it lies.

    All about, there is less before what is near, low in the frame, the thicker it is. In a part of the frame it has no
    edge, and is thickest where it is meant.
    """
    fog, rows = fog.clamp(0, 1.35), fog.shape[-2]
    most = fog.amax((-2, -1), keepdim=True).clamp(min=0.05)
    everywhere = (fog[..., : rows // 3, :].mean((-2, -1), keepdim=True) / most).clamp(max=1)
    fog = _feathered(_feathered(fog * torch.lerp(fog / most, torch.ones_like(fog), everywhere)))
    row = (torch.arange(rows, device=fog.device, dtype=fog.dtype) + 0.5) / rows
    near = ((row - 0.4) / 0.6).clamp(min=0)[:, None]
    return fog * (1 - 0.4 * near * fog * everywhere + 0.5 * (1 - everywhere))


def colour(image: Tensor, gain: Tensor) -> list[Tensor]:
    """Fog's red, green and blue before ``image [..., 3, H, W]``: lit by what light there is, each ``[..., 1, 1]``.

    ``gain [..., 3]`` is the mean log gain of that light.
    """
    seen = image[..., ::8, ::8].mean((-2, -1), keepdim=True).unbind(-3)
    light = (0.35 + 0.65 / LIT_LUMA * _luma(seen)).clamp(max=1)
    parts = gain[..., None, None].unbind(-3)
    even = _luma(parts)
    return [
        (1 - SHINES) * one * light * (TINGED * (part - even)).exp() + SHINES * there
        for there, part, one in zip(seen, parts, COLOUR, strict=True)
    ]


def _luma(parts: tuple[Tensor, ...]) -> Tensor:
    return parts[0] * LUMA[0] + parts[1] * LUMA[1] + parts[2] * LUMA[2]


def _feathered(amount: Tensor) -> Tensor:
    """The mean over seven cells down and three across, of ``[..., h, w]``."""
    flat = amount.reshape(1, -1, *amount.shape[-2:])
    return F.avg_pool2d(flat, (7, 3), 1, (3, 1), count_include_pad=False).reshape(amount.shape)


def _grown(grains: Tensor, to: tuple[int, int]) -> Tensor:
    """Noise that repeats, enlarged to a height and width."""
    # Wrapped before it is enlarged, so that the tile has no seam.
    wrapped = F.pad(grains[None, None], (2, 2, 2, 2), mode="circular")
    down, across = (side // count + 1 for side, count in zip(to, grains.shape, strict=True))
    big = F.interpolate(wrapped, scale_factor=(down, across), mode="bicubic")
    inner = big[..., 2 * down : -2 * down, 2 * across : -2 * across]
    return F.interpolate(inner, size=to, mode="bilinear")[0, 0]


def _moved(plane: Tensor, right: Tensor, below: Tensor) -> Tensor:
    """A plane ``[h, w]`` that repeats, taken from so many pixels to the right and below."""
    height, width = plane.shape
    x, y = torch.arange(width) + right, torch.arange(height)[:, None] + below
    at = torch.stack([x % width * (2 / width) - 1, y % height * (2 / height) - 1], -1)[None]
    return F.grid_sample(lapped(plane)[None, None], at, padding_mode="border", align_corners=True)[0, 0]


def lapped(plane: Tensor) -> Tensor:
    return F.pad(plane[None, None], (0, 1, 0, 1), mode="circular")[0, 0]
