"""Weather over all frames of a latent at once, for a GPU; what it looks like is in :mod:`pipeline.pocket.weather`."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket import fog
from pipeline.pocket.flakes import MOST, cover
from pipeline.pocket.latents import GAIN, WEATHER
from pipeline.pocket.view import View
from pipeline.pocket.weather import LEAST_WEATHER, SNOW_COLOUR, Weather, laid, rained, slid

KINDS = ("rain", "snow", "fog")


class GpuWeather:
    """Sheets of rain and fog of one view's size, and its flakes; holds no stream's state."""

    def __init__(self, view: View, device: torch.device, seed: int) -> None:
        weather = Weather(seed, view, device)
        self._view, self._snow, self._fog = view, weather.snow, weather.fog.to(device)
        self._rain = torch.stack(weather.rain).to(device)

    def over(self, image: Tensor, kind: str, fields: Tensor, told: Tensor) -> Tensor:
        """Lay one kind of weather over frames; fog comes before rain, and rain before snow.

        Args:
            image: ``float32 [F, 3, H, W]``, 0..255.
            kind: "rain", "snow" or "fog".
            fields: calm ones of each, ``[F, 12, h, w]``.
            told: of fog the numbers of its looks, ``[F, 10]``; of rain how far its sheets have moved, in pixels, x
                before y, and cosine and sine of the roll, ``[F, 8]``; of snow seconds, what those round off, and the
                pose, ``[F, 6]``.

        Returns:
            As the image is given.
        """
        amounts = fields[:, WEATHER]
        amounts = amounts * (amounts.amax((2, 3), keepdim=True) > LEAST_WEATHER)
        if kind == "fog":
            hidden = fog.opacity(self._fog, told, fog.thinned(amounts[:, 2]), self._view)
            return laid(image, fog.colour(image, fields[:, GAIN].mean((2, 3))), hidden)
        only = amounts[:, KINDS.index(kind), None]
        amount = F.interpolate(only, size=image.shape[2:], mode="bilinear", align_corners=False)[:, 0]
        if kind == "rain":
            return rained(image, amount, falling(self._rain, told[:, :-2], told[:, -2:]))
        told = told.double()
        seen_from = torch.cat([told[:, :2].sum(1, keepdim=True), told[:, 2:]], 1)
        flakes = cover(self._snow.slots(seen_from).split(MOST, 1), self._view)
        return laid(image, SNOW_COLOUR, flakes * amount.clamp(0, 1.5))


def falling(sheets: Tensor, shifts: Tensor, turns: Tensor) -> Tensor:
    """Sheets ``[N, H + 1, W + 1]`` over each other, each from its shift of ``[F, 2 * N]`` on: ``[F, H, W]``."""
    total, *others = (slid(sheet, shift, turns) for sheet, shift in zip(sheets, shifts.split(2, 1), strict=True))
    for other in others:
        total = total + other
    return total.clamp(0, 0.95)
