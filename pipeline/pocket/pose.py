"""Where a view lies over a picture, how it moves, and how much of it lies outside.

Plain floats, so that a pose is the same on every machine and thread count.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.pocket.latents import CAMERA_RATES
from pipeline.pocket.view import NOMINAL, View

# Log zoom from which one pulls back as fast as one comes in: the nearer to the whole picture, the slower.
FAR, NEAR = 0.0, 0.1


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the view lies: centre in units from the middle, log zoom, roll of the picture in rad (clockwise)."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 0.0
    roll: float = 0.0

    def affine(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Rows that map a screen point (units from its middle) to a picture point (units from its middle)."""
        scale = math.exp(-self.zoom)
        cos, sin = scale * math.cos(self.roll), scale * math.sin(self.roll)
        return (cos, sin, self.x), (-sin, cos, self.y)


REST = Pose()


def outside_share(pose: Pose, view: View = NOMINAL) -> float:
    """Share of the view that lies outside the picture, 0..1: the view's quadrangle less what the picture covers.

    >>> outside_share(REST), outside_share(Pose(x=1e6))
    (0.0, 1.0)
    """
    (a, b, c), (d, e, f) = pose.affine()
    width, height = view.extent
    corners = [(sx * width / 2, sy * height / 2) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    shown = seen = [(a * x + b * y + c, d * x + e * y + f) for x, y in corners]
    if all(abs(x) <= width / 2 and abs(y) <= height / 2 for x, y in shown):
        return 0.0
    for axis, limit in ((0, width / 2), (1, height / 2)):
        seen = _clip(_clip(seen, axis, 1.0, limit), axis, -1.0, limit)
    return max(0.0, 1 - _area(seen) / _area(shown))


def _clip(corners: list[tuple[float, float]], axis: int, sign: float, limit: float) -> list[tuple[float, float]]:
    """What of a polygon lies on the inner side of one edge (Sutherland and Hodgman, 1974)."""
    out: list[tuple[float, float]] = []
    for p, q in zip(corners, corners[1:] + corners[:1], strict=True):
        before, after = limit - sign * p[axis], limit - sign * q[axis]
        if before >= 0:
            out.append(p)
        if before * after < 0:
            share = before / (before - after)
            out.append((p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])))
    return out


def _area(corners: list[tuple[float, float]]) -> float:
    return abs(sum(p[0] * q[1] - q[0] * p[1] for p, q in zip(corners, corners[1:] + corners[:1], strict=True))) / 2


def moved(pose: Pose, velocity: Sequence[float], assist: float, seconds: float, view: View = NOMINAL) -> Pose:
    """Give the pose after so long at a velocity (nominal units: right, down, in, clockwise).

    ``assist`` is a zoom besides, in natural log per second.

    >>> moved(REST, (1.0, 0.0, 0.0, 0.0), 0.0, 2.0).x == 2 * CAMERA_RATES["pan"]
    True
    """
    pan, tilt, zoom, roll = velocity
    scale = math.exp(-pose.zoom)
    across, upright = view.shares
    right = pan * CAMERA_RATES["pan"] * across * scale * seconds
    down = tilt * CAMERA_RATES["tilt"] * upright * scale * seconds
    cos, sin = math.cos(pose.roll), math.sin(pose.roll)
    return Pose(
        pose.x + cos * right + sin * down,
        pose.y - sin * right + cos * down,
        pose.zoom + (zoom * zoom_rate(pose, zoom) + assist) * seconds,
        pose.roll + roll * CAMERA_RATES["roll"] * seconds,
    )


def zoom_rate(pose: Pose, zoom: float) -> float:
    """Natural log per second of a whole zoom from here: from close up there is room to pull back faster."""
    far, near = CAMERA_RATES["zoom_out"], CAMERA_RATES["zoom_in"]
    if zoom >= 0:
        return near
    return far + (near - far) * max(0.0, min(1.0, (pose.zoom - FAR) / (NEAR - FAR)))


def between(one: Pose, other: Pose, share: float) -> Pose:
    """The pose that is so far on the straight way from one to the other."""
    return Pose(*(a + (b - a) * share for a, b in zip(_numbers(one), _numbers(other), strict=True)))


def _numbers(pose: Pose) -> tuple[float, float, float, float]:
    return pose.x, pose.y, pose.zoom, pose.roll
