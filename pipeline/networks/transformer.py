"""The causal video transformer of the Wan family; parameter names are those of the published checkpoints.

The network holds weights only. What it has seen comes in as keys and values of earlier latent frames and
goes out as keys and values of this one, **un-rotated**, so that whoever keeps them may place them anywhere
in time. Source: Wan2.1 (arXiv 2503.20314), Self Forcing (arXiv 2506.08009).
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.networks.block import Block, modulated
from pipeline.networks.block import CrossKeyValues as CrossKeyValues
from pipeline.networks.block import KeyValue as KeyValue
from pipeline.networks.block import TransformerConfig as TransformerConfig

IMAGE_TOKENS_EPS = 1e-5


class ImageEmbedding(nn.Module):
    """Image features to tokens of the transformer's width."""

    def __init__(self, image_dim: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.LayerNorm(image_dim, IMAGE_TOKENS_EPS),
            nn.Linear(image_dim, image_dim),
            nn.GELU(),
            nn.Linear(image_dim, dim),
            nn.LayerNorm(dim, IMAGE_TOKENS_EPS),
        )

    def forward(self, features: Tensor) -> Tensor:
        """``[B, tokens, image_dim] -> [B, tokens, dim]``."""
        return self.proj(features)


class Head(nn.Module):
    """The last norm and projection to patches."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim, config.eps, elementwise_affine=False)
        pt, ph, pw = config.patch
        self.head = nn.Linear(config.dim, pt * ph * pw * config.out_channels)
        self.modulation = nn.Parameter(torch.randn(1, 2, config.dim).div_(config.dim**0.5))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """``[B, L, dim]`` and the unprojected time embedding ``[B, T, dim]`` to ``[B, L, patch values]``."""
        shift, scale = (self.modulation + time[:, :, None]).unbind(2)
        return self.head(modulated(self.norm(x), shift, scale))


class CausalTransformer(nn.Module):
    """Latents of a few frames, under text and under what came before, to their denoised estimate."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.patch_embedding = nn.Conv3d(config.in_channels, dim, config.patch, config.patch)
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.head = Head(config)
        if config.image_dim is not None:
            self.img_emb = ImageEmbedding(config.image_dim, dim)

    def embed_time(self, timestep: Tensor) -> Tensor:
        """Timesteps ``float [B, T]`` in 0..1000 to ``[B, T, dim]``."""
        wave = sinusoid(timestep, self.config.freq_dim)
        return self.time_embedding(wave.to(self.patch_embedding.weight.dtype))

    def cross_keys_values(self, text: Tensor, image: Tensor | None = None) -> list[CrossKeyValues]:
        """Keys and values of every layer's cross-attention, once per prompt.

        Args:
            text: ``[B, S, text_dim]``, S up to ``text_len``; it is padded with zero rows, which the embedding
                makes non-zero and the network was trained to see.
            image: features ``[B, tokens, image_dim]``, for a network that sees a picture and for no other.
        """
        if self.config.text_len is not None:
            text = F.pad(text, (0, 0, 0, self.config.text_len - text.shape[1]))
        embedded = self.text_embedding(text)
        pairs = [(block.cross_attn.keys_values(embedded),) for block in self.layers()]
        if image is None:
            return list(pairs)
        tokens = self.img_emb(image)
        return [
            (*pair, block.cross_attn.image_keys_values(tokens))
            for pair, block in zip(pairs, self.layers(), strict=True)
        ]

    def patchify(self, latents: Tensor) -> Tensor:
        """``[B, C, T, h, w]`` to tokens ``[B, L, dim]``, frame by frame, row by row."""
        return self.patch_embedding(latents).flatten(2).transpose(1, 2)

    def layers(self) -> list[Block]:
        """The blocks, in their order."""
        return cast("list[Block]", self.blocks)

    def unpatchify(self, patches: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """``[B, L, patch values]`` to ``[B, C, T, h, w]`` for a patch grid (frames, rows, columns)."""
        (t, rows, columns), (pt, ph, pw) = grid, self.config.patch
        x = patches.unflatten(2, (pt, ph, pw, -1)).unflatten(1, (t, rows, columns))
        return x.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)

    def forward(
        self,
        tokens: Tensor,
        time: Tensor,
        window: Sequence[KeyValue] | None,
        cross: Sequence[CrossKeyValues],
        rotation: Tensor,
        keep: bool = True,
    ) -> tuple[Tensor, list[KeyValue]]:
        """Run the blocks and the head.

        Args:
            tokens: ``[B, L, dim]`` from :meth:`patchify`, L a multiple of T.
            time: ``[B, T, dim]`` from :meth:`embed_time`.
            window: rotated keys and values of earlier frames for every layer, or None at the start.
            cross: from :meth:`cross_keys_values`.
            rotation: ``float32 [L, D / 2, 2]``.
            keep: whether keys and values are wanted; at 480x832 those of three latents take 0.86 GB.

        Returns:
            Patches ``[B, L, patch values]`` and, for every layer, this call's own keys (un-rotated) and values; none
            without ``keep``.
        """
        projected = self.time_projection(time).unflatten(2, (6, -1))
        own: list[KeyValue] = []
        for index, block in enumerate(self.layers()):
            tokens, pair = block(tokens, projected, window[index] if window else None, cross[index], rotation)
            if keep:
                own.append(pair)
        return self.head(tokens, time), own

    def read(
        self,
        tokens: Tensor,
        time: Tensor,
        window: Sequence[KeyValue],
        cross: Sequence[CrossKeyValues],
        rotation: Tensor,
    ) -> list[KeyValue]:
        """Give the keys and values of :meth:`forward` alone: the last block stops at them, and there is no head."""
        projected = self.time_projection(time).unflatten(2, (6, -1))
        *layers, last = self.layers()
        own: list[KeyValue] = []
        for block, seen, text in zip(layers, window[:-1], cross[:-1], strict=True):
            tokens, pair = block(tokens, projected, seen, text, rotation)
            own.append(pair)
        return [*own, last.keys_values(tokens, projected)]


def sinusoid(timestep: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of timesteps ``[...]`` at falling rates: ``float64 [..., width]``.

    Float32 angles lose the phase of high timesteps; a timestep rounded to bfloat16 is another one.
    """
    half = width // 2
    rate = 10_000.0 ** (-torch.arange(half, dtype=torch.float64, device=timestep.device) / half)
    angle = timestep.double()[..., None] * rate
    return torch.cat([angle.cos(), angle.sin()], dim=-1)
