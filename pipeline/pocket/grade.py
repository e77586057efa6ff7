"""Light as it looks: log gains say how much night and gold there is, and this is what a picture looks like under them.

A night is more than a darker picture: colours go grey, what is dark goes black, what is left is blue. Golden light
lies on what is light and leaves the shadows, and takes colours towards gold: greys red and green, and leaves blue, of
which a yellow would else get more. Cold light pales colours, and brightens nothing, so that a cloud keeps its
shades.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.pocket.truth import LOG_GAINS

LUMA = (0.299, 0.587, 0.114)
# Log gains beyond those of the latent, red, green and blue, of a whole night and of wholly golden and cold light.
DEEPER, RICHER, PALER = (-0.45, -0.38, -0.24), (0.08, 0.05, -0.1), (-0.06, -0.07, -0.15)
# How grey colours get under each, and by how much what is black gets darker for it than what is white; less than none
# is grey by which nothing gets darker.
NIGHT_GREYS, GOLD_GREYS, COLD_GREYS, CONTRAST = 0.5, 0.25, -0.42, 0.8
# Light that lies in the air of golden light, for each whole factor of red above 1: even dark water shines a little.
HAZE = (85.0, 50.0, 6.0)
# Log gain of green down to which it is but dull, as under rain.
DULL = 0.15
# Grey levels by which a colour changes at most for each whole of a factor, of red's beyond 1, and of grey: a bright
# blue goes to its luma, and is darkened beside.
BY_FACTOR, BY_HAZE, BY_GREY = 255.0, max(HAZE), 410.0
# What changes no colour by more is left out: together they stay below one grey level.
LEAST_GREY, LEAST_HAZE, LEAST_UNEVEN = 0.4, 0.2, 0.2


def light(log_gain: Tensor) -> Tensor:
    """Planes ``[..., 5, h, w]`` of log gains ``[..., 3, h, w]``: factors of red, green and blue, how grey all gets,
    less than 0 where it gets grey without getting darker, and by how much less so blue does.

    >>> [round(float(part), 2) for part in light(torch.zeros(3, 1, 1))[:, 0, 0]]
    [1.0, 1.0, 1.0, 0.0, 0.0]
    """
    red, green, blue = log_gain.unbind(-3)
    full_red, full_green, full_blue = LOG_GAINS["night"]
    night = ((-DULL - green) / (-DULL - full_green)).clamp(0, 1.3)
    # A night is blue by itself.
    cool = (full_blue - full_red) / -full_green * (-green).clamp(min=0)
    warm_red, _, warm_blue = LOG_GAINS["warm"]
    cold_red, _, cold_blue = LOG_GAINS["cold"]
    warmth = red - blue + cool
    gold = (warmth / (warm_red - warm_blue)).clamp(0, 1.5)
    cold = (warmth / (cold_red - cold_blue)).clamp(0, 1.5)
    deeper = (
        part + deep * night + rich * gold + pale * cold
        for part, deep, rich, pale in zip((red, green, blue), DEEPER, RICHER, PALER, strict=True)
    )
    # A dusk is red yet.
    grey = (NIGHT_GREYS * night * (1 - gold).clamp(min=0) + GOLD_GREYS * gold + COLD_GREYS * cold).clamp(-0.75, 0.75)
    spared = torch.minimum(GOLD_GREYS * gold, grey.abs())
    return torch.stack([*(part.exp() for part in deeper), grey, spared], -3)


def graded(image: Tensor, planes: Tensor) -> Tensor:
    """A picture ``[..., 3, H, W]`` in 0..255 under light ``[..., 5, H, W]``."""
    *factors, grey, spared = planes.unbind(-3)
    parts = image.unbind(-3)
    luma = (parts[0] * LUMA[0]).add_(parts[1], alpha=LUMA[1]).add_(parts[2], alpha=LUMA[2])
    darker, grey = grey.clamp(min=0), grey.abs()
    shade = torch.addcmul(1 - CONTRAST * darker, darker, luma, value=CONTRAST / 255)
    haze = (factors[0] - 1).clamp_(min=0)
    greys = (grey, grey, grey - spared)
    lit = (
        torch.lerp(part, luma, share).mul_(factor).mul_(shade)
        for part, share, factor in zip(parts, greys, factors, strict=True)
    )
    return torch.stack([part.add_(haze, alpha=one) for part, one in zip(lit, HAZE, strict=True)], -3)


def is_seen(log_gain: Tensor) -> bool:
    """Whether light of log gains ``[3, h, w]`` changes any colour by a grey level.

    A transformer that is asked for no light still says a little of it, under which nearly all pictures lie.

    >>> [is_seen(torch.full((3, 2, 2), gain)) for gain in (0.0, 0.001, 0.005)]
    [False, False, True]
    """
    planes = light(log_gain)
    by_factors = BY_FACTOR * float((planes[:3] - 1).abs().max()) + BY_HAZE * max(0.0, float(planes[0].max()) - 1)
    return by_factors + BY_GREY * float(planes[3].abs().max()) >= 1


def relit(image: Tensor, planes: Tensor, enlarge: Callable[[Tensor], Tensor]) -> Tensor:
    """A picture ``float32 [3, H, W]`` in 0..255, itself :func:`graded`, by light ``[5, h, w]`` yet to be enlarged.

    What would change no colour by a grey level is left out: grey, haze, and that light is not the same everywhere.
    """
    is_grey = BY_GREY * float(planes[3].abs().max()) > LEAST_GREY
    is_hazy = BY_HAZE * (float(planes[0].max()) - 1) > LEAST_HAZE
    some = planes if is_grey else planes[:3]
    highest, lowest = some.amax((1, 2), keepdim=True), some.amin((1, 2), keepdim=True)
    is_even = BY_GREY * float((highest - lowest).max()) < LEAST_UNEVEN
    whole = (highest + lowest) / 2 if is_even else enlarge(some)
    parts = image.unbind()
    if is_grey:
        _greyed(parts, whole[3], whole[4])
    for part, factor in zip(parts, whole, strict=False):
        part.mul_(factor)
    if is_hazy:
        haze = (whole[0] - 1).clamp_(min=0)
        for part, one in zip(parts, HAZE, strict=True):
            part.add_(haze, alpha=one)
    return image


def _greyed(parts: tuple[Tensor, ...], grey: Tensor, spared: Tensor) -> None:
    """Take colour out of red, green and blue ``[H, W]`` by a share ``[H, W]`` or ``[1, 1]``, and what is dark; blue is
    spared some of it.
    """
    luma = (parts[0] * LUMA[0]).add_(parts[1], alpha=LUMA[1]).add_(parts[2], alpha=LUMA[2])
    share = grey.abs()
    for part, one in zip(parts, (share, share, share - spared), strict=True):
        part.lerp_(luma, one.expand_as(luma))
    if float(grey.max()) <= 0:
        return
    darker = grey.clamp(min=0)
    shade = torch.addcmul(1 - CONTRAST * darker, darker, luma, value=CONTRAST / 255)
    for part in parts:
        part.mul_(shade)
