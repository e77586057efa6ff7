"""Land: ridges in the haze, mountains with snow, meadows, dunes, snowfields."""

import torch
from torch import Tensor

from pipeline.pocket.layers import FOLIAGE, REST
from pipeline.pocket.nearness import HORIZON
from pipeline.pocket.painter.heavens import sun_at
from pipeline.pocket.painter.light import RGB, Light, mix, of_thing, plain
from pipeline.pocket.painter.noise import Noise, sampled, smoothstep
from pipeline.pocket.painter.scenery import Scenery
from pipeline.pocket.painter.sheet import Drawing, Sheet

_ROCK: RGB = (0.40, 0.41, 0.46)
_SNOW: RGB = (0.93, 0.95, 1.0)
_WOODS: RGB = (0.20, 0.31, 0.17)
_GRASS: RGB = (0.38, 0.50, 0.20)
_SAND: RGB = (0.84, 0.64, 0.40)


def paint_mountains(sheet: Sheet, scenery: Scenery, light: Light, seed: int, foot: float) -> None:
    """Ranges one behind the other down to ``foot``, the nearer the darker and the greener, mist between."""
    noise, x = Noise(seed, "mountains"), sheet.x[0]
    count, tall = 4, 0.60 * sheet.horizon
    textures = noise.texture(7, 0.58, ridged=True, first=8), noise.texture(5, 0.55)
    top = noise.between(0.2, 0.8) * sheet.width
    for number in range(count):
        near = number / (count - 1)
        base = foot - (1 - near) * 0.08 * sheet.horizon
        peak = tall * (1.0 - 0.70 * near) * noise.between(0.88, 1.1)
        cell = 420 - 170 * near
        massif = torch.exp(-(((x - top) / (0.42 * sheet.width)) ** 2)) * (1 - near)
        crags = noise.line(x, cell / 2.2, 7, 0.5, ridged=True)
        line = base - peak * (0.34 + 0.30 * noise.line(x, cell, 2) + 0.30 * crags + 0.34 * massif)
        rows = sheet.rows_from(float(line.min()))
        far = (0.74 - 0.58 * near) * min(1.0, 0.45 + light.mist)
        snow = (0.60 if scenery.is_wintry else 0.46) * (1 - near) + (0.4 if scenery.is_wintry else -0.10)
        colour = _slopes(sheet, rows, line, light, textures, (peak, snow, near))
        air = plain(mix(light.horizon, light.middle, 0.45))
        sheet.lay(colour + (air - colour) * far, sheet.below(line, rows), REST, rows, _ridge(sheet, rows, near))
        depth = (sheet.y[rows] - line[None]) / max(peak, 1.0)
        mist = smoothstep(0.30, 1.2, depth) * (0.30 + 0.5 * light.mist) * (1 - 0.6 * near)
        sheet.glaze(mix(light.horizon, light.glow, 0.2), mist.clamp(0, 0.95), rows)


def _ridge(sheet: Sheet, rows: slice, near: float) -> Tensor:
    """How near a ridge is: between sky and horizon, the farthest half-way, and at its foot as the ground is."""
    return sheet.ground(sheet.y[rows], HORIZON * (0.5 + 0.5 * near))


