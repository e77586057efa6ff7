from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
import torch

from pipeline import standin_files
from pipeline.checkpoint import open_checkpoint
from pipeline.errors import WeightsError
from pipeline.standin_files import BLOCK_VALUES, Noise, write
from pipeline.wan.file_layouts import Layout, Spec

TENSORS = {
    "model.norm.weight": Spec((5,), torch.bfloat16),
    "model.q.weight": Spec((7, 3, 2), torch.float32),
    "model.scale": Spec((), torch.float16),
}


@pytest.fixture(scope="module")
def noise() -> Noise:
    return Noise()


def layout(name: str, under: str = "", legacy: bool = False) -> Layout:
    return Layout(PurePosixPath("a/b") / name, TENSORS, None, under, legacy)


@pytest.mark.parametrize(
    "made", [layout("w.safetensors"), layout("w.pth"), layout("w.pt", "generator_ema"), layout("v.pth", legacy=True)]
)
def test_a_stand_in_holds_what_its_layout_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Layout) -> None:
    """Keys, shapes and dtypes are the layout's, values the noise's, and nothing else is left in the folder."""
    # Fewer than the matrix has, as in full size.
    monkeypatch.setattr(standin_files, "BLOCK_VALUES", 11)
    noise = Noise()
    path = write(tmp_path, made, noise)
    entries = open_checkpoint(path).entries
    assert {f"model.{key}": Spec(entry.shape, entry.dtype) for key, entry in entries.items()} == TENSORS
    for key, entry in entries.items():
        expected = torch.cat(list(noise.pieces(f"model.{key}", TENSORS[f"model.{key}"])))
        assert torch.equal(entry.read().flatten(), expected)
    assert list(path.parent.iterdir()) == [path]


def test_the_dict_that_holds_the_weights_is_the_layouts(tmp_path: Path, noise: Noise) -> None:
    """A training checkpoint's state dict lies under its name, with its prefix."""
    path = write(tmp_path, layout("w.pt", "generator_ema"), noise)
    loaded = torch.load(path, weights_only=True)
    assert {name: list(held) for name, held in loaded.items()} == {"generator_ema": list(TENSORS)}


def test_the_vae_is_in_the_old_format(tmp_path: Path, noise: Noise) -> None:
    """A file that cannot be mapped stands in for one."""
    assert write(tmp_path, layout("w.pth", legacy=True), noise).read_bytes()[:2] != b"PK"


@pytest.mark.parametrize("legacy", [True, False])
def test_a_stand_in_is_brought_to_its_size(tmp_path: Path, noise: Noise, legacy: bool) -> None:
    """It still loads, and a size that cannot be reached is an error that leaves no file."""
    made = replace(layout("w.pth", legacy=legacy), size_bytes=9_999)
    path = write(tmp_path, made, noise)
    assert path.stat().st_size == 9_999
    assert len(open_checkpoint(path).entries) == len(TENSORS)
    path.unlink()
    with pytest.raises(WeightsError, match=r"a/b/w\.pth came out with \d+ bytes, published are 99"):
        write(tmp_path, replace(made, size_bytes=99), noise)
    assert not list(path.parent.iterdir())


def test_values_keep_activations_at_their_size(noise: Noise) -> None:
    """A matrix does not change the size of what goes through, a gain is about one, a bias is small."""
    flat = torch.cat(list(noise.pieces("blocks.0.ffn.0.weight", Spec((300, 400), torch.float32))))
    through = torch.randn(64, 400, generator=torch.Generator().manual_seed(1)) @ flat.view(300, 400).T
    assert through.std().item() == pytest.approx(1.0, abs=0.05)
    for name, mean in (("norm.weight", 1.0), ("norm.gamma", 1.0), ("norm.bias", 0.0), ("q.modulation", 0.0)):
        shape = (500, 1, 1, 1) if name.endswith("gamma") else (1, 6, 500) if "modulation" in name else (500,)
        values = torch.cat(list(noise.pieces(name, Spec(shape, torch.float32))))
        assert values.mean().item() == pytest.approx(mean, abs=0.01)
        assert 0 < values.std().item() < 0.03


def test_a_large_tensor_repeats_the_noise_out_of_step(noise: Noise) -> None:
    """No two rows of a matrix are alike, and two matrices of one shape differ."""
    rows = BLOCK_VALUES // 1024 + 8
    matrices = [
        torch.cat(list(noise.pieces(name, Spec((rows, 1024), torch.float16)))).view(rows, 1024)
        for name in ("q.weight", "k.weight")
    ]
    assert matrices[0].unique(dim=0).shape[0] == rows
    assert not torch.equal(*matrices)
