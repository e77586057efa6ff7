"""Tests of layers that move: what is done only where it shows is what doing it everywhere gives."""

from functools import cache

import pytest
import torch
from torch import Tensor

from pipeline.pocket import moving
from pipeline.pocket.canvas import Canvas, prepare
from pipeline.pocket.decoder import nodes
from pipeline.pocket.latents import GRID
from pipeline.pocket.layers import FOLIAGE, SUBJECT, WATER, Layer, with_layers
from pipeline.pocket.sampling import Place
from pipeline.pocket.view import View
from tests.pocket_parts import picture

VIEW = View(208, 120)


@cache
def canvas() -> Canvas:
    """Leaves at the left and before them someone, a lake below."""
    shares = torch.zeros(1, 5, 96, 168)
    shares[:, FOLIAGE, 10:60, 8:80], shares[:, WATER, 66:] = 1, 1
    shares[:, :, 30:90, 50:70] = 0
    shares[:, SUBJECT, 30:90, 50:70] = 1
    shares[:, 0] = 1 - shares[:, 1:].sum(1)
    return with_layers(prepare(picture(), VIEW.width, VIEW.height), shares)


def places(at_rest: bool) -> Place:
    x, y = nodes(VIEW)
    return Place(x, y, VIEW, True) if at_rest else Place(0.95 * x + 11, 0.95 * y - 4, VIEW)


def swing() -> Tensor:
    """A displacement ``[2, h, w]`` in units, from left to right and back."""
    x = torch.linspace(0, 9, GRID[1]).expand(GRID)
    return torch.stack([14 * torch.sin(x), 5 * torch.cos(x)])


def lay(image: Tensor, over: Tensor, share: Tensor) -> Tensor:
    return torch.lerp(image, over, share.expand_as(over))


def over(image: Tensor, seen: Canvas, layer: Layer, there: Place, place: Place) -> Tensor:
    image = lay(image, place.sample(seen, layer.behind), place.sample(seen, layer.hole))
    return lay(image, there.sample(seen, seen.texture), there.sample(seen, layer.cut))


def everywhere(seen: Canvas, place: Place, kinds: tuple[int, ...]) -> Tensor:
    """The frame of layers that move, each laid over all of it in their order."""
    layers = seen.layers
    assert layers is not None
    reach = torch.zeros(5)
    reach[list(kinds)] = 1
    moved = moving.parts(swing(), layers, reach)
    image = place.sample(seen, seen.texture)
    if moved.water is not None and layers.water is not None:
        there = place.moved(place.local(moved.water))
        flowing = lay(
            there.sample(seen, seen.texture),
            there.sample(seen, layers.water.behind),
            there.sample(seen, layers.water.hole),
        )
        image = lay(image, flowing, place.sample(seen, layers.water.cut))
    if moved.foliage is not None and layers.foliage is not None:
        still = image
        image = over(image, seen, layers.foliage, place.moved(place.local(moved.foliage)), place)
        if moved.subject is None:
            image = lay(image, still, place.sample(seen, layers.shares[:, SUBJECT : SUBJECT + 1]))
    if moved.subject is not None and layers.subject is not None:
        image = over(image, seen, layers.subject, place.moved(place.local(moved.subject)), place)
    return image


@pytest.mark.parametrize("at_rest", [True, False])
@pytest.mark.parametrize("kinds", [(WATER,), (FOLIAGE,), (SUBJECT,), (WATER, FOLIAGE, SUBJECT)])
@pytest.mark.parametrize("little", [0.0, 2.0])
def test_what_is_done_where_it_shows_is_what_is_done_everywhere(
    kinds: tuple[int, ...], at_rest: bool, little: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers alone and together, at rest and elsewhere, whole or by the pixel, to a hundredth of a grey level."""
    monkeypatch.setattr(moving, "LITTLE", little)
    seen = canvas()
    assert seen.layers is not None
    reach = torch.zeros(5)
    reach[list(kinds)] = 1
    made = moving.displaced(seen, seen.layers, places(at_rest), None, swing(), reach)
    still = places(at_rest).sample(seen, seen.texture)
    assert (made - still).abs().max() > 10
    torch.testing.assert_close(made, everywhere(seen, places(at_rest), kinds), atol=1e-2, rtol=0)


def test_a_layer_out_of_view_changes_nothing() -> None:
    """From where a layer that moves is not seen, the frame is the picture's."""
    seen = canvas()
    assert seen.layers is not None
    reach = torch.zeros(5)
    reach[FOLIAGE] = 1
    x, y = nodes(VIEW)
    aside = Place(0.2 * x + 85, 0.2 * y, VIEW)
    made = moving.displaced(seen, seen.layers, aside, None, swing(), reach)
    assert torch.equal(made, aside.sample(seen, seen.texture))
