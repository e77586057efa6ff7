"""How the script of warps grades light: gains and curves that come in over seconds, under a mask."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.pocket.film_test.warp_matter import Mask, ramp

Image = npt.NDArray[np.float32]
"""``float32 [H, W, 3]`` RGB in 0..1."""
ONSET_S = 3.0


def arrival(second: float, onset_s: float = ONSET_S) -> float:
    """How far a light has come in."""
    share = min(second / onset_s, 1.0)
    return share * share * (3 - 2 * share)


def mixed(before: Image, after: Image, share: Mask) -> Image:
    """From one to the other as far as a mask says."""
    return np.asarray(before + (after - before) * share[..., None], np.float32)


def grade(name: str, image: Image, second: float) -> Image:
    """The picture in another light, before it is mixed in."""
    return {"night": _night, "day": _day, "warm": _warm, "cold": _cold, "rain": _dull, "flicker": _glow}[name](
        image, second
    )


def _luma(image: Image) -> Mask:
    return np.asarray(image @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)


def _night(image: Image, second: float) -> Image:
    luma = _luma(image)
    plain = image * 0.55 + luma[..., None] * 0.45
    dark = np.power(plain, 1.35) * np.array([0.37, 0.45, 0.68], np.float32)
    # Small bright things are lamps, and stay lit.
    lamps = ramp(luma - cv2.GaussianBlur(luma, (0, 0), 12), 0.18, 0.4) * ramp(luma, 0.6, 0.9)
    return mixed(np.asarray(dark, np.float32), image, np.asarray(lamps * 0.8, np.float32))


def _day(image: Image, second: float) -> Image:
    return np.asarray(np.clip(np.power(image, 0.75) * np.array([1.08, 1.04, 0.98], np.float32), 0, 1), np.float32)


def _warm(image: Image, second: float) -> Image:
    gained = image * np.array([1.16, 1.0, 0.72], np.float32) + np.array([0.03, 0.015, 0.0], np.float32)
    glow = cv2.GaussianBlur(gained, (0, 0), 14) * 0.22
    waver = 1 + 0.02 * math.sin(1.1 * second) + 0.015 * math.sin(2.7 * second)
    return np.asarray(np.clip(1 - (1 - np.clip(gained, 0, 1)) * (1 - np.clip(glow * waver, 0, 1)), 0, 1), np.float32)


def _cold(image: Image, second: float) -> Image:
    plain = image * 0.75 + _luma(image)[..., None] * 0.25
    return np.asarray(np.clip(plain * np.array([0.76, 0.93, 1.18], np.float32), 0, 1), np.float32)


def _dull(image: Image, second: float) -> Image:
    plain = image * 0.65 + _luma(image)[..., None] * 0.35
    return np.asarray((plain * 0.8 + 0.03) * np.array([0.94, 0.98, 1.04], np.float32), np.float32)


def _glow(image: Image, second: float) -> Image:
    waver = math.sin(9 * second) * 0.5 + math.sin(14.3 * second + 1) * 0.3 + math.sin(23.1 * second) * 0.2
    hot = ramp(image[..., 0] - image[..., 2], 0.15, 0.5)
    gain = 1 + (0.06 + 0.2 * hot[..., None]) * waver
    return np.asarray(np.clip(image * gain, 0, 1), np.float32)
