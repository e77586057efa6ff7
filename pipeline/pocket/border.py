"""Grain for the world beyond a picture: what is only colours there gets detail of the kind that its edge has.

The detail is the picture's own, from where the same rows (above and below: columns) look most like the edge, moved and
not mirrored, and nowhere stronger than at the edge: a plain sky stays plain, gravel and leaves go on.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.neighbours import box

# Pixels of half the canvas: bands of detail begin at these radii, and where they have come up, from the edge on.
RADII = (3, 10)
COMES_PX = (10.0, 28.0)
ENERGY_RADIUS = 24
CANDIDATES = 12
STRIP = 24


def grained(smooth: Tensor, picture: Tensor, rooms: tuple[int, int, int, int]) -> Tensor:
    """Give what is around a picture its grain.

    Args:
        smooth: the canvas ``float32 [1, 3, h, w]`` in 0..255, soft beyond the picture.
        picture: the canvas, mirrored beyond it.
        rooms: pixels beyond it at the left, above, at the right and below.
    """
    height, width = picture.shape[2:]
    left, top, right, bottom = rooms
    inside = picture[..., top : height - bottom, left : width - right]
    columns = _sources(inside, left, right, picture.device)
    rows = _sources(inside.transpose(2, 3), top, bottom, picture.device)
    x, y = torch.arange(width, device=picture.device), torch.arange(height, device=picture.device)
    across = torch.maximum(left - x, x - (width - 1 - right)).clamp(min=0)
    down = torch.maximum(top - y, y - (height - 1 - bottom)).clamp(min=0)
    distance = torch.maximum(across[None], down[:, None])
    out, finer = smooth, inside
    for radius, comes in zip(RADII, COMES_PX, strict=True):
        coarser = box(inside, radius)
        band, finer = finer - coarser, coarser
        strength = box(band.square().mean(1, keepdim=True), ENERGY_RADIUS).sqrt()
        moved, had = (part[:, :, rows][..., columns] for part in (band, strength))
        edge = F.pad(strength, (left, right, top, bottom), mode="replicate")
        share = (distance / comes).clamp(max=1) * (edge / had.clamp(min=0.5)).clamp(max=1)
        out = out + share * moved
    return out.clamp(0, 255)


def _sources(inside: Tensor, before: int, after: int, device: torch.device) -> Tensor:
    """Columns of a picture ``[1, 3, h, w]`` to take detail from, for each of it and of those before and after it."""
    width = inside.shape[3]
    at = torch.arange(-before, width + after, device=device)
    first, last = _period(inside, before), _period(inside.flip(3), after)
    at = torch.where(at < 0, at % first, at)
    return torch.where(at >= width, width - 1 - (width - 1 - at) % last, at)


def _period(inside: Tensor, room: int) -> int:
    """How far in the picture looks most like its own first columns; a room's worth lies before it, if there is one."""
    width = inside.shape[3]
    strip = min(STRIP, (width + 1) // 2)
    most = max(1, width - strip)
    if not room:
        return most
    wide = box(inside, 2)
    tried = torch.linspace(min(room, most), min(most, room + width // 3), CANDIDATES).long().tolist()
    costs = [float((wide[..., p : p + strip] - wide[..., :strip]).abs().mean()) for p in tried]
    return tried[costs.index(min(costs))]
