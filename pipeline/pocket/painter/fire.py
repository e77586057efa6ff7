"""A campfire: logs, flames of bent noise, sparks, and the light that it throws."""

import numpy as np
import torch
from torch import Tensor

from pipeline.pocket.layers import REST, SKY, SUBJECT
from pipeline.pocket.painter.light import plain
from pipeline.pocket.painter.noise import Noise, sampled, smoothstep
from pipeline.pocket.painter.sheet import Drawing, Sheet


def paint_fire(sheet: Sheet, seed: int, at: tuple[float, float], tall: float) -> None:
    """Light a fire whose logs lie at ``at``, its flames ``tall`` units high."""
    noise, (x, y) = Noise(seed, "fire"), at
    away = ((sheet.x - x) / tall) ** 2 + ((sheet.y - y + 0.3 * tall) / tall) ** 2 * 1.25
    throw = torch.exp(-away / 1.6) * 0.85 + torch.exp(-away / 9.0) * 0.40
    lit = sheet.picture * plain((1.0, 0.56, 0.26)) * 3.2 + plain((0.10, 0.035, 0.008))
    sheet.glaze(lit.clamp(0, 1), (throw * 0.9).clamp(0, 0.95) * (1 - sheet.shares[SKY]))
    _logs(sheet, noise, at, tall)
    _flames(sheet, noise, at, tall)
    _sparks(sheet, noise, at, tall)


def _near(sheet: Sheet, at: tuple[float, float], tall: float) -> Tensor:
    """All of it is as near as its foot."""
    return sheet.ground(at[1] + 0.12 * tall)


def _logs(sheet: Sheet, noise: Noise, at: tuple[float, float], tall: float) -> None:
    chance, drawing, (x, y) = noise.chance, Drawing(sheet), at
    for number in range(6):
        slant = (number - 2.5) * 0.16 + chance.normal(0, 0.04)
        one = x - 0.42 * tall * np.cos(slant) * (1 if number % 2 else -1), y + 0.10 * tall + 0.02 * tall * number % 5
        two = x + 0.22 * tall * (1 if number % 2 else -1), y - 0.10 * tall * chance.random()
        drawing.line(np.array([one, two]), 0.085 * tall)
    for _ in range(13):
        way = chance.uniform(0, 6.28)
        size = tall * chance.uniform(0.05, 0.085)
        drawing.ellipse(x + 0.60 * tall * np.cos(way), y + 0.12 * tall + 0.13 * tall * np.sin(way), size, 0.7 * size)
    mask = drawing.mask()
    glow = torch.exp(-(((sheet.x - x) / (0.34 * tall)) ** 2 + ((sheet.y - y + 0.05 * tall) / (0.16 * tall)) ** 2))
    colour = torch.lerp(plain((0.075, 0.045, 0.035)), plain((0.80, 0.26, 0.06)), glow * 0.8)
    sheet.lay(colour, mask, REST, near=_near(sheet, at, tall))


def _flames(sheet: Sheet, noise: Noise, at: tuple[float, float], tall: float) -> None:
    """Tongues: an envelope that narrows upwards, its places bent by noise that rises, in the colours of heat."""
    (x, y), tongues, curls = at, noise.texture(6, 0.55), noise.texture(5, 0.55)
    up = (y + 0.10 * tall - sheet.y) / tall
    high = up.clamp(min=0)
    bend = (sampled(curls, sheet.x / (5.0 * tall), sheet.y / (3.2 * tall)) - 0.5) * 1.1 * high.clamp(max=1.3)
    across = (sheet.x - x) / tall + 0.42 * bend
    lick = sampled(tongues, sheet.x / (2.6 * tall) + 0.25 * bend, sheet.y / (4.4 * tall) + 0.1)
    wide = 0.36 * (1 - 0.62 * high).clamp(min=0.05) * (0.55 + 0.45 * smoothstep(0.0, 0.22, up))
    heat = 1.15 - (across.abs() / wide) ** 1.7 - 1.0 * high**1.5 + 1.65 * (lick - 0.5) * (0.35 + high)
    heat = heat * smoothstep(-0.06, 0.10, up)
    body = smoothstep(0.02, 0.34, heat)
    core = smoothstep(0.35, 1.0, heat)
    colour = torch.lerp(plain((0.86, 0.20, 0.03)), plain((1.0, 0.58, 0.12)), smoothstep(0.08, 0.55, heat))
    colour = torch.lerp(colour, plain((1.0, 0.93, 0.62)), core)
    aura = torch.exp(-((across / 0.52) ** 2) - ((up - 0.32) / 0.55) ** 2)
    sheet.shine((1.0, 0.45, 0.12), 0.42 * aura)
    sheet.lay(colour, body * 0.96, SUBJECT, near=_near(sheet, at, tall))


def _sparks(sheet: Sheet, noise: Noise, at: tuple[float, float], tall: float) -> None:
    chance, drawing, (x, y) = noise.chance, Drawing(sheet), at
    for _ in range(70):
        up = chance.random() ** 0.7 * 2.6
        drift = (0.12 + 0.22 * up) * chance.normal() + 0.10 * np.sin(3 * up)
        size = chance.uniform(0.5, 1.6) * (1 - 0.22 * up)
        drawing.ellipse(x + drift * tall, y - up * tall, max(size, 0.4), max(size, 0.4), int(255 - 60 * up))
    sheet.lay((1.0, 0.66, 0.24), drawing.mask() * 0.95, SUBJECT, near=_near(sheet, at, tall))
