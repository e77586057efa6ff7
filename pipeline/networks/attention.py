"""Attention without a mask, by whichever kernel there is."""

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.quantize import to_fp8

Kernel = Literal["sdpa", "fa3", "fa3_fp8"]
"""PyTorch's own choice (cuDNN's on a Hopper GPU), or FlashAttention-3 (arXiv 2407.08608) from the package fa3-fwd.

``fa3_fp8`` rounds queries, keys and values of the self-attention to ``float8_e4m3fn``, which is faster and less exact.
"""
FA3_MODULE = "fa3_fwd_interface"


def available_kernels() -> tuple[Kernel, ...]:
    """Name the kernels that can run here, best first: FlashAttention-3 needs its package and a Hopper GPU."""
    has_fa3 = importlib.util.find_spec(FA3_MODULE) is not None and torch.cuda.is_available()
    is_hopper = has_fa3 and torch.cuda.get_device_capability()[0] == 9
    return ("fa3", "sdpa", "fa3_fp8") if is_hopper else ("sdpa",)


def beside_window(kernel: Kernel) -> Kernel:
    """Give the kernel for the few keys of a text or a picture, where fp8 would win nothing."""
    return "fa3" if kernel == "fa3_fp8" else kernel


def attend_to_each(q: Tensor, pairs: Sequence[tuple[Tensor, Tensor]], kernel: Kernel) -> Tensor:
    """Attend to each pair of keys and values on its own and add up; see :func:`attend`."""
    first, *others = (attend(q, k, v, kernel) for k, v in pairs)
    return sum(others, first)


def attend(q: Tensor, k: Tensor, v: Tensor, kernel: Kernel) -> Tensor:
    """Attend to every key: ``[B, L, N, D]`` three times to ``[B, L, N, D]``; scores are scaled by ``D ** -0.5``.

    What is ``float8_e4m3fn`` already, for ``fa3_fp8``, gives ``bfloat16``.
    """
    if kernel == "fa3_fp8":
        q, k, v = (to_fp8(part) for part in (q, k, v))
    if kernel in ("fa3", "fa3_fp8"):
        made = importlib.import_module(FA3_MODULE).flash_attn_func(q, k, v)
        # Some builds give the scores' log-sum beside the output.
        return made[0] if isinstance(made, tuple) else made
    return F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)
