"""Rain, snow and fog over a frame, moved by the time and the camera alone.

Drops are sheets at several depths, flakes have each their own (:mod:`pipeline.pocket.flakes`), fog lies in
banks (:mod:`pipeline.pocket.fog`). In a pan or tilt all of them go past, the nearer the faster, and with the picture
they turn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket import flakes, fog
from pipeline.pocket.enlarging import enlarged_to
from pipeline.pocket.latents import GAIN, WEATHER
from pipeline.pocket.pose import REST, Pose
from pipeline.pocket.view import NOMINAL, View

RAIN_COLOUR = (205.0, 213.0, 226.0)
SNOW_COLOUR = (250.0, 252.0, 255.0)
RAIN_SLANT = -0.12
# Under rain the light goes by this share of its amount towards a dim and cool grey, so much of the luma in each colour.
RAIN_DULLS = 0.46
OVERCAST = (0.58, 0.635, 0.71)
LUMA = (0.299, 0.587, 0.114)
# An amount up to which nobody sees any of it.
LEAST_WEATHER = 0.02

Shift = tuple[float, float]
"""Pixels to the right and down."""
# By how much drops go past faster than the picture, by their depth.
RAIN_BEFORE = (1.2, 1.6, 2.3)


@dataclass(frozen=True, slots=True)
class Layer:
    """Drops of one depth: how many, how wide (units), how opaque, how fast (units/s), how long a streak."""

    count: int
    radius: float
    opacity: float
    speed: float
    length: int


# Far to near: what is near is wider, faster, fainter for its blur.
RAIN = (Layer(900, 0.55, 0.28, 620, 15), Layer(380, 0.8, 0.38, 900, 28), Layer(84, 2.0, 0.34, 1250, 62))
# From this radius on it is out of focus.
BLURRED = 1.8


class Weather:
    """Sheets of a frame's size, made once from a seed; :meth:`over` lays them on a frame.

    ``rain`` is ``float32 [H + 1, W + 1]`` for each depth: a sheet repeats, with its first row and column once more at
    its end; ``fog`` is a coarse sheet. Flakes are found on ``device``.
    """

    def __init__(self, seed: int, view: View = NOMINAL, device: torch.device | None = None) -> None:
        rng = np.random.default_rng(seed)
        self._view = view
        self.rain = [_sheet(rng, layer, view) for layer in RAIN]
        self.snow = flakes.Flakes(np.random.default_rng([seed, 1]), view, device)
        self.fog = fog.sheet(np.random.default_rng([seed, 2]), view)

    def over(self, frame: Tensor, fields: Tensor, time_s: float, pose: Pose = REST) -> Tensor:
        """Lay weather on ``frame float32 [3, H, W]`` (0..255) by a latent's calm ``fields [12, h, w]``.

        It is seen by a camera at a pose.
        """
        amounts = fields[WEATHER]
        scale = self._view.scale
        falls = [float(amount.max()) > LEAST_WEATHER for amount in amounts]
        if falls[2]:
            seen = torch.tensor([[part for look in fog.looks(time_s, self._view, pose) for part in look]])
            hidden = fog.opacity(self.fog, seen, fog.thinned(amounts[2:]), self._view)[0]
            frame = laid(frame, fog.colour(frame, fields[GAIN].mean((1, 2))), hidden)
        if falls[0]:
            frame = rained(frame, self._full(amounts[0]), self._falling(rain_shifts(time_s, scale, pose), pose.roll))
        if falls[1]:
            tables = [table[None] for table in self.snow.seen(time_s, pose)]
            frame = laid(frame, SNOW_COLOUR, flakes.cover(tables, self._view)[0] * self._full(amounts[1]).clamp(0, 1.5))
        return frame

    def _falling(self, shifts: Sequence[tuple[int, int]], roll: float) -> Tensor:
        height, width = self._view.height, self._view.width
        total = torch.zeros(height, width)
        for sheet, (across, down) in zip(self.rain, shifts, strict=True):
            if roll:
                total += slid(sheet, torch.tensor([[-across, -down]]), turn(roll)[None])[0]
            else:
                _add_moved(total, sheet[:-1, :-1], (-across % width, -down % height))
        return total.clamp_(0, 0.95)

    def _full(self, amount: Tensor) -> Tensor:
        return enlarged_to(amount, (self._view.height, self._view.width))


def rain_shifts(time_s: float, scale: float, pose: Pose = REST) -> list[tuple[int, int]]:
    """How far each depth's streaks have fallen, along themselves, and gone past a camera; whole pixels.

    A streak falls 40 units in a sixteenth of a second: nobody sees it land between two pixels.
    """
    ways = zip((layer.speed * time_s for layer in RAIN), past(pose, RAIN_BEFORE), strict=True)
    return [(round((RAIN_SLANT * fall - x) * scale), round((fall - y) * scale)) for fall, (x, y) in ways]


def past(pose: Pose, before: Sequence[float]) -> list[Shift]:
    """How far a camera has gone past things so much nearer than the picture, right and down in units of the screen."""
    close = math.exp(pose.zoom)
    return [(one * close * pose.x, one * close * pose.y) for one in before]


def turn(roll: float) -> Tensor:
    """What :func:`slid` has for a camera's roll."""
    return torch.tensor([math.cos(roll), math.sin(roll)])


