"""Statistics of what a clip shows, by which drawn effects are told apart: from frames and the still picture alone."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.pocket.measure import flow, texture
from pipeline.types import Pixels

Planes = npt.NDArray[np.float32]
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Frames by their number at 16 a second: three seconds from the sixth on, when stars by day have come out, eight a
# second; and those of twenty seconds by which light is seen to come back.
CLOSELY, LONG = range(96, 144, 2), range(0, 313, 24)
WATCHED = tuple(sorted({*CLOSELY, *LONG}))
# How far specks are looked for an eighth of a second later, px of a half-size frame.
REACH = 12
# Of what trembles by less than this (px) nobody says how quick it is.
STEADY = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Half-size frames: the still picture ``[h, w, 3]``, those of CLOSELY and those of LONG, ``[T, h, w, 3]``."""

    rest: Planes
    closely: Planes
    long: Planes


def clip(picture: Pixels, frames: dict[int, Pixels]) -> Clip:
    """A clip of a picture and of frames by their number, of which WATCHED are used, ``uint8 [H, W, 3]``."""
    closely, long = (np.stack([_half(frames[n]) for n in numbers]) for numbers in (CLOSELY, LONG))
    return Clip(_half(picture), closely, long)


def statistics(seen: Clip) -> dict[str, float]:
    """All statistics of a clip by their name; 0, or next to it, where nothing happens."""
    return places(seen) | light(seen) | veils(seen) | specks(seen)


