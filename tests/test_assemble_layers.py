"""Tests of the putting together of the network of layers."""

import pytest
import torch

from pipeline.pocket.assemble_layers import mean
from pipeline.pocket.layers_network import LayersNetwork
from pipeline.pocket.layers_weights import NEAR


def test_the_mean_lies_between() -> None:
    """Each weight is the mean of the parts'."""
    one, other = LayersNetwork().state_dict(), LayersNetwork().state_dict()
    made = mean([one, other])
    assert made.keys() == one.keys()
    for name, value in made.items():
        torch.testing.assert_close(value, (one[name] + other[name]) / 2)


def test_parts_that_tell_depth_are_kept_whole() -> None:
    """What tells nearness is averaged too; beside a part that tells none it is refused."""
    deep, plain = LayersNetwork(tells_depth=True).state_dict(), LayersNetwork().state_dict()
    assert NEAR in mean([deep, deep])
    for parts in ([deep, plain], [plain, deep]):
        with pytest.raises(RuntimeError, match="near"):
            mean(parts)


def test_a_part_of_another_network_is_refused() -> None:
    """What is no state of this network is told by name."""
    part = LayersNetwork().state_dict()
    with pytest.raises(RuntimeError, match="head"):
        mean([part, {name: value for name, value in part.items() if not name.startswith("head")}])
