"""What the script of warps draws over a picture: rain, snow, fog, leaves, dust, stars, northern lights."""

import math
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.pocket.film_test.warp_light import Image, arrival, mixed
from pipeline.pocket.film_test.warp_matter import Mask, ramp

SUBPIXEL = 4
ONE = 1 << SUBPIXEL
Floats = npt.NDArray[np.float64]
AUTUMN = ((0.78, 0.36, 0.10), (0.85, 0.55, 0.12), (0.62, 0.22, 0.10), (0.70, 0.48, 0.20))


@cache
def _lots(name: str, count: int) -> Floats:
    """Random numbers in 0..1, ``[count, 6]``, the same for a name."""
    return np.random.default_rng(sum(name.encode())).random((count, 6))


@cache
def noise(seed: int, size: int = 512) -> Mask:
    """Smooth noise ``float32 [size, size]`` about 0..1 that joins at its borders."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size), np.float32)
    for octave, weight in ((4, 1.0), (8, 0.6), (16, 0.35), (32, 0.2)):
        grains = np.pad(rng.random((octave, octave), np.float32), 2, mode="wrap")
        step = size // octave
        large = cv2.resize(grains, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += weight * large[2 * step : 2 * step + size, 2 * step : 2 * step + size]
    return np.asarray((total - total.min()) / (total.max() - total.min()), np.float32)


def _at(value: float) -> int:
    return round(value * ONE)


def rain(size: tuple[int, int], second: float, strength: float) -> Mask:
    """Streaks, ``float32 [H, W]`` of how white."""
    width, height = size
    total = np.zeros((height, width), np.float32)
    for layer, (count, speed, thick, bright) in enumerate(
        ((420, 620, 1, 0.22), (220, 900, 1, 0.36), (70, 1300, 2, 0.42))
    ):
        sheet = np.zeros((height, width), np.uint8)
        for x, y, fast, tone, _, _ in _lots(f"rain{layer}", round(count * strength)):
            pace = speed * (0.85 + 0.3 * fast)
            length = pace / 26
            top = (y * 1.3 * height + pace * second) % (1.3 * height) - 0.2 * height
            left = (x * 1.2 * width - 0.14 * top) % (1.2 * width) - 0.1 * width
            ends = ((_at(left), _at(top)), (_at(left - 0.14 * length), _at(top + length)))
            cv2.line(sheet, *ends, round(255 * (0.5 + 0.5 * tone)), thick, cv2.LINE_AA, SUBPIXEL)
        soft = cv2.GaussianBlur(sheet, (0, 0), 0.7 if layer else 0.5)
        total = np.maximum(total, soft.astype(np.float32) / 255 * bright)
    return total + _splashes(size, second, strength)


def _splashes(size: tuple[int, int], second: float, strength: float) -> Mask:
    width, height = size
    sheet = np.zeros((height, width), np.uint8)
    for x, y, phase, _, _, _ in _lots("splash", round(60 * strength)):
        turn, age = divmod(second * 2.5 + phase, 1.0)
        place = ((x + 0.377 * turn) % 1 * width, (0.72 + 0.28 * ((y + 0.618 * turn) % 1)) * height)
        radius = 1 + 6 * age * (place[1] / height)
        axes = (_at(radius), _at(radius * 0.35))
        shade = round(150 * (1 - age))
        cv2.ellipse(sheet, (_at(place[0]), _at(place[1])), axes, 0, 0, 360, shade, 1, cv2.LINE_AA, SUBPIXEL)
    return np.asarray(sheet.astype(np.float32) / 255 * 0.4, np.float32)


def snow(size: tuple[int, int], second: float, strength: float, shift: tuple[float, float]) -> Mask:
    """Flakes, ``float32 [H, W]`` of how white; near ones follow the camera's ``shift`` in px the most."""
    width, height = size
    total = np.zeros((height, width), np.float32)
    layers = ((340, 38, 1.1, 0.6, 0.6), (150, 70, 2.1, 0.9, 0.85), (38, 125, 4.2, 2.6, 0.8))
    for layer, (count, speed, radius, blur, bright) in enumerate(layers):
        sheet = np.zeros((height, width), np.uint8)
        near = 0.5 + 0.4 * layer
        for x, y, fast, phase, big, wide in _lots(f"snow{layer}", round(count * strength)):
            swing = (6 + 16 * wide) * near * math.sin(2 * math.pi * phase + second * (0.8 + fast))
            left = (x * 1.2 * width + swing + 12 * near * second + near * shift[0]) % (1.2 * width) - 0.1 * width
            down = speed * (0.7 + 0.6 * fast) * second
            top = (y * 1.2 * height + down + near * shift[1]) % (1.2 * height) - 0.1 * height
            cv2.circle(sheet, (_at(left), _at(top)), _at(radius * (0.6 + 0.7 * big)), 255, -1, cv2.LINE_AA, SUBPIXEL)
        soft = cv2.GaussianBlur(sheet, (0, 0), blur)
        total = np.maximum(total, soft.astype(np.float32) / 255 * bright)
    return total


