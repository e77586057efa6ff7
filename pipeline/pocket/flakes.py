"""Snow that hangs in the air between the camera and the picture: where each flake is seen, and what it covers.

A flake has a place across and down, and a depth by the logarithm of how much larger it is seen than the farthest.
Whatever camera looks, as many of each size are seen: one that pans leaves flakes behind on one side and meets them
again on the other, beyond the view; one that zooms in brings every flake nearer, past the view's edge, and the nearest
come round again as the farthest, where neither is seen. Where a flake is follows from the time and the camera's pose
alone.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
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
# How many places a flake may have in a view that is turned.
TURNED = 9
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


class Flakes:
    """All flakes that a seed makes for a view, on a device."""

    def __init__(self, rng: np.random.Generator, view: View, device: torch.device | None = None) -> None:
        self._view = view
        self._numbers = torch.from_numpy(rng.random((7, COUNT))).to(device)
        # Between two of DEPTHS opacity goes straight.
        self._depths, opacities = (torch.tensor(row, dtype=torch.float64) for row in (DEPTHS, OPACITIES))
        rises = opacities.diff() / self._depths.diff()
        self._depths, self._opacities, self._rises = (part.to(device) for part in (self._depths, opacities, rises))
        self._edges = torch.tensor(EDGES, dtype=torch.float64).to(device)
        self._kinds = torch.arange(len(MOST)).repeat_interleave(torch.tensor(MOST)).to(device)
        self._ranks = torch.cat([torch.arange(most) for most in MOST]).to(device)

    def seen(self, time_s: float, pose: Pose = REST) -> list[Tensor]:
        """The flakes of a moment by their kind of stamp, each ``float32 [n, 4]``: x, y and edge in pixels, opacity."""
        told = torch.tensor([[time_s, pose.x, pose.y, pose.zoom, pose.roll]], dtype=torch.float64)
        share = self._share(told)
        right, below, is_seen = self._beyond(told, share, bool(pose.roll))
        there = is_seen[0].nonzero()[:, 0]
        which = there % COUNT
        looks = self._looks(share[0, which], self._numbers[3, which], self._numbers[4, which])
        rows, kinds = self._rows(right[0, there], below[0, there], looks), looks[2]
        kinds, order = kinds.sort(stable=True)
        # What is nearer than all kinds is seen no more.
        counts = torch.bincount(kinds, minlength=len(MOST) + 1).tolist()
        return [table[:most] for table, most in zip(rows[order].split(counts)[:-1], MOST, strict=True)]

    def slots(self, told: Tensor) -> Tensor:
        """The flakes of F moments in as many rows as there may be, ``float32 [F, sum(MOST), 4]``.

        ``told float64 [F, 5]`` are seconds, and the pose's x, y, zoom and roll. Rows that are left cover nothing. The
        work is the same whatever is seen, so it can be recorded.
        """
        share = self._share(told)
        right, below, is_seen = self._beyond(told, share, is_turned=True)
        looks = [part.repeat(1, TURNED) for part in self._looks(share, self._numbers[3], self._numbers[4])]
        rows, unseen = self._rows(right, below, looks), len(MOST)
        kinds, order = torch.where(is_seen, looks[2], unseen).clamp(max=unseen).sort(dim=1, stable=True)
        ends = torch.arange(len(MOST) + 1, device=told.device).expand(len(told), -1).contiguous()
        begins = torch.searchsorted(kinds, ends)
        at = begins[:, self._kinds] + self._ranks
        there = at < begins[:, self._kinds + 1]
        found = order.gather(1, at.clamp(max=kinds.shape[1] - 1))[..., None].expand(-1, -1, 4)
        chosen = rows.gather(1, found) * there[..., None]
        chosen[..., 2] += (~there).float()
        return chosen

    def _share(self, told: Tensor) -> Tensor:
        """How near each flake is, 0..1 ``[F, COUNT]``, which nothing but a zoom changes."""
        return (self._numbers[2] + CLOSER / DEPTH * told[:, 3, None]) % 1

    def _looks(self, share: Tensor, size: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Flakes' edges in pixels, opacities and kinds, in any shape."""
        units = (EDGE * RADIUS) * (DEPTH * GROWTH * share).exp() * (0.7 + 0.6 * size * size)
        edge = units * self._view.scale
        part = torch.bucketize(share, self._depths[1:-1])
        opacity = self._opacities[part] + self._rises[part] * (share - self._depths[part])
        # What would be smaller than a pixel is fainter instead.
        opacity = opacity * (0.5 + 0.5 * weight) * (edge / LEAST_EDGE).clamp(max=1).square()
        return edge.clamp(min=LEAST_EDGE), opacity, torch.bucketize(units, self._edges)

    def _rows(self, right: Tensor, below: Tensor, looks: Sequence[Tensor]) -> Tensor:
        scale, middle = self._view.scale, ((self._view.width - 1) / 2, (self._view.height - 1) / 2)
        return torch.stack([right * scale + middle[0], below * scale + middle[1], *looks[:2]], -1).float()

    def _beyond(self, told: Tensor, share: Tensor, is_turned: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Where flakes are on the screen, in units, ``[F, N]`` right and down, and whether they have a part in it.

        Turned, the view reaches beyond where flakes come round again: there N is TURNED times as many.
        """
        x, y, _, _, weight, pace, phase = self._numbers
        time_s, pose_x, pose_y, zoom, roll = told[:, :, None].unbind(1)
        width, height = (ROOM * side for side in self._view.extent)
        past, near = BEFORE * zoom.exp(), (DEPTH * share).exp()
        fall = FALL * time_s * (0.8 + 0.4 * pace)
        swing = SWING * (time_s * (0.6 + 0.6 * weight) + 2 * math.pi * phase).sin()
        x = ((x * width + ASIDE * fall + swing - past * pose_x) % width - width / 2) * near
        y = ((y * height + fall - past * pose_y) % height - height / 2) * near
        half_width, half_height = (side / 2 + EDGES[-1] for side in self._view.extent)
        if not is_turned:
            return x, y, (x.abs() < half_width) & (y.abs() < half_height)
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for across, down in sorted(itertools.product((-1, 0, 1), repeat=2), key=any):
            px, py = x + across * width * near, y + down * height * near
            px, py = roll.cos() * px - roll.sin() * py, roll.sin() * px + roll.cos() * py
            within = (px.abs() < half_width) & (py.abs() < half_height)
            found.append((px, py, within & (roll != 0) if across or down else within))
        right, below, is_seen = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return right, below, is_seen


def stamps(view: View) -> list[int]:
    """Sides in pixels of the squares that hold a flake, by its kind."""
    return [math.ceil(2 * max(edge * view.scale, LEAST_EDGE)) for edge in EDGES]


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
