"""Attention without a mask, by whichever kernel there is."""

import importlib
import importlib.util
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Kernel = Literal["sdpa", "fa3"]
"""PyTorch's own choice (cuDNN's on a Hopper GPU), or FlashAttention-3 (arXiv 2407.08608) from the package fa3-fwd."""
FA3_MODULE = "fa3_fwd_interface"


def available_kernels() -> tuple[Kernel, ...]:
    """Name the kernels that can run here, the fastest first: FlashAttention-3 needs its package and a Hopper GPU."""
    has_fa3 = importlib.util.find_spec(FA3_MODULE) is not None and torch.cuda.is_available()
    return ("fa3", "sdpa") if has_fa3 and torch.cuda.get_device_capability()[0] == 9 else ("sdpa",)


def attend(q: Tensor, k: Tensor, v: Tensor, kernel: Kernel) -> Tensor:
    """Attend to every key: ``[B, L, N, D]`` three times to ``[B, L, N, D]``; scores are scaled by ``D ** -0.5``."""
    if kernel == "fa3":
        made = importlib.import_module(FA3_MODULE).flash_attn_func(q, k, v)
        # Some builds give the scores' log-sum beside the output.
        return made[0] if isinstance(made, tuple) else made
    return F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)
