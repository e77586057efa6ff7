"""Tests of what the network of layers begins with, on a file of the package's form with weights by chance."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.layers_network import BLOCKS, STEM, LayersNetwork, around
from pipeline.pocket.layers_start import EPSILON, read_start


@pytest.fixture
def given() -> dict[str, Tensor]:
    """Convolutions without biases, each followed by a normalization."""
    generator, out = torch.Generator().manual_seed(0), dict[str, Tensor]()

    def put(convolution: str, normalization: str, *shape: int) -> None:
        out[f"{convolution}.weight"] = torch.randn(shape, generator=generator) / 3
        for part in ("weight", "bias", "running_mean", "running_var"):
            out[f"{normalization}.{part}"] = 0.5 + torch.rand(shape[0], generator=generator)

    put("_conv_stem", "_bn0", STEM, 3, 3, 3)
    before = STEM
    for number, (width, factor, kernel, _) in enumerate(BLOCKS):
        name, inside = f"_blocks.{number}.", before * factor
        if factor > 1:
            put(f"{name}_expand_conv", f"{name}_bn0", inside, before, 1, 1)
        put(f"{name}_depthwise_conv", f"{name}_bn1", inside, 1, kernel, kernel)
        put(f"{name}_project_conv", f"{name}_bn2", width, inside, 1, 1)
        before = width
    return out


def test_the_network_begins_with_all_that_reads_the_picture(given: dict[str, Tensor], tmp_path: Path) -> None:
    """Every parameter of stem and blocks is there, in its shape, and none besides."""
    torch.save(given, tmp_path / "lite0.pth")
    start = read_start(tmp_path / "lite0.pth")
    network = LayersNetwork()
    wanted = {name: value.shape for name, value in network.named_parameters() if name.startswith(("stem", "blocks"))}
    assert {name: value.shape for name, value in start.items()} == wanted
    assert not network.load_state_dict(start, strict=False).unexpected_keys


def test_normalization_is_folded_in(given: dict[str, Tensor], tmp_path: Path) -> None:
    """The stem's convolution gives what convolution and normalization gave one after the other."""
    torch.save(given, tmp_path / "lite0.pth")
    network = LayersNetwork()
    network.load_state_dict(read_start(tmp_path / "lite0.pth"), strict=False)
    picture = around(torch.rand(1, 3, 32, 48), network.stem)
    mean, variance, gain, offset = (given[f"_bn0.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    plain = F.conv2d(picture, given["_conv_stem.weight"], stride=2)
    wanted = F.batch_norm(plain, mean, variance, gain, offset, eps=EPSILON)
    torch.testing.assert_close(network.stem(picture), wanted)


def test_a_stride_begins_at_the_first_of_two() -> None:
    """Padding lies where the weights' makers had it: all of it behind for a kernel of 3 and a stride of 2."""
    network = LayersNetwork()
    x = torch.ones(1, 3, 8, 8)
    assert around(x, network.stem)[0, 0].sum(0).tolist() == [8] * 8 + [0]
    five = torch.nn.Conv2d(3, 3, 5, 2)
    assert around(x, five)[0, 0, 1].tolist() == [0] + [1] * 8 + [0, 0]