def _slopes(
    sheet: Sheet, rows: slice, line: Tensor, light: Light, textures: tuple[Tensor, Tensor],
    how: tuple[float, float, float],
) -> Tensor:  # fmt: skip
    """Rock, woods below and snow above: facets run down from the ridge, one side of each towards the sun."""
    (facets, strata), (peak, snow, near) = textures, how
    x, y, line = sheet.x[:, ::2], sheet.y[rows][::2], line[::2]
    down = y - line[None]
    u, v = x / 560 + 0.37 * near, (y - 0.6 * line[None]) / 700 + near
    bend = sampled(strata, u * 1.7, v * 1.7) - 0.5
    aside = 0.014 if sun_at(sheet, light)[0] > sheet.width / 2 else -0.014
    one, other = sampled(facets, u + 0.06 * bend, v), sampled(facets, u + 0.06 * bend + aside, v - 0.005)
    lit = ((one - other) * 2.4 + 0.40).clamp(0, 1)
    low = smoothstep(0.10 * peak, 0.75 * peak, down) * (0.35 + 0.6 * near)
    rock = torch.lerp(plain(of_thing((0.20, 0.22, 0.30), light)), plain(of_thing(_ROCK, light, 0.6)), lit)
    green = torch.lerp(plain(of_thing((0.08, 0.13, 0.11), light)), plain(of_thing(_WOODS, light, 0.35)), lit)
    rock = torch.lerp(rock, green, (low + 0.5 * bend).clamp(0, 1))
    white = torch.lerp(plain(of_thing((0.55, 0.62, 0.78), light)), plain(of_thing(_SNOW, light, 0.6)), lit)
    edge = snow * peak * (0.55 + 1.2 * bend + 0.6 * (one - 0.5))
    cover = smoothstep(edge + 0.06 * peak, edge - 0.06 * peak, down) * min(1.0, max(0.0, snow) * 6)
    return sheet.enlarged(torch.lerp(rock, white, cover), rows)


def paint_hills(sheet: Sheet, scenery: Scenery, light: Light, seed: int, foot: float) -> None:
    """Soft ridges, grown with woods, each in more air than the one before it."""
    noise, x = Noise(seed, "hills"), sheet.x[0]
    count = 5
    rough, fields = noise.texture(6, 0.7, first=32), noise.texture(4, 0.5)
    own = _SNOW if scenery.is_wintry else _WOODS
    for number in range(count):
        near = number / (count - 1)
        base = foot - (1 - near) * 0.17 * sheet.horizon + 0.03 * sheet.horizon
        peak = sheet.horizon * (0.21 - 0.07 * near) * noise.between(0.8, 1.2)
        line = base - peak * (0.35 + 0.85 * noise.line(x, 400 - 120 * near, 3, 0.36))
        line = line - (0.6 + 1.6 * near) * noise.line(x, 7, 2).abs() * (0.2 if scenery.is_wintry else 1.0)
        rows = sheet.rows_from(float(line.min()))
        far = (0.82 - 0.60 * near) * min(1.0, 0.5 + light.mist)
        colour = _wooded(sheet, rows, line, light, (rough, fields), (own, near))
        air = plain(mix(mix(light.horizon, light.middle, 0.5), light.glow, 0.12))
        sheet.lay(colour + (air - colour) * far, sheet.below(line, rows), REST, rows, _ridge(sheet, rows, near))
        depth = (sheet.y[rows] - line[None]) / (peak + 1)
        mist = smoothstep(0.15, 1.3, depth) * (0.18 + 0.5 * light.mist) * (1 - near)
        sheet.glaze(light.horizon, mist.clamp(0, 0.9), rows)


def _wooded(
    sheet: Sheet, rows: slice, line: Tensor, light: Light, textures: tuple[Tensor, Tensor], how: tuple[RGB, float]
) -> Tensor:
    """Slopes of woods and clearings, brighter towards the ridge."""
    (rough, fields), (own, near) = textures, how
    x, y, line = sheet.x[:, ::2], sheet.y[rows][::2], line[::2]
    size = 300 + 330 * near
    u, v = x / size + 0.4 * near, (y - 0.55 * line[None]) / (0.55 * size)
    trees, clearing = sampled(rough, u, v), sampled(fields, u * 0.6, v * 0.5)
    ridge = torch.exp(-(y - line[None]).clamp(min=0) / 45)
    lit = (0.55 * (trees - 0.5) + 0.22 + 0.40 * ridge + 0.75 * (clearing - 0.45)).clamp(0, 1)
    meadow = mix(own, _GRASS, 0.0 if own == _SNOW else 0.65)
    bright = torch.lerp(
        plain(of_thing(own, light, 0.5)), plain(of_thing(meadow, light, 0.5)), (2 * clearing - 0.6).clamp(0, 1)
    )
    dark = plain(of_thing(mix(own, (0.04, 0.07, 0.10), 0.55), light))
    return sheet.enlarged(torch.lerp(dark, bright, lit), rows)


