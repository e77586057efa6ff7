"""A transformer block as plain functions between its two attentions, each compiled once and used for every layer.

The same arithmetic as :class:`pipeline.networks.block.Block`. The attentions stand outside, since how much they
see changes while a window fills and nothing else does; so does putting keys and values in place
(:mod:`pipeline.networks.own_rows`). What is left between them is one function each, so that norms, modulations and
roundings to fp8 become a handful of kernels.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.networks.block import Block, gated, modulated
from pipeline.networks.own_rows import OwnWeights
from pipeline.networks.packed import Packed, feed_forward, multiply, pack, product


class BlockWeights(NamedTuple):
    """What one block consists of."""

    modulation: Tensor
    qkv: Packed
    own: OwnWeights
    out: Packed
    norm_cross: tuple[Tensor, Tensor]
    cross_q: Packed
    cross_norm_q: Tensor
    cross_out: Packed
    up: Packed
    down: Packed


def weights_of(block: Block) -> BlockWeights:
    """Gather a block's weights; queries, keys and values are laid side by side, and become views of that."""
    own, cross = block.self_attn, block.cross_attn
    assert isinstance(block.norm3.weight, Tensor)
    assert isinstance(block.norm3.bias, Tensor)
    qkv = pack(own.q, own.k, own.v)
    return BlockWeights(
        modulation=block.modulation.detach(),
        qkv=qkv,
        own=OwnWeights(qkv.bias, own.norm_q.weight.detach(), own.norm_k.weight.detach()),
        out=pack(own.o),
        norm_cross=(block.norm3.weight.detach(), block.norm3.bias.detach()),
        cross_q=pack(cross.q),
        cross_norm_q=cross.norm_q.weight.detach(),
        cross_out=pack(cross.o),
        up=pack(block.ffn[0]),
        down=pack(block.ffn[2]),
    )


def enter(x: Tensor, time: Tensor, weights: BlockWeights, eps: float) -> Tensor:
    """Tokens ``[B, L, dim]`` to a layer's queries, keys and values side by side, ``[B, L, 3 dim]``, no bias added."""
    shift, scale = _of_time(weights, time, 0)
    return product(modulated(_norm(x, eps), shift, scale), weights.qkv)


def across(x: Tensor, attended: Tensor, time: Tensor, weights: BlockWeights, eps: float) -> tuple[Tensor, Tensor]:
    """What self-attention gave, ``[B, L, N, D]``, into the tokens, and the queries of the cross-attention."""
    gate = (weights.modulation + time)[:, :, 2]
    x = x + gated(multiply(attended.flatten(2), weights.out), gate)
    h = F.layer_norm(x, x.shape[-1:], *weights.norm_cross, eps)
    q = multiply(h, weights.cross_q)
    wide = q.float()
    q = (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(q.dtype) * weights.cross_norm_q
    return x, q.unflatten(-1, attended.shape[-2:])


def leave(x: Tensor, attended: Tensor, time: Tensor, weights: BlockWeights, eps: float) -> Tensor:
    """What cross-attention gave, ``[B, L, N, D]``, into the tokens, and these through the feed-forward."""
    x = x + multiply(attended.flatten(2), weights.cross_out)
    shift, scale = _of_time(weights, time, 3)
    h = feed_forward(modulated(_norm(x, eps), shift, scale), weights.up, weights.down)
    return x + gated(h, (weights.modulation + time)[:, :, 5])


def onward(
    x: Tensor, attended: Tensor, time: Tensor, weights: tuple[BlockWeights, BlockWeights], eps: float
) -> tuple[Tensor, Tensor]:
    """Leave one layer and enter the next: its tokens, and what :func:`enter` gives."""
    x = leave(x, attended, time, weights[0], eps)
    return x, enter(x, time, weights[1], eps)


def _of_time(weights: BlockWeights, time: Tensor, first: int) -> tuple[Tensor, Tensor]:
    shift, scale = (weights.modulation + time)[:, :, first : first + 2].unbind(2)
    return shift, scale


def _norm(x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=eps)
