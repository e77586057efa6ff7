"""Queries, keys and values in their places; through the passes, on a CPU, see ``test_passes.py``."""

import pytest
import torch
from torch import Tensor

from pipeline.networks.own_rows import OwnWeights, Place, put_in_place
from pipeline.networks.rope import rotations
from pipeline.quantize import FP8, FP8_MAX

EPS = 1e-6


def places(rows: int, heads: int, width: int, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor, Place]:
    """A window's keys and values with a part in it to be written, and raw ones where the window is in eight bits."""
    window = [torch.full((1, rows + 9, heads, width), 7.0, device=device).to(dtype) for _ in range(2)]
    raw_keys, raw_values = (torch.empty(1, rows, heads, width, device=device, dtype=torch.bfloat16) for _ in range(2))
    part = slice(4, 4 + rows)
    place = Place(window[0][:, part], window[1][:, part], raw_keys, raw_values if dtype == FP8 else None)
    return window[0], window[1], place


def drawn(rows: int, heads: int, width: int) -> tuple[Tensor, OwnWeights, Tensor]:
    generator = torch.Generator().manual_seed(heads)
    dim = heads * width
    product = torch.randn(1, rows, 3 * dim, generator=generator)
    weights = OwnWeights(*(torch.randn(n, generator=generator) for n in (3 * dim, dim, dim)))
    return product, weights, rotations(torch.arange(rows), 1, 1, width)


@pytest.mark.parametrize("dtype", [torch.bfloat16, FP8])
def test_only_the_place_is_written(dtype: torch.dtype) -> None:
    """The window around a layer's own rows stays; what is too large for eight bits ends at their range."""
    product, weights, rotation = drawn(6, 2, 8)
    keys, values, place = places(6, 2, 8, dtype, "cpu")
    product[0, 0, -1] = 1e6
    rounded = OwnWeights(*(part.bfloat16() for part in weights))
    q = put_in_place(product.bfloat16(), rounded, rotation, place, EPS)
    assert q.dtype == dtype
    for window in (keys, values):
        around = torch.cat([window[:, :4], window[:, 10:]], 1).float()
        assert (around == 7).all()
        assert not (window[:, 4:10].float() == 7).all()
    if dtype == FP8:
        assert values.float().max() == FP8_MAX
    assert not values.float().isnan().any()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, FP8])
@pytest.mark.parametrize(("heads", "width"), [(2, 32), (12, 128), (40, 128)])
def test_the_kernel_does_what_the_steps_do(
    dtype: torch.dtype, heads: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All five results are those of the steps in float32, to the rounding of where they go."""
    product, weights, rotation = drawn(70, heads, width)
    *_, expected = places(70, heads, width, torch.float32, "cpu")
    expected = expected._replace(raw_keys=torch.empty(1, 70, heads, width))
    rounded = product.bfloat16().float()
    gains = OwnWeights(*(part.bfloat16().float() for part in weights))
    q = put_in_place(rounded, gains, rotation, expected, EPS)
    keys, values, place = places(70, heads, width, dtype, "cuda")
    on_gpu = OwnWeights(*(part.cuda().bfloat16() for part in weights))
    made = put_in_place(product.cuda().bfloat16(), on_gpu, rotation.cuda(), place, EPS)
    kept = 1 / 16 if dtype == FP8 else 1 / 128
    pairs = [(made, q, kept), (place.keys, expected.keys, kept), (place.values, expected.values, kept)]
    pairs.append((place.raw_keys, expected.raw_keys, 1 / 128))
    if place.raw_values is not None:
        pairs.append((place.raw_values, expected.values, 1 / 128))
    for ours, theirs, step in pairs:
        assert ((ours.float().cpu() - theirs).abs() <= step * theirs.abs() + 2e-3).all()
    for window in (keys, values):
        assert (torch.cat([window[:, :4], window[:, 74:]], 1).float() == 7).all()
