"""What floats before a picture: leaves, dust and fireflies, sparks; and smoke that rises."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.drawn.dice import Numbers, Whole, dice
from pipeline.pocket.drawn.drawing import Drawn
from pipeline.pocket.drawn.noise import noise
from pipeline.pocket.drawn.shot import COARSE, ROOM, Shot
from pipeline.pocket.layers import SUBJECT

LEAVES, DUST, SPARKS, SMOKE = range(100, 104)
# As many as there are at a strength of 1.5.
MOST = 1.5
# Of each depth: how many, how near, half-lengths in units, fall in units/s.
LEAF_DEPTHS = ((80, 0.1, (4.5, 7.5), 46.0), (40, 0.5, (8.5, 13.0), 72.0), (9, 1.4, (18.0, 25.0), 128.0))
LEAF_COLOURS = (
    (214.0, 112.0, 28.0), (228.0, 160.0, 44.0), (196.0, 60.0, 28.0), (180.0, 92.0, 34.0), (206.0, 134.0, 40.0),
)  # fmt: skip
# Pixels by which the light about a mote is told.
LIT = 8
# Moments around a frame's own over which it is exposed, by depth.
EXPOSED_S = ((0.0,), (0.0,), (-1 / 150, 1 / 150))
DUST_DEPTHS = ((200, 0.1, (0.9, 1.7), 0.85), (100, 0.5, (1.7, 3.4), 0.62), (26, 1.3, (5.0, 11.0), 0.24))
# How bright dust is where the picture is black: it floats in the light.
UNLIT = 0.35
DUST_COLOUR, FIREFLY_COLOUR = (255.0, 240.0, 208.0), (214.0, 255.0, 96.0)
SPARK_COUNT, SPARK_COLOUR = 110, (330.0, 205.0, 80.0)
SMOKE_COLOUR = 216.0


def leaves(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Leaves fall, tumble and swing in the wind, far ones behind whoever stands there, near ones out of focus."""
    parts: list[tuple[Tensor, Tensor]] = []
    for depth, (count, near, lengths, fall) in enumerate(LEAF_DEPTHS):
        numbers, shares = _of(count, drawn.amount)
        for moment in EXPOSED_S[depth] if len(numbers) else ():
            told = near, lengths, fall, drawn.time_s + moment
            pixels, values = _leaf(shot, 16 * LEAVES + depth, numbers, told, shares / len(EXPOSED_S[depth]))
            subject = shot.share(SUBJECT, pixels) if near < 0.3 else None
            parts.append((pixels, values if subject is None else values * (1 - subject)))
    if not parts:
        return image
    pixels = torch.cat([one for one, _ in parts])
    cover, *colours = shot.summed(pixels, torch.cat([values for _, values in parts], 1))
    # Where leaves meet, they share the place.
    cut, where = 1 / cover.clamp(min=1), shot.where(drawn.places, pixels)
    cut = cut if where is None else cut * where
    flat, lit = image.view(3, -1), min(1.15, 0.22 + shot.marks.luma / 115)
    before = flat.index_select(1, pixels)
    flat.index_copy_(1, pixels, before + cut * (255 * lit * torch.stack(colours) - cover * before))
    return image


def _of(count: int, amount: float) -> tuple[Whole, Numbers]:
    """Which of so many there are at an amount, and how much of each."""
    numbers = np.arange(count)
    shares = np.clip(4 * (amount / MOST * 1.25 - numbers / count), 0, 1)
    return numbers[shares > 0], shares[shares > 0]


