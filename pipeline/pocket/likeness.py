"""Whether it is still the same picture: frames against the picture from the same pose, where it is seen."""

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.pocket.seen_picture import Mask, inside, view
from pipeline.pocket.takes import Take
from pipeline.types import Pixels

# Wang, Bovik, Sheikh, Simoncelli 2004: the window's size in px; what steadies the quotients, in grey levels squared.
SIGMA, STEADY_MEAN, STEADY_SPREAD = 1.5, (0.01 * 255) ** 2, (0.03 * 255) ** 2


def likeness(take: Take, frames: Iterable[int]) -> float:
    """The least structural similarity of these frames to the picture from their poses, where the picture is seen."""
    canvas, poses = take.canvas, take.poses
    return min(similar(take.frames[f], view(canvas, poses[f]), inside(canvas, poses[f])) for f in frames)


def similar(one: Pixels, other: Pixels, where: Mask) -> float:
    """The structural similarity of two frames' luma, mean over a mask ``[480, 832]``.

    >>> even = np.full((480, 832, 3), 90, np.uint8)
    >>> similar(even, even, np.ones((480, 832), bool))
    1.0
    """
    a, b = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in (one, other))
    mean_a, mean_b = _mean(a), _mean(b)
    spread_a, spread_b = _mean(a * a) - mean_a**2, _mean(b * b) - mean_b**2
    shared = _mean(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + STEADY_MEAN) / (mean_a**2 + mean_b**2 + STEADY_MEAN)
    structure = (2 * shared + STEADY_SPREAD) / (spread_a + spread_b + STEADY_SPREAD)
    return float((light * structure)[where].mean())


def _mean(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(plane, (11, 11), SIGMA), np.float32)
