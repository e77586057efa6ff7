"""Reading planes at places of many frames at once, for a GPU: gathers that a compiler fuses."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.canvas import SCALE
from pipeline.pocket.view import View


def enlarge(nodes: Tensor, view: View, reduction: int = 1) -> Tensor:
    """Node values ``[F, C, 61, 105]`` to every ``reduction``-th pixel ``[F, C, H, W]``, exact for what is linear."""
    size = (view.height // reduction, view.width // reduction)
    return F.interpolate(nodes, size=size, mode="bilinear", align_corners=True)


def sample(plane: Tensor, at: Tensor, view: View) -> Tensor:
    """Values ``float32 [F, C, H, W]`` of a plane of the canvas ``[C, h, w]``, at places ``[F, 2, H, W]`` in units."""
    rows, columns = plane.shape[1:]
    x, y = (at[:, axis] * view.scale for axis in (0, 1))
    full_x, full_y = SCALE * (view.width + 2 * view.room[1]), SCALE * (view.height + 2 * view.room[0])
    x = ((x + view.width / 2) * SCALE + SCALE * view.room[1]) * (columns / full_x) - 0.5
    y = ((y + view.height / 2) * SCALE + SCALE * view.room[0]) * (rows / full_y) - 0.5
    x, y = x.clamp(0, columns - 1), y.clamp(0, rows - 1)
    x0, y0 = x.floor(), y.floor()
    right, down = (x - x0)[None], (y - y0)[None]
    left, above = x0.long(), y0.long()
    beside, below = (left + 1).clamp(max=columns - 1), (above + 1).clamp(max=rows - 1)
    flat = plane.flatten(1)

    def tap(row: Tensor, column: Tensor) -> Tensor:
        return flat[:, row * columns + column].float()

    top = torch.lerp(tap(above, left), tap(above, beside), right)
    bottom = torch.lerp(tap(below, left), tap(below, beside), right)
    return torch.lerp(top, bottom, down).transpose(0, 1)
