import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline import weights
from pipeline.checkpoint import Checkpoint, Entry, open_checkpoint
from pipeline.errors import WeightsError

CPU = torch.device("cpu")


class Table(nn.Module):
    """A layer beside integers, both in its state dict, and a table that is in none."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("codes", torch.zeros(4, dtype=torch.int8))
        self.register_buffer("angles", torch.ones(2), persistent=False)


def checkpoint(tensors: dict[str, Tensor]) -> Checkpoint:
    return Checkpoint(Path("w"), {k: Entry(tuple(v.shape), v.dtype, v.detach) for k, v in tensors.items()})


def linear_on_meta() -> nn.Linear:
    with torch.device("meta"):
        return nn.Linear(3, 2).requires_grad_(False)


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
        ({"weight": torch.ones(3, 3), "bias": torch.ones(2)}, r"1 of another shape, as weight \[3, 3\] for \[2, 3\]"),
        ({"weight": torch.ones(2, 3).to(torch.int8), "bias": torch.ones(2)}, "1 of another kind, as weight torch.int8"),
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


def test_a_network_on_meta_is_filled_in_place(tmp_path: Path) -> None:
    """It has the values, the dtype and the device that are asked for, and asks for gradients as it did before."""
    stored = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.ones(2)}
    save_file(stored, tmp_path / "w.safetensors")
    network = linear_on_meta()
    weights.load(network, tmp_path / "w.safetensors", torch.bfloat16, CPU)
    assert (network.weight.device, network.weight.dtype, network.weight.requires_grad) == (CPU, torch.bfloat16, False)
    assert network(torch.ones(1, 3, dtype=torch.bfloat16)).tolist() == [[4.0, 13.0]]
    trained = nn.Linear(3, 2)
    weights.load(trained, tmp_path / "w.safetensors", torch.float32)
    assert trained.weight.requires_grad


def test_integers_are_kept_and_other_buffers_stay() -> None:
    """A table of codes is not cast, and a table that no checkpoint holds keeps its values."""
    network = Table()
    stored = {"layer.weight": torch.ones(2, 3), "layer.bias": torch.ones(2), "codes": torch.arange(4).to(torch.int8)}
    weights.load(network, checkpoint(stored), torch.float16)
    state = network.state_dict()
    assert (state["codes"].dtype, state["codes"].tolist()) == (torch.int8, [0, 1, 2, 3])
    assert (state["layer.weight"].dtype, network.get_buffer("angles").tolist()) == (torch.float16, [1.0, 1.0])


def test_a_buffer_that_no_checkpoint_fills_must_not_be_on_meta() -> None:
    """It would stay empty; so it is an error before anything is read."""
    with torch.device("meta"):
        network = Table()
    with pytest.raises(ValueError, match="no checkpoint holds angles"):
        weights.load(network, checkpoint({}), torch.float32)


def test_one_tensor_at_a_time_is_in_memory() -> None:
    """When the next one is read, the one before is gone: only what was cast of it is left."""
    read: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def reading(shape: tuple[int, ...]) -> Tensor:
        alive.append(sum(tensor() is not None for tensor in read))
        tensor = torch.zeros(shape)
        read.append(weakref.ref(tensor))
        return tensor

    shapes = {"weight": (2, 3), "bias": (2,)}
    entries = {k: Entry(shape, torch.float32, lambda shape=shape: reading(shape)) for k, shape in shapes.items()}
    weights.load(linear_on_meta(), Checkpoint(Path("w"), entries), torch.bfloat16, CPU)
    assert alive == [0, 0]


def test_pages_of_a_mapped_file_are_the_weights_where_nothing_changes(tmp_path: Path) -> None:
    """A text encoder on the CPU in the file's dtype takes no memory of its own."""
    torch.save({"weight": torch.ones(2, 3), "bias": torch.ones(2)}, tmp_path / "w.pth")
    opened = open_checkpoint(tmp_path / "w.pth")
    network = linear_on_meta()
    weights.load(network, opened, torch.float32, CPU)
    assert network.weight.data_ptr() == opened.entries["weight"].read().data_ptr()


def test_tied_weights_stay_tied_and_need_one_name() -> None:
    """A checkpoint may hold either name, or both; the places share one tensor after as before."""
    for names in (["0.weight"], ["1.weight"], ["0.weight", "1.weight"]):
        network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
        network[1].weight = network[0].weight
        weights.load(network, checkpoint({name: torch.eye(2) for name in names}), torch.float32)
        assert network[0].weight is network[1].weight
        assert network.get_parameter("1.weight").tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_names_go_through_the_map_and_none_of_ours_is_left_out() -> None:
    """With a map the checkpoint's names count; what the map does not reach is missing."""
    network = linear_on_meta()
    stored = checkpoint({"w": torch.ones(2, 3), "b": torch.zeros(2)})
    weights.load(network, stored, torch.float32, CPU, {"w": "weight", "b": "bias"})
    assert network.weight.sum() == 6
    with pytest.raises(WeightsError, match="1 missing, as bias; 1 unknown, as b"):
        weights.load(linear_on_meta(), stored, torch.float32, CPU, {"w": "weight"})


def test_what_is_ignored_is_neither_unknown_nor_read() -> None:
    """The text half of a CLIP is left in its file, and the tower's own names are plain then."""
    stored = {"visual.weight": torch.ones(2, 3), "visual.bias": torch.ones(2)}
    entries = dict(checkpoint(stored).entries)
    entries["textual.head"] = Entry((1,), torch.float32, lambda: pytest.fail("it was read"))
    weights.load(linear_on_meta(), Checkpoint(Path("w"), entries), torch.float32, CPU, ignore=["textual."])


@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_prefix_of_the_networks_own_is_no_hindrance(prefix: str) -> None:
    """A network whose names all begin with ``model.`` loads a checkpoint with that prefix, and one without."""
    network = nn.ModuleDict({"model": nn.Linear(3, 2)})
    stored = {f"{prefix}weight": torch.ones(2, 3), f"{prefix}bias": torch.ones(2)}
    weights.load(network, checkpoint(stored).without([]), torch.float32)
    assert network.get_parameter("model.weight").sum() == 6


def test_a_network_on_meta_stays_there_when_the_checkpoint_does_not_fit() -> None:
    """Nothing is filled before everything is known to fit."""
    network = linear_on_meta()
    with pytest.raises(WeightsError):
        weights.load(network, checkpoint({"weight": torch.ones(2, 3)}), torch.float32, CPU)
    assert network.weight.is_meta


def test_the_error_counts_what_it_does_not_name() -> None:
    """A checkpoint of another network is told in one line, not in eight hundred."""
    stored = checkpoint({f"blocks.{index}.q": torch.ones(1) for index in range(800)})
    with pytest.raises(WeightsError) as caught:
        weights.load(linear_on_meta(), stored, torch.float32)
    assert "800 unknown, as blocks.0.q, blocks.1.q, blocks.10.q" in str(caught.value)
    assert "blocks.2.q" not in str(caught.value)


def test_the_error_names_the_likely_cause() -> None:
    """A checkpoint of a kind that is known says what it is."""
    stored = checkpoint({"blocks.0.ffn.0.lora_A.weight": torch.ones(1)})
    with pytest.raises(WeightsError, match="Most likely it is a LoRA, not a full checkpoint; merge it"):
        weights.load(linear_on_meta(), stored, torch.float32)
