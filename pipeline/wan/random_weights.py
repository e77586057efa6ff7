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
    generator = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for name, value in (*network.named_parameters(), *network.named_buffers()):
            leaf = name.rpartition(".")[2]
            if value.ndim >= 2 and leaf != "gamma":
                value.normal_(0.0, value[0].numel() ** -0.5, generator=generator)
            elif leaf in ("weight", "gamma"):
                value.fill_(1.0)
            else:
                value.normal_(0.0, 0.02, generator=generator)


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
