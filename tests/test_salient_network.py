"""Tests of the salient network: its shape, its weights as they ship, and how they are read from their package."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from pipeline.factory import SALIENT_WEIGHTS
from pipeline.pocket import salient_start
from pipeline.pocket.layers_weights import read_salient
from pipeline.pocket.salience import salience
from pipeline.pocket.salient_network import SalientNetwork, Stage


def _convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [one for one in network.modules() if isinstance(one, nn.Conv2d)]


def test_it_has_the_published_shape() -> None:
    """Of 119 convolutions (arXiv 2005.09007) all but two stages, five levels' telling, and what mixes these."""
    network = SalientNetwork()
    assert len(_convolutions(network)) == 119 - 12 - 14 - 6
    assert sum(parameter.numel() for parameter in network.parameters()) == 852_417


@pytest.mark.parametrize("levels", [0, 4, 7])
def test_a_stage_sees_far_and_keeps_the_size(levels: int) -> None:
    """Of an odd size too; a single point has a say over more than its neighbours."""
    torch.manual_seed(0)
    stage = Stage(3, levels)
    dark = torch.zeros(1, 3, 75, 75)
    point = dark.clone()
    point[..., 37, 37] = 50
    changed = (stage(point) != stage(dark)).any(1)[0]
    assert stage(dark).shape == (1, 64, 75, 75)
    assert int(changed.sum()) > 500


def test_the_weights_that_ship_find_a_thing_by_itself() -> None:
    """A red ball on a lawn draws the eye, and the lawn does not."""
    lawn = np.full((480, 832, 3), (60, 140, 50), np.uint8)
    lawn += np.random.default_rng(0).integers(0, 30, lawn.shape, dtype=np.uint8)
    mask = cv2.circle(np.zeros((480, 832), np.uint8), (500, 260), 90, 1, -1)
    lawn[mask > 0] = (200, 40, 40)
    picture = torch.from_numpy(lawn).permute(2, 0, 1)[None].float() / 127.5 - 1
    network = read_salient(SALIENT_WEIGHTS)
    assert not network.training
    seen = salience(network, picture)
    small = cv2.resize(mask, (80, 80), interpolation=cv2.INTER_NEAREST) > 0
    assert float(seen[0, 0][torch.from_numpy(small)].mean()) > 0.9
    assert float(seen[0, 0][torch.from_numpy(~small)].mean()) < 0.1


class _Layer:
    def __init__(self, kind: str) -> None:
        self.type = kind


class _File:
    """What OpenCV reads of an ONNX file of the whole network, weights by chance, a ReLU after each convolution."""

    def __init__(self, network: SalientNetwork) -> None:
        self._given: dict[str, nn.Conv2d | None] = {}
        *stages, told = _convolutions(network)
        left_out = nn.Conv2d(1, 1, 1)
        others = [left_out] * 26, [left_out] * 2, [left_out] * 4
        for number, one in enumerate([*stages, *others[0], *others[1], told, *others[2]]):
            self._given |= {f"conv {number}": one, f"relu {number}": None}

    def getLayerNames(self) -> list[str]:
        return list(self._given)

    def getLayerId(self, name: str) -> str:
        return name

    def getLayer(self, name: str) -> _Layer:
        return _Layer("ReLU" if self._given[name] is None else "Convolution")

    def getParam(self, name: str, part: int) -> np.ndarray:
        one = self._given[name]
        assert one is not None
        assert one.bias is not None
        return (one.weight, one.bias[None])[part].detach().numpy()

    def lose_one(self) -> None:
        self._given.pop("conv 7")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> tuple[SalientNetwork, _File]:
    torch.manual_seed(3)
    network = SalientNetwork()
    file = _File(network)
    monkeypatch.setattr(salient_start.cv2.dnn, "readNetFromONNX", lambda _, **__: file)
    return network, file


def test_a_package_s_weights_are_taken_in_order(given: tuple[SalientNetwork, _File]) -> None:
    """What is read gives what the network that was written gives."""
    read = salient_start.read_onnx(Path("some.onnx"))
    picture = torch.rand(1, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(read(picture), given[0](picture))


def test_another_network_is_refused(given: tuple[SalientNetwork, _File]) -> None:
    """One convolution less: the error tells both counts."""
    given[1].lose_one()
    with pytest.raises(ValueError, match="118 convolutions, U²-Net's small form 119"):
        salient_start.read_onnx(Path("some.onnx"))
