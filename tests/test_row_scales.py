"""Tests of matrices that take twelve bits a number in a file."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.checkpoint import open_checkpoint, read_state
from pipeline.row_scales import LEAST, packed


def _state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows = torch.tensor([1e-3, 1.0, 40.0, 0.0])[:, None, None, None]
    return {
        "wide.weight": rows * torch.randn(4, LEAST // 16, 2, 2, generator=generator),
        "small.weight": torch.randn(4, 4, generator=generator),
        "wide.bias": torch.randn(2 * LEAST, generator=generator),
        "table": torch.arange(2 * LEAST, dtype=torch.int32).to(torch.int8).view(2, LEAST),
    }


def test_a_matrix_comes_back_nearly_as_it_was(tmp_path: Path) -> None:
    """Each number is off by at most half a step, a 2047th of the largest of its own row; a row of noughts stays so."""
    state = _state()
    save_file(packed(state), tmp_path / "packed.safetensors")
    found = read_state(tmp_path / "packed.safetensors")
    assert found.keys() == state.keys()
    wanted, got = state["wide.weight"], found["wide.weight"]
    step = wanted.abs().amax((1, 2, 3), keepdim=True) / 2047
    assert got.dtype == torch.float32
    assert ((got - wanted).abs() <= 0.501 * step).all()
    assert not torch.equal(got, wanted)


def test_what_is_small_stays_in_half_precision_and_integers_stay(tmp_path: Path) -> None:
    """Small matrices and biases are rounded to float16 alone; integers are what they were."""
    state = _state()
    save_file(packed(state), tmp_path / "packed.safetensors")
    found = read_state(tmp_path / "packed.safetensors")
    for name in ("small.weight", "wide.bias"):
        assert torch.equal(found[name], state[name].half())
    assert torch.equal(found["table"], state["table"])


def test_a_packed_file_takes_three_quarters_of_float16_and_lists_floats(tmp_path: Path) -> None:
    """What is listed before anything is read has the matrix's own name and shape, and no part besides."""
    wide = {"wide.weight": torch.randn(64, 1024, generator=torch.Generator().manual_seed(0))}
    save_file(packed(wide), tmp_path / "packed.safetensors")
    entries = open_checkpoint(tmp_path / "packed.safetensors").entries
    assert {name: (entry.shape, entry.dtype) for name, entry in entries.items()} == {
        "wide.weight": ((64, 1024), torch.float32)
    }
    assert (tmp_path / "packed.safetensors").stat().st_size < 1.51 * 64 * 1024 + 1000


def test_packing_again_changes_nothing(tmp_path: Path) -> None:
    """What was read and is stored once more is the same, to float32's own rounding."""
    save_file(packed(_state()), tmp_path / "packed.safetensors")
    once = read_state(tmp_path / "packed.safetensors")
    save_file(packed(once), tmp_path / "again.safetensors")
    for name, value in read_state(tmp_path / "again.safetensors").items():
        torch.testing.assert_close(value, once[name].to(value.dtype), rtol=1e-6, atol=0)
