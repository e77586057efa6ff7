"""Light and fog arrive little by little: what the transformer says of them at once is shown over some seconds.

The transformer was trained on light that is there within a second and a half. A night that falls, fog that rolls in and
light that turns golden are seen to do so: each follows what the transformer says through two equal lags, which begin
without a corner, never overshoot what stays, and are the same share of the way at the same second whatever the way is.
Night and gold asked for together are a sunset: gold comes first, and goes as it gets dark; at once they were grey.
"""

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.pocket.canvas import Canvas
from pipeline.pocket.decoder import calm, zones
from pipeline.pocket.drawn.drawing import Drawing
from pipeline.pocket.drawn.marks import brightness
from pipeline.pocket.intents import EFFECTS, Asked
from pipeline.pocket.latents import GAIN, LATENTS_PER_SECOND, WEATHER
from pipeline.pocket.layers import FOLIAGE, SKY, SUBJECT, WATER, Layers
from pipeline.pocket.names import DRAWN, REGIONS
from pipeline.pocket.truth import LOG_GAINS

# Of each lag, a second: an eighth of the way is gone after a second, half after two and a half, 94 % after six.
PACE_PER_S = 0.8
ARRIVING = ("night", "warm", "cold", "fog")
FOG = slice(WEATHER.stop - 1, WEATHER.stop)
# Fog rolls in from the left, as its banks drift: so much faster there than at the right.
ROLLS = (1.7, 0.8)
PLACES = {"sky": SKY, "water": WATER, "foliage": FOLIAGE, "subject": SUBJECT}
# By how much at most a light on one layer is strengthened.
MOST_LACK = 1.7
# Of a sunset: how fast it gets dark beside the pace of all else; how golden it is, and stays at night; the shares of
# gold and night by which it is dark enough to go on alone, and of night between which gold goes.
DARKENS, GOLDEN, EMBERS = 0.55, 1.7, 0.2
GILT, DARK, GOLD_GOES = 1.2, 0.25, (0.4, 1.0)
# What is left of a light or a fog that went away, from which on nobody sees it.
LEAST = 0.004
# How much of a night comes with stars or northern lights that are asked for by day.
DUSK, OF_NIGHT = 0.9, ("twinkle", "aurora")


class Numbers(NamedTuple):
    """What the host says of a latent, as one row, so that a recorded function finds it in one place.

    ``dusk``: log gains that no light may exceed; ``where``: which of the five layers a light is meant for, and how
    strong it is ``wanted`` there, 0 where it is meant for all; ``lag``: the logarithm of what a lag keeps in a latent;
    ``sets``: 1 for a sunset.
    """

    dusk: Tensor
    where: Tensor
    wanted: Tensor
    lag: Tensor
    sets: Tensor


SIZES = (3, 5, 1, 1, 1)


def told(drawing: Drawing, asked: Asked | None, canvas: Canvas) -> Tensor:
    """Give a latent's numbers ``float32 [11]``.

    Args:
        drawing: what is drawn at its end: stars and northern lights over a bright sky bring dusk along.
        asked: the prompt's meaning on the host, for how fast, and where.
        canvas: the picture.
    """
    dusk, (kind, wanted) = DUSK * dusk_of(drawing, canvas), _meant(asked, canvas.layers)
    most = [dusk * one for one in LOG_GAINS["night"]] if dusk else [math.inf] * 3
    lag = -PACE_PER_S * pace(asked) / LATENTS_PER_SECOND
    sets = asked is not None and all(bool(asked.present[0, EFFECTS.index(name)]) for name in ("night", "warm"))
    return torch.tensor([*most, *(float(kind == one) for one in range(SIZES[1])), wanted, lag, float(sets)])


def arrived(latent: Tensor, recent: Tensor, coarse: Tensor, row: Tensor) -> Tensor:
    """What the decoder is shown of a latent once light and fog take their time.

    Args:
        latent: ``float32 [12, h, w]`` as the decoder would be shown it; what is within its dead zone stays so.
        recent: the latents shown before, newest first, ``[3, 12, h, w]`` (:class:`pipeline.pocket.decoder.Motion`).
        coarse: the picture's layers ``[5, h, w]``, 0 where it has none.
        row: the latent's numbers (:func:`told`).

    Returns:
        ``float32 [12, h, w]``.
    """
    say = Numbers(*row.split(SIZES))
    goal, out = calm(latent), latent.clone()
    goal[GAIN] = torch.minimum(goal[GAIN], say.dusk[:, None, None])
    goal[GAIN] *= _lack(goal[GAIN], say, coarse)
    rolling = (say.lag * torch.linspace(*ROLLS, latent.shape[-1], device=latent.device)).exp()
    for channels, kept in ((GAIN, say.lag.exp()), (FOG, rolling)):
        now, before, there = recent[0, channels], recent[1, channels], goal[channels]
        shown = _lagged(now, before, there, kept)
        if channels == GAIN:
            shown = torch.where(say.sets > 0, _setting(now, before, there, say.lag), shown)
        shown = shown * ((shown.abs() > LEAST) | (there != 0))
        # The decoder takes its dead zone out of it.
        out[channels] = shown + zones(latent.device)[channels] * shown.sign()
    return out


