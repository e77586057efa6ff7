"""Two pictures of one texture mixed without the mix growing dull: the flow's two phases.

Where two that have nothing in common are mixed by halves, their detail is left with 0.7 of its contrast, so that a sky
that flows would blur and clear again every 1.2 s. So the mix's own detail is brought back to the contrast it had. What
is wider than a cell both phases show alike, and it is left as it is.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.enlarging import enlarged_to

# Units that a cell is wide: about as far as clouds go in half a period, by which the two phases differ.
CELL = 8.0


def cell(scale: float) -> int:
    """Pixels of a cell's side, for so many pixels to a unit."""
    return max(1, round(CELL * scale))


def mixed(first: Tensor, second: Tensor, share: float | Tensor, side: int) -> Tensor:
    """Mix two ``[..., 3, H, W]`` by a share of the second, in 0..1, at even contrast of what is finer than a cell.

    ``side`` is the cell's in pixels; a share that is a tensor is of a number of dimensions that fits. Where one of the
    two is all there is, it is what comes out.

    >>> one, other = torch.rand(2, 3, 64, 64).unbind()
    >>> torch.equal(mixed(one, other, 0.0, 8), one), bool(mixed(one, other, 0.5, 8).std() > 0.9 * one.std())
    (True, True)
    """
    mix = torch.lerp(first, second, share)
    gain = (share**2 + (1 - share) ** 2) ** -0.5 - 1
    return torch.lerp(mix, _coarse(mix, side), -gain)


def _coarse(image: Tensor, side: int) -> Tensor:
    planes = image.reshape(-1, 1, *image.shape[-2:])
    height, width = planes.shape[2:]
    small = F.avg_pool2d(planes, side, ceil_mode=True, count_include_pad=False)
    wide = enlarged_to(small, (side * small.shape[2], side * small.shape[3]))
    return wide[..., :height, :width].reshape(image.shape)
