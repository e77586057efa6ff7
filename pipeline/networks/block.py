"""One block of the Wan family's transformer: attention to the window, to text and picture, and a feed-forward.

Parameter names are those of the published checkpoints.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.networks.attention import Kernel, attend_to_each, beside_window
from pipeline.networks.rope import rotate

KeyValue = tuple[Tensor, Tensor]
"""Keys and values ``[B, L, N, D]`` of one layer."""
CrossKeyValues = tuple[KeyValue, ...]
"""What one layer's cross-attention looks at: the text, and the picture where the network sees one."""


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Sizes of one network; ``in_channels`` counts everything that is patchified.

    ``text_len`` is the number of rows that a text is padded to, since these networks attend to the padding too;
    None takes texts as they come. ``image_dim`` is the width of the image features that the cross-attention
    sees beside the text (Wan2.1 I2V: CLIP, 1280), None where there are none.
    """

    dim: int
    ffn_dim: int
    num_heads: int
    num_layers: int
    in_channels: int
    out_channels: int
    text_dim: int
    patch: tuple[int, int, int] = (1, 2, 2)
    freq_dim: int = 256
    eps: float = 1e-6
    text_len: int | None = None
    image_dim: int | None = None
    kernel: Kernel = "sdpa"

    @property
    def head_dim(self) -> int:
        """D, the width of one head."""
        return self.dim // self.num_heads


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis, computed in float32."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide * scale).to(x.dtype) * self.weight


class Attention(nn.Module):
    """Queries, keys and values with norms over the full width, before heads are split."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim, eps = config.dim, config.eps
        self.num_heads = config.num_heads
        self.kernel: Kernel = config.kernel
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q = RMSNorm(dim, eps)
        self.norm_k = RMSNorm(dim, eps)

    def queries(self, x: Tensor) -> Tensor:
        """``[B, L, dim] -> [B, L, N, D]``, not rotated."""
        return self.norm_q(self.q(x)).unflatten(-1, (self.num_heads, -1))

    def keys_values(self, x: Tensor) -> KeyValue:
        """``[B, L, dim] -> two of [B, L, N, D]``, keys not rotated."""
        k = self.norm_k(self.k(x)).unflatten(-1, (self.num_heads, -1))
        return k, self.v(x).unflatten(-1, (self.num_heads, -1))

    def attend(self, q: Tensor, *pairs: KeyValue) -> Tensor:
        """Attend to each pair on its own, without a mask, add up and project; ``[B, L, N, D]`` to ``[B, L, dim]``."""
        return self.o(attend_to_each(q, pairs, self.kernel).flatten(2))


class CrossAttention(Attention):
    """Attention to the text, and where the network sees a picture to its tokens, with keys and values of their own."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.kernel = beside_window(config.kernel)
        if config.image_dim is not None:
            self.k_img = nn.Linear(config.dim, config.dim)
            self.v_img = nn.Linear(config.dim, config.dim)
            self.norm_k_img = RMSNorm(config.dim, config.eps)

    def image_keys_values(self, x: Tensor) -> KeyValue:
        """``[B, L, dim] -> two of [B, L, N, D]`` of embedded image tokens."""
        k = self.norm_k_img(self.k_img(x)).unflatten(-1, (self.num_heads, -1))
        return k, self.v_img(x).unflatten(-1, (self.num_heads, -1))


class Block(nn.Module):
    """Self-attention over the window, cross-attention to text, feed-forward, each modulated by time."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim = config.dim
        self.norm1 = nn.LayerNorm(dim, config.eps, elementwise_affine=False)
        self.self_attn = Attention(config)
        self.norm3 = nn.LayerNorm(dim, config.eps)
        self.cross_attn = CrossAttention(config)
        self.norm2 = nn.LayerNorm(dim, config.eps, elementwise_affine=False)
        self.ffn = nn.Sequential(
            nn.Linear(dim, config.ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(config.ffn_dim, dim)
        )
        # In place: on the meta device a division imports PyTorch's compiler, which takes a second.
        self.modulation = nn.Parameter(torch.randn(1, 6, dim).div_(dim**0.5))

    def forward(
        self, x: Tensor, time: Tensor, window: KeyValue | None, cross: CrossKeyValues, rotation: Tensor
    ) -> tuple[Tensor, KeyValue]:
        """Run one block.

        Args:
            x: ``[B, L, dim]``.
            time: ``[B, T, 6, dim]``, one row per latent frame.
            window: rotated keys and values of what came before, or None.
            cross: keys and values of the text, and of the picture.
            rotation: ``float32 [L, D / 2, 2]`` of these tokens.
        """
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = (self.modulation + time).unbind(2)
        h = modulated(self.norm1(x), shift_a, scale_a)
        q = rotate(self.self_attn.queries(h), rotation)
        own = self.self_attn.keys_values(h)
        k, v = rotate(own[0], rotation), own[1]
        if window is not None:
            k, v = torch.cat([window[0], k], 1), torch.cat([window[1], v], 1)
        x = x + gated(self.self_attn.attend(q, (k, v)), gate_a)
        x = x + self.cross_attn.attend(self.cross_attn.queries(self.norm3(x)), *cross)
        return x + gated(self.ffn(modulated(self.norm2(x), shift_f, scale_f)), gate_f), own

    def keys_values(self, x: Tensor, time: Tensor) -> KeyValue:
        """Give this block's own keys (un-rotated) and values alone, as :meth:`forward` does beside its output."""
        shift, scale, *_ = (self.modulation + time).unbind(2)
        return self.self_attn.keys_values(modulated(self.norm1(x), shift, scale))


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Scale and shift ``[B, L, dim]`` by one row of ``[B, T, dim]`` per latent frame."""
    frames = x.unflatten(1, (shift.shape[1], -1))
    return (frames * (1 + scale[:, :, None]) + shift[:, :, None]).flatten(1, 2)


def gated(x: Tensor, gate: Tensor) -> Tensor:
    """Multiply ``[B, L, dim]`` by one row of ``[B, T, dim]`` per latent frame."""
    return (x.unflatten(1, (gate.shape[1], -1)) * gate[:, :, None]).flatten(1, 2)
