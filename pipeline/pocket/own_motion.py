"""Motion of its own: chance lives in what the transformer says, so that a prompt looks otherwise under every seed.

The transformer says where and how much things move, and in which pace; it was trained on motion without chance. So
what it says is multiplied by chance (:mod:`pipeline.pocket.chance`) on its way to the decoder, and it never sees that:
nothing can build up, a camera move and what is at rest stay as they are, and the mean strength stays.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.pocket.camera import hardened
from pipeline.pocket.chance import EDDIES, GUST, PATCHES, SWAY, WAVES, Chance, fields_of
from pipeline.pocket.decoder import calm, zones
from pipeline.pocket.intents import CAMERAS, EFFECTS, Asked
from pipeline.pocket.latents import (
    CAMERA,
    DISPLACEMENT,
    FLOW,
    GAIN,
    LATENTS_PER_SECOND,
    WEATHER,
    camera_field,
)
from pipeline.pocket.layers import FOLIAGE, SUBJECT, WATER
from pipeline.pocket.truth import SWING_HZ

# Share of the way that a new prompt's swings, and the hand, come and go in one latent.
RATE, LEAST_HAND = 0.4, 0.01
# A swing begins at once, as the transformer has it; chance comes to its say in a second or two, and goes as it fades.
SAY_COMES, SAY_GOES = 0.2, 0.15
# Latents of the past that a swing is told by.
PAST = 2
# How much gusts, the breath, the wind, eddies, light and weather vary, as a share.
GUSTS, BREATH, WIND, EDDY, FLICKER, PATCHY = 0.5, 0.5, (0.3, 0.15), 0.35, 0.05, 0.15
# Leaves lean before a gust by this share of their swing.
LEAN = 0.2
# A swing hardly exceeds so many times its usual size: steeper, a picture would fold. LIMITED is what is then left of
# the root mean square.
MOST, LIMITED = 1.7, (0.78, 0.79, 0.81)
# The hand's velocity in the camera's units: right, down, clockwise; it hardly trembles.
HAND = (0.02, 0.02, 0.002)
# What it does besides, all the time: it comes closer, by 13 % in ten seconds and by half of that where that is to be
# slow, and goes to the side that chance chose; never so fast to the side that the view would leave the picture before
# it is closer.
PUSH, CALM_PUSH, LEAD = 0.24, 0.12, (0.03, 0.03)
# Layers that sway, ripple and breathe, and how much each counts where it is not.
_LAYERS, ELSEWHERE = (FOLIAGE, WATER, SUBJECT), 0.05
_PACES = tuple(2 * math.pi * hz / LATENTS_PER_SECOND for hz in SWING_HZ.values())


@dataclass(frozen=True, slots=True)
class Asking:
    """What was asked for last, at a latent boundary.

    Of sway, ripple and breath: how much each counts where they meet, how much chance has its say in it, and its pace
    (radians a latent); and how much the camera is held by a hand that comes closer, 0..1.
    """

    swings: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)
    say: tuple[float, ...] = (0.0, 0.0, 0.0)
    paces: tuple[float, ...] = _PACES
    hand: float = 0.0

    def after(self, asked: Asked | None) -> "Asking":
        """The same a latent later, under a prompt's meaning (on the host); what swings when none is asked for stays."""
        if asked is None:
            return self
        here = [EFFECTS.index(name) for name in SWING_HZ]
        present, speed = asked.present[0, here].tolist(), asked.speed[0, here].tolist()
        paces = [pace * s if p else old for pace, s, p, old in zip(_PACES, speed, present, self.paces, strict=True)]
        swings = self.swings
        if any(present):
            swings = tuple(w + RATE * (p - w) for w, p in zip(swings, present, strict=True))
        say = tuple(s + SAY_COMES * (1 - s) if p else s - SAY_GOES * s for s, p in zip(self.say, present, strict=True))
        wanted = float(CAMERAS[int(asked.camera[0])] == "drift")
        hand = self.hand + RATE * (wanted - self.hand)
        return Asking(swings, say, tuple(paces), hand if hand > LEAST_HAND else 0.0)


class Numbers(NamedTuple):
    """What the host says of a latent, as one row, so that a recorded function finds it in one place.

    Of sway, ripple and breath: ``weights``, what stays of the transformer's swing (``plain``), what chance makes of it
    (``chancy``) and ``paces``; the ``breath`` (complex), by how much leaves ``lean``; a flow's ``wind`` (complex) and
    ``eddies``; the factor of light and how ``patchy`` weather is; the ``hand`` and its four ``ways``.
    """

    weights: Tensor
    plain: Tensor
    chancy: Tensor
    paces: Tensor
    breath: Tensor
    lean: Tensor
    wind: Tensor
    eddies: Tensor
    flicker: Tensor
    patchy: Tensor
    hand: Tensor
    ways: Tensor


SIZES = (3, 3, 3, 3, 2, 1, 2, 1, 1, 1, 1, 4)


