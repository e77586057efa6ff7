"""A small text encoder over words: a frozen, factorised word table and a few layers.

The table is made at training time from a sentence model's embedding of each word, cut to a few principal axes and
stored as int8, so that words never trained on land near their synonyms (``pipeline/pocket/words.py``).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class TextConfig:
    """Sizes of the text encoder; ``outputs`` is of the whole prompt, ``roles`` of each token."""

    vocabulary: int = 45_757
    table_dim: int = 64
    dim: int = 192
    num_layers: int = 3
    num_heads: int = 4
    length: int = 48
    outputs: int = 1
    roles: int = 3


class TextEncoder(nn.Module):
    """Token ids to what a prompt says, as ``outputs`` numbers, and to the part that each token has in it."""

    table: Tensor
    table_scale: Tensor

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("table", torch.zeros(config.vocabulary, config.table_dim, dtype=torch.int8))
        self.register_buffer("table_scale", torch.ones(config.table_dim))
        self.project = nn.Linear(config.table_dim, config.dim)
        self.position = nn.Parameter(torch.randn(config.length, config.dim) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.dim, config.num_heads, 2 * config.dim, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Sequential(
            nn.Linear(2 * config.dim, config.dim), nn.GELU(), nn.Linear(config.dim, config.outputs)
        )
        self.role = nn.Linear(config.dim, config.roles)

    def words(self, ids: Tensor) -> Tensor:
        """Table rows of ``int [B, S]`` as ``[B, S, table_dim]``."""
        return self.table[ids].to(self.table_scale.dtype) * self.table_scale

    def forward(self, ids: Tensor, words: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode ``int64 [B, S]``, 0 being padding, to ``[B, outputs]`` and ``[B, S, roles]``.

        ``words`` replaces the table's rows, as training does to blur them.
        """
        padded = ids == 0
        # An empty prompt keeps one row, or attention would have nothing to look at.
        padded = torch.cat([padded.new_zeros(len(ids), 1), padded[:, 1:]], dim=1)
        words = self.words(ids) if words is None else words
        x = self.project(words) + self.position[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padded)
        x = self.norm(x)
        mean = x.masked_fill(padded[..., None], 0.0).sum(1) / (~padded).sum(1, keepdim=True)
        most = x.masked_fill(padded[..., None], -1e4).amax(1)
        return self.head(torch.cat([mean, most], dim=1)), self.role(x)
