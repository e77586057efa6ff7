"""Trees: firs on a shore or a slope, and the inside of a forest."""

import numpy as np
import torch
from torch import Tensor

from pipeline.pocket.layers import FOLIAGE, REST
from pipeline.pocket.painter.light import RGB, Light, mix, of_thing, plain
from pipeline.pocket.painter.noise import Noise, sampled, smoothstep
from pipeline.pocket.painter.scenery import Scenery
from pipeline.pocket.painter.sheet import Drawing, Sheet

_LEAVES: RGB = (0.13, 0.23, 0.12)
_BARK: RGB = (0.24, 0.19, 0.16)


def paint_firs(sheet: Sheet, scenery: Scenery, light: Light, seed: int, where: tuple[float, float], far: float) -> None:
    """A line of firs that stand at a height, so many units high; ``far`` of their colour is lost in the air."""
    foot, tall = where
    noise = Noise(seed, f"firs {tall:.0f}")
    chance, drawing = noise.chance, Drawing(sheet)
    x = -170.0
    grove = noise.line(torch.linspace(-170, sheet.width + 170, 512), 260, 3).numpy()
    while x < sheet.width + 170:
        share = float(grove[int((x + 170) / (sheet.width + 340) * 511)])
        height = tall * (0.5 + 0.55 * chance.random() ** 1.5) * (0.75 + 0.75 * share)
        _fir(drawing, chance, x, foot + 1.5, max(height, 3.0))
        x += max(1.5, tall * chance.uniform(0.06, 0.26) * (1.25 - 0.9 * share))
    strip = (sheet.y > foot - 0.07 * tall) & (sheet.y < foot + 2.0)
    _lay_firs(sheet, scenery, light, noise, torch.maximum(drawing.mask(), strip.float()), (far, foot))


def paint_frame(sheet: Sheet, scenery: Scenery, light: Light, seed: int) -> None:
    """A few tall firs close by, on one side or both, that the view opens between."""
    noise = Noise(seed, "frame")
    chance, drawing = noise.chance, Drawing(sheet)
    sides = (
        ((0.0, 1.0), (1.0, -1.0)) if chance.random() < 0.4 else (((0.0, 1.0), (1.0, -1.0))[int(chance.integers(2))],)
    )
    for edge, inward in sides:
        reach = chance.uniform(0.16, 0.34)
        for _ in range(int(chance.integers(9, 15))):
            share = chance.random() ** 1.4
            x = (edge + inward * (reach * share - 0.10)) * sheet.width
            height = sheet.height * (0.62 - 0.48 * share) * chance.uniform(0.75, 1.2)
            _fir(drawing, chance, x, sheet.height + 70, height + 70)
    _lay_firs(sheet, scenery, light, noise, drawing.mask(), (0.06, sheet.height + 70))


def _lay_firs(
    sheet: Sheet, scenery: Scenery, light: Light, noise: Noise, mask: Tensor, where: tuple[float, float]
) -> None:
    far, foot = where
    near = sheet.ground(foot)
    dark = of_thing(mix(_LEAVES, (0.03, 0.05, 0.07), 0.35), light)
    sheet.lay(mix(dark, mix(light.horizon, light.middle, 0.4), far), mask, FOLIAGE, near=near)
    if scenery.is_wintry:
        _frost(sheet, light, noise, mask, near)


def _frost(sheet: Sheet, light: Light, noise: Noise, mask: Tensor, near: Tensor) -> None:
    snow = smoothstep(0.5, 0.75, sampled(noise.texture(6, 0.7, first=32), sheet.x / 170, sheet.y / 110))
    sheet.lay(of_thing((0.90, 0.93, 1.0), light, 0.4), mask * snow * 0.75, FOLIAGE, near=near)