def _leaf(
    shot: Shot, kind: int, numbers: Whole, told: tuple[float, tuple[float, float], float, float], shares: Numbers
) -> tuple[Tensor, Tensor]:
    """Pixels ``[M]`` of one depth's leaves at a moment, and there cover, and red, green, blue in 0..1, ``[4, M]``."""
    near, lengths, fall, time_s = told
    u, v, size, spin, phase, tint, depth = (dice(shot.seed, kind, numbers, part) for part in range(1, 8))
    width, height = (ROOM * side for side in shot.view.extent)
    wind = 1 if dice(shot.seed, 16 * LEAVES, np.zeros(1, np.int64))[0] < 0.5 else -1
    swing = 2 * np.pi * ((0.22 + 0.2 * spin) * time_s + phase)
    gust = 18 * math.sin(0.7 * time_s) + 9 * math.sin(1.7 * time_s + 1.0)
    x = u * width + wind * ((26 + 34 * near) * time_s + gust * (1 + near)) + (10 + 14 * near) * np.sin(swing)
    y = v * height + fall * (0.75 + 0.5 * v) * time_s + 0.22 * (10 + 14 * near) * np.cos(2 * swing)
    px, py, larger, there = shot.floating(x, y, near, depth)
    shares = shares * there
    length = (lengths[0] + (lengths[1] - lengths[0]) * size) * larger * shot.view.scale
    turn = 2 * np.pi * (phase + (0.10 + 0.22 * spin) * time_s * np.where(tint < 0.5, 1, -1)) + 0.7 * np.cos(swing)
    flip = np.cos(2 * np.pi * ((0.25 + 0.4 * size) * time_s + spin))
    soft, reach = 0.9 + 0.075 * near * near * float(length.mean()), 2 * math.ceil(float(length.max()) + 1)
    here = shot.around(px, py, reach)
    px, py, length, size, turn, flip, tint, shares = (
        one[here] for one in (px, py, length, size, turn, flip, tint, shares)
    )
    dx, dy, index = shot.stamp(px, py, reach)
    thin = np.maximum(np.abs(flip), 0.16)
    cos, sin, breadth, edge, part = shot.numbers(
        np.cos(turn) / length, np.sin(turn) / length, 0.46 * length * thin / soft, length / soft, shares
    )
    along, across = cos * dx + sin * dy, cos * dy - sin * dx
    blade = (1 - along.square()).clamp(min=0) * (1 + 0.35 * along) * breadth
    pixels, cover, seen = shot.left(index, (blade - across.abs() * edge + 0.5).clamp(0, 1) * (blade > 0) * part)
    colours = np.array(LEAF_COLOURS)[(tint * len(LEAF_COLOURS)).astype(int)] / 255 * (0.85 + 0.3 * size)[:, None]
    paint = np.column_stack([colours * (0.78 + 0.3 * flip)[:, None], 1 / thin, 1 / (0.05 + 0.35 / length)])
    leaf = seen.div(index.shape[1] ** 2, rounding_mode="floor")
    *tints, narrow, rib = torch.from_numpy(paint.astype(np.float32)).to(shot.device).index_select(0, leaf).T
    # Folded along a dark rib, one half lighter than the other.
    beside = across.reshape(-1).index_select(0, seen)
    shaded = cover * (1 + 0.18 * beside * narrow) * (1 - 0.22 * torch.exp(-(beside * rib).square()))
    return pixels, torch.stack([cover, *(shaded * one for one in tints)])