def told(asking: Asking, chances: Chance, share: float, is_calm: bool = False) -> Tensor:
    """Give a latent's numbers ``float32 [25]``.

    Args:
        asking: what was asked for.
        chances: chance at this latent.
        share: how much of all motion is by chance, above 0 and at most 1.
        is_calm: whether a hand that holds the camera comes closer slowly.
    """
    say = [share * one for one in asking.say]
    sizes = [math.hypot(1 - one, one) for one in say]
    breath = chances.beginning * math.sqrt(1 - BREATH**2) + BREATH * chances.breath
    rows = (
        asking.swings,
        [(1 - one) / size for one, size in zip(say, sizes, strict=True)],
        [one / size for one, size in zip(say, sizes, strict=True)],
        asking.paces,
        (breath.real, breath.imag),
        (LEAN * chances.side * say[0],),
        *_wind(chances, share),
        (1 + FLICKER * share * chances.light,),
        (PATCHY * share,),
        (asking.hand * share,),
        _ways(chances, CALM_PUSH if is_calm else PUSH),
    )
    return torch.tensor([number for row in rows for number in row])


def moved(latents: Tensor, fields: Tensor, coarse: Tensor, row: Tensor) -> Tensor:
    """What the decoder is shown of a latent.

    Args:
        latents: the transformer's and the PAST before it, newest first, ``float32 [3, 12, h, w]``.
        fields: chance's, ``[8, h, w]``.
        coarse: the picture's layers ``[5, h, w]``, 0 where it has none.
        row: the latent's numbers (:func:`told`).

    Returns:
        ``float32 [12, h, w]``. What is within the decoder's dead zone stays so.
    """
    say = Numbers(*row.split(SIZES))
    out, past = calm(latents[0]), torch.stack([calm(before)[DISPLACEMENT] for before in latents[1:]])
    out[DISPLACEMENT] = _swung(out[DISPLACEMENT], past, _gains(say, fields, coarse))
    out[FLOW] = _blown(out[FLOW], say, fields[fields_of(EDDIES)])
    out[GAIN] *= say.flicker
    out[WEATHER] *= (1 + say.patchy * fields[fields_of(PATCHES)]).clamp(min=0.5)
    # The decoder takes the dead zone out once more.
    out += zones(out.device) * out.sign()
    held = camera_field(say.ways[None])[0]
    out[CAMERA] = torch.lerp(latents[0, CAMERA], held, say.hand)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Gains:
    """What multiplies a swing: complex ``gain [h, w]``, and ``lean [h, w]``; its ``pace`` in radians a latent."""

    gain: Tensor
    lean: Tensor
    pace: Tensor


def _gains(say: Numbers, fields: Tensor, coarse: Tensor) -> _Gains:
    gusts = ((1 + GUSTS * fields[fields_of(GUST)][0]) / math.hypot(1, GUSTS)).clamp(min=0.15)
    breath = torch.complex(say.breath[0], say.breath[1]).expand_as(gusts)
    each = torch.stack([_complex(fields[fields_of(SWAY)]) * gusts, _complex(fields[fields_of(WAVES)]), breath])
    each = torch.stack(
        [
            swing / (left * (1 + swing.abs().square() / MOST**2).sqrt())
            for swing, left in zip(each, LIMITED, strict=True)
        ]
    )
    weights = say.weights[:, None, None] * (torch.stack([coarse[kind] for kind in _LAYERS]) + ELSEWHERE)
    weights = weights / weights.sum(0)
    gains = say.plain[:, None, None] + say.chancy[:, None, None] * each
    pace = (weights * say.paces[:, None, None]).sum(0)
    return _Gains((weights * gains).sum(0), say.lean * gusts * weights[0], pace)


def _complex(pair: Tensor) -> Tensor:
    """A complex field of mean square 1 of two real ones."""
    return torch.complex(pair[0], pair[1]) * 2**-0.5


def _swung(now: Tensor, past: Tensor, by: _Gains) -> Tensor:
    """A displacement ``[2, h, w]`` under its gain: the swing's other half follows from where it was.

    That is ``past [PAST, 2, h, w]``. It is fitted to two latents by least squares: to one alone, the transformer's own
    trembling would be twice as large.
    """
    ages = torch.stack([age * by.pace for age in range(1, len(past) + 1)])
    cos, sin = ages.cos()[:, None], ages.sin()[:, None]
    other = (sin * (past - now * cos)).sum(0) / sin.square().sum(0)
    swing = torch.complex(now, other)
    out = (swing * by.gain).real
    out[0] += by.lean * swing[0].abs()
    return out


def _wind(chances: Chance, share: float) -> tuple[tuple[float, float], tuple[float]]:
    """What multiplies a flow everywhere (complex), and how much more of it goes in eddies."""
    along, across = (part * one for part, one in zip(WIND, chances.wind, strict=True))
    whole, blown = math.hypot(1 - share, share), share / math.hypot(1, *WIND, EDDY)
    straight = (1 - share + blown * chances.side * (1 + along)) / whole
    return (straight, blown * across / whole), (blown * EDDY / whole,)


def _blown(flow: Tensor, say: Numbers, eddies: Tensor) -> Tensor:
    """A flow ``[2, h, w]`` turned to where the wind blows, and in eddies."""
    gain = torch.complex(say.wind[0], say.wind[1]) + say.eddies * _complex(eddies)
    turned = torch.complex(flow[0], flow[1]) * gain
    return torch.stack([turned.real, turned.imag])


def _ways(chances: Chance, push: float) -> list[float]:
    """The velocity of a hand that comes slowly closer.

    With the camera's dead zone added, what is left of it is the way that comes back; without, it would stray.
    """
    right, down, clockwise = (size * one for size, one in zip(HAND, chances.hand, strict=True))
    side = chances.beginning
    ways = right + LEAD[0] * side.real, down + LEAD[1] * side.imag, push * abs(side), clockwise
    return [hardened(way) for way in ways]
