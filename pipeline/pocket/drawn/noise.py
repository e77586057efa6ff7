"""Smooth noise of a seed, at any place and for ever: a tile of chance that comes round again."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

CELLS = 64
# Texels to a cell, smooth between cells; linear between texels.
_FINE = 4
_SIDE = CELLS * _FINE


@lru_cache(256)
def _tile(seed: int, kind: int, device: str) -> Tensor:
    """Noise ``float32 [1, 1, 258, 258]`` with one texel of the other side around it."""
    generator = torch.Generator().manual_seed((seed * 1009 + kind) % 2**63)
    cells = torch.rand(1, 1, CELLS, CELLS, generator=generator)
    around = F.pad(cells, (2, 2, 2, 2), mode="circular")
    fine = F.interpolate(around, scale_factor=_FINE, mode="bicubic", align_corners=False)
    edge = 2 * _FINE - 1
    return fine[..., edge:-edge, edge:-edge].clamp(0, 1).contiguous().to(device)


def noise(seed: int, kind: int, x: Tensor, y: Tensor | float) -> Tensor:
    """Noise in 0..1 at places ``[h, w]`` in cells; it repeats after 64 cells.

    >>> a, b = (noise(0, 0, torch.tensor([[3.3]]), 1.0 + turn) for turn in (0, 64))
    >>> bool((a - b).abs() < 1e-4)
    True
    """
    tile = _tile(seed % 2**40, kind, str(x.device))
    grid = x.new_empty(1, *x.shape, 2)
    for axis, place in enumerate((x, y)):
        part = place / CELLS
        part = part - (part.floor() if isinstance(part, Tensor) else part // 1)
        # From a share of the tile to one of it with its edge.
        grid[0, :, :, axis] = part * (2 * _SIDE / (_SIDE + 2)) + (2 / (_SIDE + 2) - 1)
    return F.grid_sample(tile, grid, padding_mode="border", align_corners=False)[0, 0]
