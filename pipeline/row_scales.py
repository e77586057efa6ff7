"""Matrices that take twelve bits a number in a file, with a scale for each row. Networks get them back as floats.

Rounding to twelve bits of a row's largest number errs about as much as rounding to float16 does, in three quarters of
the room. The upper eight bits have the matrix's name and shape, the lower four lie beside it, two numbers to a byte.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

LOW, SCALE = ".low_bits", ".row_scale"
"""What stands behind a matrix's name in the names of its lower bits and of its scales."""
LEAST = 4096
"""Numbers of the smallest matrix that is packed: smaller ones, and biases, stay in float16."""
MOST = 2047


def packed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give a state dict as it is stored; integers stay.

    >>> stored = packed({"a": torch.linspace(-1, 1, 4096).view(2, 2048), "b": torch.ones(2)})
    >>> [(name, str(value.dtype), list(value.shape)) for name, value in stored.items() if name != "a.low_bits"]
    [('a', 'torch.int8', [2, 2048]), ('a.row_scale', 'torch.float32', [2]), ('b', 'torch.float16', [2])]
    """
    stored: dict[str, Tensor] = {}
    for name, value in state.items():
        if not value.is_floating_point():
            stored[name] = value.contiguous()
        elif value.ndim < 2 or value.numel() < LEAST or value.numel() % 2:
            stored[name] = value.half().contiguous()
        else:
            rows = value.float().flatten(1)
            scale = rows.abs().amax(1).clamp(min=1e-12) / MOST
            numbers = (rows / scale[:, None]).round().to(torch.int16)
            low = (numbers & 15).to(torch.uint8).view(-1, 2)
            stored[name] = (numbers >> 4).to(torch.int8).view(value.shape)
            stored[name + LOW] = low[:, 0] | low[:, 1] << 4
            stored[name + SCALE] = scale
    return stored


def unpacked(high: Tensor, low: Tensor, scale: Tensor) -> Tensor:
    """Give a matrix, ``float32``, from upper bits ``int8 [rows, ...]``, lower bits, and scales ``[rows]``."""
    nibbles = torch.stack([low & 15, low >> 4], 1).view(high.shape)
    return (high.float() * 16 + nibbles) * scale.view(-1, *[1] * (high.ndim - 1))
