"""Weather over all frames of a latent at once."""

import numpy as np
import torch

from pipeline.pocket.flakes import slots
from pipeline.pocket.gpu_weather import Fallen, GpuWeather, falling, lapped
from pipeline.pocket.view import View
from pipeline.pocket.weather import slid

CPU = torch.device("cpu")
VIEW = View(96, 64)
LEVEL = torch.tensor([[1.0, 0.0]])


def over(amount: float, reached: torch.Tensor | None = None) -> torch.Tensor:
    """Two frames of a grey picture under so much of everything, ``[F, 3, H, W]``."""
    image = torch.full((2, 3, VIEW.height, VIEW.width), 90.0)
    weather = GpuWeather(VIEW, CPU, 0)
    flakes = torch.from_numpy(np.stack([slots(weather.snow.seen(0.0))] * 2))
    fallen = Fallen(torch.zeros(2, 6), torch.zeros(2, 4), torch.tensor([[1.0, 0.0]] * 2), flakes)
    return weather.over(image, torch.full((2, 3, 32, 56), amount), fallen, reached)


def test_a_sheet_begins_where_it_is_told_to() -> None:
    """By whole pixels it is rolled, by another shift in each frame; between them it is between, over its seam too."""
    sheet = torch.rand(5, 7)
    out = slid(lapped(sheet), torch.tensor([[0.0, 0], [2, 4], [6.25, 0]]), torch.tensor([[1.0, 0.0]] * 3))
    assert torch.allclose(out[0], sheet, atol=1e-5)
    assert torch.allclose(out[1], sheet.roll((-4, -2), (0, 1)), atol=1e-5)
    assert torch.allclose(out[2], torch.lerp(sheet.roll(-6, 1), sheet, 0.25), atol=1e-5)


def test_sheets_fall_over_each_other() -> None:
    """Each by its own shift, and together they hide a place at most as much as one may."""
    sheets = torch.rand(2, 5, 7) * 0.6
    out = falling(torch.stack([lapped(sheet) for sheet in sheets]), torch.tensor([[0.0, 0, 1, 0]]), LEVEL)
    assert torch.allclose(out[0], (sheets[0] + sheets[1].roll(-1, 1)).clamp(max=0.95), atol=1e-5)


def test_weather_covers_what_it_reaches() -> None:
    """No weather and weather that reaches nothing leave the picture as it is, to the bit; else it is seen."""
    assert bool((over(0.0) == 90).all())
    half = torch.zeros(2, 1, VIEW.height, VIEW.width)
    half[..., VIEW.width // 2 :] = 1
    made, whole = over(0.8, half), over(0.8)
    assert bool((made[..., : VIEW.width // 2] == 90).all())
    assert torch.equal(made[..., VIEW.width // 2 :], whole[..., VIEW.width // 2 :])
    assert float((whole - 90).abs().mean()) > 5
