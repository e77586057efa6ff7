"""How fast a picture is seen to move of which parts are nearer than others: by what has texture, and most agree on.

A pan should be seen at the speed that is asked for. What is seen is the motion of one plane: the similarity that most
of what has texture follows, as it is measured of frames (:mod:`pipeline.pocket.measure`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.canvas import Canvas

# Pixels of a picture that is looked at, of whatever shape, and of the neighbourhood that tells texture.
SIZE, AROUND = (120, 208), 7
# Squared grey levels a pixel from which on half of a motion counts as seen.
VISIBLE = 3.25
# Rounds in which what does not follow counts less, and the least difference in nearness by which it does not.
ROUNDS, LEAST_SPREAD = 12, 0.01


def grey(canvas: Canvas) -> Tensor:
    """The view at rest in grey levels, small, ``float32 [1, 1, 120, 208]``."""
    return F.adaptive_avg_pool2d(canvas.rest.permute(2, 0, 1)[None].float().mean(1, keepdim=True), SIZE)


def texture(picture: Tensor, cells: tuple[int, int]) -> Tensor:
    """How well a motion of each cell of a small grey picture can be seen, ``[60, 104]`` in 0..1, in the worse way."""
    plain = _blurred(_blurred(picture, 2), 3)
    across = _blurred(F.pad((plain[..., 2:] - plain[..., :-2]) / 2, (1, 1)), 2)
    down = _blurred(F.pad((plain[..., 2:, :] - plain[..., :-2, :]) / 2, (0, 0, 1, 1)), 3)
    both = torch.cat([across * across, across * down, down * down], 1)
    a, b, c = F.avg_pool2d(both, AROUND, 1, AROUND // 2, count_include_pad=False)[0]
    weakest = ((a + c) / 2 - (((a - c) / 2).square() + b.square()).sqrt()).clamp(min=0)
    return F.adaptive_avg_pool2d((weakest / (weakest + VISIBLE))[None], cells)[0]


def _blurred(plane: Tensor, axis: int) -> Tensor:
    """A little, along one axis: grain is nothing that a motion is seen by."""
    first, last = plane.narrow(axis, 0, 1), plane.narrow(axis, -1, 1)
    length, wide = plane.shape[axis], torch.cat([first, plane, last], axis)
    return plane / 2 + (wide.narrow(axis, 0, length) + wide.narrow(axis, 2, length)) / 4


def seen_speed(near: Tensor, seen: Tensor) -> float:
    """The speed at which cells of nearness ``[60, 104]`` are seen to move as one, that of a nearness of 1 being 1.

    >>> cells = torch.full((60, 104), 0.9)
    >>> cells[:12] = 0.5
    >>> round(seen_speed(cells, torch.ones(60, 104)), 2)
    0.9
    """
    rows, columns = near.shape
    y = torch.arange(rows, dtype=torch.float64) - (rows - 1) / 2
    x = torch.arange(columns, dtype=torch.float64) - (columns - 1) / 2
    inner = slice(rows // 16, -(rows // 16)), slice(columns // 16, -(columns // 16))
    place = torch.complex(x.expand(rows, columns), y[:, None].expand(rows, columns))[inner].flatten()
    move = near.double().cpu()[inner].flatten().to(torch.complex128)
    base = seen.double().cpu()[inner].flatten() + 1e-4
    weight, shift, rate = base, move.mean(), move.new_zeros(())
    for _ in range(ROUNDS):
        total = weight.sum()
        at, to = (place * weight).sum() / total, (move * weight).sum() / total
        away = place - at
        rate = (weight * away.conj() * (move - to)).sum() / (weight * away.abs().square()).sum()
        shift = to - rate * at
        miss = (move - shift - rate * place).abs()
        spread = 1.5 * (miss.clamp(max=4 * float(miss.median()) + 1e-3) * base).sum() / base.sum()
        weight = base / (1 + (miss / spread.clamp(min=LEAST_SPREAD)).square())
    return float(shift.real)