def dust(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Motes of light that drift, the near ones out of focus; in the dark they are fireflies."""
    dark = max(0.0, min(1.0, (88 - shot.marks.luma) / 40))
    colour = [one + dark * (other - one) for one, other in zip(DUST_COLOUR, FIREFLY_COLOUR, strict=True)]
    flat, lit = image.view(3, -1), dark + (1 - dark) * _lit(image)
    for depth, (count, near, radii, light) in enumerate(DUST_DEPTHS):
        numbers, shares = _of(round(count * (1 - 0.6 * dark)), drawn.amount)
        if len(numbers):
            told = near, radii, light, drawn.time_s, dark
            pixels, total = _motes(shot, 16 * DUST + depth, (numbers, shares), told, lit)
            where = shot.where(drawn.places, pixels)
            total = total if where is None else total * where
            before = flat.index_select(1, pixels)
            # As light on film: what is bright grows less.
            total = total * image.new_tensor(colour)[:, None] * (1 - before / 400).clamp(min=0)
            flat.index_copy_(1, pixels, before + total)
    return image


def _lit(image: Tensor) -> Tensor:
    """How bright dust is in every LIT-th pixel of a frame each way, ``[h, w]``: by the light that is about it."""
    seen = image[:, ::LIT, ::LIT].mean(0, keepdim=True)
    around = F.avg_pool2d(seen[None], 5, 1, 2, count_include_pad=False)[0, 0]
    return UNLIT + (1 - UNLIT) / 150 * around.clamp(max=150)


def _about(plane: Tensor, px: Numbers, py: Numbers) -> Tensor:
    """A value of :func:`_lit` for each place on the screen, ``[N]``."""
    rows, columns = plane.shape
    places = np.clip(py // LIT, 0, rows - 1) * columns + np.clip(px // LIT, 0, columns - 1)
    return plane.reshape(-1).index_select(0, torch.from_numpy(places.astype(np.int64)).to(plane.device))


def _motes(
    shot: Shot,
    kind: int,
    which: tuple[Whole, Numbers],
    told: tuple[float, tuple[float, float], float, float, float],
    lit: Tensor,
) -> tuple[Tensor, Tensor]:
    """Pixels and light, 0..1, of one depth's motes, each in what light there is about it."""
    numbers, shares = which
    near, radii, light, t, dark = told
    u, v, size, a, b, c, depth = (dice(shot.seed, kind, numbers, part) for part in range(1, 8))
    width, height = (ROOM * side for side in shot.view.extent)
    way = 7 + 13 * near
    x = u * width + way * ((a - 0.3) * t + 1.6 * np.sin(0.5 * t * (0.6 + b) + 6.3 * c))
    y = v * height + way * ((b - 0.62) * 0.7 * t + 1.2 * np.sin(0.6 * t * (0.6 + a) + 6.3 * u))
    px, py, larger, there = shot.floating(x, y, near, depth)
    shares = shares * there
    radius = (radii[0] + (radii[1] - radii[0]) * size**2) * larger * shot.view.scale * (1 + 0.5 * dark)
    # Dust gleams as it turns; a firefly is dark for a while.
    gleam = 0.5 + 0.5 * np.sin(2 * np.pi * ((0.10 + 0.25 * c) * t + v))
    bright = light * ((1 - dark) * (0.3 + 0.7 * gleam**2) + dark * 1.6 * np.clip(1.5 * gleam - 0.4, 0, 1) ** 2)
    reach = 2 * math.ceil(float(radius.max()) * (1.2 + 0.9 * dark) + 1)
    here = shot.around(px, py, reach)
    dx, dy, index = shot.stamp(px[here], py[here], reach)
    size, light_of = shot.numbers(radius[here] ** -2, (bright * shares)[here])
    light_of = light_of * _about(lit, px[here], py[here])[:, None, None]
    square = (dx.square() + dy.square()) * size
    disc: Tensor | float = 0.0
    if dark < 1 and near > 1:
        far = square.sqrt()
        disc = (1 - dark) * ((1.15 - far) / 0.6).clamp(0, 1)
    elif dark < 1:
        disc = (1 - dark) * torch.exp(-square)
    if dark:
        disc = disc + dark * (torch.exp(-2 * square) + 0.28 * torch.exp(-0.8 * square))
    pixels, cover, _ = shot.left(index, disc * light_of)
    return pixels, shot.summed(pixels, cover[None])[0]


def sparks(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Sparks rise from fires, swing, and go out."""
    hot, kind = shot.marks.hot, 16 * SPARKS
    numbers, shares = _of(SPARK_COUNT, drawn.amount)
    length, begin = 1.1 + 1.7 * dice(shot.seed, kind, numbers, 1), dice(shot.seed, kind, numbers, 2)
    lives = drawn.time_s / length + begin
    # The first of a spark's lives is one that begins after the fire does.
    alive = lives >= 1
    numbers, shares, length, lives = numbers[alive], shares[alive], length[alive], lives[alive]
    age, life = lives % 1, lives.astype(np.int64)
    if not len(numbers):
        return image
    place, speed, a, b, size = (dice(shot.seed, kind, numbers, life * 16 + part) for part in range(5, 10))
    start, size = hot[(place * len(hot)).astype(int)], 0.4 + size
    bright = (1 - age) ** 0.7 * np.minimum(1, 6 * age) * (0.65 + 0.35 * np.sin(29 * age + 6.3 * b)) * shares
    left: list[tuple[Tensor, Tensor]] = []
    for moment in (-1 / 60, 0.0):
        s = age * length + moment
        x = start[:, 0] + 16 * (a - 0.5) * s + (5 + 12 * age) * np.sin(2 * np.pi * (0.7 * s * (0.6 + b) + a)) * s
        px, py = shot.shown(x, start[:, 1] - (46 + 74 * speed) * s * (1 + 0.25 * s))
        dx, dy, index = shot.stamp(px, py, 2 * math.ceil(4.5 * shot.view.scale) + 1)
        inverse, light = shot.numbers(((0.6 + 0.65 * size) * shot.view.scale) ** -2, 0.7 * bright)
        far = (dx.square() + dy.square()) * inverse
        left.append(shot.left(index, (torch.exp(-far) + 0.13 * torch.exp(-far / 7)) * light)[:2])
    pixels = torch.cat([one for one, _ in left])
    (total,) = shot.summed(pixels, torch.cat([cover for _, cover in left])[None])
    where = shot.where(drawn.places, pixels)
    total, flat = total if where is None else total * where, image.view(3, -1)
    before = flat.index_select(1, pixels)
    flat.index_copy_(1, pixels, before + total * image.new_tensor(SPARK_COLOUR)[:, None])
    return image


def smoke(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Smoke rises in plumes, soft, turning in itself, thinner the higher."""
    where = shot.where(drawn.places)
    rows = shot.rows(where)
    x, y = shot.places(COARSE, rows)
    width, height = shot.view.extent
    up = (height / 2 - y) / height
    plume = torch.zeros_like(x)
    for number in range(4):
        at, lean = dice(shot.seed, 16 * SMOKE, np.full(2, number), np.arange(2)).tolist()
        middle = ((number + 0.2 + 0.6 * at) / 4 - 0.5) * width + (lean - 0.5) * 260 * up
        middle = middle + 40 * up * torch.sin(5 * up + (6.3 * lean - 0.8 * drawn.time_s))
        # What rises spreads.
        plume += torch.exp(-((x - middle) / (60 + 150 * up)).square()) * (0.75 + 0.25 * lean)
    body = _billows(shot.seed, x / 120, y / 120, drawn.time_s)
    thick = ((body - 0.52 + 0.30 * plume.clamp(max=1.1)) * 3.4).clamp(0, 1) * (1.1 - 0.8 * up).clamp(0, 1)
    cover = shot.enlarge((thick * plume.sqrt().clamp(max=1) * (min(1.3, drawn.amount) * 0.74)).clamp(max=0.9))
    cover = cover if where is None else cover * where[rows]
    part, lit = image[:, rows], min(1.0, 0.25 + shot.marks.luma / 150)
    for channel, tint in enumerate((0.99, 1.0, 1.02)):
        part[channel].lerp_(image.new_tensor(SMOKE_COLOUR * lit * tint), cover)
    return image


def _billows(seed: int, u: Tensor, v: Tensor, t: float) -> Tensor:
    """Noise that rises and turns in itself, at places in cells, 0..1."""
    turn_x = noise(seed, SMOKE, 0.9 * u, 0.9 * v + 0.30 * t) - 0.5
    turn_y = noise(seed, SMOKE + 50, 0.9 * u + 0.07 * t, 0.9 * v + 0.24 * t) - 0.5
    u, v = u + 1.7 * turn_x, v + 1.3 * turn_y
    body = 0.56 * noise(seed, SMOKE + 51, u, 0.85 * v + 0.50 * t)
    body += 0.28 * noise(seed, SMOKE + 52, 2.3 * u, 1.9 * v + 0.98 * t)
    return body.add_(noise(seed, SMOKE + 53, 5.1 * u, 4.3 * v + 1.9 * t), alpha=0.16)
