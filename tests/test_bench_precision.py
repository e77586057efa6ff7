import pytest
import torch

from pipeline.bench.precision import errors, inputs, rounded_errors

SIZE = (8, 64, 2, 16)


@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_scores_spread_as_asked(spread: float) -> None:
    """The scores that attention makes of the inputs have the standard deviation that was asked for."""
    q, k, _ = inputs(spread, (128, 512, 2, 64), torch.device("cpu"))
    scores = torch.einsum("blnd,bmnd->bnlm", q, k) * q.shape[-1] ** -0.5
    assert scores.std().item() == pytest.approx(spread, rel=0.1)


def test_bfloat16_is_off_by_its_rounding() -> None:
    """PyTorch's own kernel on a CPU: less than a percent, more than nothing."""
    assert 1e-4 < errors(1.0, SIZE, torch.device("cpu"))["sdpa"] < 0.01


def test_eight_bits_cost_more_as_floats_than_as_integers() -> None:
    """Three bits of mantissa are off by several percent, 255 even steps by far less; both grow with scores."""
    narrow, wide = (rounded_errors(spread, (32, 512, 2, 64)) for spread in (0.5, 5.0))
    for found in (narrow, wide):
        floats, integers = found.values()
        assert 0.02 < floats < 0.2
        assert 0.001 < integers < floats / 2
    assert wide["int8 for queries and keys"] > narrow["int8 for queries and keys"]
