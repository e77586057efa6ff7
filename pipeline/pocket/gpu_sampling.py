"""Reading planes of the canvas at places of many frames at once, for a GPU.

By PyTorch's own kernels: a compiled gather took twice their time on an H200, and all of a frame compiled as one, where
the places of every gather are interpolated again in each of its taps, over two minutes of compiling.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.view import View


class Reader:
    """Reads nodes and planes for all frames of a latent, at one view's size."""

    def __init__(self, view: View) -> None:
        self._view = view
        # From the middle of the canvas to its sides, in units.
        self._half = tuple(
            (side / 2 + room) / view.scale for side, room in ((view.width, view.room[1]), (view.height, view.room[0]))
        )

    def local(self, values: Tensor, here: Tensor) -> Tensor:
        """Values ``[F, C, 61, 105]`` of fields ``[F, C, h, w]`` at nodes' places ``[F, 2, 61, 105]`` in units."""
        width, height = self._view.extent
        place = torch.stack([here[:, 0] / (width / 2), here[:, 1] / (height / 2)], dim=-1)
        return F.grid_sample(values, place, padding_mode="border", align_corners=False)

    def enlarge(self, nodes: Tensor, reduction: int = 1) -> Tensor:
        """Node values ``[F, C, 61, 105]`` to every ``reduction``-th pixel ``[F, C, H, W]``, exact for linear ones."""
        size = (self._view.height // reduction, self._view.width // reduction)
        return F.interpolate(nodes, size=size, mode="bilinear", align_corners=True)

    def looking(self, here: Tensor, reduction: int = 1) -> Tensor:
        """Where every ``reduction``-th pixel looks, ``[F, H, W, 2]`` as shares of half of the canvas from its middle.

        ``here [F, 2, 61, 105]`` is where the nodes look, in units.
        """
        shares = torch.stack([here[:, axis] / self._half[axis] for axis in (0, 1)], 1)
        return self.enlarge(shares, reduction).permute(0, 2, 3, 1)

    def sample(self, plane: Tensor, at: Tensor) -> Tensor:
        """Values ``float32 [F, C, H, W]`` of a plane of the canvas ``[C, h, w]``, of any resolution, where it is looked
        at, ``[F, H, W, 2]``."""
        planes = plane.expand(len(at), -1, -1, -1)
        return F.grid_sample(planes, at, padding_mode="border", align_corners=False)
