"""What of a picture the drawn effects hold on to, found once: warm lights, bright spots, where water runs to."""

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.canvas import Canvas
from pipeline.pocket.drawn.dice import Numbers
from pipeline.pocket.latents import GRID
from pipeline.pocket.layers import SKY, SUBJECT, WATER
from pipeline.pocket.neighbours import box

LUMA = (0.299, 0.587, 0.114)
HOT_POINTS, SPOTS = 48, 240
# Share of a picture that is warm and bright from which its parts count for less each: a flower is no fire.
MUCH_FIRE = 0.05
LEAST_FIRE = 4e-4
# Firelight that is nowhere as bright as LEAST_GLOW is no fire's: reddish specks; a small fire is brought to where a
# twentieth of the picture has SEEN_GLOW, by BRIGHTER at most, since a glow about a candle alone was hardly seen.
LEAST_GLOW, SEEN_GLOW, BRIGHTER = 0.3, 0.4, 5.0
# From where to where, in half sides of the frame from its middle, less and less of a subject that fills it is kept: so
# slowly that what lies between is stretched to one and a half times at most.
INNERMOST, OUTERMOST = 0.1, 1.1


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """Marks of one picture; places are units from its middle.

    Attributes:
        glow: how much firelight falls on each place of the view, ``float32 [1, 1, h, w]``.
        hot: where fires are, ``[N, 2]``.
        spots: small bright places ``[N, 5]``: x, y, radius, how much brighter than around, and 1 in the sky.
        tints: their colours ``[N, 3]``.
        flow: where the water runs, ``float32 [1, 2, 32, 56]``, of size 1 where it runs fastest.
        shore: where the water begins and ends, down the picture.
        subject: the middle of the subject, or of the picture.
        kept: a wide map of what a dolly zoom leaves in its size, ``float32 [1, 1, 32, 56]`` in 0..1.
        luma, sky_luma: means, 0..255.
    """

    glow: Tensor
    hot: Numbers
    spots: Numbers
    tints: Numbers
    flow: Tensor
    shore: tuple[float, float]
    subject: tuple[float, float]
    kept: Tensor
    luma: float
    sky_luma: float


def brightness(luma: float) -> float:
    """How much a sky of this mean luma is one of day, 0..1: no star is seen before it."""
    return max(0.0, min(1.0, (luma - 80) / 25))


def with_marks(canvas: Canvas) -> Canvas:
    """Give a canvas its marks, once its layers are known."""
    pixels = canvas.rest.permute(2, 0, 1).float()
    luma = (pixels * pixels.new_tensor(LUMA)[:, None, None]).sum(0)
    sky = _inside(canvas, SKY)
    glow, hot = _fires(canvas, pixels, luma)
    spots, tints = _spots(canvas, pixels, luma, sky)
    flow, shore = _water(canvas)
    sky_luma = float((luma * sky).sum() / sky.sum()) if float(sky.sum()) > 1 else float(luma.mean())
    lumas = float(luma.mean()), sky_luma
    subject, kept = _subject(canvas)
    return replace(canvas, marks=Marks(glow, hot, spots, tints, flow, shore, subject, kept, *lumas))


def _subject(canvas: Canvas) -> tuple[tuple[float, float], Tensor]:
    """The middle of the subject in units, and a map that is 1 on it and falls slowly beside it."""
    rows, columns = GRID
    device = canvas.rest.device
    x = (torch.arange(columns, device=device) + 0.5) / columns - 0.5
    y = (torch.arange(rows, device=device) + 0.5) / rows - 0.5
    if canvas.layers is None or canvas.layers.subject is None:
        share = (y[:, None].square() + x.square() < 0.12**2).float()
    else:
        share = canvas.layers.coarse[SUBJECT].float()
    width, height = canvas.view.extent
    middle = (float((share.sum(at) * axis).sum() / share.sum()) for at, axis in ((0, x), (1, y)))
    wide = box(box(F.max_pool2d(share[None, None], 7, 1, 3), 4), 4)
    wide = (wide / wide.max() * 1.7).clamp(max=1)
    across, down = middle
    return (across * width, down * height), _within(wide.square() * (3 - 2 * wide), x, y)


