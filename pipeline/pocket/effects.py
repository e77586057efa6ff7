"""Which effect a clip shows: statistics of its frames against the still picture, and one documented rule.

The thresholds were fixed on the truth's own renders over training pictures, before any model was measured
(``python -m pipeline.pocket.evaluate PICTURES --truth`` prints how well the rule reads the truth).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.pocket.measure import REDUCTION, Plane, flow, reduced_grey, texture
from pipeline.types import Pixels

HALF = 2
# Of light, in px of a reduced frame: coarser than anything that swings.
LIT_PX = 12.0
SWINGS = ("breathe", "ripple", "sway")
# A blur in px of a reduced frame that leaves of a swing what is broad.
BROAD = 6.0
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True)
class Reading:
    """Statistics of a clip; lengths in px of the full frame.

    Attributes:
        gain: mean log ratio of the temporal median to the picture, red, green, blue.
        slope, offset: the straight line from the picture's luma to the median's.
        bright, dark: share of places and times with fine detail brighter, darker than the median by 8 levels.
        upright: gradient energy of bright detail across over along the frame; 1 for dots, large for streaks.
        steady: mean velocity less its spread over time (px/s), which a thirtieth of the frame exceeds.
        across, along: how far places swing sideways and up and down, root mean square over what can be seen.
        broad: share of the swing's energy that is broader than about 50 px: leaves lean in patches, ripples are fine.
        travel: second over first principal size of the swing in time, of the tenth of places that swing most; 0 for
            what breathes in one piece, 1 for waves.
    """

    gain: tuple[float, float, float]
    slope: float
    offset: float
    bright: float
    dark: float
    upright: float
    steady: float
    across: float
    along: float
    broad: float
    travel: float


def read(picture: Pixels, frames: Sequence[Pixels], fps: float) -> Reading:
    """Read a clip of an effect at its full strength, with the camera at rest.

    Args:
        picture: the still picture, ``uint8 [H, W, 3]``.
        frames: about three seconds, eight a second or so.
        fps: their rate.
    """
    small = np.stack([_half(f) for f in frames])
    median = np.median(small, 0)
    gain, slope, offset = _light(_half(picture), median)
    bright, dark, upright = _particles(small @ LUMA - median @ LUMA)
    rest, greys = reduced_grey(picture), [reduced_grey(f) for f in frames]
    swing = _swing(rest, _as_lit(rest, greys))
    return Reading(gain, slope, offset, bright, dark, upright, _steady(greys, fps), *swing)


def effect_class(reading: Reading) -> str:
    """Name the effect; the first line that holds decides, ``still`` when none does."""
    return next(name for name, holds in _rules(reading).items() if holds)


def shows(name: str, reading: Reading) -> bool:
    """Whether a clip shows an effect, whatever else it shows: its own line holds, of the swings before the others'."""
    rules = _rules(reading)
    if name in SWINGS:
        return next(swing for swing in ("still", *SWINGS) if rules[swing]) == name
    return rules[name] and not (name == "snow" and rules["rain"])


def _rules(r: Reading) -> dict[str, bool]:
    luma = float(np.dot(r.gain, LUMA))
    tint = r.gain[0] - r.gain[2]
    particles = r.bright - r.dark > 0.008 and r.bright > 2.5 * r.dark
    return {
        "rain": particles and r.upright > 3,
        "snow": particles,
        "fog": r.offset > 20 and r.slope < 0.88,
        "night": luma < -0.16,
        "warm": tint > 0.1,
        "cold": tint < -0.1,
        "clouds": r.steady > 0.6,
        "still": math.hypot(r.across, r.along) < 0.08,
        "breathe": r.travel < 0.25,
        "ripple": r.broad < 0.6,
        "sway": True,
    }


def level(name: str, picture: Pixels, before: Pixels, frame: Pixels) -> float:
    """How much of an effect one frame shows, in units of its own; ``before`` is a frame a quarter second earlier."""
    if name in ("sway", "ripple", "breathe", "clouds"):
        old = reduced_grey(before if name == "clouds" else picture)
        move = flow(old, reduced_grey(frame), 15 if name == "clouds" else 9)
        return math.sqrt(float(np.average((move**2).sum(-1), weights=texture(old) + 1e-6)))
    now, rest = _half(frame), _half(picture)
    if name in ("rain", "snow"):
        return float(np.clip(fine((now - rest) @ LUMA), 0, None).mean())
    if name == "fog":
        return float(np.polyfit((rest @ LUMA).ravel(), (now @ LUMA).ravel(), 1)[1])
    gain = np.log((now + 4) / (rest + 4)).mean((0, 1))
    return float({"night": -(gain @ LUMA), "warm": gain[0] - gain[2], "cold": gain[2] - gain[0]}[name])


