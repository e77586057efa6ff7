"""What moves a frame's pixels: water that flows, swell that rolls in, air that shimmers."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.drawn.drawing import Drawn
from pipeline.pocket.drawn.noise import noise
from pipeline.pocket.drawn.shot import COARSE, Shot
from pipeline.pocket.layers import WATER
from pipeline.pocket.neighbours import box

STREAM, WAVES, HEAT = range(200, 203)
STREAM_PERIOD_S, STREAM_UNITS_PER_S = 1.8, 42.0
WAVE_HZ = 0.34


def stream(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Water flows: two half-periods of it cross-fade, so that it never ends, with streaks and glints that go along."""
    where = shot.where(drawn.places)
    rows = shot.rows(where)
    x, y = shot.places(COARSE, rows)
    flow = shot.local(shot.marks.flow, x, y)
    reach = flow * (STREAM_UNITS_PER_S * STREAM_PERIOD_S)
    phase, wide = drawn.time_s / STREAM_PERIOD_S % 1, [shot.enlarge(part) for part in reach]
    parts, lines = list[Tensor](), list[Tensor]()
    for part in (phase, (phase + 0.5) % 1):
        shift = reach * (part - 0.5)
        parts.append(_seen_from(image, shot, (wide, part - 0.5), rows))
        # Longer along the water than across it is what one sees of a current.
        along, across = _turned(x - shift[0], y - shift[1], flow)
        fine = noise(shot.seed, STREAM, along / 30, across / 5.5)
        lines.append(fine.add_(noise(shot.seed, STREAM + 10, along / 11, across / 2.6), alpha=0.7))
    mix = abs(2 * phase - 1)
    lit = (torch.lerp(lines[0], lines[1], mix) - 0.85) * (2 * (flow[0].square() + flow[1].square()).sqrt()).clamp(max=1)
    flowing = parts[0].lerp_(parts[1], mix)
    bright = shot.enlarge(lit)
    flowing *= (0.42 * min(1.5, drawn.amount) * bright).add_(1)
    flowing += bright.sub_(0.3).clamp_(min=0).mul_(85 * drawn.amount)
    share = min(1.0, drawn.amount)
    image[:, rows].lerp_(flowing, share) if where is None else image[:, rows].lerp_(flowing, _wide(where[rows] * share))
    return image


def _wide(share: Tensor) -> Tensor:
    return share.expand(3, -1, -1)


def _turned(x: Tensor, y: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Places along the whole water's main way and across it."""
    right, down = (float(part.mean()) for part in flow)
    size = math.hypot(right, down) or 1.0
    right, down = right / size, down / size
    return right * x + down * y, right * y - down * x


def waves(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Swell comes towards the viewer, longer and higher the nearer it is, and glints."""
    where = shot.where(drawn.places)
    rows = shot.rows(where)
    x, y = shot.places(COARSE, rows)
    top, bottom = shot.marks.shore
    near = ((y - top) / max(60.0, bottom - top)).clamp(0, 1.3)
    t, seed, height = drawn.time_s, shot.seed, near.clamp(max=1)
    # In even water depth goes as one over the way below the horizon.
    depth = 1 / (near + 0.10)
    bend = noise(seed, WAVES, x / (190 * (near + 0.3)), 1.4 * depth + 0.1 * t) - 0.5
    angle = 2 * math.pi * (0.95 * depth + 0.55 * bend + WAVE_HZ * t)
    other = 2 * math.pi * (1.7 * depth + 0.9 * bend + x / (700 * (near + 0.2)) + 0.53 * t)
    swell = (angle.sin() + 0.35 * other.sin()) * (0.5 + 0.9 * noise(seed, WAVES + 10, x / 260, 0.8 * depth + 0.3 * t))
    size, turn = 11 * min(1.5, drawn.amount) * height**1.3, other.cos()
    # What swims, and the shore, is not pulled into the water nor water into it: towards them the swell dies away.
    size = size * afloat(shot, x, y)
    moved = _moved(image, shot, (0.25 * size * turn, -size * swell), rows)
    lit = height.sqrt() * (angle.cos() + 0.3 * turn)
    glint = noise(seed, WAVES + 20, x / (8 * (near + 0.25)), 60 * (near + 0.10).log() - 3.0 * t)
    glint = ((glint - 0.70) * 3.3).clamp(0, 1) * (swell - 0.25).clamp(min=0) * height.sqrt()
    # The swell comes with its own size, and so does the light on it, so nothing has to fade.
    moved *= shot.enlarge(1 + (0.24 * drawn.amount * lit).clamp(-0.5, 0.6))
    moved += shot.enlarge(80 * drawn.amount * glint)
    if where is None:
        return moved
    image[:, rows].lerp_(moved, _wide(where[rows]))
    return image


def afloat(shot: Shot, x: Tensor, y: Tensor) -> Tensor | float:
    """1 at places in open water, falling to 0 where a third of what is about is something else."""
    layers = shot.canvas.layers
    if layers is None or not layers.has(WATER):
        return 1.0
    share = layers.coarse[WATER : WATER + 1, None].float()
    return ((shot.local(box(share, 1), x, y)[0] - 0.66) / 0.28).clamp(0, 1)


def heat(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Air shimmers: what is behind it trembles in thin sheets that rise; where no place is named, over the ground."""
    where, height = shot.where(drawn.places), shot.view.height
    over_ground = where is None and shot.is_fourfold
    rows = slice(height // 3 // COARSE * COARSE, height) if over_ground else shot.rows(where)
    x, y = shot.places(COARSE, rows)
    t, seed = drawn.time_s, shot.seed
    first = noise(seed, HEAT, x / 34, y / 17 + 2.3 * t)
    first = first.add_(noise(seed, HEAT + 10, x / 15, y / 8 + 4.1 * t), alpha=0.6).sub_(0.8)
    second = noise(seed, HEAT + 20, x / 30, y / 20 + 1.9 * t) - 0.5
    size: Tensor | float = 7.0 * min(1.5, drawn.amount)
    if over_ground:
        size = size * (torch.arange(len(y), device=shot.device) * (3.5 / len(y))).clamp(max=1).square()[:, None]
    moved = _moved(image, shot, (size * first, 0.45 * size * second), rows)
    if where is None:
        image[:, rows] = moved
    else:
        image[:, rows].lerp_(moved, _wide(where[rows]))
    return image


def _moved(image: Tensor, shot: Shot, shift: Tensor | Sequence[Tensor], rows: slice) -> Tensor:
    """Rows of a frame ``[3, h, W]`` whose places have moved by ``shift``, right and down, ``[h / 4, W / 4]`` units."""
    return _seen_from(image, shot, ([shot.enlarge(part) for part in shift], 1.0), rows)


def _seen_from(image: Tensor, shot: Shot, shift: tuple[Sequence[Tensor], float], rows: slice) -> Tensor:
    """Rows of a frame moved by a share of a shift that has the frame's resolution, in units."""
    (right, down), share = shift
    first, last, _ = rows.indices(shot.view.height)
    grid = image.new_empty(1, last - first, shot.view.width, 2)
    for axis, part in enumerate((right, down)):
        side = (shot.view.width, shot.view.height)[axis]
        place = torch.arange(*((0, side) if axis == 0 else (first, last)), device=image.device) * (2 / (side - 1)) - 1
        place = place if axis == 0 else place[:, None]
        torch.sub(place, part, alpha=share * shot.view.scale * 2 / (side - 1), out=grid[0, :, :, axis])
    return F.grid_sample(image[None], grid, padding_mode="border", align_corners=True)[0]
