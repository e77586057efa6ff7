"""Rotary position embedding over three axes: latent frame, patch row, patch column.

Source: RoFormer (arXiv 2104.09864); the split of a head into axes is Wan2.1's (arXiv 2503.20314).
"""

import torch
from torch import Tensor

THETA = 10_000.0


def axis_pairs(head_dim: int) -> tuple[int, int, int]:
    """Split the complex pairs of one head among frame, row and column.

    >>> axis_pairs(128), axis_pairs(32)
    ((22, 21, 21), (6, 5, 5))
    """
    pairs = head_dim // 2
    third = pairs // 3
    return pairs - 2 * third, third, third


def rotations(frames: Tensor, rows: int, columns: int, head_dim: int) -> Tensor:
    """Give the unit complex numbers that rotate each token of a grid.

    Args:
        frames: ``[T]`` positions on the time axis.
        rows, columns: size of the patch grid of one latent frame.
        head_dim: D, even.

    Returns:
        ``complex64 [T * rows * columns, D / 2]``, tokens frame by frame, row by row. Angles are made in
        float64: float32 loses the phase of late frames.
    """
    device = frames.device
    grid = torch.cartesian_prod(
        frames.double(),
        torch.arange(rows, dtype=torch.float64, device=device),
        torch.arange(columns, dtype=torch.float64, device=device),
    )
    angles = [
        grid[:, axis, None] * THETA ** (-torch.arange(n, dtype=torch.float64, device=device) / n)
        for axis, n in enumerate(axis_pairs(head_dim))
    ]
    angle = torch.cat(angles, dim=1)
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate neighbouring channel pairs of ``[B, L, N, D]`` by ``complex64 [L, D / 2]``; the dtype is kept."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rotation[:, None, :]).flatten(-2).to(x.dtype)