def _lagged(now: Tensor, before: Tensor, goal: Tensor, kept: Tensor) -> Tensor:
    """The next of what follows a goal through two lags that keep so much of it in a latent."""
    return 2 * kept * now - kept**2 * before + (1 - kept) ** 2 * goal


def _setting(now: Tensor, before: Tensor, goal: Tensor, lag: Tensor) -> Tensor:
    """Log gains ``[3, h, w]`` a latent later, when what is said of night and gold together is a sun that sets.

    How dark it is, by the gain of green, says how far it is: nothing else needs to be remembered.
    """
    night, warm = lights(goal.device)
    darks = [gain[1:2] / night[1:2] for gain in (now, before, goal)]
    golds = [gain - dark * night for gain, dark in zip((now, before), darks, strict=False)]
    gilt = (golds[0] * warm).sum(0, keepdim=True) / (warm * warm).sum(0, keepdim=True)
    begun = torch.maximum(gilt / GILT, darks[0] / DARK).clamp(0, 1)
    goes = ((darks[0] - GOLD_GOES[0]) / (GOLD_GOES[1] - GOLD_GOES[0])).clamp(0, 1)
    darker = _lagged(darks[0], darks[1], darks[2] * begun.square(), (lag * DARKENS).exp())
    golden = _lagged(golds[0], golds[1], darks[2] * (GOLDEN + (EMBERS - GOLDEN) * goes) * warm, lag.exp())
    return darker * night + golden


@cache
def lights(device: torch.device) -> tuple[Tensor, Tensor]:
    """Log gains of night, and of gold beside the green that tells night: each ``[3, 1, 1]``, made once for a device."""
    red, _, blue = LOG_GAINS["warm"]
    night, warm = (torch.tensor(gains).view(3, 1, 1).to(device) for gains in (LOG_GAINS["night"], (red, 0.0, blue)))
    return night, warm


def pace(asked: Asked | None) -> float:
    """How fast light and fog come, as a factor: of what arrives and is asked for, the fastest; 1 for none."""
    indices = [EFFECTS.index(name) for name in ARRIVING]
    paces = [] if asked is None else [float(asked.speed[0, i]) for i in indices if bool(asked.present[0, i])]
    return max(paces, default=1.0)


def _meant(asked: Asked | None, layers: Layers | None) -> tuple[int, float]:
    """The one layer that a light is meant for, and how strong it is wanted there; -1 and 0 for none."""
    told = [] if asked is None else [name for name in LOG_GAINS if bool(asked.present[0, EFFECTS.index(name)])]
    if asked is None or layers is None or len(told) != 1:
        return -1, 0.0
    index = EFFECTS.index(told[0])
    kind = PLACES.get(REGIONS[int(asked.region[0, index])])
    if kind is None or not layers.has(kind):
        return -1, 0.0
    return kind, float(asked.strength[0, index]) * sum(map(abs, LOG_GAINS[told[0]]))


def _lack(gain: Tensor, say: Numbers, coarse: Tensor) -> Tensor:
    """What makes a light as strong as is asked for on one layer: the transformer says it softer where that is small."""
    weights = (say.where[:, None, None] * coarse).sum(0).square()
    there = (gain * weights).sum((1, 2)).abs().sum() / weights.sum().clamp(min=1e-6)
    return torch.where(say.wanted > 0, (say.wanted / there.clamp(min=1e-3)).clamp(1.0, MOST_LACK), 1.0)


def dusk_of(drawing: Drawing, canvas: Canvas) -> float:
    """How much it must grow dark for what is drawn in the sky, 0..1: fully over a bright sky, not without any."""
    there = [index for index in map(DRAWN.index, OF_NIGHT) if drawing.amounts[index]]
    if not there or canvas.marks is None or canvas.layers is None or not canvas.layers.has(SKY):
        return 0.0
    share = max(min(1.0, drawing.amounts[i]) * drawing.places[i][REGIONS.index("sky")] for i in there)
    return share * brightness(canvas.marks.sky_luma)