def _half(frame: Pixels) -> Plane:
    size = (frame.shape[1] // HALF, frame.shape[0] // HALF)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.float32)


def fine(plane: npt.NDArray[np.floating]) -> Plane:
    """What of a half-size plane is finer than about 12 px of the full frame."""
    plane = np.asarray(plane, np.float32)
    return plane - np.asarray(cv2.GaussianBlur(plane, (0, 0), 6), np.float32)


def _particles(change: npt.NDArray[np.floating]) -> tuple[float, float, float]:
    """Shares of bright and dark fine detail in changes ``[T, h, w]``, and how upright the bright is."""
    details = [fine(c) for c in change]
    # Beside a bright speck its own blur leaves a dark ring, which did not get darker.
    pairs = list(zip(details, change, strict=True))
    bright, dark = (float(np.mean([((s * d > 8) & (s * c > 8)).mean() for d, c in pairs])) for s in (1, -1))
    lit = [np.clip(d - 4, 0, None) for d in details]
    sides = [sum(float((cv2.Sobel(d, cv2.CV_32F, *axis) ** 2).sum()) for d in lit) for axis in ((1, 0), (0, 1))]
    return bright, dark, sides[0] / max(sides[1], 1e-6)


def _steady(greys: list[Pixels], fps: float) -> float:
    # A quarter of a second is long enough to see 5 px, and short against the cross-fade of an endless flow.
    step = max(1, round(fps / 4))
    pairs = [flow(a, b) for a, b in zip(greys, greys[step:], strict=False)]
    mean, spread = np.mean(pairs, 0), np.std(pairs, 0)
    surely = np.linalg.norm(mean, axis=-1) - np.linalg.norm(spread, axis=-1)
    return float(np.quantile(surely, 1 - 1 / 30)) * REDUCTION * fps / step


def _light(picture: Plane, median: Plane) -> tuple[tuple[float, float, float], float, float]:
    """Mean log gain, slope and offset between half-size frames, so coarse that what moves a little plays no part."""
    coarse = [_coarse(plane) for plane in (picture, median)]
    rest, now = (plane.reshape(-1, 3) for plane in coarse)
    fair = ((rest > 12) & (rest < 243)).all(-1)
    gain = np.log((now + 4) / (rest + 4))[fair if fair.any() else ...].mean(0)
    slope, offset = np.polyfit(rest @ LUMA, now @ LUMA, 1)
    return (float(gain[0]), float(gain[1]), float(gain[2])), float(slope), float(offset)


def _coarse(plane: Plane) -> Plane:
    blocks = cv2.resize(plane, (plane.shape[1] // 8, plane.shape[0] // 8), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(blocks, (0, 0), 1.5), np.float32)


def _as_lit(rest: Pixels, greys: list[Pixels]) -> list[Pixels]:
    """Frames in the picture's own light, which flow takes for granted: of a ripple by night it saw the night alone."""
    median = np.median(np.stack(greys), 0)
    was, now = (cv2.GaussianBlur(np.asarray(plane, np.float32), (0, 0), LIT_PX) + 2 for plane in (rest, median))
    return [np.asarray(np.clip(grey * (was / now), 0, 255).round(), np.uint8) for grey in greys]


def _swing(rest: Pixels, greys: list[Pixels]) -> tuple[float, float, float, float]:
    """Swing across and along, how broad it is, and how much it travels."""
    seen = texture(rest)[..., None]
    moves = np.stack([flow(rest, g, 9) for g in greys]) * REDUCTION
    swing = moves - moves.mean(0)
    energy = (swing**2).sum(0) * seen
    across, along = (math.sqrt(float(energy[..., i].sum() / max(seen.sum(), 1e-6)) / len(greys)) for i in (0, 1))
    blurred = np.stack([np.asarray(cv2.GaussianBlur(np.ascontiguousarray(one), (0, 0), BROAD)) for one in swing])
    broad = float((blurred**2 * seen).sum() / max(float(energy.sum()), 1e-6))
    most = energy.sum(-1) >= np.quantile(energy.sum(-1), 0.9)
    rows = (swing * np.sqrt(seen))[:, most].reshape(len(greys), -1)
    sizes = np.sqrt(np.clip(np.linalg.eigvalsh(rows @ rows.T), 0, None))
    return across, along, broad, float(sizes[-2] / max(sizes[-1], 1e-6))