def _fir(drawing: Drawing, chance: np.random.Generator, x: float, foot: float, height: float) -> None:
    """One fir: boughs that get longer downwards, each drooping."""
    tiers = max(4, min(16, int(height / 5)))
    wide, lean = height * chance.uniform(0.15, 0.22), height * chance.normal(0, 0.012)
    left, right = [(x + lean, foot - height)], [(x + lean, foot - height)]
    for tier in range(1, tiers + 1):
        down = tier / tiers
        y = foot - height * (1 - 0.93 * down)
        for side, points in ((-1, left), (1, right)):
            reach = wide * down**0.85 * chance.uniform(0.72, 1.12)
            points.append((x + lean * (1 - down) + side * reach, y + 0.018 * height))
            points.append((x + lean * (1 - down) + side * reach * 0.42, y - 0.012 * height))
    drawing.polygon(np.array(left + right[::-1]))
    drawing.polygon(np.array([(x - 0.012 * height, foot - 0.1 * height), (x + 0.012 * height, foot - 0.1 * height),
                              (x + 0.016 * height, foot + 2), (x - 0.016 * height, foot + 2)]))  # fmt: skip


def paint_forest(sheet: Sheet, scenery: Scenery, light: Light, seed: int) -> None:
    """Inside a forest: trunks one behind the other in the haze, leaves overhead, a floor with undergrowth."""
    noise = Noise(seed, "forest")
    floor = 0.72 * sheet.height
    leaves = noise.texture(8, 0.68, first=8)
    middle = noise.between(0.38, 0.62) * sheet.width
    _depths(sheet, light, middle)
    for number in range(5):
        near = number / 4
        far = 0.82 * (1 - near) ** 0.8 * min(1.0, 0.62 + 0.5 * light.mist)
        air = mix(light.horizon, light.glow, 0.3 * light.strength)
        _trunks(sheet, noise, near, floor, (mix(of_thing(_BARK, light), air, far), middle))
        _canopy(sheet, leaves, (near, middle, _foot(sheet, floor, near)), (scenery, light, far))
    _undergrowth(sheet, scenery, light, leaves, (floor, middle))


def _depths(sheet: Sheet, light: Light, middle: float) -> None:
    """The bright haze between the trees."""
    x, y = sheet.x[:, ::2], sheet.y[::2]
    away = ((x - middle) / (0.46 * sheet.width)) ** 2 + ((y - 0.48 * sheet.height) / (0.5 * sheet.height)) ** 2
    deep = of_thing(mix(_LEAVES, (0.35, 0.45, 0.25), 0.3), light)
    glow = plain(mix(mix(light.horizon, light.glow, 0.5), (0.86, 0.90, 0.62), 0.0 if light.is_night else 0.22))
    colour = torch.lerp(plain(deep), glow, torch.exp(-away))
    sheet.lay(sheet.enlarged(colour), torch.full((1, 1), 0.93), FOLIAGE, near=sheet.ground(sheet.eye))


def _trunks(sheet: Sheet, noise: Noise, near: float, floor: float, paint: tuple[RGB, float]) -> None:
    chance, drawing, (colour, middle) = noise.chance, Drawing(sheet), paint
    foot = _foot(sheet, floor, near)
    width = 3.0 + 25 * near**1.9
    x = -150.0
    while x < sheet.width + 150:
        x += (26 + 105 * near) * chance.uniform(0.45, 1.7)
        if abs(x - middle) < (40 + 110 * near) * chance.uniform(0.4, 1.2):
            continue
        _trunk(drawing, chance, (x, foot + chance.normal(0, 4 + 12 * near)), width * chance.uniform(0.6, 1.25), near)
    sheet.lay(colour, drawing.mask(), REST, near=sheet.ground(foot))


def _foot(sheet: Sheet, floor: float, near: float) -> float:
    """Where trees of one row stand, in units."""
    return floor + (0.02 + 0.30 * near**1.6) * sheet.height


def _trunk(drawing: Drawing, chance: np.random.Generator, foot: tuple[float, float], width: float, near: float) -> None:
    x, y = foot
    steps = np.linspace(0, 1, 9)
    up = y - steps * (y + 120)
    bend = x + np.cumsum(chance.normal(0, 0.16 * width, 9)) + steps * chance.normal(0, 14)
    wide = width * (0.5 - 0.28 * steps) * (1 + 0.75 * np.exp(-steps * 22))
    drawing.polygon(np.concatenate([np.stack([bend - wide, up], 1), np.stack([bend + wide, up], 1)[::-1]]))
    for _ in range(int(2 + 3 * near)):
        at = chance.uniform(0.25, 0.85)
        _bough(drawing, chance, (float(np.interp(at, steps, bend)), y - at * (y + 120)), width * 0.30, 3)


