"""Reading the canvas's planes at picture places that are given at coarse nodes."""

from dataclasses import dataclass
from functools import cache, cached_property
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.canvas import Canvas
from pipeline.pocket.view import View

# Nodes of the coarse map; linear between them.
NODES = (61, 105)
WHOLE = slice(None)
_RESTING: WeakKeyDictionary[Canvas, Tensor] = WeakKeyDictionary()
Affine = tuple[tuple[float, float, float], tuple[float, float, float]]
# Numbers of a grid from which on its bands are read by threads of their own.
WORTH_BANDS = 1 << 16


@dataclass(frozen=True, eq=False)
class Place:
    """Where each node of a frame looks: picture places ``x, y float32 [61, 105]`` in units from the middle.

    ``is_rest`` is where each looks at what lies there at rest. ``affine`` says the same of all places at once, as
    :meth:`pipeline.pocket.pose.Pose.affine` does, where a camera's pose is all that moves them.
    """

    x: Tensor
    y: Tensor
    view: View
    is_rest: bool = False
    affine: Affine | None = None

    def local(self, fields: Tensor) -> Tensor:
        """Values ``[C, 61, 105]`` of fields ``[C, h, w]`` that live in picture places."""
        width, height = self.view.extent
        grid = torch.stack([self.x / (width / 2), self.y / (height / 2)], dim=-1)[None]
        return F.grid_sample(fields[None], grid, padding_mode="border", align_corners=False)[0]

    def moved(self, shift: Tensor) -> "Place":
        """The places that lie here once all has moved by ``shift [2, 61, 105]`` units."""
        return Place(self.x - shift[0], self.y - shift[1], self.view)

    def sample(
        self, canvas: Canvas, plane: Tensor, rows: slice = WHOLE, reduction: int = 1, columns: slice = WHOLE
    ) -> Tensor:
        """Values ``[C, rows, columns]`` of one of the canvas's planes, or every ``reduction``-th of all of them.

        They may be the plane's own: nothing is written there, but for the texture's.
        """
        if self.is_rest and reduction == 1:
            if plane is canvas.texture:
                return _at_rest(canvas)[:, rows, columns].clone()
            above, beside = self.view.room
            if plane.shape[2:] == (self.view.height + 2 * above, self.view.width + 2 * beside):
                # A pixel for a pixel: what is read is what lies there.
                return plane[0, :, above:-above, beside:-beside][:, rows, columns]
        return gathered(plane, self._grid(rows, reduction)[:, :, columns])

    def sample_some(self, plane: Tensor, pixels: Tensor, box: tuple[slice, slice] = (WHOLE, WHOLE)) -> Tensor:
        """Values ``[C, N]`` of one of the canvas's planes at some pixels, by their index ``int64 [N]`` in a box."""
        rows, columns = box
        # Both numbers of a pixel as one, which is picked four times faster.
        grid, whole = self._grid(rows, 1).view(torch.float64).flatten(), self.view.width
        first, end, _ = columns.indices(whole)
        if end - first < whole:
            pixels = pixels + pixels // (end - first) * (whole - end + first) + first
        found = grid.index_select(0, pixels).view(1, 1, -1, 1).view(torch.float32)
        return F.grid_sample(plane, found, padding_mode="border", align_corners=False)[0, :, 0]

    @cached_property
    def _per_unit(self) -> tuple[float, float]:
        """How far a unit is on any plane of the canvas, across and down, where half of a plane is 1."""
        view = self.view
        return 2 * view.scale / (view.width + 2 * view.room[1]), 2 * view.scale / (view.height + 2 * view.room[0])

    @cached_property
    def _grids(self) -> dict[tuple[int, int, int], Tensor]:
        # Several planes are read at the same place.
        return {}

    def _grid(self, rows: slice, reduction: int) -> Tensor:
        """Where pixels of rows look on any plane of the canvas, ``[1, rows, W, 2]`` in -1..1."""
        height = self.view.height // reduction
        first, last, _ = rows.indices(height)
        if (0, height, reduction) in self._grids:
            return self._grids[0, height, reduction][:, first:last]
        if (first, last, reduction) not in self._grids:
            size = (height, self.view.width // reduction)
            across, down = self._per_unit
            if self.affine is None:
                nodes = torch.stack([self.x * across, self.y * down], -1)[None]
                grid = enlarged(nodes, size, slice(first, last))
            else:
                grid = straight(self.affine, self.view, size, (across, down))[:, first:last]
            self._grids[first, last, reduction] = grid
        return self._grids[first, last, reduction]

    def enlarge(self, nodes: Tensor, rows: slice = WHOLE, reduction: int = 1) -> Tensor:
        """Node values ``[C, 61, 105]`` to pixels ``[C, rows, W]``, exact for what is linear."""
        size = (self.view.height // reduction, self.view.width // reduction)
        return enlarged(nodes[..., None], size, rows)[..., 0]

    def band(self, seen: Tensor, beyond: int, axis: int = 0) -> slice:
        """The frame's rows of the rows of nodes that are ``seen bool [61]``, and of so many ``beyond`` them.

        Columns, of ``[105]``, along ``axis`` 1.
        """
        found = seen.nonzero()[:, 0]
        if not len(found):
            return slice(0, 0)
        size = (self.view.height, self.view.width)[axis]
        step = (size - 1) / (NODES[axis] - 1)
        end = int((found.max() + beyond) * step) + 1
        return slice(max(0, int((found.min() - beyond) * step)), min(size, end))


def gathered(plane: Tensor, grid: Tensor) -> Tensor:
    """Values ``[C, h, w]`` of a plane ``[1, C, H, W]`` where a grid ``[1, h, w, 2]`` looks, by all threads.

    PyTorch gives each picture of a batch one thread, so of one picture there are as many bands as threads.
    """
    bands, rows = torch.get_num_threads(), grid.shape[1]
    if bands == 1 or rows % bands or grid.numel() < WORTH_BANDS:
        return F.grid_sample(plane, grid, padding_mode="border", align_corners=False)[0]
    looking = grid[0].unflatten(0, (bands, -1))
    found = F.grid_sample(plane.expand(bands, -1, -1, -1), looking, padding_mode="border", align_corners=False)
    return found.transpose(0, 1).flatten(1, 2)


def _at_rest(canvas: Canvas) -> Tensor:
    """The resting view as planes ``float32 [3, H, W]``, made once: it takes four times as long as copying them."""
    if canvas not in _RESTING:
        _RESTING[canvas] = planes(canvas.rest)
    return _RESTING[canvas]


def planes(picture: Tensor) -> Tensor:
    """Pixels ``uint8 [h, w, 3]`` as planes ``float32 [3, h, w]``; NumPy takes half of PyTorch's time for it."""
    out = np.empty((picture.shape[2], *picture.shape[:2]), np.float32)
    for plane, one in zip(out, picture.unbind(2), strict=True):
        plane[...] = one.numpy()
    return torch.from_numpy(out)


def pixels(image: Tensor) -> Tensor:
    """Planes ``float32 [3, h, w]`` in grey levels as pixels ``uint8 [h, w, 3]``; the planes are rounded themselves."""
    # NumPy takes a sixth of PyTorch's time to make bytes of numbers.
    whole = image.round_().clamp_(0, 255).numpy().astype(np.uint8)
    out = np.empty((*image.shape[1:], len(image)), np.uint8)
    for channel, plane in enumerate(whole):
        out[..., channel] = plane
    return torch.from_numpy(out)


def enlarged(nodes: Tensor, size: tuple[int, int], rows: slice = WHOLE) -> Tensor:
    """Node values ``[N, 61, 105, C]`` to pixels ``[N, rows, W, C]`` of a height and width, linear between nodes.

    Columns first, while there are few rows. A general interpolation takes longer, of three channels three times.
    """
    # A product with a matrix that is nearly empty takes half of the time of picking numbers one by one.
    wide = (nodes.permute(0, 3, 1, 2) @ _columns(size[1])).permute(0, 2, 3, 1).flatten(2)
    start, stop, _ = rows.indices(size[0])
    first, after, share = _between(NODES[0], size[0])
    each = _rows_each(size[0])
    if not each or stop <= start:
        first, after, share = (part[start:stop] for part in (first, after, share))
        found = wide.index_select(1, first).lerp_(wide.index_select(1, after), share[:, None])
    else:
        # As many rows from each node to the next, so none is laid out twice before they are mixed.
        begin, end = start // each, -(-stop // each)
        shares = share.view(-1, each, 1)[begin:end]
        found = torch.lerp(wide[:, begin:end, None], wide[:, begin + 1 : end + 1, None], shares).flatten(1, 2)
        found = found[:, start - begin * each : stop - begin * each]
    return found.unflatten(2, (size[1], -1))


def straight(affine: Affine, view: View, size: tuple[int, int], per_unit: tuple[float, float]) -> Tensor:
    """Where pixels ``[1, H, W, 2]`` look whose places, in units, are an affine map of those on the screen.

    ``per_unit`` is how far a unit is across and down, in what is given.
    """
    (a, b, c), (d, e, f) = affine
    across, down = per_unit
    y, x = (
        torch.linspace(-0.5, 0.5, n, dtype=torch.float64) * ((side - 1) / view.scale)
        for n, side in zip(size, (view.height, view.width), strict=True)
    )
    # Numbers by the pair: a sum of two columns is read in one go, where pairs would be walked one by one.
    columns = torch.complex(x * (a * across), x * (d * down)).to(torch.complex64)
    rows = torch.complex((y * b + c) * across, (y * e + f) * down).to(torch.complex64)
    return torch.view_as_real(rows[:, None] + columns)[None]


@cache
def _columns(width: int) -> Tensor:
    """What makes columns ``[W]`` of node values ``[105]``, ``float32 [105, W]``."""
    first, after, share = _between(NODES[1], width)
    pixels, out = torch.arange(width), torch.zeros(NODES[1], width)
    out[first, pixels], out[after, pixels] = 1 - share, share
    return out


@cache
def _rows_each(height: int) -> int:
    """How many rows each node has to the next, 0 where that is not the same for all."""
    each, rest = divmod(height, NODES[0] - 1)
    first = _between(NODES[0], height)[0]
    return each if not rest and torch.equal(first, torch.arange(height) // each) else 0


@cache
def _between(nodes: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each pixel of a side the nodes before and after it, and how much of the way to the latter it lies."""
    at = torch.arange(side, dtype=torch.float64) * ((nodes - 1) / max(1, side - 1))
    first = at.long().clamp(max=nodes - 2)
    return first, first + 1, (at - first).float()