def paint_ground(sheet: Sheet, scenery: Scenery, light: Light, seed: int, top: float) -> None:
    """A plain in perspective from ``top`` down: grass with flowers, or snow."""
    noise, x = Noise(seed, "ground"), sheet.x[0]
    line = top + 0.02 * sheet.height * noise.line(x, 300, 3)
    rows = sheet.rows_from(float(line.min()))
    is_snow = scenery.is_wintry or scenery.place == "snow"
    colour = _snow(sheet, rows, light, noise, top) if is_snow else _grass(sheet, rows, light, noise, top)
    warm = torch.exp(-(((sheet.x - sun_at(sheet, light)[0]) / (0.45 * sheet.width)) ** 2)) * light.strength
    colour = colour + plain(light.key) * (0.22 * warm)
    alpha = sheet.below(line, rows)
    sheet.lay(colour.clamp(0, 1), alpha, REST if is_snow else FOLIAGE, rows)
    depth = ((sheet.y[rows] - top) / (sheet.height - top)).clamp(min=0)
    sheet.glaze(light.horizon, torch.exp(-depth / 0.13) * (0.28 + 0.45 * light.mist) * alpha, rows)
    if not is_snow:
        _flowers(sheet, light, noise, top)


def _grass(sheet: Sheet, rows: slice, light: Light, noise: Noise, top: float) -> Tensor:
    blades, patches = noise.texture(8, 0.66, first=8), noise.texture(5, 0.5)
    depth = ((sheet.y[rows] - top) / (sheet.height - top)).clamp(0.0, 1.6)
    far = 1 / (depth + 0.10)
    u, v = (sheet.x / sheet.width - 0.5) * far * 0.42 + 0.5, far * 0.36
    swell = sampled(patches, u * 0.8, v * 1.6)
    near = sampled(blades, sheet.x / 240 + 0.03 * swell, sheet.y[rows] / 620)
    grain = torch.lerp(sampled(blades, u * 1.5, v * 2.5), near, depth.clamp(0, 1) ** 1.5 * 0.8)
    own = torch.lerp(plain(mix(_GRASS, (0.66, 0.58, 0.24), 0.5)), plain(_GRASS), smoothstep(0.3, 0.7, swell))
    lit = (0.36 + 0.78 * (grain - 0.25)).clamp(0, 1.25) * (0.66 + 0.5 * smoothstep(0.25, 0.75, swell))
    return own * (lit * plain(light.ambient) * 1.3) + plain(light.key) * (0.34 * lit)


def _snow(sheet: Sheet, rows: slice, light: Light, noise: Noise, top: float) -> Tensor:
    """Drifts whose flanks are blue."""
    drifts, crust = noise.texture(4, 0.42), noise.texture(7, 0.66, first=16)
    depth = ((sheet.y[rows] - top) / (sheet.height - top)).clamp(0.0, 1.6)
    far = 1 / (depth + 0.22)
    u, v = (sheet.x / sheet.width - 0.5) * far * 0.40 + 0.5, far * 0.42
    one = sampled(drifts, u, v)
    aside = 0.025 if sun_at(sheet, light)[0] > sheet.width / 2 else -0.025
    slope = one - sampled(drifts, u + aside, v + 0.02)
    fine = sampled(crust, u * 0.8, v * 1.6)
    lit = (slope * 3.4 + 0.58 + 0.16 * (fine - 0.5)).clamp(0, 1)
    return torch.lerp(plain(of_thing((0.55, 0.64, 0.82), light)), plain(of_thing(_SNOW, light, 0.5)), lit)


