"""Clouds that a plain sky is given: some in any sky, in its own light, none at the horizon, others for each picture."""

import pytest
import torch

from pipeline.pocket.clouds import clouded
from pipeline.pocket.view import NOMINAL, View

DAY, DUSK, NIGHT = (120.0, 160.0, 220.0), (220.0, 150.0, 90.0), (14.0, 18.0, 34.0)
SIZE, SMALL = (320, 560), (160, 280)


def plain(colour: tuple[float, float, float], size: tuple[int, int]) -> torch.Tensor:
    return torch.tensor(colour)[None, :, None, None].expand(1, 3, *size).clone()


def made(
    colour: tuple[float, float, float] = DAY, seed: int = 1, rows: int = SMALL[0], view: View = NOMINAL
) -> torch.Tensor:
    """The plate of a sky of one colour that reaches ``rows`` of its 160 rows down."""
    sure = torch.zeros(1, 1, *SMALL)
    sure[..., :rows, :] = 1
    return clouded(plain(colour, SIZE), plain(colour, SMALL), sure, view, seed)


def change(colour: tuple[float, float, float] = DAY, seed: int = 1, rows: int = SMALL[0]) -> torch.Tensor:
    return (made(colour, seed, rows) - plain(colour, SIZE)).abs().amax(1)[0]


@pytest.mark.parametrize("colour", [DAY, DUSK, NIGHT], ids=["day", "dusk", "night"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_there_are_some_in_any_sky(colour: tuple[float, float, float], seed: int) -> None:
    """A good part of it has clouds that can be seen, and a good part stays clear."""
    seen = float((change(colour, seed) > 6).float().mean())
    assert 0.15 < seen < 0.85


def test_a_small_sky_has_some_too() -> None:
    """Also where no more than its upper fifth is sky."""
    assert float((change(rows=32)[:50] > 6).float().mean()) > 0.15


def test_they_are_in_the_light_of_their_sky() -> None:
    """White by day, dim by night, and warm at dusk."""
    day, dusk, night = (made(colour)[0].flatten(1).amax(1) for colour in (DAY, DUSK, NIGHT))
    assert day.min() > 200
    assert night.max() < 60
    assert dusk[0] > dusk[2] + 20


def test_towards_the_horizon_they_are_flatter_and_then_none() -> None:
    """Rows vary faster from one to the next the nearer the horizon; the last have no cloud."""
    clouds = made(rows=120)[0].mean(0)
    down, across = ((clouds.diff(dim=axis)[20:200, 20:-20]) ** 2 for axis in (0, 1))
    flatness = [float(down[part, :500].mean() / across[part, :500].mean()) for part in (slice(0, 60), slice(120, 180))]
    assert flatness[1] > 1.5 * flatness[0]
    assert change(rows=120)[240:].max() < 1


def test_each_picture_has_its_own_and_always_the_same() -> None:
    """The seed tells them apart; nothing else is chance."""
    assert torch.equal(made(seed=5), made(seed=5))
    assert not torch.allclose(made(seed=5), made(seed=6), atol=10)


def test_they_are_as_large_in_a_portrait() -> None:
    """A picture's shape stretches no cloud: as fast as they vary across, they vary in a frame twice as wide."""
    wide, tall = (made(view=view)[0].mean(0) for view in (View(832, 480), View(480, 832)))
    across = [float((one.diff(dim=1) ** 2).mean()) for one in (wide, tall)]
    # The plate of both has as many columns here, over 832 units and over 480.
    assert across[0] > 1.5 * across[1]


def test_a_sky_with_clouds_keeps_its_own() -> None:
    """What can be seen to move is left as it is, bit for bit."""
    grains = torch.rand(1, 3, *SMALL, generator=torch.Generator().manual_seed(0))
    small = 100 + 80 * torch.nn.functional.avg_pool2d(grains, 5, 1, 2)
    plate = torch.nn.functional.interpolate(small, SIZE)
    assert torch.equal(clouded(plate.clone(), small, torch.ones(1, 1, *SMALL), NOMINAL, 1), plate)
    nowhere = clouded(plain(DAY, SIZE), plain(DAY, SMALL), torch.zeros(1, 1, *SMALL), NOMINAL, 1)
    assert torch.equal(nowhere, plain(DAY, SIZE))
