"""Tests of the reading of weights of the network of layers, with and without depth."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.errors import WeightsError
from pipeline.factory import LAYERS_WEIGHTS
from pipeline.pocket.layers_network import LayersNetwork
from pipeline.pocket.layers_weights import read_layers
from pipeline.row_scales import packed


@pytest.mark.parametrize("tells_depth", [False, True])
def test_weights_say_whether_they_tell_depth(tmp_path: Path, tells_depth: bool) -> None:
    """A file with the part that tells depth gives a network that does, one without gives one that does not."""
    made = LayersNetwork(tells_depth)
    save_file(packed(made.state_dict()), tmp_path / "layers.safetensors")
    network = read_layers(tmp_path / "layers.safetensors")
    assert (network.near is not None) is tells_depth
    torch.testing.assert_close(network.head.weight, made.head.weight.detach(), atol=1e-3, rtol=0)


def test_the_weights_that_ship_are_read() -> None:
    """As they are, ready to be asked."""
    network = read_layers(LAYERS_WEIGHTS)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_other_weights_are_refused(tmp_path: Path) -> None:
    """A file that lacks a part of the network is told by name."""
    save_file({"near.weight": torch.zeros(1, 64, 3, 3)}, tmp_path / "layers.safetensors")
    with pytest.raises(WeightsError, match="missing"):
        read_layers(tmp_path / "layers.safetensors")
