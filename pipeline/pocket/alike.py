"""Shares of layers that what looks alike and is near has in common.

The network of layers says them smoothly, and of what is thin, or stands between two things, wrongly: a gap among
leaves before a lake is water. What it says of all pixels of one colour in one part of a picture is right on the mean.
So shares are gathered in bins of place and colour, smoothed from bin to bin, and read again where each pixel lies: a
bilateral grid (Chen, Paris, Durand 2007).
"""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.canvas import Canvas

# Bins down and across, of luma, of red less green, and of yellow less blue; and how often neighbours share, each way.
BINS = (8, 14, 16, 14, 14)
SPREAD = (3, 3, 1, 1, 1)
# Grey levels that the two differences reach each way; what is beyond is as what is there.
REACH = 84.0
# How much what is alike counts beside what was said.
SAY = 0.7
LUMA = (0.299, 0.587, 0.114)
LEAST = 1e-3


def alike(found: Tensor, canvas: Canvas) -> Tensor:
    """Give shares ``float32 [1, 5, h, w]`` of a view at rest as its colours bear them out; the sums are the host's."""
    flat, where = found[0].flatten(1).cpu(), _bins(canvas, (found.shape[2], found.shape[3]))
    grid = torch.stack([torch.bincount(where, share, math.prod(BINS)) for share in flat]).view(-1, *BINS)
    for axis, times in enumerate(SPREAD, 1):
        grid = (grid.movedim(axis, -1) @ _shared(BINS[axis - 1], times)).movedim(-1, axis)
    near = grid.flatten(1)[:, where]
    near = near / near.sum(0).clamp(min=1e-6)
    mixed = (flat + LEAST) ** (1 - SAY) * (near + LEAST) ** SAY
    return (mixed / mixed.sum(0)).view_as(found).to(found.device)


def _bins(canvas: Canvas, size: tuple[int, int]) -> Tensor:
    """The bin of each pixel of the view in a height and width, ``int64 [h * w]``."""
    pixels = canvas.rest.permute(2, 0, 1)[None].float().cpu()
    red, green, blue = F.interpolate(pixels, size, mode="bilinear", antialias=True)[0]
    height, width = size
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    down = (torch.arange(height) / height)[:, None].expand(size)
    across = (torch.arange(width) / width).expand(size)
    sides = [(one / REACH + 1) / 2 for one in (red - green, (red + green) / 2 - blue)]
    where = torch.zeros(size, dtype=torch.int64)
    for part, count in zip((down, across, luma / 256, *sides), BINS, strict=True):
        where = where * count + (part * count).long().clamp(0, count - 1)
    return where.flatten()


@cache
def _shared(count: int, times: int) -> Tensor:
    """What smooths a row of bins: a quarter goes to each side, so many times."""
    once = torch.eye(count) / 2
    once = once + (F.pad(once, (1, 0))[:, :-1] + F.pad(once, (0, 1))[:, 1:]) / 2
    once[0, 0] += 0.25
    once[-1, -1] += 0.25
    return torch.linalg.matrix_power(once, times)
