"""How near things are: as the network of layers says, or by where the sky of a picture ends and a subject stands.

By rule a sky is farthest, and no horizon lies above its lowest edge; the ground comes nearer from there down, in
proportion; what stands above it is as near as the ground at its foot. Either way what stands upright is of one
nearness, and only nearness relative to what is seen as the picture's speed matters: a camera that pans at its speed
moves what is near faster, what is far slower.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.canvas import Canvas
from pipeline.pocket.layers import SKY, SUBJECT, WATER
from pipeline.pocket.seen_speed import grey, seen_speed, texture
from pipeline.pocket.uprights import as_feet, standing_lines
from pipeline.pocket.view import View

# Cells over the view in which nearness is told.
CELLS = (60, 104)
# Nearness of the sky, of what stands on the horizon, and how much nearer the ground is a whole height below it.
SKY_NEAR, HORIZON_NEAR, GROUND_RISE = 0.68, 0.84, 0.56
# How much nearer than the sky the nearest is of what the network tells.
LEARNED_RISE = 0.75
# The same rise where no horizon is seen, of what is hardly ground and of what surely is; and with a subject on it.
UNSEEN_RISE, RISE_BELOW_SUBJECT = (0.06, 0.25), 0.12
# Change across over change down, between which what is below a horizon is less and less taken for ground: a slant makes
# lines across of everything, what stands has upright ones. Of all held-out pictures with a horizon, one is above 1.15.
UPRIGHT, UNSEEN_UPRIGHT = (0.95, 1.15), (0.6, 0.85)
# How much nearer a subject is than the ground it stands on, with its foot in the picture and below it.
STANDING, CUT_OFF = 0.04, 0.14
# How much nearer than what is close around it a subject may be: what it uncovers, and what is painted there, is a
# strip of a dozen units at most. The rest is gained by steps of what is around it.
STEP = 0.06
# How much nearer than that one must be to be by himself; else what is around gives way to all of it.
APART = 0.15
# Of a larger share of the view nobody is by himself.
SMALL = 0.15
# Most nearness gained by a unit: 160 units from home, what is seen beside an edge is at most doubled or halved.
STEEPEST = 0.003
# Share of a cell from which it counts as standing before the sky: a mast is narrower than a cell.
LEAST_STANDING = 0.12
LEAST_SKY = 0.04
# Of the places held for the subject, the share that is held surely: below the first its outline is not to be trusted.
SURE = (0.45, 0.65)
LEAST_SUBJECT = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Depth:
    """Nearness of one picture, relative to what is seen: 0.1 moves a tenth faster than the camera's nominal speed.

    ``near float32 [1, 60, 104]`` is that of all but a subject whose outline is sure, ``subject`` of that; None: it is
    as near as what is around it.
    """

    near: Tensor
    subject: float | None


def with_depth(canvas: Canvas, found: Tensor, amount: float, learned: Tensor | None = None) -> Canvas:
    """Give a canvas that has its layers depth, from the network's shares ``float32 [1, 5, h, w]`` of the view.

    ``amount`` of 1 is all of it, 0 none: the canvas as it was. ``learned [1, 1, h, w]`` in 0..1 is how near the network
    says that places are; None: it says nothing.
    """
    if not amount or canvas.layers is None:
        return canvas
    shares, view = _inside(canvas.layers.shares, canvas), canvas.view
    has_sky = canvas.layers.has_sky and float(found[:, SKY].mean()) > LEAST_SKY
    sky = shares[:, SKY : SKY + 1] if has_sky else torch.zeros_like(shares[:, :1])
    sure = sureness(found[:, SUBJECT]) if canvas.layers.subject is not None else 0.0
    standing, (across, down) = _standing(sky), _change(canvas)
    if not bool(standing.any()):
        return canvas
    if learned is None:
        ground = _ground(standing, (across, down), has_sky, bool(sure))
    else:
        ground = SKY_NEAR + LEARNED_RISE * F.adaptive_avg_pool2d(learned, CELLS)[0]
    picture, share = grey(canvas), shares[:, SUBJECT : SUBJECT + 1]
    # What stands upside down in water does not stand.
    dry = F.adaptive_avg_pool2d(shares[:, WATER : WATER + 1], CELLS)[0] < 0.5
    feet = as_feet(ground, standing_lines(picture, CELLS) * standing * dry)
    before, seen = ground.new_tensor(SKY_NEAR).where(standing < 0.5, feet), texture(picture, CELLS)
    # Of what is relative already nothing gets steeper.
    near, own = _with_subject(before / seen_speed(before[0], seen), share, sure, standing)
    near = _rising(near, view)
    seen_near = near if own is None else near.lerp(near.new_tensor(own), F.adaptive_avg_pool2d(share, CELLS)[0])
    speed = seen_speed(seen_near[0], seen)
    return replace(canvas, depth=Depth(amount * (near / speed - 1), own and amount * (own / speed - 1)))


def _with_subject(near: Tensor, share: Tensor, sure: float, standing: Tensor) -> tuple[Tensor, float | None]:
    """Nearness ``[1, 60, 104]`` with a subject of a share ``[1, 1, h, w]``, all of it as near; and how near, or None.

    It is by itself, and its own nearness told, only where it is much nearer than what stands around it, and small: what
    is by itself is seen twice, which takes time, and before a sky nobody sees what gives way.
    """
    subject = F.adaptive_avg_pool2d(share, CELLS)[0]
    own = _of_subject(subject, near, sure)
    if own is None:
        return near, None
    wide = F.adaptive_max_pool2d(share, CELLS)[0] > 0.2
    edge = (F.max_pool2d(wide.float(), 5, 1, 2) > 0) & ~wide
    beside = near[edge & (standing > 0.5)]
    is_small = float(subject.mean()) < SMALL
    is_apart = is_small and len(beside) > 0 and own - float(beside.mean()) > APART
    return near.new_tensor(own - STEP * is_apart).where(wide, near), own if is_apart else None


def sureness(subject: Tensor) -> float:
    """How far the outline of a subject of coarse shares ``[1, h, w]`` is to be trusted, 0..1.

    >>> sureness(torch.full((1, 4, 4), 0.9)), sureness(torch.full((1, 4, 4), 0.5))
    (1.0, 0.0)
    """
    area, core = float((subject > 0.3).float().mean()), float((subject > 0.8).float().mean())
    if area < LEAST_SUBJECT:
        return 0.0
    return min(1.0, max(0.0, (core / area - SURE[0]) / (SURE[1] - SURE[0])))


def _inside(plane: Tensor, canvas: Canvas) -> Tensor:
    rows, columns = canvas.view.room
    return plane[..., rows:-rows, columns:-columns]


def _standing(sky: Tensor) -> Tensor:
    """Cells ``[1, 60, 104]`` of 0 and 1 in which something hangs together with the picture's lower edge.

    A bird, or a dark cloud that is taken for none, does not: it moves with the sky.
    """
    solid = (F.adaptive_avg_pool2d(1 - sky, CELLS)[0] > LEAST_STANDING).float()
    reached = torch.zeros_like(solid)
    reached[:, -1] = solid[:, -1]
    for _ in range(sum(CELLS)):
        wider = F.max_pool2d(reached, 3, 1, 1) * solid
        if torch.equal(wider, reached):
            break
        reached = wider
    return reached


def _ground(standing: Tensor, change: tuple[Tensor, Tensor], has_sky: bool, has_subject: bool) -> Tensor:
    """Nearness of the ground ``[1, 60, 104]``, as if all were ground and what stands on the horizon."""
    rows = CELLS[0]
    y = ((torch.arange(rows, device=standing.device) + 0.5) / rows)[None, :, None].expand_as(standing)
    open_ = standing < 0.5
    seen = open_.any(1, keepdim=True)
    if not has_sky or float(seen.float().mean()) < 0.1:
        least, most = UNSEEN_RISE
        slanted = 1 - _upright(change, y > 0.5, UNSEEN_UPRIGHT)
        rise = RISE_BELOW_SUBJECT if has_subject else least + (most - least) * slanted
        return HORIZON_NEAR + rise * y
    # The lowest sky of each column; of all but the few in which a gap goes lower.
    lowest = (open_ * y).amax(1, keepdim=True)[seen]
    horizon = float(torch.quantile(lowest, 0.97))
    below = (y > max(0.5, horizon)) & ~open_
    return HORIZON_NEAR + GROUND_RISE * (1 - _upright(change, below, UPRIGHT)) * (y - horizon).clamp(min=0)


def _upright(change: tuple[Tensor, Tensor], where: Tensor, bounds: tuple[float, float]) -> float:
    """How much stands upright in some cells ``bool [1, 60, 104]``, 0..1."""
    across, down = (float((part * where).sum()) for part in change)
    return min(1.0, max(0.0, (across / max(down, 1e-3) - bounds[0]) / (bounds[1] - bounds[0])))


def _rising(near: Tensor, view: View) -> Tensor:
    """The least map ``[1, 60, 104]`` above this one that is nowhere steeper than :data:`STEEPEST`.

    What is near keeps its nearness up to its edge and a cell beyond, so that the edge moves as one; what it stands
    before gives way.
    """
    near = F.max_pool2d(near, 3, 1, 1)
    for axis, side in ((1, view.extent[1]), (2, view.extent[0])):
        cells = near.shape[axis]
        step = STEEPEST * side / cells
        for reach in (1, 2, 4, 8, 16, 32, 64):
            if reach >= cells:
                break
            edge = near.narrow(axis, 0, 1).expand([reach if at == axis else n for at, n in enumerate(near.shape)]) * 0
            ahead = torch.cat([near.narrow(axis, reach, cells - reach), edge], axis)
            behind = torch.cat([edge, near.narrow(axis, 0, cells - reach)], axis)
            near = torch.maximum(near, torch.maximum(ahead, behind) - reach * step)
    return near


def _of_subject(subject: Tensor, near: Tensor, sure: float) -> float | None:
    """Nearness of a subject of cells ``[1, 60, 104]``: that of the ground at its foot, and a little more."""
    rows = torch.arange(CELLS[0], device=near.device)
    weights = subject[0].sum(1)
    if not sure or not float(weights.sum()):
        return None
    foot = int(rows[weights.cumsum(0) >= 0.95 * weights.sum()][0])
    row = subject[0, foot]
    ground = float((near[0, foot] * row).sum() / row.sum().clamp(min=1e-3))
    # Who is cut off by the lower edge stands nearer than anything seen of the ground.
    cut_off = min(1.0, float(subject[0, -1].mean()) / 0.15)
    return ground + sure * (STANDING + (CUT_OFF - STANDING) * cut_off)


def _change(canvas: Canvas) -> tuple[Tensor, Tensor]:
    """Mean change of grey levels from pixel to pixel in each cell, across and down, each ``[1, 60, 104]``."""
    grey = canvas.rest.permute(2, 0, 1)[None].float().mean(1, keepdim=True)
    across, down = (grey[..., 1:] - grey[..., :-1]).abs(), (grey[..., 1:, :] - grey[..., :-1, :]).abs()
    return F.adaptive_avg_pool2d(across, CELLS)[0], F.adaptive_avg_pool2d(down, CELLS)[0]
