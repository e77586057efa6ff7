"""Weather over all frames of a latent at once, for a GPU; what it looks like is in :mod:`pipeline.pocket.weather`."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.flakes import MOST, cover
from pipeline.pocket.view import View
from pipeline.pocket.weather import SNOW_COLOUR, Weather, fog_colour, laid, rained, slid, thinned, veil

LEAST_WEATHER = 0.01


class Fallen(NamedTuple):
    """Where weather is in F frames, all float32.

    Shifts of rain's sheets and of fog's in pixels, ``[F, 2 * sheets]`` each, x before y; cosine and sine of the roll
    ``[F, 2]``; flakes ``[F, N, 4]`` as :func:`pipeline.pocket.flakes.slots` tells them.
    """

    rain: Tensor
    fog: Tensor
    turns: Tensor
    flakes: Tensor


class GpuWeather:
    """Sheets of rain and fog of one view's size, and its flakes; holds no stream's state."""

    def __init__(self, view: View, device: torch.device, seed: int) -> None:
        weather, size = Weather(seed, view), (slice(view.height), slice(view.width))
        self._view, self.snow = view, weather.snow
        self._rain, self._fog = (
            torch.stack([lapped(sheet[size]) for sheet in sheets]).to(device)
            for sheets in (weather.rain, (weather.fog,))
        )

    def over(self, image: Tensor, amounts: Tensor, fallen: Fallen, reached: Tensor | None) -> Tensor:
        """Lay weather over frames.

        Args:
            image: ``float32 [F, 3, H, W]``, 0..255.
            amounts: of rain, snow and fog, ``[F, 3, h, w]``.
            fallen: where it is.
            reached: how much of each place weather may cover, ``[F, 1, H, W]`` in 0..1; None for all of it.

        Returns:
            As the image is given.
        """
        amounts = amounts * (amounts.amax((2, 3), keepdim=True) > LEAST_WEATHER)
        amounts = F.interpolate(thinned(amounts), size=image.shape[2:], mode="bilinear", align_corners=False)
        rain, snow, fog = amounts.unbind(1)
        streaks = falling(self._rain, fallen.rain, fallen.turns)
        flakes = cover(fallen.flakes.split(MOST, 1), self._view)
        level = torch.cat([torch.ones_like(fallen.turns[:, :1]), torch.zeros_like(fallen.turns[:, 1:])], 1)
        far, near = (slid(self._fog[0], shift, level) for shift in fallen.fog.split(2, 1))
        wet = laid(image, fog_colour(image), veil(far, near, fog))
        wet = rained(wet, rain, streaks)
        wet = laid(wet, SNOW_COLOUR, flakes * snow.clamp(0, 1.5))
        return wet if reached is None else torch.lerp(image, wet, reached)


def lapped(sheet: Tensor) -> Tensor:
    """A sheet ``[H, W]`` that repeats, with its first row and column once more at its end: ``[H + 1, W + 1]``."""
    return F.pad(sheet[None, None], (0, 1, 0, 1), mode="circular")[0, 0]


def falling(sheets: Tensor, shifts: Tensor, turns: Tensor) -> Tensor:
    """Lapped sheets ``[N, H + 1, W + 1]`` over each other, each from its shift of ``[F, 2 * N]`` on: ``[F, H, W]``."""
    total, *others = (slid(sheet, shift, turns) for sheet, shift in zip(sheets, shifts.split(2, 1), strict=True))
    for other in others:
        total = total + other
    return total.clamp(0, 0.95)
