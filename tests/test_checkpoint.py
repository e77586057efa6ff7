import json
import logging
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.checkpoint import Checkpoint, Entry, open_checkpoint
from pipeline.errors import WeightsError

TENSORS = {"head.weight": torch.arange(6.0).view(2, 3), "head.bias": torch.tensor([1, 2], dtype=torch.int8)}


def contents(checkpoint: Checkpoint) -> dict[str, list[Any]]:
    return {name: entry.read().tolist() for name, entry in checkpoint.entries.items()}


def save_shards(folder: Path, index: bool) -> dict[str, str]:
    """Write one tensor per shard; the result says which is where."""
    where = {name: f"m-{i:05}-of-00002.safetensors" for i, name in enumerate(TENSORS, 1)}
    for name, file in where.items():
        save_file({name: TENSORS[name]}, folder / file)
    if index:
        (folder / "m.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return where


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt"])
def test_a_file_lists_names_shapes_and_dtypes_and_gives_what_was_saved(tmp_path: Path, name: str) -> None:
    """Every format gives the same: what is listed is what is read."""
    (save_file if name == "w.safetensors" else torch.save)(TENSORS, tmp_path / name)
    checkpoint = open_checkpoint(tmp_path / name)
    assert {key: (entry.shape, entry.dtype) for key, entry in checkpoint.entries.items()} == {
        key: (tuple(value.shape), value.dtype) for key, value in TENSORS.items()
    }
    assert contents(checkpoint) == {key: value.tolist() for key, value in TENSORS.items()}


def test_a_file_of_torch_is_mapped_not_read(tmp_path: Path) -> None:
    """Opening takes no memory for the data: two readings are the same pages."""
    torch.save(TENSORS, tmp_path / "w.pth")
    entry = open_checkpoint(tmp_path / "w.pth").entries["head.weight"]
    data = (tmp_path / "w.pth").read_bytes()
    at = data.index(TENSORS["head.weight"].numpy().tobytes())
    with (tmp_path / "w.pth").open("r+b") as file:
        file.seek(at)
        file.write(struct.pack("<f", 7.0))
    assert entry.read()[0, 0] == 7.0


@pytest.mark.parametrize(
    "wrapped",
    [
        "model.head.",
        "module.model.head.",
        "_orig_mod.head.",
        "model._fsdp_wrapped_module.head.",
        "_fsdp_wrapped_module.model._fsdp_wrapped_module._orig_mod.head.",
        "model.head._fsdp_wrapped_module._checkpoint_wrapped_module.",
        "visual.head.",
        "model.diffusion_model.head.",
    ],
)
def test_wrappers_and_common_prefixes_are_taken_off(tmp_path: Path, wrapped: str) -> None:
    """However a training run wrapped the network, the names are the network's own."""
    torch.save({name.replace("head.", wrapped): value for name, value in TENSORS.items()}, tmp_path / "w.pt")
    assert open_checkpoint(tmp_path / "w.pt").entries.keys() == TENSORS.keys()


def test_a_prefix_that_not_all_names_share_belongs_to_them(tmp_path: Path) -> None:
    """A whole CLIP keeps ``visual.``; without its other half the tower's names are plain."""
    torch.save({"visual.proj": torch.ones(1), "log_scale": torch.ones(1)}, tmp_path / "w.pt")
    whole = open_checkpoint(tmp_path / "w.pt")
    assert set(whole.entries) == {"visual.proj", "log_scale"}
    assert set(whole.without(["log_"]).entries) == {"proj"}


def test_two_names_that_become_one_are_an_error(tmp_path: Path) -> None:
    """No tensor is silently dropped for another."""
    torch.save({"a._orig_mod.b": torch.ones(1), "a.b": torch.ones(1)}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"holds a\.b twice"):
        open_checkpoint(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("names", "ema", "taken"),
    [
        (["generator", "generator_ema", "critic"], True, "generator_ema"),
        (["generator", "generator_ema", "critic"], False, "generator"),
        (["critic", "generator"], True, "generator"),
        (["generator_ema"], False, "generator_ema"),
        (["model", "optimizer"], True, "model"),
        (["state_dict", "epoch"], True, "state_dict"),
    ],
)
def test_the_wanted_weights_are_taken_out_of_a_training_checkpoint(
    tmp_path: Path, names: list[str], ema: bool, taken: str
) -> None:
    """The averaged weights come first, unless the raw ones are asked for; what is there is taken either way."""
    torch.save({name: {"model.w": torch.full((1,), float(i))} for i, name in enumerate(names)}, tmp_path / "w.pt")
    assert contents(open_checkpoint(tmp_path / "w.pt", ema)) == {"w": [float(names.index(taken))]}


def test_weights_are_found_below_several_dicts_beside_what_is_no_tensor(tmp_path: Path) -> None:
    """A state dict inside a state dict, with a step counter in it, is found."""
    torch.save({"state_dict": {"generator": {"w": torch.ones(1), "step": 4}}, "epoch": 3}, tmp_path / "w.pt")
    assert contents(open_checkpoint(tmp_path / "w.pt")) == {"w": [1.0]}


def test_a_file_without_weights_says_what_is_in_it(tmp_path: Path) -> None:
    """The error names the dict's keys."""
    torch.save({"critic": {"w": torch.ones(1)}, "epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="holds no weights: its top level has critic, epoch"):
        open_checkpoint(tmp_path / "w.pt")


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("named", [".", "m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"])
def test_shards_are_one_checkpoint_however_they_are_named(tmp_path: Path, index: bool, named: str) -> None:
    """A folder and any shard stand for all shards, with an index or without."""
    save_shards(tmp_path, index)
    assert contents(open_checkpoint(tmp_path / named)) == {key: value.tolist() for key, value in TENSORS.items()}


@pytest.mark.parametrize("named", ["m-00001-of-00002.safetensors", "m.safetensors.index.json"])
def test_a_missing_shard_is_named(tmp_path: Path, named: str) -> None:
    """The error says which file is to be fetched."""
    save_shards(tmp_path, index=named.endswith("json"))
    (tmp_path / "m-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"1 of 2 shards are missing, as m-00002-of-00002\.safetensors"):
        open_checkpoint(tmp_path / named)


def test_a_shard_that_is_not_as_the_index_says_is_named(tmp_path: Path) -> None:
    """Files of two downloads do not pass for one checkpoint."""
    save_shards(tmp_path, index=True)
    save_file({"other": torch.ones(1)}, tmp_path / "m-00002-of-00002.safetensors")
    with pytest.raises(WeightsError, match=r"m-00002-of-00002\.safetensors is not as .* says: 2 tensors .* head\.bias"):
        open_checkpoint(tmp_path)


def test_a_tensor_in_two_shards_is_an_error(tmp_path: Path) -> None:
    """Without an index, shards of different checkpoints show by what they share."""
    save_shards(tmp_path, index=False)
    save_file(TENSORS, tmp_path / "m-00002-of-00002.safetensors")
    with pytest.raises(WeightsError, match=r"m-00002-of-00002\.safetensors holds head\.weight, which an earlier"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": {"a": "../b.safetensors"}}', '{"weight_map": 3}', "{"])
def test_an_index_that_is_none_is_an_error(tmp_path: Path, index: str) -> None:
    """Neither another JSON file nor one that points out of its folder is followed."""
    (tmp_path / "m.safetensors.index.json").write_text(index)
    with pytest.raises(WeightsError, match="is not an index of shards"):
        open_checkpoint(tmp_path)


def test_a_folder_must_hold_one_checkpoint(tmp_path: Path) -> None:
    """None is an error, and of several none is guessed."""
    with pytest.raises(WeightsError, match=r"holds no \.safetensors file"):
        open_checkpoint(tmp_path)
    for name in ("a", "b"):
        save_file(TENSORS, tmp_path / f"{name}.safetensors")
    with pytest.raises(WeightsError, match=r"several checkpoints, as a\.safetensors: name the file"):
        open_checkpoint(tmp_path)


def test_torchs_old_format_is_read_whole_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It cannot be mapped, and loads all the same."""
    torch.save(TENSORS, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    with caplog.at_level(logging.INFO):
        checkpoint = open_checkpoint(tmp_path / "w.pth")
    assert contents(checkpoint) == {key: value.tolist() for key, value in TENSORS.items()}
    assert "old format" in caplog.text


class Trap:
    """What runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_brings_code_is_refused_and_the_code_does_not_run(tmp_path: Path, zipped: bool) -> None:
    """There is no way around it: the error says why and what to use."""
    torch.save(
        {"w": torch.ones(1), "x": Trap(tmp_path / "ran")}, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(
        WeightsError, match=r"is refused: it asks for posix.mkdir.* would run code .* use a \.safetensors"
    ):
        open_checkpoint(tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    """It is a program, whatever weights are in it; OpenAI's CLIP files are such."""
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("w/data.pkl", pickle.dumps({}))
        archive.writestr("w/constants.pkl", pickle.dumps(()))
    with pytest.raises(WeightsError, match="is refused: it is a TorchScript archive"):
        open_checkpoint(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"GGUF\x03", "GGUF"),
        (b"<!DOCTYPE html>", "web page"),
        (b"<html><head>", "web page"),
        (b"no weights", "download it again"),
        (b"", "download it again"),
    ],
)
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_what_is_no_checkpoint_is_told_apart(tmp_path: Path, start: bytes, told: str, name: str) -> None:
    """The usual mishaps of downloading each have their error, with the file's path."""
    (tmp_path / name).write_bytes(start)
    with pytest.raises(WeightsError, match=rf"{name}.*{told}"):
        open_checkpoint(tmp_path / name)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_file_that_is_cut_short_or_absent_names_itself(tmp_path: Path, name: str) -> None:
    """A broken download is an error when it is opened, before any network is touched."""
    with pytest.raises(WeightsError, match=rf"{name}: No such file"):
        open_checkpoint(tmp_path / name)
    (save_file if name == "w.safetensors" else torch.save)({"w": torch.ones(5000)}, tmp_path / name)
    with (tmp_path / name).open("r+b") as file:
        file.truncate(10_000)
    with pytest.raises(WeightsError, match=rf"{name}.*download it again"):
        open_checkpoint(tmp_path / name)


def test_a_dtype_that_is_not_read_is_named(tmp_path: Path) -> None:
    """Four-bit floats are no weights to be cast."""
    header = json.dumps({"w": {"dtype": "F4", "shape": [8], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(WeightsError, match="holds w as F4, which is not read"):
        open_checkpoint(tmp_path / "w.safetensors")


def test_a_fitted_tensor_has_its_shape_before_it_is_read() -> None:
    """The shape that is listed is the one that comes."""

    def last_row(name: str, value: Tensor) -> Tensor:
        return value[-1:] if name == "w" else value

    stored = {name: torch.arange(6.0).view(3, 2) for name in ("w", "b")}
    entries = {name: Entry((3, 2), torch.float32, value.detach) for name, value in stored.items()}
    fitted = Checkpoint(Path("w"), entries).fitted(last_row)
    assert {name: entry.shape for name, entry in fitted.entries.items()} == {"w": (1, 2), "b": (3, 2)}
    assert fitted.entries["w"].read().tolist() == [[4.0, 5.0]]
