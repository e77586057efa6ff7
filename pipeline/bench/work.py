"""The arithmetic of a Wan chunk, counted from its configuration: what a device's rates are held against."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from pipeline.networks.transformer import TransformerConfig
from pipeline.wan.decision import Decision
from pipeline.wan.sizes import PIXELS_PER_LATENT

SMALL = 0.01
"""Operations below this share of a pass are not measured by themselves."""


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product ``[m, k] x [k, n]``."""

    m: int
    k: int
    n: int

    @property
    def flops(self) -> int:
        """Multiplications and additions.

        >>> Product(2, 3, 4).flops
        48
        """
        return 2 * self.m * self.k * self.n

    def __str__(self) -> str:
        return f"{self.m}x{self.k}x{self.n}"


@dataclass(frozen=True, slots=True)
class Attention:
    """Attention without a mask: two matrix products a head."""

    queries: int
    keys: int
    heads: int
    head_dim: int

    @property
    def flops(self) -> int:
        """Multiplications and additions of both products; the softmax is not counted.

        >>> Attention(4680, 18720, 12, 128).flops / 1e9
        538.2733824
        """
        return 4 * self.queries * self.keys * self.heads * self.head_dim

    def __str__(self) -> str:
        return f"{self.queries} queries, {self.keys} keys, {self.heads}x{self.head_dim}"


Operation = Product | Attention
Work = Counter[Operation]
"""How often each operation is done."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one pass is made of, and what it looks at: latents of a chunk and of a full window, tokens of each."""

    latents: int
    window: int
    tokens: int
    text_tokens: int
    image_tokens: int = 0


def sight(decision: Decision) -> Sight:
    """Give what a pass of this configuration sees when its window is full."""
    wan, sizes = decision.wan, decision.sizes
    _, rows, columns = sizes.transformer.patch
    tokens = (wan.height // PIXELS_PER_LATENT // rows) * (wan.width // PIXELS_PER_LATENT // columns)
    image_tokens = sizes.image.num_tokens if sizes.image is not None else 0
    text_tokens = sizes.transformer.text_len or 0
    return Sight(decision.model.latents_per_chunk, wan.window, tokens, text_tokens, image_tokens)


def one_pass(config: TransformerConfig, sees: Sight) -> Work:
    """Count one call of the transformer; keys and values of text and picture are not made anew.

    A layer's queries, keys and values count as one product, since that is how they are done fastest.
    """
    tokens, dim, layers = sees.latents * sees.tokens, config.dim, config.num_layers
    patch, heads = prod(config.patch), (config.num_heads, config.head_dim)
    work: Work = Counter()
    work[Product(tokens, patch * config.in_channels, dim)] += 1
    work[Product(sees.latents, config.freq_dim, dim)] += 1
    work[Product(sees.latents, dim, dim)] += 1
    work[Product(sees.latents, dim, 6 * dim)] += 1
    work[Product(tokens, dim, 3 * dim)] += layers
    # What follows the window's attention; queries of the other attention, and what follows it.
    work[Product(tokens, dim, dim)] += 3 * layers
    work[Product(tokens, dim, config.ffn_dim)] += layers
    work[Product(tokens, config.ffn_dim, dim)] += layers
    work[Attention(tokens, sees.window * sees.tokens, *heads)] += layers
    for keys in filter(None, (sees.text_tokens, sees.image_tokens)):
        work[Attention(tokens, keys, *heads)] += layers
    work[Product(tokens, dim, patch * config.out_channels)] += 1
    return work


def flops(work: Work) -> int:
    """Add up the arithmetic.

    >>> flops(Counter({Product(2, 3, 4): 10}))
    480
    """
    return sum(operation.flops * count for operation, count in work.items())


def large(work: Work) -> list[Operation]:
    """Give the operations that are worth measuring, the largest first."""
    least = SMALL * flops(work)
    ranked = sorted(work, key=lambda operation: operation.flops * work[operation], reverse=True)
    return [operation for operation in ranked if operation.flops * work[operation] >= least]


def seconds_at(work: Work, rate: Callable[[Operation], float]) -> float:
    """Give how long the work takes at a rate for each operation, in FLOP/s.

    >>> seconds_at(Counter({Product(2, 3, 4): 10}), lambda operation: 240.0)
    2.0
    """
    return sum(operation.flops * count / rate(operation) for operation, count in work.items())
