from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline import weights
from pipeline.errors import WeightsError


def test_what_was_saved_is_loaded_in_the_wanted_dtype(tmp_path: Path) -> None:
    """Float16 on disk becomes the network's dtype; integers stay what they are."""
    stored = {"weight": torch.ones(2, 3).half(), "bias": torch.arange(2).half()}
    save_file(stored, tmp_path / "w.safetensors")
    network = nn.Linear(3, 2)
    weights.load(network, tmp_path / "w.safetensors", torch.bfloat16)
    assert network.weight.dtype == torch.bfloat16
    assert network.bias.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ({"weight": torch.ones(2, 3)}, "1 missing, as bias"),
        ({"weight": torch.ones(2, 3), "bias": torch.ones(2), "extra": torch.ones(1)}, "1 unknown, as extra"),
        ({"weight": torch.ones(3, 3), "bias": torch.ones(2)}, "1 of another shape, as weight"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_told_apart(
    tmp_path: Path, stored: dict[str, torch.Tensor], told: str
) -> None:
    """Missing, unknown and misshapen keys are named, and the network keeps its weights."""
    save_file(stored, tmp_path / "w.safetensors")
    network = nn.Linear(3, 2)
    before = network.weight.clone()
    with pytest.raises(WeightsError, match=told):
        weights.load(network, tmp_path / "w.safetensors", torch.float32)
    assert torch.equal(network.weight, before)


def test_a_file_that_is_no_checkpoint_is_an_error_with_its_path(tmp_path: Path) -> None:
    """A missing or damaged file names itself."""
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    for name in ("broken.safetensors", "absent.safetensors"):
        with pytest.raises(WeightsError, match=name):
            weights.load(nn.Linear(3, 2), tmp_path / name, torch.float32)
