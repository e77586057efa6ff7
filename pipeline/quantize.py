"""Linear layers in eight bits: their weights, and the rows that they are multiplied with."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FP8 = torch.float8_e4m3fn
FP8_MAX = torch.finfo(FP8).max
SMALLEST_SCALE = 1e-12


class StoredLinear(nn.Module):
    """A linear layer whose weight is ``float8_e4m3fn``, with a ``float32`` scale for each output row.

    Used by itself it saves memory, not time: each use makes the weight again in the input's dtype. The relative error
    of a weight is at most 1/16 (three bits of mantissa), unless it is very small in its row.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        bits, scale = rows_in_fp8(linear.weight.detach())
        self.register_buffer("weight", bits)
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight.float() * self.scale).to(x.dtype)
        return F.linear(x, weight, self.bias)


def rows_in_fp8(x: Tensor) -> tuple[Tensor, Tensor]:
    """Round rows ``[L, D]`` to ``float8_e4m3fn``, each by a scale of its own; gives them and ``float32 [L, 1]``.

    >>> bits, scale = rows_in_fp8(torch.tensor([[1.0, -4.0], [0.0, 0.0]]))
    >>> (bits.float() * scale).tolist()
    [[1.0, -4.0], [0.0, 0.0]]
    """
    wide = x.float()
    scale = wide.abs().amax(1, keepdim=True).clamp(min=SMALLEST_SCALE) / FP8_MAX
    return (wide / scale).clamp(-FP8_MAX, FP8_MAX).to(FP8), scale


def to_fp8(x: Tensor) -> Tensor:
    """Round to ``float8_e4m3fn`` without a scale; what is beyond its range stays at its ends and is no NaN.

    >>> to_fp8(torch.tensor([1000.0, -0.25])).float().tolist()
    [448.0, -0.25]
    """
    return x if x.dtype == FP8 else x.clamp(-FP8_MAX, FP8_MAX).to(FP8)


def as_kept(x: Tensor, where: Tensor) -> Tensor:
    """Make ``x`` ready to be copied to a place that may keep it in eight bits."""
    return to_fp8(x) if where.dtype == FP8 else x


def store_in_fp8(module: nn.Module, smallest: int = 1 << 20) -> None:
    """Put :class:`StoredLinear` in place of every linear layer below a module that has ``smallest`` weights or more.

    Small layers, which condition the large ones, keep their precision.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and child.weight.numel() >= smallest:
                setattr(parent, name, StoredLinear(child))
