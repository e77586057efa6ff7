"""Light as it looks: log gains say how much night and gold there is, and this is what a picture looks like under them.

A night is more than a darker picture: colours go grey, what is dark goes black, what is left is blue. Golden light
lies on what is light and leaves the shadows.
"""

import torch
from torch import Tensor

from pipeline.pocket.truth import LOG_GAINS

LUMA = (0.299, 0.587, 0.114)
# Log gains beyond those of the latent, red, green and blue, of a whole night and of wholly golden light.
DEEPER, RICHER = (-0.45, -0.38, -0.24), (0.08, 0.05, -0.06)
# How grey colours get under either, and by how much what is black gets darker for it than what is white.
NIGHT_GREYS, GOLD_GREYS, CONTRAST = 0.5, 0.25, 0.8
# Light that lies in the air of golden light, for each whole factor of red above 1: even dark water shines a little.
HAZE = (85.0, 50.0, 6.0)
# Log gain of green down to which it is but dull, as under rain.
DULL = 0.15


def light(log_gain: Tensor) -> Tensor:
    """Planes ``[..., 4, h, w]`` of log gains ``[..., 3, h, w]``: factors of red, green and blue, and how grey all gets.

    >>> [round(float(part), 2) for part in light(torch.zeros(3, 1, 1))[:, 0, 0]]
    [1.0, 1.0, 1.0, 0.0]
    """
    red, green, blue = log_gain.unbind(-3)
    full_red, full_green, full_blue = LOG_GAINS["night"]
    night = ((-DULL - green) / (-DULL - full_green)).clamp(0, 1.3)
    # A night is blue by itself.
    cool = (full_blue - full_red) / -full_green * (-green).clamp(min=0)
    warm_red, _, warm_blue = LOG_GAINS["warm"]
    gold = ((red - blue + cool) / (warm_red - warm_blue)).clamp(0, 1.5)
    deeper = (
        part + one * night + other * gold for part, one, other in zip((red, green, blue), DEEPER, RICHER, strict=True)
    )
    grey = (NIGHT_GREYS * night + GOLD_GREYS * gold).clamp(max=0.75)
    return torch.stack([*(part.exp() for part in deeper), grey], -3)


def graded(image: Tensor, planes: Tensor) -> Tensor:
    """A picture ``[..., 3, H, W]`` in 0..255 under light ``[..., 4, H, W]``."""
    *factors, grey = planes.unbind(-3)
    parts = image.unbind(-3)
    luma = (parts[0] * LUMA[0]).add_(parts[1], alpha=LUMA[1]).add_(parts[2], alpha=LUMA[2])
    shade = torch.addcmul(1 - CONTRAST * grey, grey, luma, value=CONTRAST / 255)
    haze = (factors[0] - 1).clamp_(min=0)
    lit = (torch.lerp(part, luma, grey).mul_(factor).mul_(shade) for part, factor in zip(parts, factors, strict=True))
    return torch.stack([part.add_(haze, alpha=one) for part, one in zip(lit, HAZE, strict=True)], -3)
