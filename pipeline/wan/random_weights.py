"""Weights for trying a model's path and speed where its published ones are not: what comes out is noise."""

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.prompts import MAX_TOKENS, SPECIAL_IDS, Tokenize


def randomise(network: nn.Module, dtype: torch.dtype, device: torch.device, seed: int = 0) -> None:
    """Fill a network built on meta, in place: matrices by their width, norms with ones, the rest with little.

    Activations then keep about the size that they come in with, so nothing overflows and no speed is unreal.
    """
    network.to(dtype)
    network.to_empty(device=device)
    # Five billion numbers drawn one by one take a minute; the same million again and again is as good here.
    drawn = torch.randn(1 << 20, generator=torch.Generator().manual_seed(seed)).to(device, dtype)
    with torch.no_grad():
        for name, value in (*network.named_parameters(), *network.named_buffers()):
            leaf = name.rpartition(".")[2]
            if leaf in ("weight", "gamma") and (value.ndim < 2 or leaf == "gamma"):
                value.fill_(1.0)
            else:
                _tile(value, drawn, value[0].numel() ** -0.5 if value.ndim >= 2 else 0.02)


def _tile(value: Tensor, drawn: Tensor, scale: float) -> None:
    for part in value.view(-1).split(len(drawn)):
        torch.mul(drawn[: len(part)], scale, out=part)


def word_tokenizer(vocabulary: int) -> Tokenize:
    """Give ids by the words' checksums, since the published tokenizer comes with the published weights."""

    def tokenize(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        first = len(SPECIAL_IDS)
        rows = [
            [first + zlib.crc32(word.encode()) % (vocabulary - first) for word in text.split()[: MAX_TOKENS - 1]]
            for text in texts
        ]
        ended = [[*row, SPECIAL_IDS["</s>"]] for row in rows]
        longest = max(map(len, ended))
        ids = torch.tensor([row + [SPECIAL_IDS["<pad>"]] * (longest - len(row)) for row in ended])
        return ids, (ids != SPECIAL_IDS["<pad>"]).long()

    return tokenize
