"""Rain, snow and fog over a frame: sheets of drops and flakes at several depths, moved by the time alone."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

HEIGHT, WIDTH = 480, 832
RAIN_COLOUR = (205.0, 213.0, 226.0)
SNOW_COLOUR = (250.0, 252.0, 255.0)
FOG_COLOUR = (204.0, 209.0, 214.0)
RAIN_SLANT = -0.12
FOG_DRIFT_PX_PER_S = (14.0, 2.5)


@dataclass(frozen=True, slots=True)
class Layer:
    """Particles of one depth: how many, how big (px), how opaque, how fast (px/s)."""

    count: int
    radius: float
    opacity: float
    speed: float
    length: int = 0


# Far to near: what is near is bigger, faster, fainter for its blur.
RAIN = (Layer(900, 0.55, 0.30, 620, 15), Layer(420, 0.75, 0.38, 900, 26), Layer(130, 1.1, 0.42, 1250, 44))
SNOW = (Layer(900, 0.9, 0.75, 42), Layer(420, 1.5, 0.85, 68), Layer(130, 2.6, 0.8, 105), Layer(26, 5.0, 0.45, 150))


class Weather:
    """Sheets made once from a seed; :meth:`over` lays them on a frame."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._rain = [_sheet(rng, layer) for layer in RAIN]
        self._snow = [_sheet(rng, layer) for layer in SNOW]
        self._fog = _fog_sheet(rng)

    def over(self, frame: Tensor, amounts: Tensor, time_s: float) -> Tensor:
        """Lay weather on ``frame float32 [3, H, W]`` (0..255) by coarse ``amounts [3, h, w]`` of rain, snow, fog."""
        falls = [float(amount.max()) > 0.01 for amount in amounts]
        rain, snow, fog = (_full(amount) if some else amount for amount, some in zip(amounts, falls, strict=True))
        if falls[2]:
            drift = [time_s * v for v in FOG_DRIFT_PX_PER_S]
            veil = (0.62 + 0.5 * (_slide(self._fog, drift[0], drift[1]) - 0.5)) * fog.clamp(0, 1.35)
            frame = _lay(frame, FOG_COLOUR, veil.clamp(0, 0.92))
        if falls[0]:
            frame = _lay(frame, RAIN_COLOUR, self._falling(self._rain, RAIN, time_s, RAIN_SLANT) * rain.clamp(0, 1.5))
        if falls[1]:
            frame = _lay(frame, SNOW_COLOUR, self._falling(self._snow, SNOW, time_s, None) * snow.clamp(0, 1.5))
        return frame

    def _falling(self, sheets: list[Tensor], layers: tuple[Layer, ...], time_s: float, slant: float | None) -> Tensor:
        total = torch.zeros(HEIGHT, WIDTH)
        for index, (sheet, layer) in enumerate(zip(sheets, layers, strict=True)):
            down = layer.speed * time_s
            # Flakes swing; rain is straight, along its own streaks.
            swing = math.sin(0.9 * time_s + 1.7 * index) * layer.speed * 0.22
            across = slant * down if slant is not None else swing + 0.15 * down
            # A streak falls 40 px a frame: nobody sees it land between two pixels.
            total += _slide(sheet, across, down) if slant is None else _slide(sheet, round(across), round(down))
        return total.clamp_(0, 0.95)


def _lay(frame: Tensor, colour: tuple[float, float, float], opacity: Tensor) -> Tensor:
    return frame + opacity * (torch.tensor(colour)[:, None, None] - frame)


def _full(amount: Tensor) -> Tensor:
    return F.interpolate(amount[None, None], size=(HEIGHT, WIDTH), mode="bilinear", align_corners=False)[0, 0]


def _slide(sheet: Tensor, right: float, down: float) -> Tensor:
    """The sheet ``[2H, 2W]`` (tiled twice) moved by a fraction of a pixel too; ``[H, W]``."""
    x, y = -right % WIDTH, -down % HEIGHT
    x0, y0 = int(x), int(y)
    fx, fy = x - x0, y - y0

    def tap(dy: int, dx: int) -> Tensor:
        return sheet[y0 + dy : y0 + dy + HEIGHT, x0 + dx : x0 + dx + WIDTH]

    if not fx and not fy:
        return tap(0, 0)
    top = torch.lerp(tap(0, 0), tap(0, 1), fx)
    return torch.lerp(top, torch.lerp(tap(1, 0), tap(1, 1), fx), fy)


def _tile(sheet: npt.NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.tile(sheet, (2, 2))).contiguous()


def _sheet(rng: np.random.Generator, layer: Layer) -> Tensor:
    """Draw one depth's particles, anti-aliased, on a tile that repeats."""
    sheet = np.zeros((HEIGHT, WIDTH), np.float32)
    x, y = rng.random(layer.count) * WIDTH, rng.random(layer.count) * HEIGHT
    weight = layer.opacity * (0.5 + 0.5 * rng.random(layer.count))
    reach = math.ceil(2 * layer.radius + 1)
    for step in range(max(1, layer.length)):
        fade = math.sin(math.pi * (step + 0.5) / layer.length) if layer.length else 1.0
        cx, cy = x + RAIN_SLANT * step, y + step
        for dy in range(-reach, reach + 1) if not layer.length else (0,):
            for dx in range(-reach, reach + 1):
                px, py = np.floor(cx) + dx, np.floor(cy) + dy
                far = np.hypot(px - cx, py - cy if not layer.length else 0.0)
                sharp = np.clip(1.5 - far / max(layer.radius, 0.6), 0, 1)
                cover = sharp if layer.radius < 2 else _disc(far, layer.radius)
                np.maximum.at(sheet, (py.astype(int) % HEIGHT, px.astype(int) % WIDTH), cover * weight * fade)
    return _tile(sheet)


def _disc(far: npt.NDArray[np.float64], radius: float) -> npt.NDArray[np.float64]:
    """A disc with a soft edge, as an unfocused flake is."""
    return np.clip((radius - far) / (0.45 * radius) + 0.5, 0, 1)


def _fog_sheet(rng: np.random.Generator) -> Tensor:
    total = torch.zeros(1, 1, HEIGHT, WIDTH)
    for cells, weight in ((3, 1.0), (6, 0.5), (13, 0.22)):
        noise = torch.from_numpy(rng.random((1, 1, cells, 2 * cells), dtype=np.float32))
        # Wrapped before it is enlarged, so that the tile has no seam.
        wrapped = F.pad(noise, (2, 2, 2, 2), mode="circular")
        big = F.interpolate(wrapped, scale_factor=(HEIGHT // cells + 1, WIDTH // (2 * cells) + 1), mode="bicubic")
        edge_y, edge_x = 2 * (HEIGHT // cells + 1), 2 * (WIDTH // (2 * cells) + 1)
        inner = big[..., edge_y:-edge_y, edge_x:-edge_x]
        total += weight * F.interpolate(inner, size=(HEIGHT, WIDTH), mode="bilinear")
    low, high = total.amin(), total.amax()
    return _tile(((total - low) / (high - low))[0, 0].numpy())
