"""Layers held against the labels of pictures that were kept out of training."""

import numpy as np
import pytest
import torch

from pipeline.pocket import judge_kept
from pipeline.pocket.canvas import prepare
from pipeline.pocket.layers import with_layers
from pipeline.pocket.layers_data import STORED

SKY = 1


def halves() -> torch.Tensor:
    """Shares of a sky above and nothing below, ``[1, 5, 128, 224]``."""
    shares = torch.zeros(1, 5, 128, 224)
    shares[:, SKY, :64], shares[:, 0, 64:] = 1, 1
    return shares


def test_what_is_told_is_each_layer_that_is_there() -> None:
    """A sky where it is agrees wholly, elsewhere not; leaves on a hundredth of the view are not judged."""
    wanted = np.zeros(STORED, np.uint8)
    wanted[:120] = SKY
    wanted[130:140, :80] = 3
    assert judge_kept.agreement(halves(), wanted) == {"sky": pytest.approx(1.0, abs=0.01)}
    assert judge_kept.agreement(halves(), wanted[::-1].copy())["sky"] < -0.9


def test_edges_are_of_the_view_alone() -> None:
    """What lies around the view has no say."""
    pixels = np.full((480, 832, 3), 90, np.uint8)
    pixels[:240] = (120, 170, 230)
    canvas = with_layers(prepare(pixels, 832, 480), halves())
    shares = judge_kept.at_edges(canvas)
    assert shares.shape[2] / shares.shape[3] == pytest.approx(480 / 832, rel=0.02)
    wanted = np.zeros(STORED, np.uint8)
    wanted[:120] = SKY
    assert judge_kept.agreement(shares, wanted)["sky"] > 0.98
