"""Skies: air, sun and moon, stars, northern lights, clouds.

What has no edges is painted in half the resolution.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.pocket.layers import REST, SKY
from pipeline.pocket.painter.light import RGB, Light, mix, plain
from pipeline.pocket.painter.noise import Noise, sampled, smoothstep
from pipeline.pocket.painter.scenery import Scenery
from pipeline.pocket.painter.sheet import Sheet


@dataclass(slots=True, eq=False)
class _Half:
    """A sky in half the resolution: places ``x [1, w]`` and ``y [h, 1]`` in units, ``picture [3, h, w]``."""

    x: Tensor
    y: Tensor
    horizon: float
    extent: tuple[float, float]
    picture: Tensor

    def shine(self, colour: RGB | Tensor, amount: Tensor) -> None:
        paint = plain(colour) if isinstance(colour, tuple) else colour
        self.picture = 1 - (1 - self.picture) * (1 - (paint * amount).clamp(0, 1))


def paint_sky(sheet: Sheet, scenery: Scenery, light: Light, seed: int) -> None:
    """Fill the sheet with a sky, which is also what lies behind all that comes after."""
    x, y = sheet.x[:, ::2], sheet.y[::2]
    height = (sheet.horizon - y) / max(sheet.horizon, 1.0)
    half = _Half(x, y, sheet.horizon, sheet.view.extent, _air(height, light).expand(3, y.shape[0], x.shape[1]))
    is_starry = scenery.hour == "night" or scenery.has_stars
    is_rich = is_starry and (scenery.has_stars or scenery.place == "stars")
    noise = Noise(seed, "stars")
    slope, middle = noise.between(0.25, 0.7) * noise.chance.choice((-1, 1)), noise.between(0.3, 0.7)
    if is_rich:
        _milky_way(half, noise, slope, middle)
    if scenery.has_aurora:
        _aurora(half, seed)
    _glow(half, light, sun_at(sheet, light))
    clouds = _clouds(half, light, sun_at(sheet, light), seed)
    wide = sheet.enlarged(torch.cat([half.picture, clouds]))
    sheet.picture = wide[:3]
    if is_starry:
        _stars(sheet, light, noise, (slope, middle) if is_rich else None)
    sheet.sky = torch.lerp(sheet.picture, wide[3:6], wide[6])
    _disc(sheet, light, seed)
    sheet.picture = torch.lerp(sheet.picture, wide[3:6], wide[6])


def sun_at(sheet: Sheet, light: Light) -> tuple[float, float]:
    """Where the sun or moon stands, in units."""
    return light.sun[0] * sheet.width, sheet.horizon * (1 - 0.86 * light.sun[1])


def _air(height: Tensor, light: Light) -> Tensor:
    low, high = smoothstep(-0.02, 0.50, height), smoothstep(0.25, 1.1, height)
    air = torch.lerp(plain(light.horizon), plain(light.middle), low.sqrt() * 0.55 + low * 0.45)
    return torch.lerp(air, plain(light.zenith), high)


def _glow(half: _Half, light: Light, sun: tuple[float, float]) -> None:
    if light.strength <= 0:
        return
    unit = half.extent[1]
    flat = ((half.x - sun[0]) / unit) ** 2 * 0.55 + ((half.y - sun[1]) / unit) ** 2 * (0.6 if light.is_night else 1.6)
    wide = torch.exp(-flat / 0.07) * 0.62 + torch.exp(-flat / 0.012) * 0.4
    half.picture = torch.lerp(half.picture, plain(light.glow), (wide * light.strength).clamp(0, 0.92))
    if light.size:
        away = ((half.x - sun[0]) ** 2 + (half.y - sun[1]) ** 2).sqrt()
        half.shine(light.glow, torch.exp(-away / (2.4 * light.size)) * (0.55 if light.is_night else 0.8))


def _disc(sheet: Sheet, light: Light, seed: int) -> None:
    """The sun's or moon's own face; it is not of the sky that drifts with the clouds, which has none behind it."""
    if light.size <= 0 or light.strength <= 0:
        return
    (x, y), (scale, (rows, columns)) = sun_at(sheet, light), (sheet.view.scale, sheet.view.room)
    reach = light.size + 6
    top, left = (max(0, int((p - reach) * scale) + r) for p, r in ((y, rows), (x, columns)))
    part = slice(top, top + int(2 * reach * scale) + 1), slice(left, left + int(2 * reach * scale) + 1)
    px, py = sheet.x[:, part[1]], sheet.y[part[0]]
    away = ((px - x) ** 2 + (py - y) ** 2).sqrt()
    disc = smoothstep(light.size + 0.9, light.size - 0.9, away)
    face = plain((0.95, 0.94, 0.88) if light.is_night else mix(light.glow, (1.0, 1.0, 0.94), 0.72))
    if light.is_night:
        maria = sampled(Noise(seed, "moon").texture(5), (px - x) / 150, (py - y) / 150)
        face = face * (1 - 0.26 * smoothstep(0.40, 0.62, maria))
    sheet.picture[:, *part] = torch.lerp(sheet.picture[:, *part], face.expand(3, *disc.shape), disc)
    held = smoothstep(light.size + 5.0, light.size + 2.0, away)
    sheet.shares[SKY, *part], sheet.shares[REST, *part] = 1 - held, held


def _stars(sheet: Sheet, light: Light, noise: Noise, band: tuple[float, float] | None) -> None:
    """Stars whose number grows with each magnitude; a third of them along the milky way where there is one."""
    chance, (rows, columns) = noise.chance, sheet.size
    count = 1100 if band is None else 3600
    x = chance.uniform(-160, sheet.width + 160, count)
    y = chance.uniform(-100, sheet.horizon, count)
    if band is not None:
        crowd = count // 3
        y[:crowd] = 0.42 * sheet.horizon + (x[:crowd] - band[1] * sheet.width) * band[0] + chance.normal(0, 42, crowd)
    bright = np.minimum(chance.pareto(1.6, count) * 0.10 + 0.10, 1.6)
    warm = chance.random(count)
    at_x, at_y = (
        np.round(p * sheet.view.scale + r).astype(int) for p, r in ((x, sheet.view.room[1]), (y, sheet.view.room[0]))
    )
    low = np.clip((sheet.horizon - y) / (0.45 * sheet.horizon), 0, 1)
    seen = (at_x > 2) & (at_x < columns - 3) & (at_y > 2) & (at_y < rows - 3) & (low > 0)
    colours = np.stack([0.82 + 0.18 * warm, 0.86 + 0.06 * warm, 1.0 - 0.22 * warm]) * (bright * low)
    stars = np.zeros((3, rows, columns), np.float32)
    for dx, dy, share in _SPREAD:
        places = at_y[seen] + dy, at_x[seen] + dx
        for channel in range(3):
            np.maximum.at(stars[channel], places, (colours[channel][seen] * share).astype(np.float32))
    clear = 1.0 if light.is_night else 0.45
    sheet.shine((1.0, 1.0, 1.0), clear * torch.from_numpy(stars))


# A star and what it lights about it, as a soft dot.
_SPREAD = tuple(
    (dx, dy, float(np.exp(-(dx * dx + dy * dy) / 0.85) if dx or dy else 1.0)) for dx in (-1, 0, 1) for dy in (-1, 0, 1)
)


def _milky_way(half: _Half, noise: Noise, slope: float, middle: float) -> None:
    width = half.extent[0]
    away = half.y - 0.42 * half.horizon - (half.x - middle * width) * slope
    dust, folds = noise.texture(7, 0.6), noise.texture(6, 0.6)
    u, v = half.x / 700, half.y / 700
    cloud = sampled(dust, u, v)
    away = away + 70 * (cloud - 0.5)
    dark = smoothstep(0.52, 0.80, sampled(folds, u * 1.3, v * 1.3)) * torch.exp(-((away / 34) ** 2))
    half.shine((0.50, 0.58, 0.78), torch.exp(-((away / 78) ** 2)) * (0.14 + 0.46 * cloud) * (1 - 0.75 * dark))
    core = torch.exp(-((away / 40) ** 2)) * torch.exp(-(((half.x - middle * width) / 300) ** 2))
    half.shine((0.80, 0.58, 0.50), 0.28 * core * (1 - dark) * cloud)


def _aurora(half: _Half, seed: int) -> None:
    """Curtains whose lower edge is sharp, green below and violet above."""
    noise, x = Noise(seed, "aurora"), half.x[0]
    for number in range(3):
        foot = half.horizon * (0.36 + 0.20 * number + noise.between(-0.07, 0.07))
        bend = foot + 75 * noise.line(x, 300, 3) + 9 * noise.line(x, 50, 2)
        tall = (190 + 110 * noise.line(x, 130, 2)).clamp(min=70)
        rays = (0.62 + 0.5 * noise.line(x, 22, 3, 0.7)).clamp(0.15, 1.1)
        wax = smoothstep(-0.35, 0.55, noise.line(x, 260, 2))
        up = (bend[None] - half.y) / tall[None]
        body = smoothstep(-0.10, 0.06, up) * torch.exp(-2.1 * up.clamp(min=0)) * (rays * wax)[None]
        share = smoothstep(0.15, 1.0, up)
        colour = torch.lerp(plain((0.20, 0.95, 0.56)), plain((0.56, 0.26, 0.85)), share)
        half.shine(colour, body * (0.86 - 0.16 * number))
    half.shine((0.08, 0.5, 0.34), 0.22 * torch.exp(-(((half.y - 0.7 * half.horizon) / 160) ** 2)))


def _clouds(half: _Half, light: Light, sun: tuple[float, float], seed: int) -> Tensor:
    """Clouds seen in perspective, their folds bent by more noise, lit from the sun: ``[4, h, w]``, last how much."""
    noise, (width, tall) = Noise(seed, "clouds"), half.extent
    bodies, folds = noise.texture(7, 0.52), noise.texture(4, 0.5)
    x, y = half.x, half.y
    height = ((half.horizon - y) / max(half.horizon, 1.0)).clamp(min=0.0)
    far = 1 / (height + 0.16)
    u = (x / width - 0.5) * (0.30 + 0.20 * far) + noise.between(0, 1)
    v = far * 0.21 + noise.between(0, 1)
    bend = sampled(folds, u * 0.9, v * 0.9) - 0.5
    u, v = u + 0.13 * bend, v + 0.10 * bend
    body = sampled(bodies, u, v)
    aside = torch.tanh((sun[0] - x) / (0.5 * width)) * 0.016
    ahead = torch.tanh((y - sun[1]) / (0.3 * tall)) * 0.014
    lit = ((body - sampled(bodies, u + aside, v + ahead)) * 3.4 + 0.52).clamp(0, 1)
    edge = 0.86 - 0.62 * light.clouds
    alpha = smoothstep(edge, edge + 0.30, body) * smoothstep(0.0, 0.16, height) * 0.94
    thick = smoothstep(edge + 0.1, edge + 0.55, body)
    lit = lit * (1 - 0.55 * thick) + 0.10
    near = torch.exp(-(((x - sun[0]) / (0.42 * width)) ** 2) - ((y - sun[1]) / (0.45 * tall)) ** 2)
    shade = torch.lerp(plain(light.shade), plain(mix(light.shade, light.glow, 0.45)), near * min(1.0, light.strength))
    bright = torch.lerp(plain(light.lit), plain(mix(light.lit, light.glow, 0.7)), near)
    colour = torch.lerp(shade, bright, lit)
    colour = torch.lerp(plain(light.horizon).expand_as(colour), colour, (0.25 + 1.6 * height).clamp(0, 1))
    streaks = sampled(bodies, u * 0.35 + 0.3, v * 2.1) * sampled(folds, u * 0.6, v * 0.6)
    veil = smoothstep(0.22, 0.62, streaks) * 0.5 * smoothstep(0.12, 0.5, height) * min(1.0, light.clouds + 0.3)
    return torch.cat([torch.lerp(bright.expand_as(colour), colour, alpha), torch.maximum(alpha, veil)[None]])
