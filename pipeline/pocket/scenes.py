"""Drawn landscapes with exact masks: they show the model skies, waters, leaves and subjects that no photo labels.

Half are flat, as a child or a program draws them, half are textured by fractal noise.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.pocket.nearness import HORIZON, RISE

Image = npt.NDArray[np.floating[Any]]
Rng = np.random.Generator

SKIES = (
    ((60, 120, 220), (190, 220, 250)), ((120, 170, 230), (240, 240, 245)), ((40, 50, 110), (250, 160, 90)),
    ((10, 12, 40), (40, 50, 100)), ((150, 155, 165), (215, 218, 222)), ((250, 140, 80), (255, 220, 150)),
    ((90, 60, 130), (250, 180, 170)), ((135, 206, 235), (135, 206, 235)),
)  # fmt: skip
GROUNDS = ((70, 140, 50), (110, 160, 60), (190, 170, 120), (120, 100, 70), (230, 235, 240), (90, 90, 95), (34, 139, 34))
WATERS = ((40, 90, 160), (60, 130, 170), (30, 60, 90), (90, 120, 130), (20, 100, 140))
LEAVES = ((40, 110, 40), (80, 140, 40), (30, 80, 50), (190, 110, 30), (150, 160, 50), (220, 120, 150))


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture ``uint8 [H, W, 3]`` and its masks ``uint8 [4, H, W]`` (sky, water, foliage, subject; 255 is full).

    ``near float32 [H, W]`` is how near each place is (:mod:`pipeline.pocket.nearness`).
    """

    pixels: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    near: npt.NDArray[np.float32]


