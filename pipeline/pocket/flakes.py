"""Snow that hangs in the air between the camera and the picture: where each flake is seen, and what it covers.

A flake has a place across and down, and a depth by the logarithm of how much larger it is seen than the farthest.
Whatever camera looks, as many of each size are seen: one that pans leaves flakes behind on one side and meets them
again on the other, beyond the view; one that zooms in brings every flake nearer, past the view's edge, and the nearest
come round again as the farthest, where neither is seen. Where a flake is follows from the time and the camera's pose
alone.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.pocket.pose import REST, Pose
from pipeline.pocket.view import View

COUNT = 5600
# The nearest are e**DEPTH times as near as the farthest; views across which flakes come round again.
DEPTH, ROOM = 2.0, 1.04
# By how much the farthest go past faster than the picture in a pan, and all come nearer in a zoom.
BEFORE, CLOSER = 1.12, 1.2
# Of the farthest, in units: radius, fall in a second, share of it to the side, and swing.
RADIUS, FALL, ASIDE, SWING = 0.75, 31.0, 0.15, 6.0
# What is out of focus is larger than it would be for being near.
GROWTH = 1.28
# How opaque flakes are, by their depth in 0..1; at both ends nothing is seen.
DEPTHS, OPACITIES = (0.0, 0.07, 0.3, 0.5, 0.85, 1.0), (0.0, 0.56, 0.74, 0.76, 0.64, 0.0)
# A flake's edge in radii, and in pixels the least of it, under which it would glitter as it goes.
EDGE, LEAST_EDGE = 1.6, 1.25
# Kinds of stamps: edges in units up to which they serve, and how many flakes there are at most.
EDGES = (1.5, 2.2, 3.2, 4.6, 6.6, 9.5, 13.5, 20.0)
MOST = (740, 640, 260, 170, 110, 70, 44, 28)
# Parts that sums are counted in, so that their order plays no part.
PARTS = 1 << 14
COVERS = 0.95

Numbers = npt.NDArray[np.float64]
Table = npt.NDArray[np.float32]


class Flakes:
    """All flakes that a seed makes for a view."""

    def __init__(self, rng: np.random.Generator, view: View) -> None:
        self._view = view
        self._x, self._y, self._depth, self._size, self._weight, self._pace, self._phase = rng.random((7, COUNT))

    def seen(self, time_s: float, pose: Pose = REST) -> list[Table]:
        """The flakes of a moment by their kind of stamp, each ``float32 [n, 4]``: x, y and edge in pixels, opacity."""
        share = (self._depth + CLOSER / DEPTH * pose.zoom) % 1
        near = np.exp(DEPTH * share)
        which, x, y = self._placed(near, time_s, pose)
        share, near = share[which], near[which]
        size = self._size[which]
        units = (EDGE * RADIUS) * near**GROWTH * (0.7 + 0.6 * size * size)
        edge = units * self._view.scale
        opacity = np.interp(share, DEPTHS, OPACITIES) * (0.5 + 0.5 * self._weight[which])
        # What would be smaller than a pixel is fainter instead.
        opacity *= np.minimum(1, edge / LEAST_EDGE) ** 2
        table = np.stack([x, y, np.maximum(edge, LEAST_EDGE), opacity], 1).astype(np.float32)
        kinds = np.searchsorted(EDGES, units)
        return [table[kinds == kind][:most] for kind, most in enumerate(MOST)]

    def _placed(self, near: Numbers, time_s: float, pose: Pose) -> tuple[npt.NDArray[np.int64], Numbers, Numbers]:
        """Which flakes have a part in the view, some of them twice, and where, in pixels."""
        view = self._view
        width, height = (ROOM * side for side in view.extent)
        past = BEFORE * math.exp(pose.zoom)
        fall = (FALL * time_s) * (0.8 + 0.4 * self._pace)
        swing = SWING * np.sin(time_s * (0.6 + 0.6 * self._weight) + 2 * np.pi * self._phase)
        x = (self._x * width + ASIDE * fall + swing - past * pose.x) % width - width / 2
        y = (self._y * height + fall - past * pose.y) % height - height / 2
        x, y = x * near, y * near
        cos, sin = math.cos(pose.roll), math.sin(pose.roll)
        half = (view.extent[0] / 2, view.extent[1] / 2)
        found: list[tuple[npt.NDArray[np.int64], Numbers, Numbers]] = []
        # Turned, the view reaches beyond where flakes come round again.
        turns = (-1, 0, 1) if pose.roll else (0,)
        reach = EDGES[-1]
        for across in turns:
            for down in turns:
                px, py = x + across * width * near, y + down * height * near
                right, below = (cos * px - sin * py, sin * px + cos * py) if pose.roll else (px, py)
                which = np.nonzero((np.abs(right) < half[0] + reach) & (np.abs(below) < half[1] + reach))[0]
                found.append((which, right[which], below[which]))
        which, right, below = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return which, right * view.scale + (view.width - 1) / 2, below * view.scale + (view.height - 1) / 2


def stamps(view: View) -> list[int]:
    """Sides in pixels of the squares that hold a flake, by its kind."""
    return [math.ceil(2 * max(edge * view.scale, LEAST_EDGE)) for edge in EDGES]


def slots(tables: Sequence[Table]) -> Table:
    """Flakes of a moment in as many rows as there may be, ``float32 [sum(MOST), 4]``; the rest covers nothing."""
    rows = [np.tile(np.array([[0, 0, 1, 0]], np.float32), (most, 1)) for most in MOST]
    for row, table in zip(rows, tables, strict=bool(tables)):
        row[: len(table)] = table
    return np.concatenate(rows)


def cover(tables: Sequence[Tensor], view: View) -> Tensor:
    """How much of each pixel flakes cover, ``float32 [F, H, W]`` in 0..1.

    ``tables`` are of frames as :meth:`Flakes.seen` tells them, by kind, each ``[F, n, 4]``. Sums are the same
    whatever their order.
    """
    sides = stamps(view)
    room = sides[-1]
    frames, device = len(tables[0]), tables[0].device
    height, width = view.height + 2 * room, view.width + 2 * room
    total = torch.zeros(frames, height * width, dtype=torch.int32, device=device)
    for side, table in zip(sides, tables, strict=True):
        if not table.shape[1]:
            continue
        steps = torch.arange(side, device=device)
        x, y, edge, opacity = table.unbind(2)
        left, top = (x - side / 2).ceil(), (y - side / 2).ceil()
        across, down = (
            ((first - at)[..., None] + steps).div_(edge[..., None]).square_() for first, at in ((left, x), (top, y))
        )
        part = (1 - down)[..., None] - across[:, :, None]
        part = part.clamp_(min=0).mul_((opacity * PARTS)[..., None, None]).round_().to(torch.int32)
        index = (top.long() + room)[..., None] + steps
        index = (index * width)[..., None] + ((left.long() + room)[..., None] + steps)[:, :, None]
        total.scatter_add_(1, index.reshape(frames, -1), part.reshape(frames, -1))
    inside = total.view(frames, height, width)[:, room:-room, room:-room]
    return inside.float().mul_(1 / PARTS).clamp_(max=COVERS)
