"""Light and fog arrive little by little: what the transformer says of them at once is shown over some seconds.

The transformer was trained on light that is there within a second and a half. A night that falls, fog that rolls in and
light that turns golden are seen to do so: each follows what the transformer says through two equal lags, which begin
without a corner, never overshoot what stays, and are the same share of the way at the same second whatever the way is.
"""

import math

import torch
from torch import Tensor

from pipeline.pocket.canvas import Canvas
from pipeline.pocket.decoder import DEAD_ZONES, Motion, calm
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
# What is left of a light or a fog that went away, from which on nobody sees it.
LEAST = 0.004
# How much of a night comes with stars that are asked for by day.
DUSK = 0.9


def arrived(latent: Tensor, motion: Motion, asked: Asked | None, canvas: Canvas) -> Tensor:
    """What the decoder is shown of a latent once light and fog take their time.

    Args:
        latent: ``float32 [12, h, w]`` as the decoder would be shown it; what is within its dead zone stays so.
        motion: the decoder's state at the latent's beginning, which knows the latents shown before.
        asked: the prompt's meaning on the host, for how fast.
        canvas: the picture: stars over a bright sky bring dusk along.

    Returns:
        ``float32 [12, h, w]``.
    """
    goal, out = calm(latent), latent.clone()
    dusk = DUSK * dusk_of(motion.drawing, canvas)
    if dusk:
        night = goal.new_tensor(LOG_GAINS["night"])[:, None, None]
        goal[GAIN] = torch.minimum(goal[GAIN], dusk * night)
    if asked is not None and canvas.layers is not None:
        goal[GAIN] *= _lack(goal[GAIN], asked, canvas.layers)
    lag = -PACE_PER_S * pace(asked) / LATENTS_PER_SECOND
    rolling = (lag * torch.linspace(*ROLLS, latent.shape[-1], device=latent.device)).exp()
    for channels, kept in ((GAIN, math.exp(lag)), (FOG, rolling)):
        now, before, there = motion.recent[0, channels], motion.recent[1, channels], goal[channels]
        shown = 2 * kept * now - kept**2 * before + (1 - kept) ** 2 * there
        shown = shown * ((shown.abs() > LEAST) | (there != 0))
        # The decoder takes its dead zone out of it.
        out[channels] = shown + _zone(channels) * shown.sign()
    return out


def pace(asked: Asked | None) -> float:
    """How fast light and fog come, as a factor: of what arrives and is asked for, the fastest; 1 for none."""
    indices = [EFFECTS.index(name) for name in ARRIVING]
    paces = [] if asked is None else [float(asked.speed[0, i]) for i in indices if bool(asked.present[0, i])]
    return max(paces, default=1.0)


def _lack(gain: Tensor, asked: Asked, layers: Layers) -> Tensor | float:
    """What makes a light as strong as is asked for on one layer: the transformer says it softer where that is small."""
    told = [name for name in LOG_GAINS if bool(asked.present[0, EFFECTS.index(name)])]
    if len(told) != 1:
        return 1.0
    index = EFFECTS.index(told[0])
    kind = PLACES.get(REGIONS[int(asked.region[0, index])])
    if kind is None or not layers.has(kind):
        return 1.0
    weights = layers.coarse[kind].square()
    there = (gain * weights).sum((1, 2)).abs().sum() / weights.sum()
    wanted = float(asked.strength[0, index]) * sum(map(abs, LOG_GAINS[told[0]]))
    return (wanted / there.clamp(min=1e-3)).clamp(1.0, MOST_LACK)


def dusk_of(drawing: Drawing, canvas: Canvas) -> float:
    """How much it must grow dark for the stars that are drawn, 0..1: fully over a bright sky, not without any."""
    index = DRAWN.index("twinkle")
    if not drawing.amounts[index] or canvas.marks is None or canvas.layers is None or not canvas.layers.has(SKY):
        return 0.0
    share = min(1.0, drawing.amounts[index]) * drawing.places[index][REGIONS.index("sky")]
    return share * brightness(canvas.marks.sky_luma)


def _zone(channels: slice) -> float:
    return next(zone for part, zone in DEAD_ZONES if part.start <= channels.start < part.stop)
