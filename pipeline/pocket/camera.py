"""The camera's way over the picture: velocities in, poses out, within a bounded world.

The network says how fast the camera moves for as long as a prompt lasts. A picture ends somewhere, so a governor
stands between: a move runs at its speed for :data:`FREE_S` after it was asked for, then eases and turns. What goes on
for longer swings, for ever: the view comes closer by and by, to :data:`CLOSE`, so that the swings are long and hardly
any of the view lies outside. Plain floats, so that a pose is the same on every machine and thread count.
"""

import math
from dataclasses import dataclass, replace

from pipeline.pocket.latents import CAMERA_RATES, LATENTS_PER_SECOND
from pipeline.pocket.view import NOMINAL, View

FREE_S = 3.2
TURN_S = 0.9
# Of the view from outside the picture, once a move has run its free time; a turn begins where it would be more.
OUTSIDE_SHARE = 0.04
OUTSIDE_LIMIT = 0.2
# Zooming in a little while a pan would show border: slow enough to stay a pan to the eye.
ASSIST_PER_S = 0.03
# Log zoom to which a view comes closer in the swings, and how long before it eases.
CLOSE, CLOSE_EASE = math.log(1.2), 0.05
ASSIST_EASE_S = 0.5
# Log zoom between which a zoom in, and a zoom out, swing once they have turned.
ZOOM_IN_LIMITS = (0.0, 0.6)
ZOOM_OUT_LIMITS = (-1.0, 0.25)
SUBSTEPS = 24
DEAD_ZONE = 0.03
# What the network says of a whole velocity: 0.94 to 0.99 by one step, 0.96 to 1.01 by two.
WHOLE = 0.975


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


@dataclass(frozen=True, slots=True)
class Axis:
    """One of pan, tilt, zoom, roll: the sign asked for, for how long, and the way it really goes (-1..1 of it)."""

    asked: int = 0
    held_s: float = 0.0
    way: float = 1.0
    aim: float = 1.0


@dataclass(frozen=True, slots=True)
class Camera:
    """State at a latent boundary; immutable, so going back is keeping the old one."""

    pose: Pose = REST
    velocity: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    axes: tuple[Axis, Axis, Axis, Axis] = (Axis(), Axis(), Axis(), Axis())
    assist: float = 0.0


