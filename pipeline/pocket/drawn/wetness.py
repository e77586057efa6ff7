"""How wet it is where it rains or has rained lately, as a stream keeps it from one latent to the next.

While all is alike that is two numbers. Rain on a part of the frame adds how wet each place of the picture is, on the
latent's grid: rain lives on the screen and the ground in the picture, so what was rained on goes along with it.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.latents import LATENTS_PER_SECOND, screen_grid
from pipeline.pocket.pose import REST, Pose
from pipeline.pocket.view import View

# Seconds in which steady rain wets the ground wholly, and in which it dries.
WETS_S, DRIES_S = 10.0, 20.0
WETS, DRIES = 1 / (WETS_S * LATENTS_PER_SECOND), 1 / (DRIES_S * LATENTS_PER_SECOND)
# Of rain and of wetness, what changes no colour by half a grey level.
LEAST_RAIN, LEAST_GROUND = 0.01, 0.025
# Share of a rain's most from which a place is wetted by the whole, and from which of the least it falls everywhere: it
# comes in gusts there, of which the weakest is two fifths of the strongest.
WHOLE, EVERYWHERE = 0.4, 0.25
# Rain that is left out of that comparison: the decoder's dead zone has taken as much of each.
FAINT = 0.025
# Side in cells of what is taken together, twice, for the border of what is wet: judges saw one as narrow as that of the
# rain, which moves, as an edge.
SPATTER = 7
# Wetness by which places that are as wet may differ: two numbers went by other ways to the same end.
ALIKE = 1e-6


class Fall(NamedTuple):
    """Rain on a part of the picture: how much of it falls at each place ``float32 [h, w]``, 0..1, nowhere less."""

    share: Tensor
    least: float


class Patches(NamedTuple):
    """How wet the ground is at each place of the picture ``float32 [h, w]``, and at the least."""

    ground: Tensor
    least: float


class Wetness(NamedTuple):
    """How much it rains, and how wet the ground is where it is wettest, each 0..1, at a latent's boundary.

    ``patches`` is None where both are everywhere alike.
    """

    rain: float = 0.0
    ground: float = 0.0
    patches: Patches | None = None

    def after(self, rain: float, fall: Fall | None = None) -> "Wetness":
        """The same a latent later, when so much rain falls; steps are even, so that a rate plays no part.

        ``fall`` is where, None for everywhere.

        >>> wet = Wetness()
        >>> for _ in range(round(WETS_S * LATENTS_PER_SECOND)):
        ...     wet = wet.after(1.2)
        >>> round(wet.ground, 3), round(wet.after(0.0).ground, 4)
        (1.0, 0.9875)
        >>> wet = wet.after(1.2, Fall(torch.tensor([[1.0, 0.5, 0.0]]), 0.0))
        >>> wet.patches.ground, wet.after(1.2).patches
        (tensor([[1.0000, 0.9875, 0.9875]]), None)
        """
        rain = max(0.0, min(1.0, rain))
        ground = _after(self.ground, rain)
        if self.patches is not None:
            here = self.patches
        elif fall is not None:
            here = self._spread(fall.share)
        else:
            return Wetness(rain, ground)
        share, least = (1.0, 1.0) if fall is None else fall
        lowest = _after(here.least, rain * least)
        if fall is None and ground - lowest < ALIKE:
            return Wetness(rain, ground)
        return Wetness(rain, ground, Patches(here.ground + (rain * share - here.ground).clamp(-DRIES, WETS), lowest))

    @property
    def is_seen(self) -> bool:
        """Whether any of it could be seen: a transformer that is asked for no rain still says a little of it.

        >>> Wetness(0.002, 0.002).is_seen, Wetness(0.0, 0.1).is_seen, Wetness(0.1, 0.0).is_seen
        (False, True, True)
        """
        return self.ground > LEAST_GROUND or self.rain > LEAST_RAIN

    def towards(self, after: "Wetness", share: float) -> "Wetness":
        """What is at a share of the way to the state a latent later."""
        rain, ground = (a + (b - a) * share for a, b in zip(self[:2], after[:2], strict=True))
        given = self.patches or after.patches
        if given is None:
            return Wetness(rain, ground)
        one, other = (wet.patches or wet._spread(given.ground) for wet in (self, after))
        least = one.least + (other.least - one.least) * share
        return Wetness(rain, ground, Patches(torch.lerp(one.ground, other.ground, share), least))

    def _spread(self, like: Tensor) -> Patches:
        """Wetness that is everywhere alike, told place by place."""
        return Patches(torch.full_like(like, self.ground), self.ground)


def _after(ground: float, goal: float) -> float:
    return ground + max(-DRIES, min(WETS, goal - ground))


def fallen(amounts: Tensor, bounds: tuple[float, float], pose: Pose, view: View) -> Fall | None:
    """Where in the picture rain falls that lies on the screen ``[h, w]``; None where it falls everywhere.

    ``bounds`` are the least and the most of it. What a camera at this pose does not see has what falls nearest to it.
    """
    least, most = bounds
    if least + FAINT >= EVERYWHERE * (most + FAINT):
        return None
    share, (x, y) = _spattered(fallen_share(amounts, most)), screen_grid(amounts.device)
    if pose != REST:
        (a, b, c), (d, e, f) = pose.affine()
        width, height = (side / 2 for side in view.extent)
        x, y, area = x * width - c, y * height - f, a * e - b * d
        # The way back from places in the picture to those on the screen.
        across, down = (e * x - b * y) / (area * width), (a * y - d * x) / (area * height)
        share = read_at(share, across, down)
    return Fall(share, least / (WHOLE * most))


def _spattered(share: Tensor) -> Tensor:
    """What falls at each place and around it, a little within the rain: wet ground ends more gently than rain does."""
    found = -F.max_pool2d(-share[None, None], SPATTER, 1, SPATTER // 2)
    for _ in range(2):
        found = F.avg_pool2d(found, SPATTER, 1, SPATTER // 2, count_include_pad=False)
    return found[0, 0]


def fallen_share(amounts: Tensor, most: float | Tensor) -> Tensor:
    """How much of rain ``[h, w]`` counts for what it wets, 0..1; the soft border of the rain is its own."""
    return (amounts / (WHOLE * most)).clamp(max=1)


def read_at(plane: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Values of a plane ``[h, w]`` at places ``[n, m]``, -1..1 from edge to edge."""
    grid = torch.stack([across, down], -1)[None]
    return F.grid_sample(plane[None, None], grid, padding_mode="border", align_corners=False)[0, 0]
