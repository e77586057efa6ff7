import pytest
import torch

from pipeline.bench.precision import errors, inputs

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
