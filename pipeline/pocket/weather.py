"""Rain, snow and fog over a frame: sheets of drops and flakes at several depths, moved by the time alone."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.view import NOMINAL, View

RAIN_COLOUR = (205.0, 213.0, 226.0)
SNOW_COLOUR = (250.0, 252.0, 255.0)
FOG_COLOUR = (204.0, 209.0, 214.0)
RAIN_SLANT = -0.12
FOG_DRIFT_PER_S = (14.0, 2.5)


Shift = tuple[float, float]
"""Pixels to the right and down."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Particles of one depth: how many, how big (units), how opaque, how fast (units/s), how long a streak."""

    count: int
    radius: float
    opacity: float
    speed: float
    length: int = 0


# Far to near: what is near is bigger, faster, fainter for its blur.
RAIN = (Layer(900, 0.55, 0.30, 620, 15), Layer(420, 0.75, 0.38, 900, 26), Layer(130, 1.1, 0.42, 1250, 44))
SNOW = (Layer(900, 0.9, 0.75, 42), Layer(420, 1.5, 0.85, 68), Layer(130, 2.6, 0.8, 105), Layer(26, 5.0, 0.45, 150))


class Weather:
    """Sheets of a frame's size, made once from a seed; :meth:`over` lays them on a frame.

    ``rain``, ``snow`` and ``fog`` are ``float32 [2H, 2W]``: a sheet repeats, and lies there twice each way.
    """

    def __init__(self, seed: int, view: View = NOMINAL) -> None:
        rng = np.random.default_rng(seed)
        self._view = view
        self.rain = [_sheet(rng, layer, view) for layer in RAIN]
        self.snow = [_sheet(rng, layer, view) for layer in SNOW]
        self.fog = _fog_sheet(rng, view)

    def over(self, frame: Tensor, amounts: Tensor, time_s: float) -> Tensor:
        """Lay weather on ``frame float32 [3, H, W]`` (0..255) by coarse ``amounts [3, h, w]`` of rain, snow, fog."""
        scale = self._view.scale
        falls = [float(amount.max()) > 0.01 for amount in amounts]
        rain, snow, fog = (self._full(amount) if some else amount for amount, some in zip(amounts, falls, strict=True))
        if falls[2]:
            veil = (0.62 + 0.5 * (self._slide(self.fog, *fog_shift(time_s, scale)) - 0.5)) * fog.clamp(0, 1.35)
            frame = _lay(frame, FOG_COLOUR, veil.clamp(0, 0.92))
        if falls[0]:
            frame = _lay(frame, RAIN_COLOUR, self._falling(self.rain, rain_shifts(time_s, scale)) * rain.clamp(0, 1.5))
        if falls[1]:
            frame = _lay(frame, SNOW_COLOUR, self._falling(self.snow, snow_shifts(time_s, scale)) * snow.clamp(0, 1.5))
        return frame

    def _falling(self, sheets: list[Tensor], shifts: list[Shift]) -> Tensor:
        total = torch.zeros(self._view.height, self._view.width)
        for sheet, (across, down) in zip(sheets, shifts, strict=True):
            total += self._slide(sheet, across, down)
        return total.clamp_(0, 0.95)

    def _full(self, amount: Tensor) -> Tensor:
        size = (self._view.height, self._view.width)
        return F.interpolate(amount[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]

    def _slide(self, sheet: Tensor, right: float, down: float) -> Tensor:
        """The sheet moved by a fraction of a pixel too; ``[H, W]``."""
        height, width = self._view.height, self._view.width
        x, y = -right % width, -down % height
        x0, y0 = int(x), int(y)
        fx, fy = x - x0, y - y0

        def tap(dy: int, dx: int) -> Tensor:
            return sheet[y0 + dy : y0 + dy + height, x0 + dx : x0 + dx + width]

        if not fx and not fy:
            return tap(0, 0)
        top = torch.lerp(tap(0, 0), tap(0, 1), fx)
        return torch.lerp(top, torch.lerp(tap(1, 0), tap(1, 1), fx), fy)


def rain_shifts(time_s: float, scale: float) -> list[Shift]:
    """How far each depth's streaks have fallen, along themselves; whole pixels.

    A streak falls 40 units in a sixteenth of a second: nobody sees it land between two pixels.
    """
    falls = [layer.speed * time_s for layer in RAIN]
    return [(round(RAIN_SLANT * fall * scale), round(fall * scale)) for fall in falls]


def snow_shifts(time_s: float, scale: float) -> list[Shift]:
    """How far each depth's flakes have fallen and swung."""
    shifts: list[Shift] = []
    for index, layer in enumerate(SNOW):
        down = layer.speed * time_s
        swing = math.sin(0.9 * time_s + 1.7 * index) * layer.speed * 0.22
        shifts.append(((swing + 0.15 * down) * scale, down * scale))
    return shifts


def fog_shift(time_s: float, scale: float) -> Shift:
    """How far the fog has drifted."""
    return time_s * FOG_DRIFT_PER_S[0] * scale, time_s * FOG_DRIFT_PER_S[1] * scale


def _lay(frame: Tensor, colour: tuple[float, float, float], opacity: Tensor) -> Tensor:
    return frame + opacity * (torch.tensor(colour)[:, None, None] - frame)


def _tile(sheet: npt.NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.tile(sheet, (2, 2))).contiguous()


def _sheet(rng: np.random.Generator, layer: Layer, view: View) -> Tensor:
    """Draw one depth's particles, anti-aliased, on a tile that repeats."""
    height, width = view.height, view.width
    sheet = np.zeros((height, width), np.float32)
    x, y = rng.random(layer.count) * width, rng.random(layer.count) * height
    weight = layer.opacity * (0.5 + 0.5 * rng.random(layer.count))
    radius, length = layer.radius * view.scale, round(layer.length * view.scale)
    reach = math.ceil(2 * radius + 1)
    for step in range(max(1, length)):
        fade = math.sin(math.pi * (step + 0.5) / length) if length else 1.0
        cx, cy = x + RAIN_SLANT * step, y + step
        for dy in range(-reach, reach + 1) if not length else (0,):
            for dx in range(-reach, reach + 1):
                px, py = np.floor(cx) + dx, np.floor(cy) + dy
                far = np.hypot(px - cx, py - cy if not length else 0.0)
                sharp = np.clip(1.5 - far / max(radius, 0.6 * view.scale), 0, 1)
                cover = sharp if layer.radius < 2 else _disc(far, radius)
                np.maximum.at(sheet, (py.astype(int) % height, px.astype(int) % width), cover * weight * fade)
    return _tile(sheet)


def _disc(far: npt.NDArray[np.float64], radius: float) -> npt.NDArray[np.float64]:
    """A disc with a soft edge, as an unfocused flake is."""
    return np.clip((radius - far) / (0.45 * radius) + 0.5, 0, 1)


def _fog_sheet(rng: np.random.Generator, view: View) -> Tensor:
    height, width = view.height, view.width
    total = torch.zeros(1, 1, height, width)
    for count, weight in ((3, 1.0), (6, 0.5), (13, 0.22)):
        rows, columns = view.cells(count)
        noise = torch.from_numpy(rng.random((1, 1, rows, columns), dtype=np.float32))
        # Wrapped before it is enlarged, so that the tile has no seam.
        wrapped = F.pad(noise, (2, 2, 2, 2), mode="circular")
        step_y, step_x = height // rows + 1, width // columns + 1
        big = F.interpolate(wrapped, scale_factor=(step_y, step_x), mode="bicubic")
        edge_y, edge_x = 2 * step_y, 2 * step_x
        inner = big[..., edge_y:-edge_y, edge_x:-edge_x]
        total += weight * F.interpolate(inner, size=(height, width), mode="bilinear")
    low, high = total.amin(), total.amax()
    return _tile(((total - low) / (high - low))[0, 0].numpy())
