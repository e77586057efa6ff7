"""The picture as it is seen from a pose: what frames are held against, which no decoder made.

Where things lie with depth is the decoder's geometry (:mod:`pipeline.pocket.parallax`), which is judged by itself
(:mod:`pipeline.pocket.judge_depth`); each pixel is then looked up by OpenCV, four times as densely, and averaged.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from pipeline.pocket.canvas import MARGIN, SCALE, Canvas
from pipeline.pocket.decoder import nodes
from pipeline.pocket.parallax import seen
from pipeline.pocket.pose import Pose
from pipeline.pocket.sampling import Place
from pipeline.pocket.view import HEIGHT, NOMINAL, WIDTH
from pipeline.types import Pixels

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
# Pixels from the picture's edge, or from what a subject uncovers, within which a window of likeness reaches beyond it.
EDGE = 6
# From which share on something was painted in behind a subject, up to which the subject covers that again.
PAINTED, COVERED = 0.02, 0.98


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """Where each place of a frame looks in the picture, units right and down of its middle, each ``[h, w]``."""

    x: Plane
    y: Plane

    def read(self, plane: Tensor, reading: int = cv2.INTER_CUBIC) -> Plane:
        """Look up a plane ``[1, C, h, w]`` that covers the canvas with its margins."""
        pixels = np.ascontiguousarray(plane[0].permute(1, 2, 0).float().numpy())
        across = pixels.shape[1] / (SCALE * WIDTH + 2 * MARGIN[1])
        down = pixels.shape[0] / (SCALE * HEIGHT + 2 * MARGIN[0])
        x = (SCALE * (self.x + WIDTH / 2) + MARGIN[1]) * across - 0.5
        y = (SCALE * (self.y + HEIGHT / 2) + MARGIN[0]) * down - 0.5
        places = x.astype(np.float32), y.astype(np.float32)
        return np.asarray(cv2.remap(pixels, *places, reading, borderMode=cv2.BORDER_REPLICATE), np.float32)


def view(canvas: Canvas, pose: Pose) -> Pixels:
    """The canvas from a pose, ``uint8 [480, 832, 3]``; of depth all that it has."""
    around, ahead = _maps(canvas, pose, 2)
    double = around.read(canvas.texture)
    if ahead is not None and canvas.layers is not None and canvas.layers.subject is not None:
        layer = canvas.layers.subject
        for where, plane, share in ((around, layer.behind, layer.hole), (ahead, canvas.texture, layer.cut)):
            part = where.read(share, cv2.INTER_LINEAR)[..., None]
            double = double + part * (where.read(plane) - double)
    frame = cv2.resize(double, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return frame.round().clip(0, 255).astype(np.uint8)


def inside(canvas: Canvas, pose: Pose) -> Mask:
    """Where a view shows the picture itself, not what is invented around it or behind a subject, ``[480, 832]``."""
    around, ahead = _maps(canvas, pose, 1)
    known = (abs(around.x) < WIDTH / 2 - EDGE) & (abs(around.y) < HEIGHT / 2 - EDGE)
    if ahead is not None and canvas.layers is not None and canvas.layers.subject is not None:
        layer = canvas.layers.subject
        hole, cut = (m.read(p, cv2.INTER_LINEAR) for m, p in ((around, layer.hole), (ahead, layer.cut)))
        painted = ((hole > PAINTED) & (cut < COVERED)).astype(np.uint8)
        known &= cv2.dilate(painted, np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)) == 0
    return np.asarray(known)


def _maps(canvas: Canvas, pose: Pose, finer: int) -> tuple[Map, Map | None]:
    """Where a frame so many times as fine looks, and where it does for a subject that is seen from elsewhere."""
    (a, b, c), (d, e, f) = pose.affine()
    if canvas.depth is None:
        y, x = np.mgrid[0 : finer * HEIGHT, 0 : finer * WIDTH].astype(np.float64)
        x, y = ((at + 0.5) / finer - side / 2 for at, side in ((x, WIDTH), (y, HEIGHT)))
        return Map((a * x + b * y + c).astype(np.float32), (d * x + e * y + f).astype(np.float32)), None
    x, y = nodes(NOMINAL)
    around, ahead = seen(Place(a * x + b * y + c, d * x + e * y + f, NOMINAL), pose, canvas.depth)
    return _fine(around, finer), None if ahead is None else _fine(ahead, finer)


def _fine(place: Place, finer: int) -> Map:
    """A place's nodes, which lie from the first pixel's middle to the last one's, read for each pixel between."""
    rows, columns = place.x.shape
    across = ((np.arange(finer * WIDTH) + 0.5) / finer - 0.5) * (columns - 1) / (WIDTH - 1)
    down = ((np.arange(finer * HEIGHT) + 0.5) / finer - 0.5) * (rows - 1) / (HEIGHT - 1)
    x, y = (_between(_between(grid.double().numpy(), down).T, across).T for grid in (place.x, place.y))
    return Map(x.astype(np.float32), y.astype(np.float32))


def _between(grid: npt.NDArray[np.float64], at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rows of a grid at some heights, straight on beyond the first and last."""
    low = at.astype(np.int64).clip(0, len(grid) - 2)
    share = (at - low)[:, None]
    return grid[low] * (1 - share) + grid[low + 1] * share
