"""Linear layers as plain data, multiplied in the dtype that their weights are kept in: that of the input, or fp8."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.networks.fp8_rows import gelu_rows_in_fp8
from pipeline.quantize import StoredLinear, rows_in_fp8


class Packed(NamedTuple):
    """One linear layer: ``weight`` ``[out, in]``, ``bias`` ``[out]``.

    ``scale`` is ``float32 [out, 1]`` where the weight is ``float8_e4m3fn``, else None.
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor | None = None


def pack(*layers: nn.Module) -> Packed:
    """Lay layers of one input side by side, so that one multiplication does for all; they become views of it.

    Raises TypeError for what is no linear layer with a bias.
    """
    weights: list[Tensor] = []
    for layer in layers:
        if not isinstance(layer, nn.Linear | StoredLinear):
            raise TypeError(f"{type(layer).__name__} is no linear layer")
        weights.append(layer.weight)
    kept = layers[0].weight if len(layers) == 1 else _side_by_side(layers, weights)
    biases = [layer.bias for layer in layers if isinstance(layer.bias, Tensor)]
    scales = [layer.scale for layer in layers if isinstance(layer, StoredLinear)]
    assert isinstance(kept, Tensor)
    return Packed(kept.detach(), torch.cat(biases).detach(), torch.cat(scales) if scales else None)


def multiply(x: Tensor, layer: Packed) -> Tensor:
    """Apply a layer to ``[..., in]``; in fp8 each row of the input gets a scale of its own.

    What makes a row's scale and bits is meant to be fused by the compiler into whatever computed the row.
    """
    if layer.scale is None:
        return F.linear(x, layer.weight, layer.bias)
    return product(x, layer) + layer.bias


def product(x: Tensor, layer: Packed) -> Tensor:
    """Apply a layer as :func:`multiply` does, and leave its bias to what comes next."""
    if layer.scale is None:
        return F.linear(x, layer.weight)
    return _multiply_fp8(*rows_in_fp8(x.flatten(0, -2)), layer, x.dtype).unflatten(0, x.shape[:-1])


def feed_forward(x: Tensor, up: Packed, down: Packed) -> Tensor:
    """Two layers with GELU (by tanh) between them, ``[..., in]`` to ``[..., out]``."""
    if up.scale is None or down.scale is None:
        return multiply(F.gelu(multiply(x, up), approximate="tanh"), down)
    wide = _multiply_fp8(*rows_in_fp8(x.flatten(0, -2)), up, x.dtype)
    bits, scale = gelu_rows_in_fp8(wide, up.bias)
    made = _multiply_fp8(bits, scale, down, x.dtype)
    return (made + down.bias).unflatten(0, x.shape[:-1])


def can_multiply_fp8(device: torch.device) -> bool:
    """Whether this device multiplies fp8 by itself: NVIDIA's from Ada (8.9) on."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


def _multiply_fp8(bits: Tensor, scale: Tensor, layer: Packed, dtype: torch.dtype) -> Tensor:
    """Rows ``[L, in]`` in eight bits, each with its scale, by a layer in eight bits; without the bias."""
    weight, weight_scale = layer.weight, layer.scale
    assert weight_scale is not None
    if bits.device.type != "cuda":
        # The same sum of the same products; elsewhere it is for comparison alone.
        return ((bits.float() @ weight.float().t()) * scale * weight_scale.t()).to(dtype)
    product = torch.ops.aten._scaled_mm.default
    return product(bits, weight.t(), scale, weight_scale.t(), out_dtype=dtype, use_fast_accum=True)


def _side_by_side(layers: tuple[nn.Module, ...], weights: list[Tensor]) -> Tensor:
    whole = torch.cat([weight.detach() for weight in weights])
    for layer, part in zip(layers, whole.split([len(weight) for weight in weights]), strict=True):
        if isinstance(layer, nn.Linear):
            layer.weight = nn.Parameter(part, requires_grad=False)
        else:
            layer.weight = part
    return whole
