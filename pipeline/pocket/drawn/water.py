"""What moves a frame's pixels: water that flows, swell that rolls in, air that shimmers."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.drawn.drawing import Drawn
from pipeline.pocket.drawn.noise import noise
from pipeline.pocket.drawn.shot import COARSE, Shot

STREAM, WAVES, HEAT = range(200, 203)
STREAM_PERIOD_S, STREAM_UNITS_PER_S = 1.8, 42.0
WAVE_HZ = 0.34


def stream(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Water flows: two half-periods of it cross-fade, so that it never ends, with streaks and glints that go along."""
    where = shot.where(drawn.places)
    flow = shot.local(shot.marks.flow)
    rows = _rows(where)
    reach = flow * (STREAM_UNITS_PER_S * STREAM_PERIOD_S)
    phase = drawn.time_s / STREAM_PERIOD_S % 1
    x, y = shot.places(COARSE)
    parts, lines = [], []
    for part in (phase, (phase + 0.5) % 1):
        shift = reach * (part - 0.5)
        parts.append(_moved(image, shot, shift, rows))
        # Longer along the water than across it is what one sees of a current.
        u, v = x - shift[0], y - shift[1]
        along, across = _turned(u, v, flow)
        fine = noise(shot.seed, STREAM, along / 30, across / 5.5)
        lines.append(fine + 0.7 * noise(shot.seed, STREAM + 10, along / 11, across / 2.6) - 0.85)
    mix = abs(2 * phase - 1)
    lit = torch.lerp(lines[0], lines[1], mix) * (flow[0].square() + flow[1].square()).sqrt()
    lit = shot.enlarge(lit)[rows]
    flowing = torch.lerp(parts[0], parts[1], mix)
    flowing = flowing * (1 + 0.34 * min(1.5, drawn.amount) * lit) + 70 * drawn.amount * (lit - 0.3).clamp(min=0)
    share = min(1.0, drawn.amount) if where is None else where[rows] * min(1.0, drawn.amount)
    image[:, rows] += (flowing - image[:, rows]) * share
    return image


def _turned(x: Tensor, y: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Places along the whole water's main way and across it."""
    right, down = (float(part.mean()) for part in flow)
    size = math.hypot(right, down) or 1.0
    right, down = right / size, down / size
    return right * x + down * y, right * y - down * x


def waves(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Swell comes towards the viewer, longer and higher the nearer it is, and glints."""
    where = shot.where(drawn.places)
    rows = _rows(where)
    x, y = shot.places(COARSE)
    top, bottom = shot.marks.shore
    near = ((y - top) / max(60.0, bottom - top)).clamp(0, 1.3)
    t, seed = drawn.time_s, shot.seed
    # In even water depth goes as one over the way below the horizon.
    depth = 1 / (near + 0.10)
    bend = noise(seed, WAVES, x / (190 * (near + 0.3)), 1.4 * depth + 0.1 * t) - 0.5
    angle = 2 * math.pi * (0.95 * depth + WAVE_HZ * t + 0.55 * bend)
    other = 2 * math.pi * (1.7 * depth + 0.53 * t + 0.9 * bend + x / (700 * (near + 0.2)))
    swell = (angle.sin() + 0.35 * other.sin()) * (0.5 + 0.9 * noise(seed, WAVES + 10, x / 260, 0.8 * depth + 0.3 * t))
    size = 15 * near.clamp(max=1) ** 1.3 * min(1.5, drawn.amount)
    moved = _moved(image, shot, torch.stack([0.25 * size * other.cos(), -size * swell]), rows)
    slope = (angle.cos() + 0.3 * other.cos()) * near.clamp(max=1).sqrt()
    glint = noise(seed, WAVES + 20, x / (12 * (near + 0.25)), 46 * (near + 0.10).log() - 3.0 * t)
    glint = ((glint - 0.70) * 3.3).clamp(0, 1) * (swell - 0.25).clamp(min=0)
    lit = shot.enlarge(0.20 * drawn.amount * slope)[rows]
    gleam = shot.enlarge(95 * drawn.amount * glint * near.clamp(max=1).sqrt())[rows]
    moved = moved * (1 + lit.clamp(-0.5, 0.6)) + gleam
    share = 1.0 if where is None else where[rows]
    # The swell comes with its own size; the light on it as well, so nothing has to fade.
    image[:, rows] += (moved - image[:, rows]) * share
    return image


def heat(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Air shimmers: what is behind it trembles in thin sheets that rise."""
    x, y = shot.places(COARSE)
    t, seed = drawn.time_s, shot.seed
    first = noise(seed, HEAT, x / 34, y / 17 + 2.3 * t) + 0.6 * noise(seed, HEAT + 10, x / 15, y / 8 + 4.1 * t) - 0.8
    second = noise(seed, HEAT + 20, x / 30, y / 20 + 1.9 * t) - 0.5
    _, height = shot.view.extent
    low = 0.45 + 0.55 * torch.sigmoid(6 * (y / height + 0.1))
    size = 6.5 * min(1.5, drawn.amount) * low
    where = shot.where(drawn.places)
    rows = _rows(where)
    moved = _moved(image, shot, torch.stack([size * first, 0.45 * size * second]), rows)
    if where is None:
        return moved
    image[:, rows] += (moved - image[:, rows]) * where[rows]
    return image


def _rows(where: Tensor | None) -> slice:
    """The frame's rows in which something is."""
    if where is None:
        return slice(None)
    found = (where.amax(1) > 0.004).nonzero()
    return slice(int(found.min()), int(found.max()) + 1) if len(found) else slice(0, 0)


def _moved(image: Tensor, shot: Shot, shift: Tensor | Sequence[Tensor], rows: slice) -> Tensor:
    """Rows of a frame ``[3, h, W]`` whose places have moved by ``shift [2, H / 4, W / 4]`` units."""
    height, width = shot.view.height, shot.view.width
    x = torch.arange(width, device=image.device).float()
    y = torch.arange(height, device=image.device)[rows].float()[:, None]
    right, down = (shot.enlarge(part)[rows] * shot.view.scale for part in shift)
    grid = torch.stack([(x - right) * (2 / (width - 1)) - 1, (y - down) * (2 / (height - 1)) - 1], -1)[None]
    return F.grid_sample(image[None], grid, padding_mode="border", align_corners=True)[0]
