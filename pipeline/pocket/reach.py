"""What a prompt reaches: which layers may move, be lit, and lie under weather, by what was read from its words.

The transformer's fields say how much and in which phase; a layer that was not meant stays as it is, to its last pixel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.intents import EFFECTS, REGIONS, Asked
from pipeline.pocket.layers import FOLIAGE, SKY, SUBJECT, WATER, Layers
from pipeline.pocket.truth import LOG_GAINS, SWING_HZ, WHERE

MOTION, LIGHT, WEATHER = range(3)
KINDS = 5
_LAYERS = {"sky": SKY, "water": WATER, "foliage": FOLIAGE, "subject": SUBJECT}
# Share of the way to a new prompt's reach that is gone in one latent: as fast as fields come and go.
RATE = 0.4
# Shares of a weather's most between which it begins. The transformer spreads what is asked for on one side over
# two thirds of a frame, and leaves a tenth of it on the other.
BORDER = (0.4, 0.8)
# Cells that the border is spread by to each side, twice: the network changes its mind within one, which looks cut.
SOFT = 2


def everything() -> Tensor:
    """The reach of a prompt that names no place: ``float32 [3, 5]`` of ones (motion, light, weather; layers)."""
    return torch.ones(3, KINDS)


def goal(asked: Asked | None, behind: bool, layers: Layers, now: Tensor) -> Tensor:
    """The reach ``float32 [3, 5]`` that a prompt asks for; where it asks for nothing, what is ``now`` stays.

    A layer that the picture lacks stands for everything, as the transformer then looks for the nearest place itself.
    """
    wanted = now.clone()
    for row, names in ((MOTION, SWING_HZ), (LIGHT, LOG_GAINS), (WEATHER, ("rain", "snow", "fog"))):
        reached = [] if asked is None else [_of(name, asked, layers) for name in names if _is_asked(name, asked)]
        if reached:
            wanted[row] = torch.stack(reached).amax(0) if row != WEATHER else 1.0
            if behind and row != MOTION:
                wanted[row, SUBJECT] = 0
    return wanted


def bordered(amounts: Tensor) -> Tensor:
    """Weather ``[N, h, w]`` that keeps to where most of it is, with a soft border; what is even stays as it is.

    >>> sides = torch.tensor([[[1.0] * 14 + [0.5] * 4 + [0.25] * 14]])
    >>> [round(part, 2) for part in bordered(sides)[0, 0, 8::3].tolist()]
    [1.0, 0.89, 0.44, 0.08, 0.01, 0.0, 0.0, 0.0]
    """
    low, high = BORDER
    share = amounts / amounts.amax((1, 2), keepdim=True).clamp(min=1e-3)
    rise = ((share - low) / (high - low)).clamp(0, 1)
    kept = amounts * rise.square() * (3 - 2 * rise)
    for _ in range(2):
        kept = F.avg_pool2d(F.pad(kept[None], (SOFT, SOFT, SOFT, SOFT), mode="replicate"), 2 * SOFT + 1, 1)[0]
    return kept


def _is_asked(name: str, asked: Asked) -> bool:
    return bool(asked.present[0, EFFECTS.index(name)])


def _of(name: str, asked: Asked, layers: Layers) -> Tensor:
    region = REGIONS[int(asked.region[0, EFFECTS.index(name)])]
    if region not in (*_LAYERS, "ground"):
        region = WHERE.get(name, region)
    mask = torch.zeros(KINDS)
    if region == "ground":
        mask[:] = 1
        mask[SKY] = 0
    elif region in _LAYERS and layers.has(_LAYERS[region]):
        mask[_LAYERS[region]] = 1
    else:
        mask[:] = 1
    return mask
