"""What a host tells a GPU of each frame of a latent: one row of numbers a frame."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from pipeline.pocket.decoder import FLOW_PERIOD_S, Motion
from pipeline.pocket.drawn.eye import Eye
from pipeline.pocket.fog import looks
from pipeline.pocket.latents import LATENTS_PER_SECOND
from pipeline.pocket.parallax import eased
from pipeline.pocket.reach import KINDS
from pipeline.pocket.view import View
from pipeline.pocket.weather import Shift, rain_shifts

# Columns of a row: its share of the latent, the camera's six, the flow's two phases and their mix; then how far each
# sheet of rain has moved, in pixels right and down, with the cosine and sine of the roll; both looks at fog; of snow
# the time in seconds, what that rounds off in an hour, and the pose; then the reach; then the part of the camera's way
# that counts for depth.
SHARE, POSE, PHASES, MIX = 0, slice(1, 7), slice(7, 9), 9
RAIN, FOG, SNOW = slice(10, 18), slice(18, 28), slice(28, 34)
REACH = slice(34, 34 + 3 * KINDS)
EASED = slice(REACH.stop, REACH.stop + 3)
# The camera's six and the part that counts for depth once more, for what keeps its size while all else zooms.
KEPT, KEPT_EASED = slice(EASED.stop, EASED.stop + 6), slice(EASED.stop + 6, EASED.stop + 9)


def told(motion: Motion, eyes: list[Eye], view: View) -> npt.NDArray[np.float32]:
    """Tell of each frame what the host knows, ``float32 [F, 61]``.

    Args:
        motion: state at the latent's beginning.
        eyes: where each frame is seen from.
        view: the frame.
    """
    rows: list[list[float]] = []
    scale, frames = view.scale, len(eyes)
    shares = torch.arange(frames)[:, None, None] / frames
    reaches = torch.lerp(motion.reach, motion.heading, shares).flatten(1).tolist()
    for frame, eye in enumerate(eyes):
        time_s = (motion.latent + frame / frames) / LATENTS_PER_SECOND
        phase = (time_s / FLOW_PERIOD_S) % 1
        row = [frame / frames, *sum(eye.around.affine(), ()), phase, (phase + 0.5) % 1, abs(2 * phase - 1)]
        pose = eye.around
        rain, seen = _lapped(rain_shifts(time_s, scale, pose), view), looks(time_s, view, pose)
        whole_s = float(np.float32(time_s))
        row += [*rain, math.cos(pose.roll), math.sin(pose.roll), *seen[0], *seen[1]]
        row += [whole_s, time_s - whole_s, pose.x, pose.y, pose.zoom, pose.roll]
        rows.append([*row, *reaches[frame], *eased(pose, eye.depth)])
        rows[-1] += [*sum(eye.kept.affine(), ()), *eased(eye.kept, eye.depth)]
    # Of nested lists NumPy makes an array in a fifth of PyTorch's time.
    return np.array(rows, np.float32)


def _lapped(shifts: Sequence[Shift], view: View) -> list[float]:
    return [part for right, down in shifts for part in (-right % view.width, -down % view.height)]
