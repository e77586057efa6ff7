"""Tests of the looks that pictures are given in the training of the network of layers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pipeline.pocket.layers_looks import hazed, relit, smeared, stroked, turned, varied


def _halves() -> Tensor:
    """Light above dark, ``[2, 3, 96, 176]``."""
    image = torch.full((2, 3, 96, 176), 0.2)
    image[:, :, :48] = 0.8
    return image


@pytest.mark.parametrize("look", [stroked, smeared, turned, varied])
def test_a_look_leaves_things_where_they_are(look: Callable[[Tensor], Tensor]) -> None:
    """Far from its edge, what was light is lighter than what was dark, and colours stay colours."""
    torch.manual_seed(0)
    seen = look(_halves())
    assert seen.shape == (2, 3, 96, 176)
    assert seen.min() >= 0
    assert seen.max() <= 1
    assert (seen[:, :, :32].mean((1, 2, 3)) > seen[:, :, 64:].mean((1, 2, 3)) + 0.1).all()


def test_a_turned_hue_keeps_its_light() -> None:
    """Red becomes another colour as bright; grey stays."""
    torch.manual_seed(0)
    red = torch.tensor([0.6, 0.4, 0.4])[None, :, None, None].expand(4, 3, 8, 8)
    seen = turned(red)
    torch.testing.assert_close(seen.mean(1), red.mean(1))
    assert (seen[:, 0] - 0.6).abs().max() > 0.05
    torch.testing.assert_close(turned(torch.full((1, 3, 8, 8), 0.3)), torch.full((1, 3, 8, 8), 0.3))


def test_a_smear_goes_across() -> None:
    """A thin upright line gets wide and faint, one across stays nearly as it is."""
    torch.manual_seed(0)
    upright, across = torch.zeros(1, 3, 96, 176), torch.zeros(1, 3, 96, 176)
    upright[..., 88], across[:, :, 48] = 1, 1
    assert smeared(upright).max() < 0.5
    assert smeared(across)[..., 48, 60:120].mean() > 0.5


def test_strokes_show_on_a_plain_wall() -> None:
    """Grain is drawn out into strokes: neighbours along one of two directions are alike, and no longer plain."""
    torch.manual_seed(0)
    seen = stroked(torch.full((1, 3, 96, 176), 0.5))
    assert seen.std() > 0.01


def test_haze_takes_contrast_and_leaves_what_is_near() -> None:
    """Stripes are paler everywhere, least at the bottom or at the top, far from the line that it lies about."""
    torch.manual_seed(0)
    image = torch.full((8, 3, 96, 176), 0.2)
    image[..., ::8] = 0.8
    contrast = hazed(image).std(3).mean(1)
    assert (contrast <= image.std(3).mean(1) + 1e-6).all()
    assert (contrast.amin(1) < 0.8 * contrast.amax(1)).all()


def test_each_kind_is_lit_by_itself() -> None:
    """In some pictures the ratio of light between two kinds changes, and within a kind all stays alike."""
    torch.manual_seed(0)
    image = torch.full((32, 3, 8, 8), 0.3)
    kinds = torch.zeros(32, 2, 8, 8)
    kinds[:, 0, :4] = 1
    kinds[:, 1, 4:] = 1
    seen = relit(image, kinds)
    changed = (seen[:, :, 0, 0] / seen[:, :, 7, 0] - 1).abs().amax(1) > 0.02
    assert 0 < int(changed.sum()) < 32
    assert torch.equal(seen[~changed], image[~changed])
    assert (seen[:, :, :4].std((2, 3)) < 1e-6).all()
