"""How much of each drawn effect a clip shows: one number by effect, from its frames and the still picture alone.

The thresholds stand between what the picture itself gives, which is 0 or next to it, and what the effect gives at
strength 1; clips are of the third to fifth second, eight frames a second.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.pocket.measure import flow, reduced_grey, texture
from pipeline.types import Pixels

Clip = npt.NDArray[np.float32]
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# From which a clip shows an effect that shows none of those before it.
SHOWN = {
    "shake": 2.0, "hue": 0.5, "day": 0.3, "dolly": 0.012, "smoke": 30.0, "aurora": 12.0, "fire": 4.0, "waves": 5.0,
    "heat": 0.2, "stream": 2.0, "leaves": 0.008, "dust": 0.0015, "twinkle": 2.5,
}  # fmt: skip


def drawn_class(picture: Pixels, frames: Sequence[Pixels]) -> str:
    """Name the effect of a clip; the first of SHOWN that is there, ``still`` where none is."""
    return next((name for name, least in SHOWN.items() if shown(name, picture, frames) > least), "still")


def shown(name: str, picture: Pixels, frames: Sequence[Pixels]) -> float:
    """Measure an effect in frames about an eighth of a second apart, against the picture, all ``uint8 [H, W, 3]``."""
    return STATISTICS[name](picture, frames)


def _half(frame: Pixels) -> Clip:
    size = (frame.shape[1] // 2, frame.shape[0] // 2)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.float32)


def _change(picture: Pixels, frames: Sequence[Pixels]) -> Clip:
    """How halved frames differ from the picture, ``[T, h, w, 3]``."""
    rest = _half(picture)
    return np.stack([_half(frame) - rest for frame in frames])


def _blurred(planes: npt.NDArray[np.floating], sigma: float) -> Clip:
    fields = np.asarray(planes, np.float32)
    return np.stack([np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32) for plane in fields])


def _fine(planes: npt.NDArray[np.floating]) -> Clip:
    return np.asarray(planes, np.float32) - _blurred(planes, 5)


def _trembling(planes: Clip, share: float) -> float:
    """The spread over time that so much of the frame exceeds."""
    return float(np.quantile(planes.std(0), 1 - share))


def _fire(picture: Pixels, frames: Sequence[Pixels]) -> float:
    """Broad light that trembles, more red than blue."""
    change = _change(picture, frames)
    red, blue = (_blurred(change[..., channel], 6) for channel in (0, 2))
    return max(0.0, _trembling(red, 0.05) - 1.5 * _trembling(blue, 0.05))


def _twinkle(picture: Pixels, frames: Sequence[Pixels]) -> float:
    """Light that comes and goes in specks which stay where they are."""
    luma = _fine(_change(picture, frames) @ LUMA)
    still = np.abs(luma).mean(0) * (luma.std(0) / (np.abs(np.diff(luma, axis=0)).std(0) + luma.std(0) + 1e-3))
    return float(np.quantile(still, 0.9985))


def _aurora(picture: Pixels, frames: Sequence[Pixels]) -> float:
    """Green light in the upper half, broad, that changes."""
    change = _change(picture, frames)
    green = _blurred(change[..., 1] - 0.5 * (change[..., 0] + change[..., 2]), 6)
    upper = green[:, : green.shape[1] // 2]
    return float(np.quantile(upper, 0.97)) - abs(float(np.median(green[:, green.shape[1] // 2 :])))


def _leaves(picture: Pixels, frames: Sequence[Pixels]) -> float:
    """Share of specks whose colour is warmer than what is behind, and that are elsewhere a moment later."""
    change = _change(picture, frames)
    warmer = _fine(change[..., 0] - change[..., 2])
    moved = np.abs(np.diff(warmer, axis=0))
    return float(((moved > 14) & (np.abs(np.diff(_fine(change @ LUMA), axis=0)) > 5)).mean())


def _dust(picture: Pixels, frames: Sequence[Pixels]) -> float:
    """Share of specks brighter than what is behind them, less that of darker ones."""
    luma = _fine(_change(picture, frames) @ LUMA)
    return float((luma > 8).mean() - 1.5 * (luma < -8).mean())


def _smoke(picture: Pixels, frames: Sequence[Pixels]) -> float:
    """Broad grey veils: what loses its contrast and changes slowly."""
    rest = _half(picture)
    change = _blurred(np.abs(_change(picture, frames)).mean(-1), 8)
    greyed = np.stack([np.ptp(_half(frame), axis=-1) for frame in frames]).mean(0) - np.ptp(rest, axis=-1)
    coloured = float(np.clip(-greyed, 0, None).mean())
    return min(float(np.quantile(change, 0.9)), 4 * coloured + 0.2 * float(change.std(0).mean()))


def _moves(picture: Pixels, frames: Sequence[Pixels]) -> Clip:
    """Flow of each frame from the picture, units of the full frame, as textured as that is; ``[T, h, w, 2]``."""
    rest = reduced_grey(picture)
    scale = picture.shape[1] / rest.shape[1]
    weight = np.sqrt(texture(rest) / max(float(texture(rest).max()), 1e-6))[..., None]
    return np.stack([flow(rest, reduced_grey(frame), 9) for frame in frames]) * weight * scale


def _heat(picture: Pixels, frames: Sequence[Pixels]) -> float:
    """Trembling of places against what is close around, in the lower half of the frame."""
    moves = _moves(picture, frames)
    moves = moves[:, moves.shape[1] // 2 :]
    own = np.stack([_fine(moves[..., axis]) for axis in (0, 1)], -1)
    return float(np.median(np.sqrt(((own - own.mean(0)) ** 2).sum(-1).mean(0))))


def _lower(picture: Pixels, frames: Sequence[Pixels]) -> Clip:
    luma = _change(picture, frames) @ LUMA
    return luma[:, luma.shape[1] // 3 :]


def _stream(picture: Pixels, frames: Sequence[Pixels]) -> float:
    """Fine light in the lower part that changes from moment to moment, more than in the upper."""
    luma = _fine(_change(picture, frames) @ LUMA)
    steps, third = np.abs(np.diff(luma, axis=0)).mean(0), luma.shape[1] // 3
    return float(np.quantile(steps[third:], 0.93) - 2 * np.quantile(steps[:third], 0.93))


def _waves(picture: Pixels, frames: Sequence[Pixels]) -> float:
    """Broad bands of light in the lower part, wider than tall, that go."""
    luma = _lower(picture, frames)
    bands = np.stack([cv2.blur(plane, (41, 5)) - cv2.blur(plane, (41, 61)) for plane in luma])
    return _trembling(np.asarray(bands, np.float32), 0.07)


def _day(picture: Pixels, frames: Sequence[Pixels]) -> float:
    """The range of the mean log light."""
    means = [math.log(float((_half(frame) @ LUMA).mean()) + 2) for frame in frames]
    return max(means) - min(means)


def _hue(picture: Pixels, frames: Sequence[Pixels]) -> float:
    """How far colours have turned (radians at most), where there are any, less how far light has changed."""
    rest = _half(picture)

    def chroma(frame: Clip) -> npt.NDArray[np.complex64]:
        luma = frame @ LUMA
        return ((frame[..., 0] - luma) + 1j * (frame[..., 2] - luma)).astype(np.complex64)

    still = chroma(rest)
    turns = [abs(float(np.angle((chroma(_half(frame)) * still.conj()).sum()))) for frame in frames]
    return max(turns) - 2 * _day(picture, frames)


def _shake(picture: Pixels, frames: Sequence[Pixels]) -> float:
    """How far the frame as a whole goes to and fro, px."""
    small = [np.asarray(reduced_grey(frame), np.float32) for frame in frames]
    scale = picture.shape[1] / small[0].shape[1]
    window: Any = cv2.createHanningWindow(small[0].shape[::-1], cv2.CV_32F)
    steps = np.array([cv2.phaseCorrelate(a, b, window)[0] for a, b in itertools.pairwise(small)]) * scale
    return float(np.sqrt((np.diff(steps, axis=0) ** 2).sum(1).mean()) / 2)


def _dolly(picture: Pixels, frames: Sequence[Pixels]) -> float:
    """How much the frame's outer parts have grown about its middle, as a log, more than what stays."""
    moves = _moves(picture, frames)
    rows, columns = moves.shape[1:3]
    scale = picture.shape[1] / columns
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    x, y = (x - columns / 2) * scale, (y - rows / 2) * scale
    outward = (moves[..., 0] * x + moves[..., 1] * y) / (np.hypot(x, y) ** 2 + 1e3)
    outer = np.hypot(x / x.max(), y / y.max()) > 0.75
    return float(np.max([np.abs(np.mean(one[outer])) for one in outward]))


STATISTICS: dict[str, Callable[[Pixels, Sequence[Pixels]], float]] = {
    "fire": _fire, "twinkle": _twinkle, "aurora": _aurora, "leaves": _leaves, "smoke": _smoke, "dust": _dust,
    "heat": _heat, "stream": _stream, "waves": _waves, "day": _day, "hue": _hue, "shake": _shake, "dolly": _dolly,
}  # fmt: skip