def outside_share(pose: Pose, view: View = NOMINAL) -> float:
    """Share of the view that lies outside the picture, 0..1: the view's quadrangle less what the picture covers.

    >>> outside_share(REST), outside_share(Pose(x=1e6))
    (0.0, 1.0)
    """
    (a, b, c), (d, e, f) = pose.affine()
    width, height = view.extent
    corners = [(sx * width / 2, sy * height / 2) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    shown = seen = [(a * x + b * y + c, d * x + e * y + f) for x, y in corners]
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


def soften(velocity: float) -> float:
    """Take out the dead zone: without it a bias of 0.004 moves a still picture by 12 px in a minute.

    What is beyond it is stretched, so that a whole velocity stays one.

    >>> soften(0.03), soften(0.975), soften(-0.975)
    (0.0, 1.0, -1.0)
    """
    return math.copysign(max(0.0, abs(velocity) - DEAD_ZONE) / (WHOLE - DEAD_ZONE), velocity)


def hardened(velocity: float) -> float:
    """Give what :func:`soften` makes this velocity of; 0 of 0."""
    return math.copysign(abs(velocity) * (WHOLE - DEAD_ZONE) + DEAD_ZONE, velocity) if velocity else 0.0


def glide(
    camera: Camera, velocity: tuple[float, float, float, float], view: View = NOMINAL
) -> tuple[list[Pose], Camera]:
    """Go through one latent towards its velocity (nominal units: right, down, in, clockwise).

    Returns:
        Poses at the SUBSTEPS + 1 even times of the latent, ends included, and the state at its end.
    """
    goal = tuple(soften(v) for v in velocity)
    axes = tuple(_hear(axis, v) for axis, v in zip(camera.axes, goal, strict=True))
    # A new move begins with the velocity that is really there, turned or not, so that the path has no corner.
    begin = [
        v if new.way == old.way else v * old.way for v, old, new in zip(camera.velocity, camera.axes, axes, strict=True)
    ]
    assist, wanted = camera.assist, _needs_room(camera.pose, goal, axes, view)
    pose, poses = camera.pose, [camera.pose]
    dt = 1 / LATENTS_PER_SECOND / SUBSTEPS
    axes = tuple(_plan(pose, index, axis, goal, view) for index, axis in enumerate(axes))
    ways = [axis.way for axis in axes]
    for step in range(SUBSTEPS):
        share = (step + 0.5) / SUBSTEPS
        ways = [_towards(way, axis.aim, 2 * dt / TURN_S) for way, axis in zip(ways, axes, strict=True)]
        now = [(v0 + (v1 - v0) * share) * way for v0, v1, way in zip(begin, goal, ways, strict=True)]
        assist = _towards(assist, wanted, ASSIST_PER_S * dt / ASSIST_EASE_S)
        pose = _move(pose, now, assist, dt, view)
        poses.append(pose)
    axes = tuple(replace(axis, way=way) for axis, way in zip(axes, ways, strict=True))
    return poses, Camera(pose, goal, axes, assist)  # type: ignore[arg-type]


def pose_at(poses: list[Pose], frame: int, frames: int) -> Pose:
    """Give the pose at ``frame / frames`` of a latent, from the even ones of :func:`glide`.

    Between two of those every velocity is constant, so going straight there is exact. A moment that two rates have in
    common has one pose.
    """
    step, rest = divmod(frame * (len(poses) - 1), frames)
    here = poses[step]
    if not rest:
        return here
    there, share = poses[step + 1], rest / frames
    return Pose(*(a + (b - a) * share for a, b in zip(_numbers(here), _numbers(there), strict=True)))


def _numbers(pose: Pose) -> tuple[float, float, float, float]:
    return pose.x, pose.y, pose.zoom, pose.roll


def _hear(axis: Axis, velocity: float) -> Axis:
    """Begin a new move when the sign asked for changes; forget one that is over."""
    sign = 0 if abs(velocity) < 0.1 else int(math.copysign(1, velocity))
    if sign == axis.asked:
        return replace(axis, held_s=axis.held_s + 1 / LATENTS_PER_SECOND)
    return replace(axis, asked=0) if not sign else Axis(asked=sign)


def _plan(pose: Pose, index: int, axis: Axis, goal: tuple[float, ...], view: View) -> Axis:
    """Turn round when the free time is over and going on would show too much border.

    So does what nobody asked for: a pan that also sinks by a pixel in five seconds would leave the picture in an hour.
    """
    if not goal[index]:
        return axis
    ahead = [0.0, 0.0, 0.0, 0.0]
    # A turn lasts TURN_S and covers half of that at full speed.
    ahead[index] = goal[index] * axis.aim
    there = _move(pose, ahead, 0.0, TURN_S / 2 + 0.5 / LATENTS_PER_SECOND, view)
    share = outside_share(there, view)
    worse = share > outside_share(pose, view)
    if index == 2:
        low, high = ZOOM_IN_LIMITS if axis.asked > 0 else ZOOM_OUT_LIMITS
        if (there.zoom > high and ahead[2] > 0) or (there.zoom < low and ahead[2] < 0 and axis.asked > 0):
            share, worse = 1.0, not axis.asked or axis.held_s >= FREE_S or there.zoom > high
    limit = OUTSIDE_LIMIT if axis.asked and axis.held_s < FREE_S else OUTSIDE_SHARE
    return replace(axis, aim=-axis.aim) if worse and share > limit else axis


def _towards(value: float, aim: float, most: float) -> float:
    return value + max(-most, min(most, aim - value))


def _needs_room(pose: Pose, goal: tuple[float, ...], axes: tuple[Axis, ...], view: View) -> float:
    """Zoom in per second of a sideways move or a roll: where it would show border in its free time, and in swings."""
    sideways = [goal[0] * axes[0].way, goal[1] * axes[1].way, 0.0, goal[3] * axes[3].way]
    moving = [axis for axis, v in zip(axes, goal, strict=True) if abs(v) > 0.3]
    if not moving or abs(goal[2]) > 0.1:
        return 0.0
    left = max(FREE_S - axis.held_s for axis in moving)
    if left <= 0:
        return ASSIST_PER_S * max(0.0, min(1.0, (CLOSE - pose.zoom) / CLOSE_EASE))
    return ASSIST_PER_S if outside_share(_move(pose, sideways, 0.0, left, view), view) > 0.05 else 0.0


def _move(pose: Pose, velocity: list[float], assist: float, dt: float, view: View) -> Pose:
    pan, tilt, zoom, roll = velocity
    scale = math.exp(-pose.zoom)
    across, upright = view.shares
    right, down = pan * CAMERA_RATES["pan"] * across * scale * dt, tilt * CAMERA_RATES["tilt"] * upright * scale * dt
    cos, sin = math.cos(pose.roll), math.sin(pose.roll)
    rate = CAMERA_RATES["zoom_in"] if zoom > 0 else CAMERA_RATES["zoom_out"]
    # From close up there is room to pull back as fast as one comes in.
    if zoom < 0:
        rate += (CAMERA_RATES["zoom_in"] - rate) * max(0.0, min(1.0, (pose.zoom - 0.05) / 0.15))
    return Pose(
        pose.x + cos * right + sin * down,
        pose.y - sin * right + cos * down,
        pose.zoom + (zoom * rate + assist) * dt,
        pose.roll + roll * CAMERA_RATES["roll"] * dt,
    )
