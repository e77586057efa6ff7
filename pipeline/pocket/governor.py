"""How a camera move that goes on spends the room that a picture has: at its speed at first, then ever more slowly.

A move keeps its speed for :data:`FREE_S`. What room is left is then spread over its time, which is :data:`WHOLE_S` for
a move at nominal speed and shorter for a quick one, so that it slows down and never turns while a viewer waits for it
to go on. Long after, what still goes on swings back, slowly, and for ever.
"""

import math
from dataclasses import dataclass, replace

from pipeline.pocket.latents import LATENTS_PER_SECOND
from pipeline.pocket.pose import Pose, moved, outside_share
from pipeline.pocket.view import NOMINAL, View

# Seconds at full speed; after which a nominal move has used its room; of the last approach; and after which it may
# come back.
FREE_S, WHOLE_S, LAST_S, BACK_S = 3.0, 12.0, 2.0, 14.0
# When a pull back has used it: it is to end wide, and is slower the wider it is. What is more than so many times as
# fast as is nominal has all the less time; what is slow has a third more at most: with twice as much it slowed down to
# a crawl where there was room.
OUT_S, HURRIED, LEISURE = 8.0, 2.0, 0.75
# Share of its speed at which a move swings once it has been to its end, and that with which it turns round.
SWING, TURNS = 0.3, 0.05
# Of the view from outside the picture: where a move ends, and where even one that just began is held.
OUTSIDE_SHARE, OUTSIDE_LIMIT, HELD_S = 0.04, 0.12, 0.6
# The same where a pull back ends: a rim of border around a picture that stands still is seen.
PULLED_BACK = 0.02
# Log zoom to which a sideways move or a roll comes closer to have more room, and to which while it shows border.
CLOSE, CLOSEST = math.log(1.3), math.log(1.5)
# Log zoom between which a zoom in, and a zoom out, swing once they have been to their end.
ZOOM_IN_LIMITS = (0.0, 0.62)
ZOOM_OUT_LIMITS = (-1.0, 0.25)
# Seconds in which the speed follows what is wanted: both lags of a critically damped one. For a second after a switch
# they are shorter: who asks for a move waits for it, and who begins a take with one does not.
LAG_S, EASE_S = 0.8, 0.2
BRISK_LAG_S, BRISK_EASE_S, BRISK_S = 0.22, 0.055, 1.0
# What is slower nobody asked for.
MOVES_FROM = 0.15
ZOOM = 2
# The farthest and the nearest that is looked ahead.
FAR_S, STEP_S = 60.0, 0.2


@dataclass(frozen=True, slots=True)
class Axis:
    """One of pan, tilt, zoom, roll: the sign asked for, for how long, and the way it really goes (-1..1 of it).

    A move that a take begins with counts as :data:`BRISK_S` old. ``aim`` is 1 on the way that was asked for and -1 on
    the way back, ``pace`` how much ``way`` changes in a second.
    """

    asked: int = 0
    held_s: float = 0.0
    way: float = 1.0
    aim: float = 1.0
    pace: float = 0.0

    def heard(self, velocity: float, way: float, held_s: float) -> "Axis":
        """The same a latent later: a new move begins when the sign asked for changes; one that is over is forgotten.

        ``way`` is where a new move begins, and ``held_s`` how old it counts.
        """
        sign = 0 if abs(velocity) < MOVES_FROM else int(math.copysign(1, velocity))
        if sign == self.asked:
            return replace(self, held_s=self.held_s + 1 / LATENTS_PER_SECOND)
        return Axis(sign, held_s, way) if sign else replace(self, asked=0)

    def eased(self, wanted: float, seconds: float) -> "Axis":
        """The same a little later, when the way follows what is wanted without a corner in its speed."""
        if not self.pace and wanted == self.way:
            return self
        lag_s, ease_s = (BRISK_LAG_S, BRISK_EASE_S) if self.asked and self.held_s < BRISK_S else (LAG_S, EASE_S)
        pace = self.pace + ((wanted - self.way) / lag_s - self.pace) * seconds / ease_s
        # Not by replace: it takes a third of a latent's whole way.
        return Axis(self.asked, self.held_s, self.way + pace * seconds, self.aim, pace)