def fog(image: Image, second: float, strength: float, mask: Mask, place: str) -> Image:
    """The picture under banks of fog that roll."""
    height, width = mask.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    bank = 0.0
    for seed, scale, pace, weight in ((1, 0.55, 14.0, 0.6), (2, 1.1, 26.0, 0.4)):
        columns, rows = (x * scale - pace * second) % 512, (y * scale * 1.7 + 3 * second) % 512
        bank = bank + weight * cv2.remap(noise(seed), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    deep = 1.0 if place else 0.65 + 0.35 * ramp(np.asarray(1 - np.abs(y / height - 0.45), np.float32), 0.4, 1.0)
    density = np.clip((0.35 + 0.75 * ramp(np.asarray(bank, np.float32), 0.25, 0.75)) * deep * 0.72 * strength, 0, 0.92)
    # Fog is as light as the place that it lies in.
    shade = min(0.35 + 0.75 * float(image.mean()), 0.86)
    colour = np.array([0.96, 0.98, 1.0], np.float32) * shade
    veil = np.broadcast_to(colour, image.shape).astype(np.float32)
    return mixed(image, veil, np.asarray(density * mask * arrival(second, 4.0), np.float32))


def leaves(image: Image, second: float, strength: float) -> Image:
    """The picture behind leaves that tumble."""
    height, width = image.shape[:2]
    done = image
    for layer, (count, speed, length, blur) in enumerate(((26, 55, 7, 0.5), (16, 90, 12, 0.8), (5, 150, 24, 2.5))):
        colours, cover = np.zeros_like(image), np.zeros((height, width), np.float32)
        for x, y, fast, phase, spin, tone in _lots(f"leaves{layer}", round(count * strength)):
            angle = 2 * math.pi * phase + second * (1.2 + 2 * spin)
            swing = (20 + 25 * spin) * (1 + 0.4 * layer) * math.sin(angle * 0.8)
            middle = (
                (x * 1.3 * width + swing + 25 * second) % (1.3 * width) - 0.15 * width,
                (y * 1.3 * height + speed * (0.7 + 0.6 * fast) * second) % (1.3 * height) - 0.15 * height,
            )
            turned = length * max(abs(math.sin(angle * 1.3)), 0.15) * 0.55
            outline = _leaf(middle, length, turned, angle * 0.7)
            cv2.fillConvexPoly(cover, outline, 1.0, cv2.LINE_AA, SUBPIXEL)
            lit = 0.75 + 0.35 * math.sin(angle * 1.3)
            colour = tuple(float(c * lit) for c in AUTUMN[int(tone * len(AUTUMN))])
            cv2.fillConvexPoly(colours, outline, colour, cv2.LINE_AA, SUBPIXEL)
        soft = cv2.GaussianBlur(cover, (0, 0), blur)
        spread = cv2.GaussianBlur(colours, (0, 0), blur)
        done = np.asarray(np.clip(done * (1 - soft[..., None]) + spread, 0, 1), np.float32)
    return done


def _leaf(middle: tuple[float, float], length: float, breadth: float, angle: float) -> npt.NDArray[np.int32]:
    turns = np.linspace(0, 2 * math.pi, 16, endpoint=False)
    # Pointed at both ends.
    along, across = length * np.cos(turns), breadth * np.sin(turns) * np.abs(np.sin(turns)) ** 0.4
    cos, sin = math.cos(angle), math.sin(angle)
    points = np.stack([middle[0] + cos * along - sin * across, middle[1] + sin * along + cos * across], -1)
    return np.round(points * ONE).astype(np.int32)


def dust(image: Image, second: float, strength: float) -> Image:
    """The picture with motes that float where it is light."""
    height, width = image.shape[:2]
    total = np.zeros((height, width), np.float32)
    for layer, (count, radius, blur, bright) in enumerate(
        ((90, 0.9, 0.7, 0.55), (40, 1.8, 1.5, 0.7), (12, 4.5, 4, 0.5))
    ):
        sheet = np.zeros((height, width), np.uint8)
        for x, y, fast, phase, big, tone in _lots(f"dust{layer}", round(count * strength)):
            drift = (4 + 9 * fast) * (1 + layer)
            left = (x * 1.1 * width + drift * second + 14 * math.sin(0.6 * second + 7 * phase)) % (1.1 * width)
            top = (y * 1.1 * height - 0.5 * drift * second + 10 * math.cos(0.5 * second + 9 * big)) % (1.1 * height)
            shade = round(255 * (0.55 + 0.45 * math.sin(1.3 * second * (0.5 + tone) + 6.3 * phase)))
            place = (_at(left - 0.05 * width), _at(top - 0.05 * height))
            cv2.circle(sheet, place, _at(radius * (0.7 + 0.6 * big)), shade, -1, cv2.LINE_AA, SUBPIXEL)
        total += cv2.GaussianBlur(sheet, (0, 0), blur).astype(np.float32) / 255 * bright
    lit = 0.35 + 0.65 * cv2.GaussianBlur(image.mean(-1), (0, 0), 30)
    tint = np.array([1.0, 0.95, 0.82], np.float32)
    return np.asarray(np.clip(image + (total * lit * arrival(second))[..., None] * tint, 0, 1), np.float32)


def stars(image: Image, second: float, sky: Mask) -> Image:
    """The picture with stars that twinkle where the sky is."""
    height, width = sky.shape
    sheet = np.zeros((height, width), np.uint8)
    for x, y, phase, pace, big, tone in _lots("stars", 260):
        beat = math.sin(second * (1.5 + 4 * pace) + 6.3 * phase)
        shade = round(255 * min((0.35 + 0.65 * tone) * (0.65 + 0.35 * beat), 1.0))
        cv2.circle(sheet, (_at(x * width), _at(y * height)), _at(0.6 + 1.1 * big**4), shade, -1, cv2.LINE_AA, SUBPIXEL)
    points = sheet.astype(np.float32) / 255
    light = np.maximum(points, cv2.GaussianBlur(points, (0, 0), 2.5) * 1.6) * ramp(sky, 0.7, 1.0) * arrival(second)
    return np.asarray(np.clip(image + light[..., None], 0, 1), np.float32)


def aurora(image: Image, second: float, sky: Mask) -> Image:
    """The picture with curtains of green light in its sky."""
    height, width = sky.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    wave = 60 * np.sin(x / 120 + 0.4 * second) + 25 * np.sin(x / 47 - 0.7 * second)
    rays = cv2.remap(noise(3), (x * 1.5 + 12 * second) % 512, (y * 0.05 + 9 * second) % 512, cv2.INTER_LINEAR)
    curtain = np.exp(-(((y - 0.25 * height - wave) / (0.16 * height)) ** 2)) * ramp(
        np.asarray(rays, np.float32), 0.3, 0.8
    )
    colour = np.array([0.15, 0.9, 0.5], np.float32)
    light = (curtain * sky * arrival(second))[..., None] * colour * 0.7
    return np.asarray(np.clip(image + light, 0, 1), np.float32)
