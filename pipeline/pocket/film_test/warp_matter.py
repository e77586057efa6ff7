"""Where the script of warps thinks that things are: colours, places, and GrabCut from the middle."""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.types import Pixels

Mask = npt.NDArray[np.float32]
# GrabCut works on so small a picture.
SMALL = (208, 120)


def matter(picture: Pixels, name: str) -> Mask:
    """A soft mask ``float32 [H, W]`` in 0..1 of a view ``uint8 [H, W, 3]``; ones for "".

    What is not found by colour is taken to be where it usually is.
    """
    if not name:
        return np.ones(picture.shape[:2], np.float32)
    if name == "background":
        return 1 - matter(picture, "subject")
    if name in PLACES:
        return PLACES[name](picture.shape[0], picture.shape[1])
    return FOUND[name](picture)


def ramp(value: Mask, low: float, high: float) -> Mask:
    """Smoothly from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _grid(height: int, width: int) -> tuple[Mask, Mask]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return y / height, x / width


PLACES: dict[str, Callable[[int, int], Mask]] = {
    "left": lambda h, w: 1 - ramp(_grid(h, w)[1], 0.35, 0.6),
    "right": lambda h, w: ramp(_grid(h, w)[1], 0.4, 0.65),
    "top": lambda h, w: 1 - ramp(_grid(h, w)[0], 0.3, 0.6),
    "bottom": lambda h, w: ramp(_grid(h, w)[0], 0.5, 0.85),
}


def _soft(mask: npt.NDArray[np.bool_], grow: int, blur: float) -> Mask:
    """Close holes, drop specks, blur the edge."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grow, grow))
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel)
    return np.asarray(cv2.GaussianBlur(opened.astype(np.float32), (0, 0), blur), np.float32)


def _sky(picture: Pixels) -> Mask:
    height, width = picture.shape[:2]
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV).astype(np.float32)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = cv2.GaussianBlur(np.abs(cv2.Laplacian(grey, cv2.CV_32F)), (0, 0), 3)
    blue = (hsv[..., 0] > 85) & (hsv[..., 0] < 135)
    pale = hsv[..., 1] < 60
    y, _ = _grid(height, width)
    candidate = ((blue | pale) & (edges < 9) & (y < 0.75)).astype(np.uint8)
    candidate = cv2.morphologyEx(candidate, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
    # What hangs together with the upper edge.
    _, parts = cv2.connectedComponents(candidate)
    touching = np.setdiff1d(np.unique(parts[:4]), [0])
    mask = np.isin(parts, touching)
    if mask.mean() < 0.03:
        return 1 - ramp(y, 0.2, 0.5)
    return _soft(mask, 9, 2)


def _water(picture: Pixels) -> Mask:
    height, width = picture.shape[:2]
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    y, _ = _grid(height, width)
    wet = ((hsv[..., 0] > 80) & (hsv[..., 0] < 135)) | (hsv[..., 1] < 50)
    mask = _soft(wet & (y > 0.4), 15, 6)
    return ramp(y, 0.5, 0.75) if mask.mean() < 0.08 else mask


def _foliage(picture: Pixels) -> Mask:
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    mask = _soft((hsv[..., 0] > 25) & (hsv[..., 0] < 92) & (hsv[..., 1] > 45) & (hsv[..., 2] > 25), 11, 7)
    return np.full_like(mask, 0.6) if mask.mean() < 0.03 else mask


def _subject(picture: Pixels) -> Mask:
    height, width = picture.shape[:2]
    small = np.ascontiguousarray(cv2.resize(picture, SMALL, interpolation=cv2.INTER_AREA)[..., ::-1])
    marks = np.zeros(SMALL[::-1], np.uint8)
    box = (SMALL[0] // 6, SMALL[1] // 10, SMALL[0] * 2 // 3, SMALL[1] * 17 // 20)
    cv2.setRNGSeed(1)
    cv2.grabCut(small, marks, box, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_RECT)
    mask = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if not 0.04 < mask.mean() < 0.7:
        y, x = _grid(height, width)
        return 1 - ramp(np.hypot((x - 0.5) / 0.3, (y - 0.55) / 0.42), 0.8, 1.2)
    large = cv2.resize(_soft(mask, 5, 1), (width, height), interpolation=cv2.INTER_CUBIC)
    return ramp(np.asarray(large, np.float32), 0.25, 0.75)


FOUND: dict[str, Callable[[Pixels], Mask]] = {
    "sky": _sky,
    "water": _water,
    "foliage": _foliage,
    "subject": _subject,
}