def _bough(
    drawing: Drawing, chance: np.random.Generator, at: tuple[float, float], width: float, left: int, way: float = 0.0
) -> None:
    """A branch that forks."""
    if left == 0 or width < 0.35:
        return
    way = way or chance.choice((-1, 1)) * chance.uniform(0.5, 1.25)
    length = width * chance.uniform(7, 14)
    end = at[0] + np.sin(way) * length, at[1] - abs(np.cos(way)) * length
    drawing.line(np.array([at, end]), width)
    for turn in (-0.45, 0.4):
        _bough(drawing, chance, end, width * 0.62, left - 1, way + turn * chance.uniform(0.5, 1.4))


def _canopy(sheet: Sheet, leaves: Tensor, where: tuple[float, float, float], how: tuple[Scenery, Light, float]) -> None:
    """Leaves overhead, denser to the top and the sides, with gaps where the light comes through."""
    (near, middle, foot), (scenery, light, far) = where, how
    size, high = 190 + 330 * near, 0.56 - 0.22 * near
    rows = slice(0, sheet.rows_from((high + 0.16) * sheet.height).start)
    x, y = sheet.x, sheet.y[rows]
    u, v = x / size + 0.31 * near, y / size + 0.17 * near
    clumps = sampled(leaves, u, v)
    edge = high + 0.22 * ((x - middle).abs() / sheet.width)
    dense = smoothstep(0.0, 0.46, edge - y / sheet.height)
    alpha = smoothstep(0.0, 0.06, clumps - 0.80 + 0.52 * dense) * (dense > 0)
    lit = ((clumps - sampled(leaves, u + 0.008, v + 0.014)) * 3.0 + 0.45).clamp(0, 1)
    own = (0.88, 0.91, 0.97) if scenery.is_wintry else _LEAVES
    bright = mix(own, (0.55, 0.62, 0.16), 0.0 if scenery.is_wintry else 0.42)
    air = mix(light.horizon, light.glow, 0.3 * light.strength)
    dark = mix(of_thing(mix(own, (0.02, 0.04, 0.04), 0.4), light), air, far)
    colour = torch.lerp(plain(dark), plain(mix(of_thing(bright, light, 0.5), air, far)), lit)
    sheet.lay(colour, alpha, FOLIAGE, rows, sheet.ground(foot))


def _undergrowth(sheet: Sheet, scenery: Scenery, light: Light, leaves: Tensor, where: tuple[float, float]) -> None:
    """Bushes and ferns, and light that falls on the floor between the trees."""
    floor, middle = where
    rows = sheet.rows_from(floor - 0.05 * sheet.height)
    x, y = sheet.x, sheet.y[rows]
    depth = (y - floor) / (sheet.height - floor)
    clumps = sampled(leaves, x / 420, y / 230)
    alpha = smoothstep(0.35, 0.0, clumps * (1 - depth.clamp(0, 1)) - 0.35) * smoothstep(-0.06, 0.14, depth)
    pool = torch.exp(-(((x - middle) / (0.30 * sheet.width)) ** 2)) * (1 - 0.7 * depth.clamp(0, 1))
    lit = (0.18 + 1.1 * (clumps - 0.3) + 0.55 * pool * clumps).clamp(0, 1)
    own = (0.86, 0.90, 0.97) if scenery.is_wintry else mix(_LEAVES, (0.42, 0.42, 0.14), 0.45)
    dark = of_thing(mix(own, (0.03, 0.04, 0.03), 0.5), light)
    colour = torch.lerp(plain(dark), plain(of_thing(own, light, 0.5)), lit)
    sheet.lay(colour, alpha.clamp(0, 1), REST if scenery.is_wintry else FOLIAGE, rows)