def planned(pose: Pose, index: int, axis: Axis, goal: tuple[float, ...], view: View = NOMINAL) -> tuple[Axis, float]:
    """Give an axis, turned where it is time to, and what its way should come to."""
    speed = abs(goal[index])
    if not speed:
        return axis, axis.way
    if not axis.asked:
        return _unasked(pose, index, axis, goal, view)
    hurry = max(1.0, speed / HURRIED)
    if axis.held_s < FREE_S / hurry:
        return axis, min(1.0, _seconds_within(pose, index, goal, OUTSIDE_LIMIT, view) / (HELD_S * hurry))
    left_s = _seconds_left(pose, index, axis, goal, view)
    whole_s = (OUT_S if index == ZOOM and axis.asked < 0 else WHOLE_S) / max(LEISURE, speed)
    if axis.aim > 0 and axis.held_s < max(BACK_S, whole_s):
        return axis, min(1.0, left_s / max(whole_s - axis.held_s, LAST_S / math.sqrt(hurry)))
    wanted = min(SWING / speed, SWING, left_s / (2 * LAST_S))
    if wanted < TURNS and axis.way * axis.aim < TURNS:
        return replace(axis, aim=-axis.aim), 0.0
    return axis, axis.aim * wanted


def _seconds_left(pose: Pose, index: int, axis: Axis, goal: tuple[float, ...], view: View) -> float:
    """For how long a move could go on the way of its aim at its whole speed, once the view is as close as it comes."""
    ahead = [0.0, 0.0, 0.0, 0.0]
    ahead[index] = goal[index] * axis.aim
    if index == ZOOM:
        low, high = ZOOM_IN_LIMITS if axis.asked > 0 else ZOOM_OUT_LIMITS
        speed = abs(moved(pose, ahead, 0.0, 1.0, view).zoom - pose.zoom)
        if ahead[ZOOM] > 0:
            return max(0.0, high - pose.zoom) / speed
        within = _seconds_within(pose, index, tuple(ahead), PULLED_BACK, view)
        return min(max(0.0, pose.zoom - low) / speed, within)
    if goal[ZOOM] > -MOVES_FROM:
        pose = replace(pose, zoom=max(pose.zoom, CLOSE))
    return _seconds_within(pose, index, tuple(ahead), OUTSIDE_SHARE, view)


def _seconds_within(pose: Pose, index: int, velocity: tuple[float, ...], share: float, view: View) -> float:
    """For how long one axis can go on before more of the view lies outside and it gets worse; at most FAR_S."""
    ahead = [v if n == index else 0.0 for n, v in enumerate(velocity)]

    def leads_out(seconds: float) -> bool:
        there = outside_share(moved(pose, ahead, 0.0, seconds, view), view)
        return there > share and outside_share(moved(pose, ahead, 0.0, seconds + STEP_S, view), view) >= there

    if leads_out(0.0):
        return 0.0
    low, high = 0.0, STEP_S
    while high < FAR_S and not leads_out(high):
        low, high = high, 2 * high
    if high >= FAR_S:
        return FAR_S
    while high - low > STEP_S / 10:
        middle = (low + high) / 2
        low, high = (low, middle) if leads_out(middle) else (middle, high)
    return low


def _unasked(pose: Pose, index: int, axis: Axis, goal: tuple[float, ...], view: View) -> tuple[Axis, float]:
    """Turn what nobody asked for before it leads out: a pan that also sinks by a pixel in five seconds, in an hour."""
    ahead = [0.0, 0.0, 0.0, 0.0]
    ahead[index] = goal[index] * axis.aim
    there = moved(pose, ahead, 0.0, 2 * LAG_S, view)
    share = outside_share(there, view)
    is_worse = share > OUTSIDE_SHARE and share > outside_share(pose, view)
    if index == ZOOM:
        is_worse |= (there.zoom > ZOOM_OUT_LIMITS[1]) and ahead[ZOOM] > 0
    axis = replace(axis, aim=-axis.aim) if is_worse else axis
    return axis, axis.aim
