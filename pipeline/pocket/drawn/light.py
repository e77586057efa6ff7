"""Light that is drawn: fire's flicker, lights that twinkle, northern lights, day and night, colours that turn."""

import math

import numpy as np
import torch
from torch import Tensor

from pipeline.pocket.drawn.dice import dice, flicker
from pipeline.pocket.drawn.drawing import Drawn
from pipeline.pocket.drawn.marks import LUMA, brightness
from pipeline.pocket.drawn.noise import noise
from pipeline.pocket.drawn.shot import COARSE, LEAST, Shot
from pipeline.pocket.layers import SKY
from pipeline.pocket.names import REGIONS

FIRE, TWINKLE, AURORA = range(3)
FLICKER_HZ = (0.55, 0.9, 1.6, 2.7, 4.3, 6.9)
# What firelight multiplies red, green and blue by at its fullest, less 1; and what it adds of itself.
FIRE_GAIN, FIRE_COLOUR = (0.75, 0.42, 0.10), (34.0, 15.0, 2.0)
# Light through a day, by its share: at noon the picture's own.
DAY = (
    (0.0, (1.0, 1.0, 1.0)), (0.12, (1.04, 0.98, 0.88)), (0.24, (1.02, 0.72, 0.5)), (0.34, (0.52, 0.43, 0.52)),
    (0.44, (0.24, 0.29, 0.46)), (0.6, (0.22, 0.27, 0.45)), (0.7, (0.45, 0.42, 0.58)), (0.8, (0.9, 0.72, 0.66)),
    (0.9, (1.02, 0.94, 0.86)), (1.0, (1.0, 1.0, 1.0)),
)  # fmt: skip
DAY_S, HUE_S = 18.0, 9.0
STARS, STAR_COLOUR = 600, (215.0, 225.0, 255.0)
# When stars come out over a sky of day, and how long that takes.
STARS_COME_S, CURTAINS_COME_S = (1.5, 4.0), (0.5, 3.0)


