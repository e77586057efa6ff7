"""Does motion live: the same prompt over the same picture under several seeds, read from rendered frames.

Flow is measured between frames a latent apart, on the probe (even noise in place of the picture, so that it can be
seen everywhere), where the hand-drawn labels say that the layer is. Seeds differ when their flows do not correlate at
equal strength; the noise moves something when its absence is seen; a spectrum is near the truth's or it is not.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.pocket.labels import Mask, label
from pipeline.pocket.language import Prompt
from pipeline.pocket.latents import LATENTS_PER_SECOND
from pipeline.pocket.measure import RADIUS_PX, REDUCTION, flow, reduced_grey
from pipeline.pocket.takes import FPS, FRAMES_PER_LATENT, Player, Script, Take, script
from pipeline.types import Pixels

# Flow is averaged over blocks of so many px of the frame: as fine as the fields are.
BLOCK = 16
Course = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Bars:
    """Most correlation between seeds, most spread of strength, and what the absence of noise must cost."""

    correlation: float
    spread: float
    silent_strength: float
    silent_db: float


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "motion.toml").read_text(encoding="utf-8"))


def bars() -> Bars:
    """The bars, fixed before training."""
    return Bars(*(float(_data()[name]) for name in ("correlation", "spread", "silent_strength", "silent_db")))


def plan() -> list[tuple[str, str]]:
    """Every wish with its pictures."""
    return [(name, picture) for name, wish in _data()["wishes"].items() for picture in wish["pictures"]]


def judge(players: tuple[Player, Player], image: Pixels, wish: str, pair: tuple[Prompt, str]) -> dict[str, Any]:
    """Play a prompt under every seed, then without noise.

    Args:
        players: the model's and the truth's.
        image: the picture ``uint8 [H, W, 3]``.
        wish: the wish's name.
        pair: its prompt, and the picture's name.

    Returns:
        Mean correlation of two seeds, strength (px/s) and its spread over seeds, count of modes, dB from the truth's
        spectrum; the same without noise (``silent_``).
    """
    player, truth = players
    prompt, picture = pair
    layer = _data()["wishes"][wish]["layer"]
    where = label(picture).layer(layer) if layer else None
    asked = _asked(prompt)

    def courses(by: Player, *scripts: Script) -> list[Course]:
        return [course(by.play(image, one), where) for one in scripts]

    seeds = courses(player, *(replace(asked, seed=seed) for seed in _data()["seeds"]))
    wanted = spectrum(courses(truth, *(replace(asked, seed=seed) for seed in _data()["truth_seeds"])))
    silent = courses(player, replace(asked, noise=0.0))
    result = _read(seeds, wanted) | {f"silent_{k}": v for k, v in _read(silent, wanted).items()}
    # Of one seed there is nothing to compare.
    del result["silent_correlation"], result["silent_spread"]
    return result | {"spectrum": [round(float(v), 4) for v in spectrum(seeds)]}


def judge_steps(players: tuple[Player, Player], image: Pixels, wish: str, pair: tuple[Prompt, str]) -> dict[str, Any]:
    """Play a prompt as :func:`judge` does with one step, and with two, or as many as are shipped.

    Returns:
        ``one_db`` and ``more_db`` from the truth's spectrum, and how many steps are shipped.
    """
    player, truth = players
    prompt, picture = pair
    layer = _data()["wishes"][wish]["layer"]
    where, asked = label(picture).layer(layer) if layer else None, _asked(prompt)
    by_truth = [truth.play(image, replace(asked, seed=seed)) for seed in _data()["truth_seeds"]]
    wanted = spectrum([course(take, where) for take in by_truth])

    def from_truth(steps: int) -> float:
        scripts = [replace(asked, seed=seed, steps=steps) for seed in _data()["seeds"][:4]]
        return distance(spectrum([course(player.play(image, one), where) for one in scripts]), wanted)

    return {"one_db": from_truth(1), "more_db": from_truth(max(2, player.steps)), "shipped": player.steps}


def _asked(prompt: Prompt) -> Script:
    begin, seconds = float(_data()["from_s"]), float(_data()["seconds"])
    frames = range(round(begin * FPS), round((begin + seconds) * FPS) + 1, FRAMES_PER_LATENT)
    return replace(script((0, prompt), seconds=begin + seconds + 0.25, frames=frames), probe=True)


def _read(seeds: Sequence[Course], wanted: Course) -> dict[str, Any]:
    sizes = [strength(one) for one in seeds]
    return {
        "correlation": round(float(np.mean([correlation(a, b) for a, b in combinations(seeds, 2)] or [1.0])), 3),
        "strength": round(float(np.mean(sizes)), 2),
        "spread": round(float(np.std(sizes) / max(float(np.mean(sizes)), 1e-6)), 3),
        "modes": round(float(np.mean([modes(one) for one in seeds])), 2),
        "db": distance(spectrum(seeds), wanted),
    }


def course(take: Take, where: Mask | None) -> Course:
    """Velocities in px/s, ``float32 [T, 2, places]``: of the flow where a mask ``[480, 832]`` is, or of the camera."""
    if where is None:
        return _camera(take)
    greys = [reduced_grey(frame) for frame in take.probed[1:]]
    size = (where.shape[1] // BLOCK, where.shape[0] // BLOCK)
    inside = cv2.resize(where, size, interpolation=cv2.INTER_AREA) > 0.7
    moves = [cv2.resize(flow(a, b), size, interpolation=cv2.INTER_AREA)[inside].T for a, b in pairwise(greys)]
    return np.asarray(np.stack(moves) * (REDUCTION * LATENTS_PER_SECOND), np.float32)


def _camera(take: Take) -> Course:
    first, last = (round(s * FPS) for s in (_data()["from_s"], _data()["from_s"] + _data()["seconds"]))
    poses = take.poses[first : last + 1 : FRAMES_PER_LATENT]
    rows = np.array([[p.x, p.y, RADIUS_PX * p.zoom, RADIUS_PX * p.roll] for p in poses])
    return np.asarray(np.diff(rows, axis=0)[:, :, None] * LATENTS_PER_SECOND, np.float32)


def correlation(one: Course, other: Course) -> float:
    """Pearson's correlation over places and times, each component's mean taken out; 0 where one does not move."""
    a, b = (c - c.mean((0, 2), keepdims=True) for c in (one, other))
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size > 1e-6 else 0.0


def strength(one: Course) -> float:
    """Root mean square speed, px/s."""
    return float(np.sqrt((one**2).sum(1).mean()))


def modes(one: Course) -> float:
    """How many patterns in time a motion is made of: the exponential of the entropy of their energies.

    >>> t = np.arange(8)[:, None, None] * np.pi / 4
    >>> round(modes(np.float32(np.cos(t) * np.ones((8, 2, 3)))), 3)
    1.0
    """
    rows = one.reshape(len(one), -1)
    energy = np.clip(np.linalg.eigvalsh(rows @ rows.T), 0, None)
    shares = energy / max(float(energy.sum()), 1e-9)
    return float(np.exp(-(shares * np.log(shares + 1e-12)).sum()))


def spectrum(seeds: Sequence[Course]) -> Course:
    """Amplitude by frequency, ``float32 [T / 2 + 1]`` from 0 to 2 Hz, px/s: root mean square over places and seeds."""
    power = [np.abs(np.fft.rfft(one, axis=0) / len(one)) ** 2 for one in seeds]
    return np.asarray(np.sqrt(np.mean([p.sum(1).mean(-1) for p in power], axis=0)), np.float32)


def distance(one: Course, wanted: Course) -> float:
    """Mean distance of two spectra in dB, bands of two frequencies; what is under 0.2 px/s is as good as nothing."""
    bands = [np.sqrt(np.add.reduceat(s**2, np.arange(0, len(s), 2))) for s in (one, wanted)]
    a, b = (20 * np.log10(np.hypot(band, 0.2)) for band in bands)
    return round(float(np.abs(a - b).mean()), 2)


def verdicts(results: Sequence[dict[str, Any]]) -> dict[str, bool]:
    """Which bars the results of all trials meet together."""
    found = bars()
    return {
        "differs by seed": all(r["correlation"] <= found.correlation for r in results),
        "equally strong": all(r["spread"] <= found.spread for r in results),
        "the noise moves it": all(
            r["silent_strength"] <= found.silent_strength * r["strength"] or r["silent_db"] >= r["db"] + found.silent_db
            for r in results
        ),
    }


def steps_earn_their_cost(results: Sequence[dict[str, Any]]) -> bool:
    """Whether one step is shipped, or as many as are shipped are nearer to the truth than one."""
    better = float(np.mean([r["one_db"] - r["more_db"] for r in results]))
    return all(r["shipped"] == 1 for r in results) or better > 0
