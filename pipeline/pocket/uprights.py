"""What stands upright in a picture and must not lean: long upright lines, each of one nearness, that of its foot."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Rows of the small picture along which a line must keep its side of light and dark, grey levels of change across from
# which it does, and the share of the rows in which it must: from the first it begins to be a line.
LONG, STRONG, KEPT = 17, 3.0, (0.75, 0.9)
# Cells between two lines that are sides of one thing, and between two things that make a front, at most.
BROAD = 11


def standing_lines(picture: Tensor, cells: tuple[int, int]) -> Tensor:
    """How surely each cell ``[1, 60, 104]`` of a small grey picture is of something with upright sides, 0..1."""
    across = F.pad((picture[..., 2:] - picture[..., :-2]) / 2, (1, 1))
    # A line is brighter on one side all along; of grass, gravel, waves each row has its own.
    sides = torch.cat([across > STRONG, across < -STRONG], 1).float()
    along = F.avg_pool2d(sides, (LONG, 1), 1, (LONG // 2, 0), count_include_pad=False).amax(1, keepdim=True)
    sure = ((along - KEPT[0]) / (KEPT[1] - KEPT[0])).clamp(0, 1)
    # What was looked at about a place is all of the line.
    sure = F.max_pool2d(sure, (LONG, 1), 1, (LONG // 2, 0))
    found = F.adaptive_max_pool2d(sure, cells)[0]
    return torch.maximum(_closed(found, BROAD), found)


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
    return torch.maximum(_closed(near, BROAD), near)


def _closed(plane: Tensor, width: int) -> Tensor:
    """Fill what is lower, across, between two that are less than so many cells apart."""
    wide = F.max_pool2d(plane, (1, width), 1, (0, width // 2))
    return -F.max_pool2d(-wide, (1, width), 1, (0, width // 2))
