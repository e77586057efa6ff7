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
    """Give the cosines and sines that rotate each token of a grid.

    Args:
        frames: ``[T]`` positions on the time axis.
        rows, columns: size of the patch grid of one latent frame.
        head_dim: D, even.

    Returns:
        ``float32 [T * rows * columns, D / 2, 2]``, tokens frame by frame, row by row. Angles are made in
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
    return torch.stack([angle.cos(), angle.sin()], dim=-1).float()


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate neighbouring channel pairs of ``[B, L, N, D]`` by ``float32 [L, D / 2, 2]``; the dtype is kept."""
    pairs = x.float().unflatten(-1, (-1, 2))
    if torch.compiler.is_compiling():
        # The compiler makes one kernel of this, but none of complex numbers.
        (a, b), (cos, sin) = pairs.unbind(-1), rotation[:, None].unbind(-1)
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2).to(x.dtype)
    turned = torch.view_as_complex(pairs) * torch.view_as_complex(rotation)[:, None]
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)
