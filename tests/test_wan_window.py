from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, TruncationError
from pipeline.networks.transformer import KeyValue
from pipeline.wan.window import Positions, Seen, WindowCache, WindowShape
from tests.wan_parts import CONFIG

GRID = (2, 2)
TOKENS = 4


def pairs(first: int, count: int) -> list[KeyValue]:
    """Keys and values of latents, told apart by their numbers."""
    made = []
    for layer in range(CONFIG.num_layers):
        latents = [
            torch.randn(2, 1, TOKENS, 2, 16, generator=torch.Generator().manual_seed(100 * latent + layer))
            for latent in range(first, first + count)
        ]
        k, v = torch.cat(latents, 2)
        made.append((k, v))
    return made


def filled(window: int, sink: int, counts: list[int], keep_rotated: bool = False) -> WindowCache:
    cache = WindowCache(CONFIG, WindowShape(window, sink, GRID), keep_rotated=keep_rotated)
    for count in counts:
        cache.append(pairs(cache.latents, count), count)
    return cache


def same(one: Seen, other: Seen) -> bool:
    if one.past is None or other.past is None:
        return one.past is other.past and torch.equal(one.rotation, other.rotation)
    layers = zip(one.past, other.past, strict=True)
    return torch.equal(one.rotation, other.rotation) and all(
        torch.equal(a, b) for x, y in layers for a, b in zip(x, y, strict=True)
    )


@given(st.integers(4, 8), st.integers(0, 2), st.lists(st.integers(1, 2), max_size=9), st.integers(1, 2))
@settings(deadline=None, max_examples=30)
def test_the_ring_shows_what_a_cache_that_keeps_everything_would(
    window: int, sink: int, counts: list[int], count: int
) -> None:
    """However often the ring went round, what is seen are the sink and the newest latents, each at its place."""
    ring, growing = filled(window, sink, counts), filled(64, sink, counts)
    growing.shape = replace(growing.shape, window=window)
    expected = growing.kept(count)
    assert expected == ring.kept(count)
    assert expected[:sink] == list(range(min(sink, ring.latents)))
    assert expected[sink:] == list(range(ring.latents - len(expected[sink:]), ring.latents))
    if expected:
        past = ring.see(count, "absolute").past
        assert past is not None
        rows = [pairs(latent, 1)[0][1] for latent in expected]
        assert torch.equal(past[0][1], torch.cat(rows, 1))


@given(st.lists(st.integers(1, 2), max_size=8), st.integers(1, 2))
@settings(deadline=None, max_examples=30)
def test_relative_places_are_the_absolute_ones_until_the_window_rolls(counts: list[int], count: int) -> None:
    """Before the first latent is lost both modes rotate alike, to the bit; after that they must not."""
    cache = filled(6, 1, counts)
    is_whole = len(cache.kept(count)) == cache.latents
    assert same(cache.see(count, "relative"), cache.see(count, "absolute")) == is_whole


def test_relative_places_never_leave_the_window() -> None:
    """A stream of a thousand latents is placed as one that has just filled its window."""
    late, early = filled(6, 1, [2] * 500), filled(6, 1, [2] * 3)
    assert torch.equal(late.see(2, "relative").rotation, early.see(2, "relative").rotation)
    assert not torch.equal(late.see(2, "absolute").rotation, early.see(2, "absolute").rotation)


@pytest.mark.parametrize("positions", ["absolute", "relative"])
def test_what_is_kept_rotated_is_what_would_be_rotated_again(positions: Positions) -> None:
    """Keeping a chunk's rotated window changes its time and its memory, nothing else."""
    fresh, kept = (filled(6, 1, [2] * 4, keep).see(2, positions) for keep in (False, True))
    assert fresh.past is not None
    assert kept.past is not None
    assert fresh.past[1][0] is not fresh.past[1][0]
    assert kept.past[1][0] is kept.past[1][0]
    assert same(fresh, kept)


@given(st.integers(0, 8), st.integers(0, 3))
@settings(deadline=None, max_examples=30)
def test_truncating_is_never_having_appended(chunks: int, fill: int) -> None:
    """A chunk that is taken back leaves no trace, whatever it overwrote."""
    before = filled(6, 1, [1] * fill + [2] * chunks)
    cache = filled(6, 1, [1] * fill + [2] * chunks)
    cache.append(pairs(900, 2), 2)
    cache.truncate(before.latents, 2)
    assert same(cache.see(2, "relative"), before.see(2, "relative"))


def test_what_was_overwritten_cannot_be_gone_back_to() -> None:
    """Two chunks back the window has lost what that place saw: it refuses, and stays as it was."""
    cache = filled(6, 1, [2] * 5)
    with pytest.raises(TruncationError, match="does not reach"):
        cache.truncate(6, 2)
    with pytest.raises(TruncationError, match="cannot go back to 11"):
        cache.truncate(11, 2)
    assert cache.latents == 10
    assert same(cache.see(2, "relative"), filled(6, 1, [2] * 5).see(2, "relative"))


def test_a_chunk_never_overwrites_the_sink() -> None:
    """A window too small for sink and chunk is refused, where the reference loses sink rows without a word."""
    with pytest.raises(ConfigError, match="need a window of 6"):
        filled(4, 3, []).kept(3)


def test_a_window_that_is_made_again_shows_what_it_holds() -> None:
    """From the newest latents on a stream sees its sink and those, placed as the first ones of a young window."""
    cache = filled(6, 1, [2])
    cache.latents = 20
    cache.append(pairs(20, 2), 2)
    past = cache.see(2, "relative").past
    assert past is not None
    assert torch.equal(past[1][1], torch.cat([pairs(latent, 1)[1][1] for latent in (0, 20, 21)], 1))
    young = filled(6, 1, [1, 2]).see(2, "relative").past
    assert young is not None
    assert torch.equal(past.rotation, young.rotation)
    cache.clear()
    assert cache.see(2, "relative").past is None
