"""From what one multiplication made of a layer's tokens to its queries, keys and values, each where it belongs.

Bias, norms over all heads, rotation, and up to five places: as one kernel on a GPU it reads each number once, where the
compiler's six take 0.08 ms for a chunk on an H200, in 30 layers of five passes.
"""
# pyright: reportMissingParameterType=false, reportInvalidTypeForm=false

from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.networks.rope import rotate
from pipeline.quantize import FP8, FP8_MAX, as_kept
from pipeline.recorded import may_compile


class OwnWeights(NamedTuple):
    """A layer's ``bias`` ``[3 dim]``, and the gains of the norms of queries and keys, ``[dim]`` each."""

    bias: Tensor
    norm_q: Tensor
    norm_k: Tensor


class Place(NamedTuple):
    """Where a layer's own keys and values go, each ``[1, L, N, D]``, contiguous.

    ``keys``, rotated, and ``values`` are a part of the window; the raw ones are as the cache keeps them. ``raw_values``
    is None where the window's values are that.
    """

    keys: Tensor
    values: Tensor
    raw_keys: Tensor
    raw_values: Tensor | None


def put_in_place(product: Tensor, weights: OwnWeights, rotation: Tensor, place: Place, eps: float) -> Tensor:
    """Put a layer's keys and values in place.

    Args:
        product: queries, keys and values side by side, ``[1, L, 3 dim]``, without their bias.
        weights: the layer's.
        rotation: ``float32 [L, D / 2, 2]``.
        place: is written, in the dtypes that it has.
        eps: of the norms.

    Returns:
        The queries, rotated, ``[1, L, N, D]`` in the dtype of ``place.keys``.
    """
    if may_compile(product.device):
        return _by_kernel(product, weights, rotation, place, eps)
    heads = place.keys.shape[2:]
    q, k, v = (part.unflatten(-1, heads) for part in (product + weights.bias).chunk(3, dim=-1))
    k = _rms(k, weights.norm_k, eps)
    place.raw_keys.copy_(k)
    if place.raw_values is not None:
        place.raw_values.copy_(v)
    place.keys.copy_(as_kept(rotate(k, rotation), place.keys))
    place.values.copy_(as_kept(v, place.values))
    return as_kept(rotate(_rms(q, weights.norm_q, eps), rotation), place.keys)


def _rms(x: Tensor, gain: Tensor, eps: float) -> Tensor:
    """Norm ``[1, L, N, D]`` over all heads of a token together."""
    wide = x.float()
    scale = torch.rsqrt(wide.square().mean((-2, -1), keepdim=True) + eps)
    return (wide * scale).to(x.dtype) * gain.unflatten(0, x.shape[-2:])


def _by_kernel(product: Tensor, weights: OwnWeights, rotation: Tensor, place: Place, eps: float) -> Tensor:
    q = torch.empty_like(place.keys)
    rows, dim = product.shape[1], product.shape[2] // 3
    pairs = 1 << (dim // 2 - 1).bit_length()
    raw_values = place.raw_values
    _kernel()[(rows,)](
        product,
        *weights,
        rotation,
        (q, place.keys, place.values, place.raw_keys, place.values if raw_values is None else raw_values),
        (eps, FP8_MAX),
        dim,
        rotation.shape[1],
        pairs,
        raw_values is not None,
        place.keys.dtype == FP8,
    )
    return q


@cache
def _kernel() -> Any:
    # Triton comes with PyTorch for GPUs alone, so it is imported where one is used.
    triton, tl = import_module("triton"), import_module("triton.language")

    @triton.jit
    def put(
        product,
        bias,
        norm_q,
        norm_k,
        rotation,
        places,
        numbers,
        DIM: tl.constexpr,
        HALF: tl.constexpr,
        PAIRS: tl.constexpr,
        HAS_RAW_VALUES: tl.constexpr,
        IN_FP8: tl.constexpr,
    ):
        queries, keys, values, raw_keys, raw_values = places
        eps, most = numbers
        row = tl.program_id(0).to(tl.int64)
        # Loaded flat, so that a thread takes 16 bytes at a time; pairs lie in one thread then.
        at = tl.arange(0, 2 * PAIRS)
        inside = at < DIM
        here = row * DIM + at
        cos, sin = tl.split(tl.reshape(tl.load(rotation + row * 2 * HALF + at % (2 * HALF)), (PAIRS, 2)))

        q = tl.load(product + row * 3 * DIM + at, mask=inside, other=0.0).to(tl.float32)
        q += tl.load(bias + at, mask=inside, other=0.0).to(tl.float32)
        q *= tl.rsqrt(tl.sum(q * q, 0) / DIM + eps)
        q *= tl.load(norm_q + at, mask=inside, other=0.0).to(tl.float32)
        a, b = tl.split(tl.reshape(q, (PAIRS, 2)))
        q = tl.reshape(tl.join(a * cos - b * sin, a * sin + b * cos), (2 * PAIRS,))

        k = tl.load(product + (row * 3 + 1) * DIM + at, mask=inside, other=0.0).to(tl.float32)
        k += tl.load(bias + DIM + at, mask=inside, other=0.0).to(tl.float32)
        k *= tl.rsqrt(tl.sum(k * k, 0) / DIM + eps)
        k *= tl.load(norm_k + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(raw_keys + here, k.to(raw_keys.dtype.element_ty), mask=inside)
        a, b = tl.split(tl.reshape(k, (PAIRS, 2)))
        k = tl.reshape(tl.join(a * cos - b * sin, a * sin + b * cos), (2 * PAIRS,))

        v = tl.load(product + (row * 3 + 2) * DIM + at, mask=inside, other=0.0).to(tl.float32)
        v += tl.load(bias + 2 * DIM + at, mask=inside, other=0.0).to(tl.float32)
        if HAS_RAW_VALUES:
            tl.store(raw_values + here, v.to(raw_values.dtype.element_ty), mask=inside)
        if IN_FP8:
            q = tl.minimum(tl.maximum(q, -most), most)
            k = tl.minimum(tl.maximum(k, -most), most)
            v = tl.minimum(tl.maximum(v, -most), most)
        tl.store(queries + here, q.to(queries.dtype.element_ty), mask=inside)
        tl.store(keys + here, k.to(keys.dtype.element_ty), mask=inside)
        tl.store(values + here, v.to(values.dtype.element_ty), mask=inside)

    return put
