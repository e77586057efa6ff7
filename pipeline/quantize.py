"""Weights of linear layers kept in eight bits; they are multiplied as what they are turned back into."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FP8 = torch.float8_e4m3fn
FP8_MAX = torch.finfo(FP8).max


class StoredLinear(nn.Module):
    """A linear layer whose weight is ``float8_e4m3fn``, with a ``float32`` scale for each output row.

    It saves memory, not time: each use makes the weight again in the input's dtype. The relative error of a weight is
    at most 1/16 (three bits of mantissa), unless it is very small in its row.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        wide = linear.weight.detach().float()
        scale = wide.abs().amax(1, keepdim=True).clamp(min=1e-12) / FP8_MAX
        self.register_buffer("weight", (wide / scale).to(FP8))
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight.float() * self.scale).to(x.dtype)
        return F.linear(x, weight, self.bias)


def store_in_fp8(module: nn.Module, smallest: int = 1 << 20) -> None:
    """Put :class:`StoredLinear` in place of every linear layer below a module that has ``smallest`` weights or more.

    Small layers, which condition the large ones, keep their precision.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and child.weight.numel() >= smallest:
                setattr(parent, name, StoredLinear(child))