def _half(frame: Pixels) -> Planes:
    size = (frame.shape[1] // 2, frame.shape[0] // 2)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.float32)


def _quarter(luma: Planes) -> Pixels:
    size = (luma.shape[1] // 2, luma.shape[0] // 2)
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)


def _blurred(planes: Planes, sigma: float) -> Planes:
    parts = [cv2.GaussianBlur(np.ascontiguousarray(plane), (0, 0), sigma) for plane in planes]
    return np.asarray(np.stack(parts), np.float32)


def _fine(planes: Planes) -> Planes:
    return planes - _blurred(planes, 5)


def _most(plane: npt.NDArray[np.floating], share: float) -> float:
    return float(np.quantile(plane, share))


def _varying(planes: Planes) -> Planes:
    """What varies within seconds: dusk that falls is a bend, and is taken out."""
    t = np.linspace(-1, 1, len(planes), dtype=np.float32).reshape(-1, *[1] * (planes.ndim - 1))
    bend = t * t - (t * t).mean()
    line, curve = (planes * t).sum(0) / (t * t).sum(), (planes * bend).sum(0) / (bend * bend).sum()
    return planes - planes.mean(0) - line * t - curve * bend


def places(seen: Clip) -> dict[str, float]:
    """How places move: the frame to and fro and along, its outer parts and its middle, and against what is near them.

    ``shake`` px; ``slide`` px/s; ``outer``, ``inner``, ``apart`` root mean square growth in a quarter of a second, and
    their difference; ``pulse`` by how much the outer growth differs from time to time; ``turns`` rad. Of each place by
    itself, from where it is at rest: ``quick`` how much of its trembling changes in an eighth of a second, ``lifts``
    how much rather that goes up than down the frame; the others px.
    """
    greys = [_quarter(luma) for luma in seen.closely @ LUMA]
    window: Any = cv2.createHanningWindow(greys[0].shape[::-1], cv2.CV_32F)
    floats = [np.asarray(grey, np.float32) for grey in greys]
    steps = 4 * np.array([cv2.phaseCorrelate(a, b, window)[0] for a, b in itertools.pairwise(floats)])
    found = {
        "shake": math.sqrt(float((np.diff(steps, axis=0) ** 2).sum(1).mean())) / 2,
        "slide": 8 * float(np.hypot(*np.median(steps, axis=0))),
    }
    return found | _growth(greys) | _swing(_quarter(seen.rest @ LUMA), greys)


def _growth(greys: Sequence[Pixels]) -> dict[str, float]:
    rows, columns = greys[0].shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    x, y = x - columns / 2, y - rows / 2
    moves = np.stack([flow(a, b) for a, b in list(zip(greys, greys[2:], strict=False))[::2]])
    clear, far = texture(greys[0]) + 1e-3, np.hypot(x, y) ** 2 + 50
    outward = 4 * (moves[..., 0] * x + moves[..., 1] * y) / far
    round_ = 4 * (moves[..., 1] * x - moves[..., 0] * y) / far
    ring = np.hypot(x / x.max(), y / y.max())
    outer, inner = ((outward * part * clear).sum((1, 2)) / (part * clear).sum() for part in (ring > 0.75, ring < 0.35))
    sizes = {"outer": outer, "inner": inner, "apart": outer - inner}
    turns = abs(float(np.median((round_ * clear).sum((1, 2)) / clear.sum())))
    found = {name: math.sqrt(float((size**2).mean())) for name, size in sizes.items()}
    return found | {"pulse": _most(outer, 0.9) - _most(outer, 0.1), "turns": turns}


def _swing(rest: Pixels, greys: Sequence[Pixels]) -> dict[str, float]:
    clear = texture(rest)
    weight = np.sqrt(clear / max(float(clear.max()), 1e-6))[..., None]
    moves = 4 * weight * np.stack([flow(rest, grey, 9) for grey in greys])
    swing = moves - moves.mean(0)
    own = np.stack([_fine(swing[..., axis]) for axis in (0, 1)], -1)
    trembling, rows = np.sqrt((own**2).sum(-1).mean(0)), len(rest)
    alike, m = _alike(own[..., 0]), REACH
    size, change = (math.sqrt(float((part**2).mean())) for part in (own, np.diff(own, axis=0)))
    return {
        "tremble_low": float(np.median(trembling[rows // 2 :])),
        "tremble_high": float(np.median(trembling[: rows // 3])),
        "swing_across": math.sqrt(float((swing[..., 0] ** 2).mean())),
        "swing_along": math.sqrt(float((swing[..., 1] ** 2).mean())),
        "quick": change / (size + STEADY),
        "lifts": float(alike[m - 3 : m, m - 1 : m + 2].max() - alike[m + 1 : m + 4, m - 1 : m + 2].max()),
    }


def light(seen: Clip) -> dict[str, float]:
    """How the whole frame's light goes in twenty seconds, as logs, and how far its colours turn.

    ``fall`` and ``rise`` are the most that the light falls and rises again, ``round`` the less of both; ``warmer`` and
    ``colder`` by red over blue; ``hue`` is the mean of what colours turn by, 0..1, ``opposite`` the most that they are
    their own opposites.
    """
    long = seen.long
    luma = np.log((long @ LUMA).mean((1, 2)) + 2)
    fall = float(max((luma[n] - luma[n:]).max() for n in range(len(luma))))
    rise = float(max((luma[n:] - luma[n]).max() for n in range(len(luma))))
    red, blue = (np.log(long[..., channel].mean((1, 2)) + 2) for channel in (0, 2))
    warm, own = red - blue, _chroma(seen.rest)
    turned = np.array([(_chroma(frame) * own.conj()).sum() for frame in long])
    turned = turned / (float((np.abs(own) ** 2).sum()) + 16 * own.size)
    return {
        "fall": fall, "rise": rise, "round": min(fall, rise),
        "warmer": float((warm - warm[0]).max()), "colder": float((warm[0] - warm).max()),
        "hue": float(np.abs(turned.imag).mean()), "opposite": max(0.0, -float(turned.real.min())),
    }  # fmt: skip


def _chroma(frame: Planes) -> npt.NDArray[np.complex64]:
    luma = frame @ LUMA
    return ((frame[..., 0] - luma) + 1j * (frame[..., 2] - luma)).astype(np.complex64)


def veils(seen: Clip) -> dict[str, float]:
    """What is broad, grey levels: light that trembles by its colour, green in the upper half, veils that pale."""
    broad = np.stack([_blurred(seen.closely[..., channel], 8)[:, ::4, ::4] for channel in range(3)], -1)
    rest = np.stack([_blurred(seen.rest[None, ..., channel], 8)[0, ::4, ::4] for channel in range(3)], -1)
    trembling = np.stack([_varying(broad[..., channel]) for channel in range(3)], -1).std(0)
    red, green, blue = (_most(trembling[..., channel], 0.95) for channel in range(3))
    luma, change = broad @ LUMA, broad - rest
    quick, slow = np.abs(np.diff(luma, axis=0)).mean(0), np.abs(luma[8:] - luma[:-8]).mean(0)
    greener = np.asarray(change[..., 1] - 0.5 * (change[..., 0] + change[..., 2]), np.float32)
    half, lighter = greener.shape[1] // 2, (change @ LUMA).mean(0)
    paler = np.ptp(seen.rest, axis=-1) - np.ptp(seen.closely.mean(0), axis=-1)
    return {
        "broad_red": red, "broad_green": green, "broad_blue": blue,
        "broad_all": float(np.median(trembling @ LUMA)),
        "broad_quick": _most(quick, 0.95) / (_most(slow, 0.95) + 0.5),
        "green": max(0.0, _most(greener[:, :half], 0.97) - abs(float(np.median(greener[:, half:])))),
        "green_moves": _most(_varying(greener).std(0)[:half], 0.95),
        "paler": float(np.clip(paler, 0, None).mean()),
        "lighter": _most(lighter, 0.9), "darker": -_most(lighter, 0.1),
        "veil_moves": _most(slow, 0.9),
    }  # fmt: skip


def specks(seen: Clip) -> dict[str, float]:
    """What is fine: how strong by thirds of the frame, how sparse, bright or dark, warm; which way it goes; and bands.

    ``stay``, ``fall_specks``, ``rise_specks`` and ``side`` are correlations of what varies with itself an eighth of a
    second later, where it was, below, above and beside that; with a leading ``warm`` of red over blue.
    """
    luma = seen.closely @ LUMA
    varying = _varying(_fine(luma))
    spread, third = varying.std(0), len(seen.rest) // 3
    found = {f"fine_{n}": _most(spread[n * third : (n + 1) * third], 0.93) for n in range(3)}
    found |= {"speck": _most(spread, 0.9985), "sparse": _most(spread, 0.9985) / (_most(spread, 0.95) + 1)}
    found |= _bright(luma, seen.rest @ LUMA)
    warm = _varying(_fine(seen.closely[..., 0] - seen.closely[..., 2]))
    found |= {"warm_speck": _most(warm.std(0), 0.99)}
    found |= {"warm_share": float((np.abs(np.diff(warm, axis=0)) > 14).mean())}
    found |= _ways(varying) | {f"warm_{name.removesuffix('_specks')}": size for name, size in _ways(warm).items()}
    return found | _bands(luma[:, third:])


def _bright(luma: Planes, rest: Planes) -> dict[str, float]:
    some = luma[::2]
    change = some - np.median(some, 0)
    detail, still = _fine(change), _fine(luma[::4] - rest)
    lit = np.clip(detail - 4, 0, None)
    across, along = (
        sum(float((cv2.Sobel(plane, cv2.CV_32F, *axis) ** 2).sum()) for plane in lit) for axis in ((1, 0), (0, 1))
    )
    return {
        "bright": float(((detail > 8) & (change > 8)).mean()), "dark": float(((detail < -8) & (change < -8)).mean()),
        "bright_still": float((still > 8).mean()), "dark_still": float((still < -8).mean()),
        "upright": math.log((across + 100) / (along + 100)),
    }  # fmt: skip


def _ways(planes: Planes) -> dict[str, float]:
    clear = np.sign(planes) * np.clip(np.abs(planes) - 3, 0, 40)
    alike, m = _alike(clear), REACH
    return {
        "stay": float(alike[m - 1 : m + 2, m - 1 : m + 2].max()),
        "fall_specks": float(alike[m + 2 :, m - 6 : m + 7].max()),
        "rise_specks": float(alike[: m - 1, m - 6 : m + 7].max()),
        "side": float(max(alike[m - 1 : m + 2, : m - 1].max(), alike[m - 1 : m + 2, m + 2 :].max())),
    }


def _alike(planes: Planes) -> Planes:
    """How planes correlate with those before them, moved down and right by -REACH to REACH, ``[25, 25]``."""
    waves = np.fft.rfft2(planes)
    cross = np.fft.irfft2((waves[1:] * waves[:-1].conj()).sum(0), planes.shape[1:])
    own = float((planes * planes).sum()) * (len(planes) - 1) / len(planes) + 1e-6
    side = 2 * REACH + 1
    return np.asarray(np.roll(cross, (REACH, REACH), (0, 1))[:side, :side] / own, np.float32)


def _bands(low: Planes) -> dict[str, float]:
    """Of the lower two thirds: light in bands wider than tall, and taller than wide; how much rather they come down."""
    sizes: list[Planes] = []
    for narrow, wide in (((41, 5), (41, 61)), ((5, 41), (61, 41))):
        parts = [cv2.blur(plane, narrow) - cv2.blur(plane, wide) for plane in map(np.ascontiguousarray, low)]
        sizes.append(_varying(np.asarray(np.stack(parts), np.float32)))
    alike = _alike(sizes[0])
    down, up = alike[REACH + 2 :, REACH - 2 : REACH + 3].max(), alike[: REACH - 1, REACH - 2 : REACH + 3].max()
    bands, columns = (_most(size.std(0), 0.93) for size in sizes)
    return {"bands": bands, "columns": columns, "come": float(down - up)}