def _within(kept: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """What keeps its size ``[1, 1, h, w]``, less towards the border the more of the border it would take.

    A subject that fills the frame leaves nothing around it, and no dolly zoom would be seen.
    """
    border = torch.cat([kept[0, 0, 0], kept[0, 0, -1], kept[0, 0, :, 0], kept[0, 0, :, -1]]).mean()
    away = ((2 * torch.hypot(x, y[:, None]) - INNERMOST) / (OUTERMOST - INNERMOST)).clamp(0, 1)
    return kept * (1 - border * away.square() * (3 - 2 * away))


def _inside(canvas: Canvas, kind: int) -> Tensor:
    """Shares ``[H, W]`` of a layer in the view at rest."""
    height, width = canvas.rest.shape[:2]
    if canvas.layers is None or not canvas.layers.has(kind):
        return torch.zeros(height, width, device=canvas.rest.device)
    rows, columns = canvas.view.room
    return canvas.layers.shares[0, kind, rows : rows + height, columns : columns + width].float()


def _places(canvas: Canvas, rows: Tensor, columns: Tensor, reduction: int = 1) -> Numbers:
    """Units from the middle of pixels of every ``reduction``-th, ``[N, 2]``."""
    height, width = canvas.rest.shape[:2]
    half, scale = (reduction - 1) / 2, canvas.view.scale
    x = (columns.cpu().double() * reduction + half - (width - 1) / 2) / scale
    y = (rows.cpu().double() * reduction + half - (height - 1) / 2) / scale
    return torch.stack([x, y], 1).numpy()


def _fires(canvas: Canvas, pixels: Tensor, luma: Tensor) -> tuple[Tensor, Numbers]:
    """Where firelight falls and where fires are; without any, one burns below the picture."""
    red, _, blue = pixels
    warm = ((red - 165) / 70).clamp(0, 1) * ((red - blue - 40) / 70).clamp(0, 1) * ((luma - 100) / 60).clamp(0, 1)
    warm = F.avg_pool2d(warm[None, None], 4)
    size = warm.shape[2:]
    mean = float(warm.mean())
    if mean < LEAST_FIRE:
        return _below(canvas, size)
    warm = warm * min(1.0, (MUCH_FIRE / mean) ** 0.5)
    glow = 0.75 * warm
    for radius, weight in ((3, 1.0), (9, 1.4), (26, 2.2)):
        glow = glow + weight * box(box(warm, radius), radius)
    if float(glow.max()) < LEAST_GLOW:
        return _below(canvas, size)
    glow = glow * min(BRIGHTER, max(1.0, SEEN_GLOW / float(glow.quantile(0.95).clamp(min=1e-3))))
    flat = warm.flatten()
    order = flat.argsort(descending=True)[: max(1, int((flat > 0.4 * flat.max()).sum()))]
    order = order[:: max(1, len(order) // HOT_POINTS)][:HOT_POINTS]
    return glow.clamp(max=1.0), _places(canvas, order // size[1], order % size[1], 4)


def _below(canvas: Canvas, size: torch.Size) -> tuple[Tensor, Numbers]:
    """The same of a fire below the picture."""
    device, (width, height) = canvas.rest.device, canvas.view.extent
    down = torch.linspace(0, 1, size[0], device=device)[:, None]
    glow = 1.6 * torch.exp(-2.2 * (1 - down) - 0.7 * torch.linspace(-1, 1, size[1], device=device).square())
    below = np.stack([np.linspace(-0.42, 0.42, HOT_POINTS) * width, np.full(HOT_POINTS, 0.52 * height)], 1)
    return glow[None, None].contiguous(), below


def _spots(canvas: Canvas, pixels: Tensor, luma: Tensor, sky: Tensor) -> tuple[Numbers, Numbers]:
    """Small places that are brighter than around, brightest first."""
    plane, reach = luma[None, None], max(1, round(9 * canvas.view.scale))
    around = box(plane, reach)
    above = plane - around
    peak = (F.max_pool2d(box(plane, 1), 7, 1, 3) == box(plane, 1)) & (above > 22)
    # By day what is bright is no light.
    score = (above * ((190 - around) / 110).clamp(0.05, 1) * ((plane - 70) / 60).clamp(0, 1))[0, 0]
    score = torch.where(peak[0, 0], score, 0.0)
    order = score.flatten().argsort(descending=True)[:SPOTS]
    order = order[score.flatten()[order] > 12]
    rows, columns = order // luma.shape[1], order % luma.shape[1]
    strength = above[0, 0][rows, columns].cpu().double().numpy()
    wide = (box((above > 0.5 * above[0, 0].amax().clamp(max=60)).float(), 4)[0, 0])[rows, columns]
    radius = 1.2 + 3.2 * wide.cpu().double().numpy()
    in_sky = sky[rows, columns].cpu().double().numpy()
    spots = np.column_stack([_places(canvas, rows, columns), radius, strength, in_sky])
    return spots, pixels[:, rows, columns].T.cpu().double().numpy()


def _water(canvas: Canvas) -> tuple[Tensor, tuple[float, float]]:
    """Where water runs: down a river's bed, along what is wider than tall; the nearer the faster, slower at a bank."""
    device, (width, height) = canvas.rest.device, canvas.view.extent
    flow = torch.zeros(1, 2, 32, 56, device=device)
    y = (torch.arange(32, device=device) + 0.5) / 32
    x = (torch.arange(56, device=device) + 0.5) / 56
    if canvas.layers is None or not canvas.layers.has(WATER):
        flow[0, 0] = ((y - 0.5) * 2).clamp(0, 1)[:, None]
        return flow, (0.0, height / 2)
    share = canvas.layers.coarse[WATER].float()
    rows = share.sum(1)
    here = rows > 0.5
    first, last = int(here.nonzero().min()), int(here.nonzero().max())
    shore = ((first / 32 - 0.5) * height, ((last + 1) / 32 - 0.5) * height)
    weight = share / rows.clamp(min=1e-3)[:, None]
    middle = (weight * x).sum(1)
    spread = (weight * (x - middle[:, None]).square()).sum(1).sqrt().clamp(min=0.02)
    is_long = float((last + 1 - first) / 32 * height) > 1.1 * float(rows[here].mean() / 56 * width)
    near = (0.35 + 0.65 * (y - first / 32) / max(1 / 32, (last + 1 - first) / 32)).clamp(0.35, 1)
    bank = ((box(share[None, None], 1)[0, 0] - 0.25) / 0.5).clamp(0.3, 1)
    if is_long:
        # Lines that run along the bed keep their share of its width.
        bend, widening = _slope(middle, here), _slope(spread.log(), here)
        across = (bend[:, None] + (x - middle[:, None]) * widening[:, None]) * (width / height) * 32
        flow[0, 0], flow[0, 1] = across.clamp(-2, 2), 1.0
    else:
        flow[0, 0], flow[0, 1] = 1.0, 0.06
    flow = flow / flow.norm(dim=1, keepdim=True).clamp(min=1e-3)
    # What is mirrored in still water shows twice where it goes fast.
    return flow * near[:, None] * bank * (1.0 if is_long else 0.5), shore


def _slope(values: Tensor, here: Tensor) -> Tensor:
    """How much a row's value differs from the row's above, smoothed over rows that are ``here``."""
    first, last = int(here.nonzero().min()), int(here.nonzero().max()) + 1
    part = values[first:last]
    smooth = F.avg_pool1d(F.pad(part[None, None], (2, 2), mode="replicate"), 5, 1)[0, 0]
    slope = torch.zeros_like(values)
    if len(smooth) > 1:
        slope[first:last] = torch.gradient(smooth)[0]
    return slope
