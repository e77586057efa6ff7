"""Tests of the still water that pictures are mirrored in, in the training of the network of layers."""

import pytest
import torch

from pipeline.pocket import layers_mirrors
from pipeline.pocket.layers_mirrors import mirrored


def _scene(count: int = 16) -> torch.Tensor:
    """Dark below, light above, and a lit post at the right that stands on the dark."""
    image = torch.full((count, 3, 96, 176), 0.3)
    image[:, :, :30] = 0.9
    image[:, 0, 20:, 120:130] = 1
    return image


def test_water_begins_at_a_line_and_is_below_it() -> None:
    """In each column what is water hangs together, and most of the lower quarter is."""
    torch.manual_seed(0)
    _, here = mirrored(_scene())
    assert here.shape == (16, 1, 96, 176)
    assert set(here.unique().tolist()) == {0.0, 1.0}
    assert here[:, :, 72:].mean() > 0.85
    assert here[:, :, :32].sum() == 0
    changes = (here[:, 0, 1:] != here[:, 0, :-1]).sum(1)
    assert int(changes.max()) <= 2


def test_what_stands_above_the_line_is_seen_below_it_head_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ripples and colour a row of the water is the row as far above the line, whatever that shows."""
    for name in ("THROWN", "DRAWN", "LONGER", "LOWER", "SHORED"):
        monkeypatch.setattr(layers_mirrors, name, 0.0)
    monkeypatch.setattr(layers_mirrors, "SHORTEST", 1.0)
    monkeypatch.setattr(layers_mirrors, "HIGHEST", 0.0)
    torch.manual_seed(0)
    image = _scene()
    water, here = mirrored(image)
    wet = here[:, 0] > 0
    post = water[:, 0, 54:60, 122:128] - water[:, 0, 54:60, 60:66]
    assert wet[:, 60:].all()
    assert (post.mean((1, 2)) > 0.1).all()
    # The line is about the middle, 18 rows above which the light begins: it is mirrored from row 65 on.
    assert (water[:, 1, 75:, 20:60].mean((1, 2)) > water[:, 1, 52:58, 20:60].mean((1, 2)) + 0.1).all()


def test_it_is_darker_on_the_whole_and_stays_a_picture() -> None:
    """Numbers stay in 0..1, and what is mirrored is rarely lighter than what stands above it."""
    torch.manual_seed(0)
    image = torch.full((32, 3, 64, 112), 0.8)
    water, _ = mirrored(image)
    assert water.min() >= 0
    assert water.max() <= 1
    assert (water.mean((1, 2, 3)) < 0.85).all()
    assert water.mean() < 0.65


@pytest.mark.parametrize("is_rippled", [False, True])
def test_ripples_break_it(monkeypatch: pytest.MonkeyPatch, is_rippled: bool) -> None:
    """Of a grain as fine as pixels some mirror images keep much less than others; without ripples all keep as much."""
    monkeypatch.setattr(layers_mirrors, "_tinted", lambda shown: shown)
    monkeypatch.setattr(layers_mirrors, "LONGER", 0.0)
    if not is_rippled:
        monkeypatch.setattr(layers_mirrors, "DRAWN", 0.0)
        monkeypatch.setattr(layers_mirrors, "THROWN", 0.0)
    torch.manual_seed(0)
    water, here = mirrored((torch.rand(24, 3, 96, 176) > 0.5).float())
    kept = [float(one[:, wet[0] > 0].std()) for one, wet in zip(water, here, strict=True)]
    assert (max(kept) > 1.3 * min(kept)) is is_rippled


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_some_have_a_near_shore(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Where none has one, water is at the bottom of every column; where all have, most have dry places there."""
    monkeypatch.setattr(layers_mirrors, "SHORED", share)
    torch.manual_seed(0)
    _, here = mirrored(_scene(24))
    is_dry = (here[:, 0, -1] == 0).any(1)
    assert int(is_dry.sum()) == 0 if share == 0 else int(is_dry.sum()) > 12
