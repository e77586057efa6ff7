"""A transformer block as plain functions between its two attentions, each compiled once and used for every layer.

The same arithmetic as :class:`pipeline.networks.transformer.Block`. The attentions stand outside, since how much they
see changes while a window fills and nothing else does. What stands between two attentions is one function, so that
norms, modulations, rotations and roundings to fp8 become a handful of kernels.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.networks.packed import Packed, feed_forward, multiply, pack
from pipeline.networks.rope import rotate
from pipeline.networks.transformer import Block, gated, modulated
from pipeline.quantize import as_kept


class BlockWeights(NamedTuple):
    """What one block consists of."""

    modulation: Tensor
    qkv: Packed
    norm_q: Tensor
    norm_k: Tensor
    out: Packed
    norm_cross: tuple[Tensor, Tensor]
    cross_q: Packed
    cross_norm_q: Tensor
    cross_out: Packed
    up: Packed
    down: Packed


class Place(NamedTuple):
    """Where a layer's own keys and values go, each ``[B, L, N, D]``.

    ``keys``, rotated, and ``values`` are a part of the window; the raw ones are as the cache keeps them. ``raw_values``
    is None where the window's values are that.
    """

    keys: Tensor
    values: Tensor
    raw_keys: Tensor
    raw_values: Tensor | None


class Norms(NamedTuple):
    """What is the same for all layers: number of heads, and the norms' epsilon."""

    heads: int
    eps: float


def weights_of(block: Block) -> BlockWeights:
    """Gather a block's weights; queries, keys and values are laid side by side, and become views of that."""
    own, cross = block.self_attn, block.cross_attn
    assert isinstance(block.norm3.weight, Tensor)
    assert isinstance(block.norm3.bias, Tensor)
    return BlockWeights(
        modulation=block.modulation.detach(),
        qkv=pack(own.q, own.k, own.v),
        norm_q=own.norm_q.weight.detach(),
        norm_k=own.norm_k.weight.detach(),
        out=pack(own.o),
        norm_cross=(block.norm3.weight.detach(), block.norm3.bias.detach()),
        cross_q=pack(cross.q),
        cross_norm_q=cross.norm_q.weight.detach(),
        cross_out=pack(cross.o),
        up=pack(block.ffn[0]),
        down=pack(block.ffn[2]),
    )


def enter(x: Tensor, time: Tensor, weights: BlockWeights, norms: Norms, rotation: Tensor, place: Place) -> Tensor:
    """Tokens ``[B, L, dim]`` to the queries ``[B, L, N, D]`` of a layer, whose keys and values are put in place."""
    shift, scale = _of_time(weights, time, 0)
    h = modulated(_norm(x, norms.eps), shift, scale)
    q, k, v = (part.unflatten(-1, (norms.heads, -1)) for part in multiply(h, weights.qkv).chunk(3, dim=-1))
    q = rotate(_rms(q, weights.norm_q, norms.eps), rotation)
    k = _rms(k, weights.norm_k, norms.eps)
    place.raw_keys.copy_(k)
    if place.raw_values is not None:
        place.raw_values.copy_(v)
    place.keys.copy_(as_kept(rotate(k, rotation), place.keys))
    place.values.copy_(as_kept(v, place.values))
    return as_kept(q, place.keys)


def across(
    x: Tensor, attended: Tensor, time: Tensor, weights: BlockWeights, norms: Norms
) -> tuple[Tensor, Tensor]:
    """What self-attention gave, ``[B, L, N, D]``, into the tokens, and the queries of the cross-attention."""
    gate = (weights.modulation + time)[:, :, 2]
    x = x + gated(multiply(attended.flatten(2), weights.out), gate)
    h = F.layer_norm(x, x.shape[-1:], *weights.norm_cross, norms.eps)
    q = multiply(h, weights.cross_q).unflatten(-1, (norms.heads, -1))
    return x, _rms(q, weights.cross_norm_q, norms.eps)


def leave(x: Tensor, attended: Tensor, time: Tensor, weights: BlockWeights, norms: Norms) -> Tensor:
    """What cross-attention gave, ``[B, L, N, D]``, into the tokens, and these through the feed-forward."""
    x = x + multiply(attended.flatten(2), weights.cross_out)
    shift, scale = _of_time(weights, time, 3)
    h = feed_forward(modulated(_norm(x, norms.eps), shift, scale), weights.up, weights.down)
    return x + gated(h, (weights.modulation + time)[:, :, 5])


def onward(
    x: Tensor,
    attended: Tensor,
    time: Tensor,
    weights: tuple[BlockWeights, BlockWeights],
    norms: Norms,
    rotation: Tensor,
    place: Place,
) -> tuple[Tensor, Tensor]:
    """Leave one layer and enter the next: its tokens and queries."""
    x = leave(x, attended, time, weights[0], norms)
    return x, enter(x, time, weights[1], norms, rotation, place)


def _of_time(weights: BlockWeights, time: Tensor, first: int) -> tuple[Tensor, Tensor]:
    shift, scale = (weights.modulation + time)[:, :, first : first + 2].unbind(2)
    return shift, scale


def _norm(x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=eps)


def _rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Norm ``[B, L, N, D]`` over all heads of a token together."""
    wide = x.float()
    scale = torch.rsqrt(wide.square().mean((-2, -1), keepdim=True) + eps)
    return (wide * scale).to(x.dtype) * weight.unflatten(0, x.shape[-2:])
