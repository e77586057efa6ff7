"""Still water for training layers: below a shore line a picture is seen once more, upside down.

Who has seen few lakes takes what stands in one head down for the thing itself: a castle in its moat, lamps of a bridge
in a river. So some pictures, with all that was set into them, are mirrored at a line; what is below it is water,
whatever it shows: hardly broken or in streaks, drawn out downwards, darker, and in the colour of what is below.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Half frames: where the line lies, from the least on so far; how far the near shore may come up, and how often it does.
HIGHEST, LOWER = -0.3, 0.9
NEAR_SHORE, SHORED = 0.25, 0.3
# How long a mirror image is, of what is mirrored: from the least on so much more.
SHORTEST, LONGER = 0.75, 0.6
# Steps of what is drawn out downwards; how far at most, in half frames, and how far streaks throw it.
STEPS, DRAWN, THROWN = 4, 0.06, 0.05
BODIES = ((0.05, 0.12, 0.2), (0.1, 0.2, 0.2), (0.08, 0.08, 0.05), (0.3, 0.35, 0.38), (0.02, 0.02, 0.03))


@dataclass(frozen=True)
class _Water:
    """How far below the line each place is, in half frames, less than 0 above it, and where water is: ``[n, H, W]``."""

    depth: Tensor
    here: Tensor


def mirrored(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror pictures ``float32 [n, 3, H, W]`` in 0..1; give them, and where water is now, ``float32 [n, 1, H, W]``."""
    n, _, rows, columns = image.shape
    y = torch.linspace(-1, 1, rows, device=image.device)[:, None].expand(rows, columns)
    x = torch.linspace(-1, 1, columns, device=image.device)[None].expand(rows, columns)
    water = _water(image, x, y)
    length = SHORTEST + LONGER * _any(image)
    thrown = THROWN * _any(image).square() * _streaks(image)
    drawn = DRAWN * _any(image).square()
    across = x.expand(n, -1, -1) + 0.3 * thrown * water.depth
    shown = torch.zeros_like(image)
    for step in range(STEPS):
        below = water.depth + thrown * water.depth.clamp(0, 0.5).sqrt() - drawn * (step / STEPS) * water.depth.sign()
        there = torch.stack([across, y - (1 + 1 / length) * below], -1)
        # A line in the middle or below it mirrors more than there is above it: that is seen once more.
        shown = shown + F.grid_sample(image, there, padding_mode="reflection", align_corners=True)
    return _tinted(shown / STEPS), water.here[:, None]


def _water(image: Tensor, x: Tensor, y: Tensor) -> _Water:
    line = HIGHEST + LOWER * _any(image) + 0.02 * torch.randn_like(_any(image)) * x
    line = line + 0.02 * _any(image) * _uneven(image, 12)
    near = 1 - NEAR_SHORE * _any(image) + 0.1 * _uneven(image, 5) + 0.2 * torch.randn_like(_any(image)) * x
    near = torch.where(_any(image) < SHORED, near, torch.full_like(near, 2))
    return _Water(y - line, ((y > line) & (y < torch.maximum(near, line + 0.2))).float())


def _any(image: Tensor) -> Tensor:
    return torch.rand(len(image), 1, 1, device=image.device)


def _uneven(image: Tensor, cells: int) -> Tensor:
    """A smooth random line across, around 0: ``[n, 1, W]``."""
    noise = torch.randn(len(image), 1, cells, device=image.device)
    return F.interpolate(noise, size=image.shape[3], mode="linear", align_corners=True)


def _streaks(image: Tensor) -> Tensor:
    """Noise around 0 of flat ripples, ``[n, H, W]``."""
    n, _, rows, columns = image.shape
    noise = torch.randn(n, 1, rows // 3, columns // 24, device=image.device)
    return F.interpolate(noise, size=(rows, columns), mode="bilinear", align_corners=False)[:, 0]


def _tinted(shown: Tensor) -> Tensor:
    n, device = len(shown), shown.device
    bodies = torch.tensor(BODIES, device=device)[torch.randint(len(BODIES), (n,), device=device)]
    share = 0.5 * torch.rand(n, 1, 1, 1, device=device)
    dimmed = shown * (0.55 + 0.5 * torch.rand(n, 1, 1, 1, device=device))
    return torch.lerp(dimmed, bodies[..., None, None].expand_as(shown), share).clamp(0, 1)
