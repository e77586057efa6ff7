"""Shares of layers that pixels of one colour, near each other, have in common."""

import numpy as np
import pytest
import torch

from pipeline.pocket.alike import alike
from pipeline.pocket.canvas import Canvas, prepare
from pipeline.pocket.layers import REST, WATER

SIZE = (60, 104)
BLUE, GREEN = (60, 90, 150), (70, 120, 50)


def canvas() -> Canvas:
    """Blue water below, a green meadow above, and a blue gap in the meadow beside the water."""
    pixels = np.empty((480, 832, 3), np.uint8)
    pixels[:] = GREEN
    pixels[240:] = BLUE
    pixels[200:240, 400:480] = BLUE
    noise = np.random.default_rng(1).integers(-6, 7, pixels.shape)
    return prepare(np.asarray(np.clip(pixels + noise, 0, 255), np.uint8), 832, 480)


def said(water: float, meadow: float) -> torch.Tensor:
    """Water of a share below, and of another in all of what is above."""
    found = torch.zeros(1, 5, *SIZE)
    found[:, WATER] = meadow
    found[:, WATER, SIZE[0] // 2 :] = water
    found[:, REST] = 1 - found[:, WATER]
    return found


def test_what_looks_like_the_water_beside_it_is_water() -> None:
    """A gap of its colour is taken for water, and what stands around it is not."""
    shares = alike(said(0.95, 0.1), canvas())[0, WATER]
    assert float(shares[26:29, 52:58].min()) > 0.5
    assert float(shares[26:29, :40].max()) < 0.11
    assert float(shares[40:].min()) > 0.9


def test_shares_stay_shares() -> None:
    """They sum to 1, and what is the same everywhere stays as it is."""
    found = torch.rand(1, 5, *SIZE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(alike(found / found.sum(1, keepdim=True), canvas()).sum(1), torch.ones(1, *SIZE))
    assert alike(said(0.9, 0.9), canvas())[0, WATER].numpy() == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("far", [20, 60])
def test_what_is_far_away_has_no_say(far: int) -> None:
    """A blue field at the other side of the picture is not made water by the water here."""
    pixels = np.empty((480, 832, 3), np.uint8)
    pixels[:] = GREEN
    pixels[:, :100] = pixels[:, 832 - 10 * far // 4 :] = BLUE
    found = torch.zeros(1, 5, *SIZE)
    found[:, WATER, :, :12] = 1
    found[:, REST] = 1 - found[:, WATER]
    shares = alike(found, prepare(pixels, 832, 480))[0, WATER]
    assert float(shares[:, -5:].max()) < 0.05
    assert float(shares[:, :12].min()) > 0.95


def test_a_rest_that_is_less_than_nothing_by_rounding_is_none() -> None:
    """What is all taken leaves nothing, or by rounding a little less; shares stay numbers then."""
    found = said(1.0, 1.0)
    found[:, REST] = -6e-8
    assert bool(torch.isfinite(alike(found, canvas())).all())
