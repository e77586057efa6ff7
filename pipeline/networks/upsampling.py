"""Nearest upsampling and the 3x3 convolution behind it, as one 2x2 convolution on the small picture.

Of an output pixel's nine taps several fall on one and the same small pixel, so their weights add up: four times 2x2
taps, one set for each place within a block of 2x2 pixels, do what 3x3 did on the large picture, with 4/9 of the
products and without that picture. Such blocks straddle the small pixels: block ``(i, j)`` of ``h + 1`` by ``w + 1`` is
the large picture's rows ``2 i - 1`` and ``2 i``, and so with columns; the first and the last lie half outside.

The result equals the plain form in real arithmetic; weights are added in float32 at least.
"""

import torch
from torch import Tensor

# [place in the block, tap on the small picture, tap on the large one]
_ADDED = (((1, 1, 0), (0, 0, 1)), ((1, 0, 0), (0, 1, 1)))


def fold_upsampling(weight: Tensor) -> Tensor:
    """Fold a kernel ``[N, C, 3, 3]`` that follows an upsampling: ``[4 N, C, 2, 2]``, for a padding of 1.

    The channels of the result are place ``(p, q)`` in the block, then N.
    """
    wide, added = _widened(weight)
    folded = torch.einsum("pyk,qxl,nckl->pqncyx", added, added, wide)
    return folded.flatten(0, 2).to(weight.dtype)


def fold_reading(weight: Tensor) -> Tensor:
    """Make a kernel ``[N, C, 3, 3]`` read straddling blocks and give whole ones: ``[4 N, 4 C, 2, 2]``, no padding.

    Block ``(i, j)`` of the ``h`` by ``w`` of the result is rows ``2 i`` and ``2 i + 1``. What lies outside the picture
    must be zero in the blocks read (:func:`clear_outside`).
    """
    reach = torch.zeros(2, 2, 2, 3, dtype=torch.float32, device=weight.device)
    for place in range(2):
        for tap in range(3):
            reach[place, (place + tap) // 2, (place + tap) % 2, tap] = 1
    wide, _ = _widened(weight)
    reach = reach.to(wide)
    folded = torch.einsum("aypk,bxql,nckl->abnpqcyx", reach, reach, wide)
    return folded.flatten(3, 5).flatten(0, 2).to(weight.dtype)


def clear_outside(blocks: Tensor) -> None:
    """Set what lies outside the picture to zero, in straddling blocks ``[B, 4 C, h + 1, w + 1]``, in place."""
    half = blocks.shape[1] // 2
    blocks[:, :half, 0] = 0
    blocks[:, half:, -1] = 0
    columns = blocks.unflatten(1, (2, 2, -1))
    columns[:, :, 0, :, :, 0] = 0
    columns[:, :, 1, :, :, -1] = 0


def unblock(blocks: Tensor) -> Tensor:
    """Put straddling blocks ``[B, 4 N, h + 1, w + 1]`` into pixels ``[B, N, 2 h, 2 w]``, channels last in memory."""
    batch, channels, height, width = blocks.shape
    size = (batch, channels // 4, 2 * height - 2, 2 * width - 2)
    pixels = torch.empty(size, dtype=blocks.dtype, device=blocks.device, memory_format=torch.channels_last)
    places = blocks.unflatten(1, (2, 2, -1))
    for p, q in ((0, 0), (0, 1), (1, 0), (1, 1)):
        rows, columns = slice(1 - p, height - p), slice(1 - q, width - q)
        pixels[:, :, 1 - p :: 2, 1 - q :: 2] = places[:, p, q, :, rows, columns]
    return pixels


def _widened(weight: Tensor) -> tuple[Tensor, Tensor]:
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    return wide, torch.tensor(_ADDED, dtype=wide.dtype, device=wide.device)
