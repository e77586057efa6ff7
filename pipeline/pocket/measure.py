"""What rendered frames show, measured from their pixels alone: camera moves, fidelity, drift, delay.

Nothing here knows of a network or a latent, so the same meter serves a model's frames and the truth's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.pocket.latents import CAMERA_RATES
from pipeline.types import Pixels

Plane = npt.NDArray[np.float32]
# Flow is measured on frames reduced by this much: fields are smooth, and it is many times cheaper.
REDUCTION = 4
# Root mean square distance of a pixel from the middle of 832x480: what a turn or growth of 1 moves it by.
RADIUS_PX = math.hypot(832, 480) / math.sqrt(12)
# In nominal units, slow moves ask for 0.5; in px/s that a pixel of the frame moves (root mean square), what asks for no
# motion for 2 to 3.
MOVE_FROM, DRIFT_FROM_PX_PER_S = 0.36, 1.0


LOOKS = ("luma", "contrast", "saturation", "sharpness")


@dataclass(frozen=True, slots=True)
class Similarity:
    """How the picture's content moved on the screen: right and down (px), growth (natural log), clockwise (rad)."""

    right: float
    down: float
    growth: float
    turn: float

    def nominal(self, seconds: float) -> tuple[float, float, float, float]:
        """The camera's velocities (pan right, tilt down, zoom in, roll clockwise) in nominal units.

        >>> Similarity(-25.0, 0.0, 0.0, 0.0).nominal(1.0)[0]
        1.0
        """
        zoom = CAMERA_RATES["zoom_in" if self.growth > 0 else "zoom_out"]
        return (
            -self.right / CAMERA_RATES["pan"] / seconds,
            -self.down / CAMERA_RATES["tilt"] / seconds,
            self.growth / zoom / seconds,
            self.turn / CAMERA_RATES["roll"] / seconds,
        )


def reduced_grey(frame: Pixels, reduction: int = REDUCTION) -> Pixels:
    """Luma ``uint8 [H, W]`` at a reduced size."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    size = (frame.shape[1] // reduction, frame.shape[0] // reduction)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def flow(before: Pixels, after: Pixels, window: int = 15) -> Plane:
    """Farneback's flow ``float32 [h, w, 2]`` between greys, in their px."""
    start = np.zeros((*before.shape, 2), np.float32)
    return np.asarray(cv2.calcOpticalFlowFarneback(before, after, start, 0.5, 4, window, 3, 7, 1.5, 0), np.float32)


def texture(grey: Pixels) -> Plane:
    """How well motion can be seen at each place, 0..1: the weaker eigenvalue of the structure tensor, saturated."""
    weakest = np.maximum(cv2.cornerMinEigenVal(cv2.GaussianBlur(grey, (0, 0), 0.8), 7, ksize=3), 0)
    return np.asarray(weakest / (weakest + 2e-4), np.float32)


def similarity(before: Pixels, after: Pixels) -> Similarity:
    """The similarity that carries one frame's content to another's: Farneback's flow, fitted robustly."""
    old, new = reduced_grey(before), reduced_grey(after)
    return fit_similarity(flow(old, new), texture(old), REDUCTION)


def fit_similarity(field: Plane, weight: Plane, scale: float = 1.0) -> Similarity:
    """Fit ``[h, w, 2]`` by iteratively reweighted least squares (Cauchy weights, scale from the residuals)."""
    height, width = field.shape[:2]
    inner = (slice(height // 16, -(height // 16)), slice(width // 16, -(width // 16)))
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    place = ((x - (width - 1) / 2) + 1j * (y - (height - 1) / 2))[inner].ravel()
    move = (field[..., 0] + 1j * field[..., 1])[inner].ravel().astype(np.complex128)
    base = weight[inner].ravel().astype(np.float64) + 1e-6
    w, shift, rate = base, 0j, 0j
    for _ in range(12):
        # Complex numbers make a line of a similarity: move = shift + (growth + i turn) * place.
        at, to = np.average(place, weights=w), np.average(move, weights=w)
        away = place - at
        rate = complex((w * away.conj() * (move - to)).sum() / (w * abs(away) ** 2).sum())
        shift = complex(to - rate * at)
        miss = abs(move - shift - rate * place)
        spread = max(1.5 * float(np.average(np.minimum(miss, 4 * np.median(miss) + 1e-3), weights=base)), 0.02)
        w = base / (1 + (miss / spread) ** 2)
    grown = 1 + rate
    return Similarity(shift.real * scale, shift.imag * scale, math.log(abs(grown)), math.atan2(grown.imag, grown.real))


def camera_class(nominal: Sequence[float]) -> str:
    """Name the camera move of velocities (pan right, tilt down, zoom in, roll clockwise) in nominal units.

    The component that moves the pixels most names the move, so that the little zoom which makes room for a slow pan
    is not taken for a zoom. What is slower than :data:`MOVE_FROM` is a drift, or still.

    >>> camera_class((-1.0, 0.0, 0.4, 0.0)), camera_class((0.0, 0.0, 0.05, 0.0)), camera_class((0.1, 0.0, 0.1, 0))
    ('pan_left', 'still', 'drift')
    """
    pan, tilt, zoom, roll = nominal
    zoom_rate = CAMERA_RATES["zoom_in" if zoom > 0 else "zoom_out"]
    seen = {
        ("pan_left", "pan_right"): pan * CAMERA_RATES["pan"],
        ("tilt_up", "tilt_down"): tilt * CAMERA_RATES["tilt"],
        ("zoom_out", "zoom_in"): zoom * zoom_rate * RADIUS_PX,
        ("roll_ccw", "roll_cw"): roll * CAMERA_RATES["roll"] * RADIUS_PX,
    }
    names = max(seen, key=lambda pair: abs(seen[pair]))
    slides = names[0].startswith(("pan", "tilt"))
    size = math.hypot(pan, tilt) if slides else abs(nominal[list(seen).index(names)])
    if size < MOVE_FROM:
        return "drift" if math.hypot(*seen.values()) >= DRIFT_FROM_PX_PER_S else "still"
    return names[seen[names] > 0]


def half_way(series: Sequence[float], goal: float) -> int | None:
    """The index at which a series first has half of its goal, or None.

    >>> half_way([0, 0.2, 0.6, 1, 1], 1)
    2
    """
    reached = [index for index, value in enumerate(series) if value * math.copysign(1, goal) >= abs(goal) / 2]
    return reached[0] if reached else None


def psnr(one: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio over all channels in dB; infinite for equal pictures."""
    error = float(np.mean((one.astype(np.float32) - other.astype(np.float32)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


@dataclass(frozen=True, slots=True)
class Look:
    """Mean luma, contrast (its standard deviation), mean saturation (distance from grey), mean gradient energy."""

    luma: float
    contrast: float
    saturation: float
    sharpness: float

    def against(self, reference: "Look") -> "Look":
        """The ratio of each to the reference's."""
        pairs = zip(self.values(), reference.values(), strict=True)
        return Look(*(mine / max(other, 1e-6) for mine, other in pairs))

    def values(self) -> tuple[float, float, float, float]:
        """The four in order."""
        return self.luma, self.contrast, self.saturation, self.sharpness


def look(frame: Pixels) -> Look:
    """Measure one frame ``uint8 [H, W, 3]``."""
    pixels = frame.astype(np.float32)
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    colour = np.sqrt(((pixels - grey[..., None]) ** 2).mean(-1))
    energy = np.diff(grey, axis=0)[:, :-1] ** 2 + np.diff(grey, axis=1)[:-1] ** 2
    return Look(float(grey.mean()), float(grey.std()), float(colour.mean()), float(energy.mean()))
