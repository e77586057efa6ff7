"""What stands upright in a picture and must not lean: long upright lines, each of one nearness, that of its foot."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Rows of the small picture over which a line must keep its side of light and dark, and grey levels of change a pixel
# across from which it begins to be one, and surely is.
LONG, STRONG = 17, (3.0, 8.0)
# How much of the change across must be on one side, along a line.
ALIKE = (0.55, 0.8)
# Cells between two lines that are sides of one thing, at most, and between two things that make a front.
BROAD, FRONT = 7, 11


def standing_lines(picture: Tensor, cells: tuple[int, int]) -> Tensor:
    """How surely each cell ``[1, 60, 104]`` of a small grey picture is of something with upright sides, 0..1."""
    across = F.pad((picture[..., 2:] - picture[..., :-2]) / 2, (1, 1))
    # The mean of a line keeps its change; that of grass, gravel, waves does not.
    along = _lengthwise(across).abs()
    alike = ((along / (_lengthwise(across.abs()) + 1) - ALIKE[0]) / (ALIKE[1] - ALIKE[0])).clamp(0, 1)
    sure = alike * ((along - STRONG[0]) / (STRONG[1] - STRONG[0])).clamp(0, 1)
    # To its ends, of which half was cut off.
    sure = F.max_pool2d(sure, (LONG // 2, 1), 1, (LONG // 4, 0))[..., : picture.shape[2], :]
    found = F.adaptive_max_pool2d(sure, cells)[0]
    return torch.maximum(_closed(found, BROAD), found)


def _lengthwise(plane: Tensor) -> Tensor:
    return F.avg_pool2d(plane, (LONG, 1), 1, (LONG // 2, 0), count_include_pad=False)


def as_feet(near: Tensor, upright: Tensor) -> Tensor:
    """Nearness ``[1, 60, 104]`` in which what is upright is as near, from its top to its foot, as its foot is.

    >>> near = torch.arange(4.0).view(1, 4, 1)
    >>> as_feet(near, torch.tensor([0.0, 1.0, 1.0, 0.0]).view(1, 4, 1)).flatten().tolist()
    [0.0, 2.0, 2.0, 3.0]

    What stands between two that are close together is a part of a front, and as near as the farther of them.
    """
    rows = list(near.unbind(1))
    for row in reversed(range(len(rows) - 1)):
        link = torch.minimum(upright[:, row], upright[:, row + 1])
        rows[row] = rows[row] + link * (rows[row + 1] - rows[row]).clamp(min=0)
    near = torch.stack(rows, 1)
    return torch.maximum(_closed(near, FRONT), near)


def _closed(plane: Tensor, width: int) -> Tensor:
    """Fill what is lower, across, between two that are less than so many cells apart."""
    wide = F.max_pool2d(plane, (1, width), 1, (0, width // 2))
    return -F.max_pool2d(-wide, (1, width), 1, (0, width // 2))
