"""One frame as the drawn effects see it: where its pixels lie in the picture, and what lies there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.canvas import Canvas
from pipeline.pocket.drawn.dice import Numbers
from pipeline.pocket.drawn.marks import Marks
from pipeline.pocket.enlarging import enlarged_to
from pipeline.pocket.layers import FOLIAGE, SKY, SUBJECT, WATER
from pipeline.pocket.names import REGIONS
from pipeline.pocket.pose import REST, Pose
from pipeline.pocket.view import View

# What is soft is computed on every fourth pixel each way.
COARSE = 4
# Parts of a grey level that sums are counted in, so that their order plays no part.
PARTS = 1 << 14
# What of a sprite nobody sees.
LEAST = 1 / 400
# Screens across which what floats comes round again: wider than any view that the camera has of it.
ROOM = 1.38
# The nearest of what floats at one depth are e**DEPTH times as near as the farthest; shares of it that fade.
DEPTH, ENDS = 0.5, 0.12
WHOLE = slice(None)


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame to draw on."""

    view: View
    pose: Pose
    canvas: Canvas
    marks: Marks
    seed: int

    @property
    def device(self) -> torch.device:
        """Where the frame is."""
        return self.canvas.texture.device

    @property
    def is_fourfold(self) -> bool:
        """Whether the frame is whole blocks of four pixels each way; else it is drawn on as a whole."""
        return not (self.view.width % COARSE or self.view.height % COARSE)

    @cached_property
    def _matrix(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        return self.pose.affine()

    def screen(self, reduction: int = 1, rows: slice = WHOLE) -> tuple[Tensor, Tensor]:
        """Every ``reduction``-th pixel's place in units from the screen's middle: ``x [1, w]`` and ``y [h, 1]``.

        ``rows`` are those of the frame, whole multiples of ``reduction``.
        """
        height, width = self.view.height // reduction, self.view.width // reduction
        first, last, _ = rows.indices(self.view.height)
        half, scale = (reduction - 1) / 2, self.view.scale
        x = (torch.arange(width, device=self.device) * reduction + half - (self.view.width - 1) / 2) / scale
        y = torch.arange(first // reduction, min(height, -(-last // reduction)), device=self.device)
        return x[None], ((y * reduction + half - (self.view.height - 1) / 2) / scale)[:, None]

    def places(self, reduction: int = 1, rows: slice = WHOLE) -> tuple[Tensor, Tensor]:
        """The same in the picture, each ``[h, w]``."""
        return self._placed(*self.screen(reduction, rows))

    def rows(self, where: Tensor | None) -> slice:
        """Rows of the frame, whole multiples of COARSE, in which there is anything of ``where [H, W]``."""
        if where is None or not self.is_fourfold:
            return WHOLE
        found = (where.amax(1) > LEAST).nonzero()[:, 0].tolist()
        return slice(found[0] // COARSE * COARSE, -(-(found[-1] + 1) // COARSE) * COARSE) if found else slice(0, 0)

    def _placed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        (a, b, c), (d, e, f) = self._matrix
        return a * x + b * y + c, d * x + e * y + f

    def local(self, field: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Values ``[C, h, w]`` of a map ``[1, C, H, W]`` of the picture's view at places in it."""
        width, height = self.view.extent
        grid = torch.stack([x / (width / 2), y / (height / 2)], -1)[None]
        return F.grid_sample(field.float(), grid, padding_mode="border", align_corners=False)[0]

    def enlarge(self, plane: Tensor) -> Tensor:
        """A plane of every fourth pixel ``[h, w]`` at the frame's size, linear between."""
        height, width = self.view.height, self.view.width
        if not len(plane):
            return plane.new_empty(0, width)
        return enlarged_to(plane, (len(plane) * COARSE, width) if self.is_fourfold else (height, width))

    def share(self, kind: int, pixels: Tensor | None = None) -> Tensor | None:
        """How much of each pixel ``[H, W]``, or of some, is of a layer; None where there is none."""
        layers = self.canvas.layers
        if layers is None or not layers.has(kind):
            return None
        plane = layers.shares[:, kind : kind + 1]
        if pixels is not None:
            x, y = self._points(pixels)
            return self._read(plane, x[None], y[None])[0]
        if self.pose == REST:
            rows, columns = self.view.room
            return plane[0, 0, rows : rows + self.view.height, columns : columns + self.view.width].float()
        band = self._band(layers.coarse[kind])
        found = plane.new_zeros(self.view.height, self.view.width, dtype=torch.float32)
        found[band] = self._read(plane, *self.screen(1, band))
        return found

    def mixed(self, weights: dict[int, float], reduction: int, rows: slice) -> Tensor:
        """How much of every ``reduction``-th pixel of rows ``[h, w]`` is of a picture's layers, each by its weight."""
        assert self.canvas.layers is not None
        shares, (x, y) = self.canvas.layers.shares, self.screen(reduction, rows)
        parts = [self._read(shares[:, kind : kind + 1], x, y) * weight for kind, weight in weights.items()]
        return torch.stack(parts).sum(0)

    def _read(self, plane: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Values ``[h, w]`` of one of the canvas's planes ``[1, 1, H, W]`` at places on the screen that broadcast."""
        # By NumPy: PyTorch's own brings in a symbolic algebra, over a second in the midst of a stream.
        shape = np.broadcast_shapes(x.shape, y.shape)
        grid = plane.new_empty(1, *shape, 2, dtype=torch.float32)
        if not all(shape):
            return grid[0, :, :, 0]
        rows, columns = self.view.room
        width, height = (
            side + 2 * room / self.view.scale for side, room in zip(self.view.extent, (columns, rows), strict=True)
        )
        (a, b, c), (d, e, f) = self._matrix
        torch.add(x * (2 * a / width) + 2 * c / width, y, alpha=2 * b / width, out=grid[0, :, :, 0])
        torch.add(x * (2 * d / height) + 2 * f / height, y, alpha=2 * e / height, out=grid[0, :, :, 1])
        return F.grid_sample(plane.float(), grid, padding_mode="border", align_corners=False)[0, 0]

    def _band(self, coarse: Tensor) -> slice:
        """Rows in which a layer of coarse shares ``[32, 56]`` may be seen."""
        if not self.is_fourfold:
            return slice(0, self.view.height)
        near = self.local(coarse[None, None], *self.places(COARSE))[0].amax(1) > 0
        found = near.nonzero()[:, 0].tolist()
        if not found:
            return slice(0, 0)
        return slice(max(0, found[0] - 1) * COARSE, min(self.view.height, (found[-1] + 2) * COARSE))

    def where(self, places: Sequence[float], pixels: Tensor | None = None) -> Tensor | None:
        """How much of each pixel ``[H, W]``, or of some, is in weighted REGIONS; None for all of all."""
        x, y = self.screen() if pixels is None else self._points(pixels)
        parts = [
            (weight, self._region(name, x, y, pixels))
            for name, weight in zip(REGIONS, places, strict=True)
            if weight > 0.002
        ]
        shape = np.broadcast_shapes(x.shape, y.shape)
        if len(parts) == 1 and parts[0][0] == 1 and isinstance(parts[0][1], Tensor):
            return parts[0][1].expand(shape)
        total: Tensor | float = 0.0
        for weight, part in parts:
            total = total + weight * part
        if not isinstance(total, Tensor):
            return None if total > 0.99 else x.new_full(shape, total)
        return total.expand(shape)

    def _region(self, name: str, x: Tensor, y: Tensor, pixels: Tensor | None) -> Tensor | float:
        """One of REGIONS; where the picture lacks it, the nearest meaning of place stands in."""
        across, down = x / (self.view.extent[0] / 2), y / (self.view.extent[1] / 2)
        ramps = {"left": -across, "right": across, "top": -down, "bottom": down}
        if name in ramps:
            return torch.sigmoid(5 * ramps[name])
        if name == "ground":
            sky = self.share(SKY, pixels)
            return torch.sigmoid(5 * down) if sky is None else 1 - sky
        kinds = {"sky": SKY, "water": WATER, "foliage": FOLIAGE, "subject": SUBJECT}
        if name not in kinds:
            return 1.0
        found = self.share(kinds[name], pixels)
        if found is not None:
            return found
        if name in ("sky", "water"):
            return torch.sigmoid(-8 * down if name == "sky" else 8 * down)
        return 1.0 if name == "foliage" else torch.exp(-((across / 0.5) ** 2) - (down / 0.6) ** 2)

    def _points(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Places on the screen of pixels by their index, in units."""
        x = (pixels % self.view.width - (self.view.width - 1) / 2) / self.view.scale
        y = (pixels.div(self.view.width, rounding_mode="floor") - (self.view.height - 1) / 2) / self.view.scale
        return x, y

    def shown(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        """Pixels on the screen of places in the picture (units)."""
        (a, b, c), (d, e, f) = self._matrix
        x, y = x - c, y - f
        area = a * e - b * d
        right, down = (e * x - b * y) / area, (a * y - d * x) / area
        return self._pixels(right, down)

    def floating(
        self, x: Numbers, y: Numbers, near: float, depth: Numbers
    ) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Pixels of what floats before the picture, how much larger it is seen, and how much of it, 0..1.

        The nearer, the faster it goes past; a zoom in brings it closer, out of the view. It comes round again
        beyond it, and by its own ``depth`` in 0..1 from where it is nearest to where it is farthest, unseen at both.
        """
        width, height = (ROOM * side for side in self.view.extent)
        share = (depth + (1 + 0.4 * near) / DEPTH * self.pose.zoom) % 1
        larger = np.exp(DEPTH * (share - 0.5))
        past = (1.1 + near) * math.exp(self.pose.zoom)
        x, y = x - self.pose.x * past, y - self.pose.y * past
        x, y = (x / width + 0.5) % 1 * width - width / 2, (y / height + 0.5) % 1 * height - height / 2
        cos, sin = math.cos(self.pose.roll), math.sin(self.pose.roll)
        # The picture turns clockwise by the roll.
        right, down = (cos * x - sin * y) * larger, (sin * x + cos * y) * larger
        return *self._pixels(right, down), larger, np.clip(np.minimum(share, 1 - share) / ENDS, 0, 1)

    def _pixels(self, right: Numbers, down: Numbers) -> tuple[Numbers, Numbers]:
        scale, width, height = self.view.scale, self.view.width, self.view.height
        return right * scale + (width - 1) / 2, down * scale + (height - 1) / 2

    def number(self, values: Numbers) -> Tensor:
        """Numbers of as many sprites, as :meth:`stamp` has them, ``float32 [N, 1, 1]``."""
        return torch.from_numpy(values.astype(np.float32)).to(self.device)[:, None, None]

    def numbers(self, *values: Numbers) -> tuple[Tensor, ...]:
        """Several :meth:`number` at once, which is much quicker."""
        return torch.from_numpy(np.stack(values).astype(np.float32)).to(self.device)[..., None, None].unbind(0)

    def around(self, x: Numbers, y: Numbers, size: int) -> npt.NDArray[np.bool_]:
        """Which of N places may have a pixel of a :meth:`stamp` in the frame: of what floats half have none."""
        half, width, height = size // 2 + 1, self.view.width, self.view.height
        return (x > -half) & (x < width + half) & (y > -half) & (y < height + half)

    def stamp(self, x: Numbers, y: Numbers, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels around N places: how far ``dx, dy [N, size, size]`` from each, and its index, -1 out of the frame."""
        left, top = np.floor(x) - size // 2 + 1, np.floor(y) - size // 2 + 1
        steps = torch.arange(size, device=self.device)
        fx, fy, first_column, first_row = self.numbers(x - left, y - top, left, top)
        columns, rows = first_column.long() + steps, first_row.long() + steps[:, None]
        seen = (columns >= 0) & (columns < self.view.width) & (rows >= 0) & (rows < self.view.height)
        index = torch.where(seen, rows * self.view.width + columns, -1)
        return (steps - fx).expand(index.shape), (steps[:, None] - fy).expand(index.shape), index

    def left(self, index: Tensor, cover: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where sprites leave anything of cover ``[N, K, K]``: pixels ``int64 [M]``, how much, and its place there."""
        flat = cover.reshape(-1)
        seen = ((flat.abs() > LEAST) & (index.reshape(-1) >= 0)).nonzero()[:, 0]
        return index.reshape(-1).index_select(0, seen), flat.index_select(0, seen), seen

    def summed(self, pixels: Tensor, values: Tensor) -> Tensor:
        """Sums ``float32 [C, M]`` of what is left at the same pixel, of values ``[C, M]``.

        Whatever their order, the same to the last bit.
        """
        count, size = len(values), self.view.width * self.view.height
        total = torch.zeros(size * count, dtype=torch.int32, device=self.device)
        slots = pixels * count + torch.arange(count, device=self.device)[:, None]
        total.scatter_add_(0, slots.reshape(-1), (values * PARTS).round_().to(torch.int32).reshape(-1))
        return total.index_select(0, slots.reshape(-1)).view(count, -1).float() / PARTS