def slid(sheet: Tensor, shift: Tensor, turns: Tensor) -> Tensor:
    """A sheet from a place on, turned about the frame's middle.

    Args:
        sheet: that repeats, with its first row and column once more at its end, ``[H + 1, W + 1]``.
        shift: where it begins, in pixels, x before y, ``[F, 2]``.
        turns: cosine and sine of the picture's roll, ``[F, 2]``.

    Returns:
        ``[F, H, W]``.
    """
    frames, (height, width) = len(shift), (side - 1 for side in sheet.shape)
    x = torch.arange(width, device=sheet.device) - (width - 1) / 2
    y = (torch.arange(height, device=sheet.device) - (height - 1) / 2)[:, None]
    cos, sin = turns[:, 0, None, None], turns[:, 1, None, None]
    at = torch.stack(
        [
            (part + middle + begin[:, None, None]) % side * (2 / side) - 1
            for part, side, middle, begin in (
                (cos * x + sin * y, width, (width - 1) / 2, shift[:, 0]),
                (cos * y - sin * x, height, (height - 1) / 2, shift[:, 1]),
            )
        ],
        -1,
    )
    return F.grid_sample(sheet.expand(frames, 1, -1, -1), at, padding_mode="border", align_corners=True)[:, 0]


def rained(image: Tensor, rain: Tensor, streaks: Tensor) -> Tensor:
    """Rain over ``image [..., 3, H, W]`` by its amount ``[..., H, W]``: dimmer, greyer and cooler light, then drops.

    Both in one pass: each alone costs a CPU as much as all of the rain.
    """
    amount = rain.clamp(0, 1.5)
    drops, dull = streaks * amount, amount.mul_(RAIN_DULLS)
    clear = 1 - drops
    kept = torch.addcmul(clear, dull, clear, value=-1)
    grey = _luma(image.unbind(-3)).mul_(dull).mul_(clear)
    out = image * kept.unsqueeze(-3)
    for index, (cool, one) in enumerate(zip(OVERCAST, RAIN_COLOUR, strict=True)):
        out.select(-3, index).add_(grey, alpha=cool).add_(drops, alpha=one)
    return out


def laid(image: Tensor, colour: Sequence[float] | Sequence[Tensor], opacity: Tensor) -> Tensor:
    """A colour over ``image [..., 3, H, W]`` by opacity ``[..., H, W]``."""
    out = image * (1 - opacity).unsqueeze(-3)
    for index, one in enumerate(colour):
        part = out.select(-3, index)
        part.addcmul_(opacity, one) if isinstance(one, Tensor) else part.add_(opacity, alpha=one)
    return out


def _luma(parts: Sequence[Tensor]) -> Tensor:
    red, green, blue = LUMA
    return (parts[0] * red).add_(parts[1], alpha=green).add_(parts[2], alpha=blue)


def _add_moved(total: Tensor, sheet: Tensor, begin: tuple[int, int]) -> None:
    """Add a sheet that repeats, from a column and a row of it on; both are ``[H, W]``."""
    (height, width), (x, y) = total.shape, begin
    rows, columns = ((slice(side - at), slice(at, side)) for at, side in ((y, height), (x, width)))
    total[rows[0], columns[0]] += sheet[rows[1], columns[1]]
    total[rows[0], width - x :] += sheet[rows[1], :x]
    total[height - y :, columns[0]] += sheet[:y, columns[1]]
    total[height - y :, width - x :] += sheet[:y, :x]


def _sheet(rng: np.random.Generator, layer: Layer, view: View) -> Tensor:
    """Draw one depth's streaks, anti-aliased, on a tile that repeats."""
    height, width = view.height, view.width
    sheet = np.zeros((height, width), np.float32)
    x, y = rng.random(layer.count) * width, rng.random(layer.count) * height
    weight = layer.opacity * (0.5 + 0.5 * rng.random(layer.count))
    # Most are small, a few twice as wide: no two are alike, nor as near.
    radius = layer.radius * view.scale * (0.65 + 0.95 * rng.random(layer.count) ** 2)
    length = round(layer.length * view.scale)
    reach = math.ceil(2 * float(radius.max()) + 1)
    for step in range(max(1, length)):
        fade = math.sin(math.pi * (step + 0.5) / max(1, length))
        cx, row = x + RAIN_SLANT * step, np.floor(y + step).astype(int) % height
        for dx in range(-reach, reach + 1):
            px = np.floor(cx) + dx
            far = np.abs(px - cx)
            sharp = np.clip(1.5 - far / np.maximum(radius, 0.6 * view.scale), 0, 1)
            cover = sharp if layer.radius < BLURRED else np.clip(1 - (far / (1.6 * radius)) ** 2, 0, 1)
            np.maximum.at(sheet, (row, px.astype(int) % width), cover * weight * fade)
    return torch.from_numpy(np.pad(sheet, (0, 1), mode="wrap"))
