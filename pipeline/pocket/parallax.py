"""Where a camera that has moved sees things that are nearer or farther than the mean of the picture.

A pan or tilt moves what is near farther than what is far, a zoom is taken for a step towards it, and a roll turns all
alike. At home nothing is out of its place, and the farther from home the less is added, so that what a near thing
uncovers stays a narrow strip, and that nothing folds: of how far a thing of nearness 1 is moved at the most, by all of
it together, no more than MOST counts.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.pocket.depth import Depth
from pipeline.pocket.pose import Pose
from pipeline.pocket.sampling import Place

# Units that a thing of nearness 1 is moved by the farthest way, pan, tilt and zoom together; a place is at most so much
# of it longer or shorter than it was as nearness grows by a unit, half at most.
MOST = 150.0
# Units from the middle of a view to its side.
SIDE = 416.0
# Nearness is told of places in the picture, which it moves itself: steps in which that is settled.
STEPS = 3


class Travel(NamedTuple):
    """How far a camera is from home: where it looks in units, how much of that counts for depth, and its log zoom.

    Numbers, or tensors of as many frames.
    """

    x: float | Tensor
    y: float | Tensor
    right: float | Tensor
    down: float | Tensor
    zoom: float | Tensor


def eased(pose: Pose, strength: float = 1.0) -> tuple[float, float, float]:
    """How much of a pose's way counts for a depth of some strength, 0..1: right, down, log zoom.

    >>> [round(value, 1) for value in eased(Pose(x=30.0))], [round(value, 1) for value in eased(Pose(x=3e6, zoom=0.4))]
    ([29.4, 0.0, 0.0], [150.0, 0.0, 0.0])
    """
    way = math.hypot(pose.x, pose.y) + abs(pose.zoom) * SIDE * math.exp(-pose.zoom)
    ease = strength / math.hypot(1, way / MOST)
    return pose.x * ease, pose.y * ease, pose.zoom * ease


def moved(x: Tensor, y: Tensor, near: Tensor | float, travel: Travel) -> tuple[Tensor, Tensor]:
    """Places ``x, y [..., 61, 105]`` in units at which a mean thing is seen, for things of another nearness."""
    near = torch.as_tensor(near, device=x.device)
    grow = torch.expm1(-travel.zoom * near)
    return x + (x - travel.x) * grow + near * travel.right, y + (y - travel.y) * grow + near * travel.down


def seen(place: Place, pose: Pose, depth: Depth, strength: float = 1.0) -> tuple[Place, Place | None]:
    """Where the nodes of a frame look for the picture; and for its subject, where that is by itself.

    Of depth as much is seen as its strength, 0..1, says; without any the picture is flat, and made as fast.
    """
    right, down, zoom = eased(pose, strength)
    if not (right or down or zoom):
        return place, None
    travel = Travel(pose.x, pose.y, right, down, zoom)
    around = place
    for _ in range(STEPS):
        around = Place(*moved(place.x, place.y, around.local(depth.near)[0], travel), place.view)
    if depth.subject is None:
        return around, None
    return around, Place(*moved(place.x, place.y, depth.subject, travel), place.view)
