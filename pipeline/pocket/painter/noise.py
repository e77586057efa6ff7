"""Fractal noise of a seed: a texture without seams to sample anywhere, and lines."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

TEXELS = 512


class Noise:
    """All chance of one painting; the same seed gives the same, drawn in the same order."""

    def __init__(self, seed: int, name: str) -> None:
        self.chance = np.random.default_rng([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, *name.encode()])

    def between(self, low: float, high: float) -> float:
        """Draw one number."""
        return float(self.chance.uniform(low, high))

    def texture(self, octaves: int = 7, gain: float = 0.5, ridged: bool = False, first: int = 4) -> Tensor:
        """Sum octaves of smooth noise to a texture that tiles, 0..1 for the most part, to be read by :func:`sampled`.

        ``first`` is the number of cells of the coarsest, ``ridged`` folds each into creases. An octave is added in the
        resolution that it needs, then all are enlarged together.
        """
        weight, finer = 1.0, 8 if ridged else 1
        total = torch.zeros(1, 1, first * finer, first * finer)
        for octave in range(octaves):
            cells = first << octave
            if cells * finer > TEXELS:
                break
            total = total if octave == 0 else _twice(total)
            layer = torch.from_numpy(self.chance.random((1, 1, cells, cells), np.float32))
            if ridged:
                layer = 1 - (2 * _twice(_twice(_twice(layer))) - 1).abs()
            total, weight = total + weight * layer, weight * gain
        while total.shape[2] < TEXELS:
            total = _twice(total)
        total = ((total - total.mean()) / (5.2 * total.std()) + 0.5).clamp(-0.2, 1.2)
        return F.pad(total, (1, 1, 1, 1), mode="circular")

    def line(self, x: Tensor, cell: float, octaves: int = 6, gain: float = 0.5, ridged: bool = False) -> Tensor:
        """Sum octaves of noise at places ``x [W]``, about -1..1; ``cell`` is the coarsest step, in the units of x."""
        total, weight, most = torch.zeros_like(x), 1.0, 0.0
        for octave in range(octaves):
            points = torch.from_numpy(self.chance.random(4096, np.float32))
            at = (x + 4000.0) * (2.0**octave / cell)
            low = at.floor()
            part = at - low
            part = part * part * (3 - 2 * part)
            index = low.long() % 4096
            layer = torch.lerp(points[index], points[(index + 1) % 4096], part) * 2 - 1
            total += weight * (1 - 2 * layer.abs() if ridged else layer)
            most, weight = most + weight, weight * gain
        return total / most


def _twice(grid: Tensor) -> Tensor:
    """Enlarge what tiles to twice its size, smoothly."""
    size = 2 * (grid.shape[2] + 4)
    wide = F.interpolate(F.pad(grid, (2, 2, 2, 2), mode="circular"), size=size, mode="bicubic", align_corners=False)
    return wide[..., 4:-4, 4:-4]


def sampled(texture: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Sample a texture that tiles at places ``[h, w]``; a step of one is the whole texture."""
    side = TEXELS + 2
    spots = [((p - p.floor()) * TEXELS + 1.5) * (2 / side) - 1 for p in (u, v)]
    grid = torch.stack(torch.broadcast_tensors(*spots), dim=-1)[None]
    return F.grid_sample(texture, grid, mode="bilinear", align_corners=False, padding_mode="border")[0, 0]


def smoothstep(low: float | Tensor, high: float | Tensor, x: Tensor) -> Tensor:
    """Rise from 0 at ``low`` to 1 at ``high`` without corners; falls where ``high`` is the lesser."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)
