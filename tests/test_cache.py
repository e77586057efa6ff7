import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cache import KVCache
from pipeline.errors import TruncationError
from pipeline.networks.rope import rotations
from pipeline.networks.transformer import KeyValue

LAYERS, TOKENS, HEADS, WIDTH, WINDOW, SPARE = 2, 4, 1, 8, 3, 4
SINK_PLACE = rotations(torch.tensor([0]), 2, 2, WIDTH)
PLACES = rotations(torch.arange(1, WINDOW + 1), 2, 2, WIDTH)


def pairs(number: int) -> list[KeyValue]:
    generator = torch.Generator().manual_seed(number)
    shape = (1, TOKENS, HEADS, WIDTH)
    return [(torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)) for _ in range(LAYERS)]


def cache_of(latents: int) -> KVCache:
    cache = KVCache(sink=pairs(1000), rest=pairs(1001), window=WINDOW, spare=SPARE)
    for latent in range(latents):
        cache.append(pairs(latent))
    return cache


def growing(latents: int) -> list[KeyValue]:
    """The same window from a list that keeps everything."""
    cache = KVCache(sink=pairs(1000), rest=pairs(1001), window=WINDOW, spare=latents + 1)
    for latent in range(latents):
        cache.append(pairs(latent))
    return cache.read(SINK_PLACE, PLACES)


def same(one: list[KeyValue], other: list[KeyValue]) -> bool:
    return all(torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


@given(st.integers(0, 30))
@settings(deadline=None, max_examples=20)
def test_ring_equals_growing_cache(latents: int) -> None:
    """However often the ring went round, the window reads as if nothing was ever overwritten."""
    assert same(cache_of(latents).read(SINK_PLACE, PLACES), growing(latents))


@given(st.integers(0, 12), st.integers(0, SPARE))
@settings(deadline=None, max_examples=30)
def test_truncating_equals_never_having_appended(latents: int, extra: int) -> None:
    """Appending and taking back leaves the window bit-equal, also for what is appended next."""
    cache = cache_of(latents)
    for number in range(extra):
        cache.append(pairs(500 + number))
    cache.truncate(latents)
    cache.append(pairs(latents))
    assert same(cache.read(SINK_PLACE, PLACES), cache_of(latents + 1).read(SINK_PLACE, PLACES))


def test_one_tensor_is_kept_as_the_pairs_in_it_are() -> None:
    """What comes stacked reads as what comes layer by layer."""
    stacked = KVCache(sink=pairs(1000), rest=pairs(1001), window=WINDOW, spare=SPARE)
    for latent in range(9):
        stacked.append(torch.stack([torch.stack(pair) for pair in pairs(latent)]))
    assert same(stacked.read(SINK_PLACE, PLACES), cache_of(9).read(SINK_PLACE, PLACES))


def test_it_refuses_to_go_back_farther_than_it_holds() -> None:
    """A boundary that is overwritten, or ahead, is an error that names both numbers."""
    cache = cache_of(10)
    for boundary in (10 - SPARE - 1, 11, -1):
        with pytest.raises(TruncationError, match="10 latents"):
            cache.truncate(boundary)