def fire(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Warm light that flickers about what is warm and bright, each part a little by itself."""
    x, y = shot.places(COARSE)
    glow = shot.local(shot.marks.glow, x, y)[0]
    parts = [flicker(shot.seed, 8 * FIRE + part, drawn.time_s, FLICKER_HZ) for part in range(3)]
    own = noise(shot.seed, FIRE, x / 90, y / 90)
    # By the square roots, so that the flicker is as large everywhere.
    trembling = 0.75 * parts[0] + 0.66 * (own.sqrt() * parts[1] + (1 - own).sqrt() * parts[2])
    light = shot.enlarge(glow * drawn.amount * (0.5 + 0.42 * trembling))
    light = _cut(light, shot.where(drawn.places))
    for channel, (gain, colour) in enumerate(zip(FIRE_GAIN, FIRE_COLOUR, strict=True)):
        image[channel].addcmul_(light, (gain * image[channel]).add_(colour))
    return image


def day(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """The light of a whole day in a while, beginning where the picture is."""
    gains = image.new_tensor(_daylight(drawn.time_s / DAY_S % 1)) - 1
    where = shot.where(drawn.places)
    if where is None:
        return image * (1 + min(1.0, drawn.amount) * gains)[:, None, None]
    return image * (1 + min(1.0, drawn.amount) * gains[:, None, None] * where)


def _daylight(share: float) -> list[float]:
    later = next(index for index, (at, _) in enumerate(DAY) if at >= share and at > 0)
    (begin, before), (end, after) = DAY[later - 1], DAY[later]
    part = (share - begin) / (end - begin)
    part = _eased(part)
    return [a + (b - a) * part for a, b in zip(before, after, strict=True)]


def _eased(share: float) -> float:
    share = max(0.0, min(1.0, share))
    return share * share * (3 - 2 * share)


def hue(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Colours turned about grey, their luma kept."""
    angle, amount = 2 * math.pi * drawn.time_s / HUE_S, min(1.0, drawn.amount)
    luma = np.array([LUMA] * 3)
    # Axes of the plane of no luma: red less cyan, and blue less yellow.
    cos, sin = math.cos(angle), math.sin(angle)
    across = np.array([[0.168, 0.330, -0.497], [-0.328, 0.035, 0.292], [1.250, -1.050, -0.203]])
    turned = luma + cos * (np.eye(3) - luma) + sin * across
    matrix = image.new_tensor((1 - amount) * np.eye(3) + amount * turned)
    after = (matrix @ image.view(3, -1)).view_as(image)
    where = shot.where(drawn.places)
    return after if where is None else torch.lerp(image, after, where)


def twinkle(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Small bright places vary, each for itself; a sky without any gets stars that do, as it is dark or grows dark."""
    spots = shot.marks.spots
    in_the_sky = drawn.places[REGIONS.index("sky")]
    if len(spots):
        _vary(image, shot, drawn, in_the_sky)
    bright = brightness(shot.marks.sky_luma)
    # What is bright in the sky by day are clouds.
    lone = _dark(shot, drawn, STARS_COME_S) * max(bright, 1 - float((spots[:, 4] > 0.5).sum()) / 30)
    layers = shot.canvas.layers
    if lone and in_the_sky and layers is not None and layers.has(SKY):
        _starry(image, shot, drawn, lone * in_the_sky)
    return image


def _dark(shot: Shot, drawn: Drawn, times: tuple[float, float]) -> float:
    """How much is seen of what a sky of day must grow dark for, 0..1; ``times`` are when it begins, and how long."""
    bright, (begins_s, comes_s) = brightness(shot.marks.sky_luma), times
    return 1 - bright + bright * _eased((drawn.time_s - begins_s) / comes_s)


def _vary(image: Tensor, shot: Shot, drawn: Drawn, in_the_sky: float) -> None:
    """Dim some of the picture's bright spots, and have others gleam."""
    # By night lamps and windows are no sky, and meant all the same; by day a bright place on the ground is a stone.
    day = brightness(shot.marks.luma) if in_the_sky > 0.99 else 0.0
    scale, own = shot.view.scale, _twinkling(shot.seed, len(shot.marks.spots), drawn.time_s)
    meant = 1 - day * (1 - shot.marks.spots[:, 4])
    some = meant > LEAST
    if not some.any():
        return
    (x, y, radius, strength, _), own, tinted = shot.marks.spots[some].T, own[some] * meant[some], shot.marks.tints[some]
    reach = 2 * math.ceil(4.5 * scale) + 1
    dx, dy, index = shot.stamp(*shot.shown(x, y), reach)
    size, dimmed, bright = shot.numbers(
        (radius * scale) ** 2, 0.8 * np.clip(own, -1, 0), np.clip(own, 0, 1) * np.clip(strength / 50, 0.4, 1.3)
    )
    square = dx.square() + dy.square()
    core = torch.exp(-square / size)
    halo = core + (0.35 * torch.exp(-square / (2.6 * scale) ** 2) + _rays(dx, dy, scale)) * (square < (reach / 2) ** 2)
    # One that dims does not gleam at the same time.
    pixels, cover, seen = shot.left(index, core * dimmed + halo * bright)
    tints = torch.from_numpy(((tinted.T * 0.35 + 90) / 255).astype(np.float32)).to(shot.device)
    light = cover.clamp(min=0) * tints.index_select(1, seen.div(reach**2, rounding_mode="floor"))
    sums = shot.summed(pixels, torch.cat([cover.clamp(max=0)[None], light]))
    where = None if in_the_sky > 0.99 and not day else shot.where(drawn.places, pixels)
    where = where if where is None or not 0 < day < 1 else torch.lerp(torch.ones_like(where), where, day)
    share = drawn.amount if where is None else where * drawn.amount
    flat = image.view(3, -1)
    before = flat.index_select(1, pixels)
    flat.index_copy_(1, pixels, before * (1 + sums[0].clamp(min=-0.85) * share) + 130 * share * sums[1:])


def _rays(dx: Tensor, dy: Tensor, scale: float) -> Tensor:
    """The small cross of a glint."""
    along, across = dx.abs() / scale, dy.abs() / scale
    return 0.5 * (torch.exp(-across * 2.2 - along * 0.55) + torch.exp(-along * 2.2 - across * 0.55))


def _twinkling(seed: int, count: int, time_s: float) -> np.ndarray:
    """Each spot's own varying, mostly within -1..1."""
    numbers = np.arange(count)
    pace, phase = (dice(seed, 8 * TWINKLE + part, numbers) for part in (0, 1))
    other, start = (dice(seed, 8 * TWINKLE + part, numbers) for part in (2, 3))
    slow = np.sin(2 * np.pi * ((0.35 + 0.9 * pace) * time_s + phase))
    quick = np.sin(2 * np.pi * ((1.3 + 1.9 * other) * time_s + start))
    return 0.75 * slow + 0.5 * quick


def _starry(image: Tensor, shot: Shot, drawn: Drawn, share: float) -> None:
    """Lay stars over a sky that has none."""
    numbers = np.arange(STARS)
    u, v, size = (dice(shot.seed, 8 * TWINKLE + part, numbers) for part in (4, 5, 6))
    width, height = shot.view.extent
    own = np.clip(0.5 + 0.55 * _twinkling(shot.seed + 1, STARS, drawn.time_s), 0.05, 1)
    px, py = shot.shown((1.2 * u - 0.6) * width, (1.1 * v - 0.6) * height)
    dx, dy, index = shot.stamp(px, py, 2 * math.ceil(3.5 * shot.view.scale) + 1)
    spread = (0.75 + 0.75 * size**3) * shot.view.scale
    narrow, bright = shot.numbers(spread**-2, own * (0.3 + 0.95 * size**3))
    square = dx.square() + dy.square()
    glow = 0.22 * torch.exp(square * (-((1.9 * shot.view.scale) ** -2)))
    pixels, cover, _ = shot.left(index, (torch.exp(-square * narrow) + glow) * bright)
    (bright,) = shot.summed(pixels, cover[None])
    sky = shot.share(SKY, pixels)
    assert sky is not None
    flat, light = image.view(3, -1), bright * sky * (share * drawn.amount)
    before = flat.index_select(1, pixels)
    flat.index_copy_(1, pixels, before + light * image.new_tensor(STAR_COLOUR)[:, None])


def aurora(image: Tensor, shot: Shot, drawn: Drawn) -> Tensor:
    """Curtains of light in the sky, green below and violet above, which come as a sky of day has grown dark."""
    where = shot.where(drawn.places)
    rows = shot.rows(where)
    x, y = shot.places(COARSE, rows)
    width, height = shot.view.extent
    u, v = x / width, y / height
    amount, within = drawn.amount * _dark(shot, drawn, CURTAINS_COME_S), None if where is None else where[rows]
    planes = [_cut(shot.enlarge(plane), within) for plane in _curtains(shot.seed, u, v, drawn.time_s)]
    for channel, (low, top) in zip(image[:, rows], ((20.0, 105.0), (215.0, -70.0), (110.0, 85.0)), strict=True):
        channel += ((amount * low) * planes[0]).add_(planes[1], alpha=amount * top).clamp_(min=0)
    return image


def _curtains(seed: int, u: Tensor, v: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """Light of the northern lights at places in shares of the view, and the same by how high it is."""
    total, high = torch.zeros_like(u), torch.zeros_like(u)
    for curtain in range(3):
        phase, lean, pace = dice(seed, 8 * AURORA + curtain, np.arange(3)).tolist()
        bent = u + 0.05 * noise(seed, 40 + curtain, 3 * u + 0.11 * t, 2 * v + 9 * phase)
        swing = 0.075 * torch.sin(2 * math.pi * (0.9 * bent + phase + 0.045 * (0.6 + pace) * t))
        swing = swing + 0.03 * torch.sin(2 * math.pi * (2.3 * bent - 2 * phase - 0.08 * t))
        edge = (0.12 * (lean - 0.5)) * u + swing - (0.05 + 0.11 * curtain)
        below = edge - v
        above = below.clamp(min=0) / (0.20 + 0.05 * curtain)
        rays = noise(seed, 50 + curtain, 26 * bent + 0.35 * t, 0.25 * t + 5 * phase)
        folds = noise(seed, 60 + curtain, 5 * bent - 0.22 * t, 0.2 * t + 3 * phase)
        body = torch.sigmoid(60 * below) * torch.exp(-2.2 * above)
        body = body * (0.25 + 0.75 * rays) * ((folds - 0.28) * (2.2 * (1 - 0.22 * curtain))).clamp(0, 1)
        total, high = total + body, high + body * above.clamp(max=2)
    return total, high


def _cut(plane: Tensor, where: Tensor | None) -> Tensor:
    return plane if where is None else plane * where
