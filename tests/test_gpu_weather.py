"""Weather over all frames of a latent at once."""

import torch

from pipeline.pocket.fog import lapped, looks
from pipeline.pocket.gpu_weather import GpuWeather, falling
from pipeline.pocket.latents import CHANNELS, GRID, WEATHER
from pipeline.pocket.view import View
from pipeline.pocket.weather import slid

CPU = torch.device("cpu")
VIEW = View(96, 64)
LEVEL = torch.tensor([[1.0, 0.0]])


def over(amount: float) -> torch.Tensor:
    """Two frames of a grey picture under so much of everything, ``[F, 3, H, W]``."""
    image, weather = torch.full((2, 3, VIEW.height, VIEW.width), 90.0), GpuWeather(VIEW, CPU, 0)
    fields = torch.zeros(2, CHANNELS, *GRID)
    fields[:, WEATHER] = amount
    rain = torch.cat([torch.zeros(2, 6), LEVEL.expand(2, -1)], 1)
    seen = torch.tensor([part for look in looks(0.0, VIEW) for part in look]).expand(2, -1)
    for kind, told in (("fog", seen), ("rain", rain), ("snow", torch.zeros(2, 6))):
        image = weather.over(image, kind, fields, told)
    return image


def test_a_sheet_begins_where_it_is_told_to() -> None:
    """By whole pixels it is rolled, by another shift in each frame; between them it is between, over its seam too."""
    sheet = torch.rand(5, 7)
    out = slid(lapped(sheet), torch.tensor([[0.0, 0], [2, 4], [6.25, 0]]), LEVEL.expand(3, -1))
    assert torch.allclose(out[0], sheet, atol=1e-5)
    assert torch.allclose(out[1], sheet.roll((-4, -2), (0, 1)), atol=1e-5)
    assert torch.allclose(out[2], torch.lerp(sheet.roll(-6, 1), sheet, 0.25), atol=1e-5)


def test_sheets_fall_over_each_other() -> None:
    """Each by its own shift, and together they hide a place at most as much as one may."""
    sheets = torch.rand(2, 5, 7) * 0.6
    out = falling(torch.stack([lapped(sheet) for sheet in sheets]), torch.tensor([[0.0, 0, 1, 0]]), LEVEL)
    assert torch.allclose(out[0], (sheets[0] + sheets[1].roll(-1, 1)).clamp(max=0.95), atol=1e-5)


def test_no_weather_leaves_the_picture_as_it_is() -> None:
    """To the bit; what there is of it is seen."""
    assert bool((over(0.0) == 90).all())
    assert float((over(0.8) - 90).abs().mean()) > 5
