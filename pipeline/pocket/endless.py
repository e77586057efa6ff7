"""Whether a stream can go on for ever: an hour of a wish, of which windows of two seconds are rendered.

The transformer, its state, chance and the camera run through all of it, as they do live; what they come to is read
at every latent, pixels in the windows alone. An hour takes a core about half of one.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from pipeline.pocket.language import DEFAULT_REGION, Effect, Intents, Prompt
from pipeline.pocket.latents import LATENTS_PER_SECOND
from pipeline.pocket.likeness import likeness
from pipeline.pocket.measure import LOOKS, Plane, look, reduced_grey
from pipeline.pocket.pose import Pose, outside_share
from pipeline.pocket.seen_picture import view
from pipeline.pocket.sparse import STRENGTHS
from pipeline.pocket.takes import FPS, Player, Script, Take, script
from pipeline.pocket.view import HEIGHT, NOMINAL, WIDTH
from pipeline.types import Pixels

# The first window is taken when what was asked for has come in full: rain wets the ground for ten seconds and more.
WINDOWS, WINDOW_S, FROM_S, COME_S, SOON_S = 8, 2.0, 4.0, 24.0, 300.0
# A look is taken of each so many frames of a window.
LOOK_EVERY = 8
# What changes is told of looks over a minute, so far apart: clouds under rain are by chance 6 % more or less colourful
# from one to the next (standard deviation), and a camera sees one place and another.
LOOK_S, LOOKED_S = 4.0, 60.0
# A first swing may show more than the later ones: it obeys at once, and runs its time.
SETTLED_S = 12.0
# Grey levels by which a frame, or a block of it, may always differ from the one before.
FLOOR, BLOCK_FLOOR, BLOCK = 0.1, 1.0, 15
# Steps from one frame to the next, before and after one, that are close around it.
AROUND = 3
# Strengths under which nothing was asked for.
ASKED = 0.02
# How much luma, contrast and saturation may change after five minutes and at the end; the largest share of a frame from
# outside the picture once settled; the largest difference of neighbouring frames, of the whole and of a block, against
# others; the largest change of a corner's step in px; how much a flow's sharpness may come and go.
BARS = {"soon": 0.01, "late": 0.05, "outside": 0.05, "jump": 2.0, "block_jump": 4.0, "hitch_px": 1.0, "pulse": 0.1}
# Least structural similarity to the picture, and the bounds of its sharpness, where nothing but the camera changes it.
LIKE, SHARP = 0.96, (0.92, 1.10)

WISHES = {
    "still": Prompt("the camera stays still", Intents("still")),
    "pan": Prompt("the camera pans left", Intents("pan_left")),
    "tilt": Prompt("the camera tilts up", Intents("tilt_up")),
    "zoom_in": Prompt("the camera zooms in", Intents("zoom_in")),
    "zoom_out": Prompt("the camera zooms out", Intents("zoom_out")),
    "roll": Prompt("rotate the picture clockwise", Intents("roll_cw")),
    "clouds": Prompt("the clouds drift by", Intents("none", 1.0, (Effect("clouds", DEFAULT_REGION["clouds"]),))),
    "ripple": Prompt("ripples on the water", Intents("none", 1.0, (Effect("ripple", DEFAULT_REGION["ripple"]),))),
    "both": Prompt(
        "the camera pans left, the clouds drift by, rain falls",
        Intents("pan_left", 1.0, tuple(Effect(name, DEFAULT_REGION[name]) for name in ("clouds", "rain"))),
    ),
}
# Pictures with a sky or water where that moves.
PICTURES = {"clouds": "001", "ripple": "023", "both": "016"}
ELSEWHERE = ("022", "025", "007", "013", "018", "006")


def plan() -> list[tuple[str, str]]:
    """Pairs of a wish and a picture.

    >>> plan()[0]
    ('still', '022')
    """
    others = iter(ELSEWHERE)
    return [(wish, PICTURES[wish] if wish in PICTURES else next(others)) for wish in WISHES]


def starts(seconds: float) -> list[float]:
    """Seconds at which the windows begin: early, after five minutes, and evenly spread to the end.

    >>> starts(3600)[:2], starts(3600)[-1], len(starts(3600)), starts(20)[-1]
    ([24.0, 300.0], 3598.0, 8, 18.0)
    """
    come = min(COME_S, seconds / 4)
    first = [come, SOON_S] if seconds > 2 * SOON_S else [come]
    count = min(WINDOWS, max(2, int((seconds - come) / WINDOW_S))) - len(first)
    last = seconds - WINDOW_S
    return first + [round(first[-1] + (last - first[-1]) * (n + 1) / count) for n in range(count - 1)] + [last]


def looked_at(seconds: float) -> list[range]:
    """Frames by which the look is told: of the minute that begins with the first window, the second, and the last.

    Of a short take a quarter is a minute; there are two then.

    >>> [(frames[0] / FPS, frames[-1] / FPS, len(frames)) for frames in looked_at(3600)]
    [(24.0, 80.0, 15), (300.0, 356.0, 15), (3540.0, 3596.0, 15)]
    >>> [(frames[0] / FPS, frames[-1] / FPS) for frames in looked_at(20)]
    [(5.0, 9.0), (15.0, 19.0)]
    """
    span = min(LOOKED_S, seconds / 4)
    begins = [min(COME_S, seconds / 4), seconds - span]
    if seconds > 2 * SOON_S:
        begins.insert(1, SOON_S)
    return [range(round(b * FPS), round((b + span) * FPS), round(LOOK_S * FPS)) for b in begins]


def scripted(wish: str, seconds: float) -> Script:
    """The script of a wish, with the frames of the windows and those by which the look is told."""
    frames = [round(start * FPS) + n for start in starts(seconds) for n in range(round(WINDOW_S * FPS))]
    frames += [frame for minute in looked_at(seconds) for frame in minute]
    return script((0, WISHES[wish]), seconds=seconds, frames=frames)


def judge(player: Player, image: Pixels, wish: str, seconds: float) -> dict[str, Any]:
    """Play a wish for so many seconds over a picture; plain numbers for :func:`verdicts` and the table."""
    return read(player.play(image, scripted(wish, seconds)), seconds)


def read(take: Take, seconds: float) -> dict[str, Any]:
    """Read a take of :func:`scripted`."""
    length = round(WINDOW_S * FPS)
    windows = [range(round(s * FPS), round(s * FPS) + length) for s in starts(seconds)]
    grey = [[reduced_grey(take.frames[f]).astype(np.float32) for f in window] for window in windows]
    early, *soon, late = [_look(take, minute) for minute in looked_at(seconds)]
    result: dict[str, Any] = {"soon": _change(early, soon[0]) if soon else None}
    if max(max(row[1:]) for row in take.strengths) < ASKED:
        # Where nothing but the camera moves, the picture itself is to be seen.
        result["like"] = round(min(likeness(take, window[::LOOK_EVERY]) for window in windows), 4)
        looks = [_look(take, window[::LOOK_EVERY]) for window in windows]
        result["sharp"] = [round(f(one[LOOKS.index("sharpness")] for one in looks), 3) for f in (min, max)]
    return result | {
        "late": _change(early, late),
        "speed": paces(take.strengths),
        "jump": round(max(jump(g) for g in grey), 2),
        "block_jump": round(max(map(block_jump, grey)), 2) if _rests(take) else 0.0,
        "hitch_px": round(hitch(take.poses), 3),
        "pulse": round(max(_pulse(take, window) for window in windows), 3),
        "outside": outside(take.poses),
        "chunk_ms": round(float(np.median(take.chunk_ms or [0.0])), 2),
    }


def _rests(take: Take) -> bool:
    """Whether the camera does: where it moves, an edge that comes into a block says nothing."""
    return max(row[STRENGTHS.index("camera")] for row in take.strengths) < ASKED


def _look(take: Take, frames: range) -> list[float]:
    """The mean look of some frames against the same picture from the same pose."""
    ratios = [look(take.frames[f]).against(look(view(take.canvas, take.poses[f]))).values() for f in frames]
    return np.mean(ratios, axis=0).tolist()


def _change(early: Sequence[float], late: Sequence[float]) -> list[float]:
    return [round(b / a - 1, 4) for a, b in zip(early, late, strict=True)]


def paces(strengths: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """Of each strength that was asked for: its mean, its change after five minutes and at the end, its waver.

    Means are of a minute (of a quarter of the take where that is less) after FROM_S. The change after five minutes is
    of the fifth against the first, that at the end of a straight line through all. The waver of each, as a share, is
    what chance does, beside which a change says nothing: the standard deviation of the means about the line, and of the
    line's own change.
    """
    rows = np.asarray(strengths)[round(FROM_S * LATENTS_PER_SECOND) :]
    span = min(60 * LATENTS_PER_SECOND, len(rows) // 4)
    means = rows[: len(rows) // span * span].reshape(-1, span, rows.shape[1]).mean(1)
    told: dict[str, list[float]] = {}
    for name, column in zip(STRENGTHS, means.T, strict=True):
        mean = column.mean()
        if mean > ASKED:
            soon = column[min(4, len(column) - 1)] / column[0] - 1
            change, waver, of_change = _trend(column)
            told[name] = [round(float(v), 4) for v in (mean, soon, change / mean, waver / mean, of_change / mean)]
    return told


def _trend(series: np.ndarray) -> tuple[float, float, float]:
    """How much a straight line through a series changes from its begin to its end; standard deviations: of the series
    about the line, and of that change.

    >>> [round(v, 6) for v in _trend(np.array([1.0, 1.5, 2.0, 2.5]))]
    [1.5, 0.0, 0.0]
    """
    count = len(series)
    at = np.linspace(-0.5, 0.5, count)
    change = float((at @ series) / (at @ at))
    rest = series - series.mean() - change * at
    waver = math.sqrt(float(rest @ rest) / max(1, count - 2))
    return change, waver, waver / math.sqrt(float(at @ at))


def jump(frames: Sequence[Plane]) -> float:
    """The largest difference between neighbouring frames against the median of those close around it.

    A camera that slows down and turns makes small differences and large ones, and no jump.

    >>> ramp = [np.full((30, 30), n, np.float32) for n in range(9)]
    >>> jump(ramp), jump([*ramp, ramp[0]])
    (1.0, 8.0)
    """
    steps = np.array([np.abs(b - a).mean() for a, b in itertools.pairwise(frames)])
    around = [np.median(steps[max(0, n - AROUND) : n + AROUND + 1]) for n in range(len(steps))]
    return float((steps / np.maximum(FLOOR, around)).max())


def block_jump(frames: Sequence[Plane]) -> float:
    """The same of the block of 60 px of the frame in which it is largest."""
    steps = np.stack([_blocks(np.abs(b - a)) for a, b in itertools.pairwise(frames)])
    return float((steps.max(0) / np.maximum(BLOCK_FLOOR, np.median(steps, axis=0))).max())


def _blocks(plane: Plane) -> Plane:
    size = max(1, plane.shape[1] // BLOCK), max(1, plane.shape[0] // BLOCK)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def hitch(poses: Sequence[Pose]) -> float:
    """The largest change, from one frame to the next, of the way that a corner of the view goes in a frame, in px.

    >>> round(hitch([Pose(x=2.0 * n) for n in range(8)]), 6), hitch([Pose(), Pose(), Pose(x=9.0)])
    (0.0, 9.0)
    """
    x = np.array([(p.x, p.y, p.zoom, p.roll) for p in poses])
    scale, (across, down) = np.exp(-x[:, 2]), (WIDTH / 2, HEIGHT / 2)
    corners = [
        (x[:, 0] + 1j * -x[:, 1]) + scale * np.exp(1j * x[:, 3]) * complex(sx * across, -sy * down)
        for sx, sy in ((-1, -1), (1, 1))
    ]
    return max(float(np.abs(np.diff(corner, 2)).max(initial=0.0)) for corner in corners)


def _pulse(take: Take, window: range) -> float:
    """How much of a flow's sharpness comes and goes within a window, as a share; 0 where the sky does not flow."""
    flows = np.asarray(take.strengths)[window.start // 4 : window.stop // 4]
    if flows[:, STRENGTHS.index("flow")].mean() < ASKED or flows[:, STRENGTHS.index("camera")].max() > ASKED:
        return 0.0
    sky = take.canvas.sky[0, 0].numpy()
    rows, columns = ((s - n) // 2 for s, n in zip(sky.shape, (HEIGHT // 2, WIDTH // 2), strict=True))
    inside = cv2.resize(sky[rows : rows + HEIGHT // 2, columns : columns + WIDTH // 2], (WIDTH, HEIGHT)) > 0.95
    inside = cv2.erode(inside.astype(np.uint8), np.ones((9, 9), np.uint8))[1:, 1:] > 0
    if inside.mean() < 0.02:
        return 0.0
    return pulse([_energy(take.frames[f], inside) for f in window])


def _energy(frame: Pixels, inside: np.ndarray) -> float:
    """Root mean square gradient over a mask ``[H - 1, W - 1]``."""
    grey = reduced_grey(frame, 1).astype(np.float32)
    squares = np.diff(grey, axis=0)[:, 1:] ** 2 + np.diff(grey, axis=1)[1:] ** 2
    return math.sqrt(float(squares[inside].mean()))


def pulse(series: Sequence[float]) -> float:
    """How far a series comes and goes about its own straight line, as a share of its mean.

    >>> pulse([1.0, 2.0, 3.0, 4.0]), round(pulse([1.0, 1.2, 1.0, 0.8] * 4), 1)
    (0.0, 0.4)
    """
    values, at = np.asarray(series), np.arange(len(series))
    rest = values - np.polyval(np.polyfit(at, values, 1), at)
    return round(float((rest.max() - rest.min()) / values.mean()), 6)


def outside(poses: Sequence[Pose]) -> list[float]:
    """Shares of a frame outside the picture: the largest, the largest once settled, the mean."""
    shares = [outside_share(pose, NOMINAL) for pose in poses[::2]]
    settled = shares[round(SETTLED_S * FPS / 2) :]
    return [round(v, 4) for v in (max(shares), max(settled, default=0.0), float(np.mean(shares)))]


def verdicts(result: dict[str, Any]) -> dict[str, bool]:
    """Which bars a result meets.

    A speed meets its bar where chance alone, twice what it does to that speed, says as much.
    """
    met = {bar: result[bar] <= most for bar, most in BARS.items() if bar not in ("soon", "late", "outside")}
    met["outside"] = result["outside"][1] <= BARS["outside"]
    for index, when in ((1, "soon"), (2, "late")):
        if result[when] is not None:
            met[when] = max(abs(v) for v in result[when][: LOOKS.index("sharpness")]) <= BARS[when]
        met[f"speed {when}"] = all(abs(p[index]) <= max(BARS[when], 2 * p[index + 2]) for p in result["speed"].values())
    if "like" in result:
        met |= {
            "like": result["like"] >= LIKE,
            "sharp": SHARP[0] <= result["sharp"][0] <= result["sharp"][1] <= SHARP[1],
        }
    return met