def _flowers(sheet: Sheet, light: Light, noise: Noise, top: float) -> None:
    chance = noise.chance
    colours: tuple[RGB, ...] = ((0.93, 0.36, 0.30), (0.96, 0.85, 0.42), (0.92, 0.90, 0.97), (0.66, 0.50, 0.86))
    for paint in chance.permutation(len(colours))[:2]:
        drawing = Drawing(sheet)
        for _ in range(420):
            depth = chance.random() ** 0.6
            y = top + depth * (sheet.height + 90 - top)
            size = 0.4 + 2.6 * depth**1.8
            drawing.ellipse(
                chance.uniform(-160, sheet.width + 160), y, size, 0.7 * size, int(110 + 140 * chance.random())
            )
        sheet.lay(of_thing(colours[int(paint)], light, 0.5), drawing.mask() * 0.9, FOLIAGE)


def paint_dunes(sheet: Sheet, light: Light, seed: int, top: float) -> None:
    """Crests one before the other, one flank of each in the sun; ripples on the near ones."""
    noise, x = Noise(seed, "dunes"), sheet.x[0]
    ripples = noise.texture(6, 0.5)
    sun = 1.0 if sun_at(sheet, light)[0] > sheet.width / 2 else -1.0
    count = 5
    for number in range(count):
        near = number / (count - 1)
        base = top + (sheet.height - top) * (0.03 + 0.72 * near**1.3)
        tall, cell = 16 + 56 * near, 230 + 300 * near
        line = base - tall * (0.30 + 0.8 * noise.line(x, cell, 2, 0.30))
        rows = sheet.rows_from(float(line.min()))
        lit = _flanks(sheet, rows, line, (tall, near, sun), ripples)
        dark, bright = of_thing(mix(_SAND, (0.30, 0.16, 0.20), 0.55), light), of_thing(_SAND, light, 0.9)
        colour = torch.lerp(plain(dark), plain(bright), lit)
        far = (0.66 * (1 - near)) * min(1.0, 0.5 + light.mist)
        sheet.lay(colour + (plain(light.horizon) - colour) * far, sheet.below(line, rows), REST, rows)


def paint_shore(sheet: Sheet, light: Light, seed: int, top: float) -> None:
    """A beach on this side of the water."""
    noise, x = Noise(seed, "shore"), sheet.x[0]
    line = top + 0.05 * sheet.height * noise.line(x, 520, 3)
    rows = sheet.rows_from(float(line.min()))
    grain = sampled(noise.texture(7, 0.66, first=8), sheet.x / 420, sheet.y[rows] / 150)
    wet = torch.exp(-(sheet.y[rows] - line[None]).clamp(min=0) / 16)
    lit = (0.30 + 0.6 * grain - 0.35 * wet).clamp(0, 1)
    sand = mix(_SAND, (0.50, 0.46, 0.44), 0.45)
    colour = torch.lerp(
        plain(of_thing(mix(sand, (0.1, 0.08, 0.1), 0.6), light)), plain(of_thing(sand, light, 0.3)), lit
    )
    sheet.lay(colour, sheet.below(line, rows), REST, rows)


def _flanks(sheet: Sheet, rows: slice, line: Tensor, how: tuple[float, float, float], ripples: Tensor) -> Tensor:
    """How much each place of a dune is lit: the edge between its flanks winds down from the crest."""
    tall, near, sun = how
    x, y = sheet.x, sheet.y[rows]
    down = ((y - line[None]) / (tall * 2.2)).clamp(0, 1)
    bend = sampled(ripples, x / 700, y / 420)
    scale, width = sheet.view.scale, line.shape[0]
    winding = (1.5 * down + 0.9 * (bend - 0.5) * down.sqrt()) * tall * sun
    at = ((x - x[:, :1] - winding) * scale).clamp(0, width - 1).long()
    slope = (torch.gradient(line)[0] * scale * sun)[at]
    flank = smoothstep(-0.10, 0.10, slope + 0.02)
    wave = torch.sin((y + 0.35 * x * sun + 26 * bend) * (0.95 - 0.30 * near)) * (0.07 * near)
    fade = (1 - 0.55 * down) * flank + 0.42 * down
    return (0.10 + 0.85 * fade + wave * (0.4 + flank) + 0.22 * (bend - 0.5)).clamp(0, 1)