def fractal(rng: Rng, height: int, width: int, base: int = 4, octaves: int = 5) -> Image:
    """Smooth noise of several scales, ``float32 [H, W]`` in 0..1."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = base * 2**octave
        small = rng.random((cells + 1, cells * 2 + 1), dtype=np.float32)
        total += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC) * 0.55**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def draw(rng: Rng, height: int = 224, width: int = 392) -> Drawing:
    """Draw one scene."""
    canvas = _Canvas(rng, height, width)
    horizon = canvas.horizon = rng.uniform(0.25, 0.75) if rng.random() < 0.85 else float(rng.choice([0.0, 1.0]))
    canvas.sky(horizon)
    if rng.random() < 0.5:
        canvas.hills(horizon)
    canvas.ground(horizon)
    if rng.random() < 0.5:
        canvas.lake(horizon)
    for _ in range(rng.integers(0, 3) if rng.random() < 0.6 else 0):
        canvas.house(horizon)
    for _ in range(rng.integers(1, 6) if rng.random() < 0.65 else 0):
        canvas.tree(horizon)
    if rng.random() < 0.3:
        canvas.meadow()
    if rng.random() < 0.45:
        canvas.figure()
    return canvas.finish()


class _Canvas:
    """Paint and masks under one brush."""

    def __init__(self, rng: Rng, height: int, width: int) -> None:
        self.rng, self.height, self.width = rng, height, width
        self.flat = bool(rng.random() < 0.45)
        self.paint = np.zeros((height, width, 3), np.float32)
        self.masks = np.zeros((4, height, width), np.float32)
        self.near = np.zeros((height, width), np.float32)
        self.horizon = 0.0
        self.y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        self.x = np.linspace(0, 1, width, dtype=np.float32)[None]

    def lay(
        self, shape: Image, colour: Image | tuple[float, ...], kind: int | None, texture: float = 0.35,
        foot: float | None = None,
    ) -> None:  # fmt: skip
        """Paint a soft shape ``[H, W]`` and enter it into one mask, out of the others.

        What has a foot, at a share of the height, is as near as the ground there, all else is ground.
        """
        fill = np.broadcast_to(np.asarray(colour, np.float32), self.paint.shape)
        if not self.flat and texture:
            grain = fractal(self.rng, self.height, self.width, int(self.rng.integers(6, 24)), 4)
            fill = fill * (1 + texture * (grain[..., None] * 2 - 1))
        self.paint += shape[..., None] * (fill - self.paint)
        self.masks *= 1 - shape
        if kind is not None:
            self.masks[kind] += shape
        self.near = np.where(shape > 0.5, self.ground_at(self.y if foot is None else foot), self.near)

    def ground_at(self, y: Image | float) -> Image:
        """How near flat ground is so far down."""
        return np.clip(HORIZON + RISE * (np.asarray(y, np.float32) - self.horizon), HORIZON, 1)

    def sky(self, horizon: float) -> None:
        top, low = (np.asarray(c, np.float32) for c in SKIES[self.rng.integers(len(SKIES))])
        ramp = np.clip(self.y / max(horizon, 0.3), 0, 1)[..., None]
        colour = np.broadcast_to(top + (low - top) * ramp, self.paint.shape).copy()
        if not self.flat or self.rng.random() < 0.5:
            cover = np.clip((fractal(self.rng, self.height, self.width, 3) - 0.45) * self.rng.uniform(1.5, 5), 0, 0.9)
            colour += cover[..., None] * (np.float32(self.rng.uniform(170, 255)) - colour) * self.rng.uniform(0.3, 1)
        self.lay(np.ones((self.height, self.width), np.float32), colour, 0, 0.0)
        self.near[:] = 0
        if self.rng.random() < 0.4:
            x, y = self.rng.uniform(0.1, 0.9), self.rng.uniform(0.05, 0.3)
            disc = _soft(0.05 - np.hypot((self.x - x) * self.width / self.height, self.y - y), 0.01)
            self.paint += disc[..., None] * (np.array([255, 240, 190], np.float32) - self.paint)

    def hills(self, horizon: float) -> None:
        for layer in range(self.rng.integers(1, 4)):
            ridge = horizon - 0.2 * self.rng.random() * fractal(self.rng, 8, self.width, 3, 5)[4] + 0.03 * layer
            tone = self.rng.uniform(60, 170)
            self.lay(_soft(self.y - ridge[None], 0.006), (tone * 0.8, tone * 0.9, tone), None)

    def ground(self, horizon: float) -> None:
        edge = horizon + 0.03 * (fractal(self.rng, 8, self.width, 3, 3)[4] - 0.5)
        colour = GROUNDS[self.rng.integers(len(GROUNDS))]
        green = colour[1] > 1.2 * colour[0] and colour[1] > 1.2 * colour[2]
        self.lay(_soft(self.y - edge[None], 0.005), colour, 2 if green else None, 0.5)

    def lake(self, horizon: float) -> None:
        colour = np.broadcast_to(np.array(WATERS[self.rng.integers(len(WATERS))], np.float32), self.paint.shape).copy()
        if self.rng.random() < 0.6:
            flipped = self.paint[::-1]
            colour = 0.5 * colour + 0.5 * cv2.blur(flipped, (3, 25))
        if not self.flat:
            streak = cv2.resize(self.rng.random((self.height // 2, 12), dtype=np.float32), (self.width, self.height))
            colour = colour * (0.75 + 0.5 * streak[..., None])
        if self.rng.random() < 0.5:
            shape = _soft(self.y - self.rng.uniform(min(max(horizon, 0.4), 0.8), 0.9), 0.01) * np.ones_like(self.x)
        else:
            x, y = self.rng.uniform(0.2, 0.8), self.rng.uniform(min(max(horizon, 0.4), 0.8) + 0.1, 0.95)
            rx, ry = self.rng.uniform(0.15, 0.5), self.rng.uniform(0.05, 0.2)
            shape = _soft(1 - np.hypot((self.x - x) / rx, (self.y - y) / ry), 0.05)
        self.lay(shape.astype(np.float32), colour, 1, 0.0)

    def house(self, horizon: float) -> None:
        x, w, h = self.rng.uniform(0, 0.9), self.rng.uniform(0.06, 0.2), self.rng.uniform(0.1, 0.4)
        base = min(horizon + self.rng.uniform(0, 0.15), 1.0)
        box = ((self.x > x) & (self.x < x + w) & (self.y > base - h) & (self.y < base)).astype(np.float32)
        self.lay(box, self.rng.uniform(60, 230, 3), None, 0.2, base)
        for column in np.arange(x + 0.015, x + w - 0.02, 0.03):
            lit = (abs(self.x - column) < 0.006) & (abs((self.y - base + h) % 0.07 - 0.035) < 0.014)
            self.lay(lit.astype(np.float32) * box, self.rng.uniform(20, 255, 3), None, 0.0, base)

    def tree(self, horizon: float) -> None:
        x, size = self.rng.uniform(0, 1), self.rng.uniform(0.06, 0.28)
        base = min(max(horizon, 0.3) + self.rng.uniform(0, 0.35), 1.1)
        trunk = ((abs(self.x - x) < size * 0.05) & (self.y < base) & (self.y > base - 1.6 * size)).astype(np.float32)
        self.lay(trunk, (90, 60, 40), None, foot=base)
        aspect = self.width / self.height
        across, up = (self.x - x) * aspect, self.y - (base - 1.7 * size)
        if self.rng.random() < 0.4:
            crown = np.minimum(size - abs(across) - 0.6 * (0.6 * size - up), np.minimum(up + size, size - up))
        else:
            crown = size - np.hypot(across, up)
        if not self.flat:
            crown = crown + 0.5 * size * (fractal(self.rng, self.height, self.width, 12, 3) - 0.5)
        self.lay(_soft(crown.astype(np.float32), 0.004), LEAVES[self.rng.integers(len(LEAVES))], 2, 0.8, base)

    def meadow(self) -> None:
        edge = self.rng.uniform(0.6, 0.9)
        blades = cv2.resize(self.rng.random((6, self.width), dtype=np.float32), (self.width, self.height))
        shape = _soft(self.y - edge + 0.12 * blades, 0.01)
        colour = np.array(LEAVES[self.rng.integers(3)], np.float32) * (0.6 + 0.8 * blades[..., None])
        self.lay(shape, colour, 2, 0.3)

    def figure(self) -> None:
        x, y, size = self.rng.uniform(0.25, 0.75), self.rng.uniform(0.45, 0.85), self.rng.uniform(0.08, 0.3)
        aspect = self.width / self.height
        colour = self.rng.uniform(20, 240, 3).astype(np.float32)
        parts = [(0.0, 0.0, 1.0, self.rng.uniform(0.6, 1.5)), (self.rng.uniform(-0.7, 0.7), -1.0, 0.55, 0.55)]
        foot = y + size * parts[0][3]
        for dx, dy, rx, ry in parts:
            reach = np.hypot(((self.x - x) * aspect - dx * size) / rx, (self.y - y - dy * size) / ry)
            self.lay(_soft(size - reach, 0.006).astype(np.float32), colour * self.rng.uniform(0.7, 1.2), 3, 0.4, foot)

    def finish(self) -> Drawing:
        if self.rng.random() < 0.25:
            self.paint = cv2.GaussianBlur(self.paint, (0, 0), float(self.rng.uniform(0.5, 1.5)))
        if not self.flat:
            self.paint += self.rng.normal(0, self.rng.uniform(0, 8), self.paint.shape).astype(np.float32)
        masks = (np.clip(self.masks, 0, 1) * 255).astype(np.uint8)
        return Drawing(np.clip(self.paint, 0, 255).astype(np.uint8), masks, self.near.astype(np.float32))


def _soft(distance: Image, width: float) -> Image:
    """A step at zero, blurred over ``width``."""
    return np.clip(distance / width + 0.5, 0, 1).astype(np.float32)
