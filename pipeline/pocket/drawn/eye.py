"""What is drawn by the camera itself: it shakes, or goes back while it zooms in, so that its subject keeps its size."""

import math
from dataclasses import replace
from typing import NamedTuple

from pipeline.pocket.canvas import Canvas
from pipeline.pocket.drawn.dice import flicker
from pipeline.pocket.drawn.drawing import Drawn
from pipeline.pocket.pose import Pose

SHAKE = 300
SHAKE_HZ = (0.9, 1.5, 2.4, 3.7, 5.6)
# Root mean square of the way right and down (units) and of the roll (rad), and the log zoom that hides the border.
SHAKEN, SHAKEN_ROLL, SHAKEN_ZOOM = (5.5, 4.5), 0.004, 0.035
DOLLY_S, DOLLY_ZOOM = 8.0, 0.24


class Eye(NamedTuple):
    """From where a frame is seen: what is around, and what keeps its size; and how much of depth is seen, 0..1."""

    around: Pose
    kept: Pose
    depth: float = 1.0


def looking(pose: Pose, canvas: Canvas, drawn: tuple[int, dict[str, Drawn]], depth: float = 1.0) -> Eye:
    """Give from where a frame is seen whose camera is at a pose, with so much of depth."""
    seed, effects = drawn
    if "shake" in effects:
        pose = _shaken(pose, effects["shake"], seed)
    if "dolly" not in effects:
        return Eye(pose, pose, depth)
    amount, time_s, _ = effects["dolly"]
    zoom = DOLLY_ZOOM * min(1.3, amount) * (0.5 - 0.5 * math.cos(2 * math.pi * time_s / DOLLY_S))
    x, y = (pose.x, pose.y) if canvas.marks is None else canvas.marks.subject
    # What is there stays where it is seen.
    share = math.exp(-zoom)
    around = replace(pose, x=x + share * (pose.x - x), y=y + share * (pose.y - y), zoom=pose.zoom + zoom)
    return Eye(around, pose, depth)


def _shaken(pose: Pose, drawn: Drawn, seed: int) -> Pose:
    right, down, roll = (flicker(seed, SHAKE + way, drawn.time_s, SHAKE_HZ) for way in range(3))
    amount, share = drawn.amount, math.exp(-pose.zoom)
    return Pose(
        pose.x + share * amount * SHAKEN[0] * right,
        pose.y + share * amount * SHAKEN[1] * down,
        pose.zoom + SHAKEN_ZOOM * amount,
        pose.roll + amount * SHAKEN_ROLL * roll,
    )
