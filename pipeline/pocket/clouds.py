"""Clouds for a sky that has none: whoever asks for drifting clouds on a blue sky means to see some."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.neighbours import box
from pipeline.pocket.painter.noise import Noise, sampled, smoothstep
from pipeline.pocket.view import View

# Mean grey difference (0..1) to the surroundings under which a sky has nothing in it that could be seen to move.
PLAIN_SKY = 0.0075
LUMA = (0.299, 0.587, 0.114)
# Share of a sky that stays clear, and over how much of the noise's height from there on a cloud gets thick.
CLEAR, THICKENS = 0.35, 0.25
# How much brighter its clouds are than a sky's strongest colour, which a deep blue has too, and how much they have of
# that sky's colour.
BRIGHTER, ADDED, TINTED = 1.1, 14.0, 0.2
# How dark one is in the shade, of its sky, and how much of that is hidden where it is thickest.
SHADED, MOST = 0.84, 0.9


def clouded(plate: Tensor, small: Tensor, sure: Tensor, view: View, seed: int) -> Tensor:
    """Give a plain sky clouds, in perspective and in its own light; what is none, or has some, is given back as it is.

    Args:
        plate: ``float32 [1, 3, H, W]`` in 0..255, painted over.
        small: the picture, coarser, ``[1, 3, h, w]``.
        sure: where it is sky for sure, 0 or 1, ``[1, 1, h, w]``.
        view: the frame that it is for.
        seed: what the clouds differ by.
    """
    amount = plainness(small.mean(1, keepdim=True) / 255, sure) if bool(sure.any()) else 0.0
    if not amount:
        return plate
    cover, lit = _shapes(sure, view, seed)
    size = plate.shape[2:]
    lit = F.interpolate(lit, size=size, mode="bilinear", align_corners=False)[0, 0]
    cover = F.interpolate(cover * (MOST * amount), size=size, mode="bilinear", align_corners=False)[0, 0]
    for part, bright in zip(plate[0], _bright(small, sure), strict=True):
        cloud = torch.lerp(SHADED * part, bright.expand_as(part), lit)
        part.lerp_(cloud, cover)
    return plate


def plainness(grey: Tensor, sure: Tensor) -> float:
    """How little there is to be seen in a sky that is 1 in ``sure``, 0..1, of greys in 0..1, both ``[1, 1, h, w]``."""
    inside = (box(sure, 12) > 0.999).float()
    ripple = (grey - box(grey, 12)).abs()
    texture = float((ripple * inside).sum() / inside.sum().clamp(min=1))
    return min(1.0, max(0.0, (PLAIN_SKY - texture) / (0.5 * PLAIN_SKY)))


def _shapes(sure: Tensor, view: View, seed: int) -> tuple[Tensor, Tensor]:
    """How much of each place is cloud, and how much light falls on it, both ``[1, 1, h, w]`` in 0..1."""
    rows, columns = sure.shape[2:]
    device, (width, height) = sure.device, view.extent
    bodies, folds = (texture.to(device) for texture in _textures())
    across, down = Noise(seed, "clouds").chance.random(2)
    # As far apart as places of the frame are, whatever its shape.
    x = (torch.arange(columns, device=device) - columns / 2) * (width / columns) / height
    y = torch.arange(rows, device=device)[:, None] / rows
    horizon = _horizon(sure)
    high = ((horizon - y) / horizon).clamp(min=0)
    far = 1 / (high + 0.2)
    u, v = x * (0.14 + 0.12 * far) + across, far * 0.17 + down
    bend = sampled(folds, 0.9 * u, 0.9 * v) - 0.5
    u, v = u + 0.13 * bend, v + 0.10 * bend
    body = sampled(bodies, u, v)
    # Light comes from above, and from one side.
    lit = ((body - sampled(bodies, u + 0.006, v + 0.012)) * 3.4 + 0.72).clamp(0, 1)
    edge = _edge(body, sure[0, 0] * (high > 0.2))
    lit = lit * (1 - 0.35 * smoothstep(edge + 0.1, edge + 0.5, body))
    cover = smoothstep(edge, edge + THICKENS, body) * smoothstep(0.0, 0.2, high)
    return cover[None, None], lit[None, None]


def _edge(body: Tensor, open_sky: Tensor) -> float:
    """From which height of the noise on it is cloud, so that there are some wherever the sky is seen."""
    heights = body[open_sky > 0.5]
    return float(heights[:: max(1, len(heights) // 4096)].quantile(CLEAR)) if len(heights) else 0.5


def _horizon(sure: Tensor) -> float:
    """How far down the lowest sky is, as a share of the plate."""
    seen = (sure[0, 0].mean(1) > 0.05).nonzero()
    return (float(seen.max()) + 1) / sure.shape[2] if len(seen) else 1.0


def _bright(small: Tensor, sure: Tensor) -> Tensor:
    """The colour ``[3]`` of a cloud in the light."""
    sky = small[0].flatten(1)[:, sure.flatten() > 0.5]
    mean = sky.mean(1)
    strong = sky.amax(0)
    white = min(252.0, BRIGHTER * float(strong[:: max(1, len(strong) // 4096)].quantile(0.95)) + ADDED)
    tint = mean / (mean * mean.new_tensor(LUMA)).sum().clamp(min=1)
    return (white * (1 + TINTED * (tint - 1))).clamp(0, 255)


@cache
def _textures() -> tuple[Tensor, Tensor]:
    noise = Noise(0, "clouds")
    return noise.texture(7, 0.52), noise.texture(4, 0.5)
