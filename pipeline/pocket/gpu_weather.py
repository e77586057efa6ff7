"""Weather over all frames of a latent at once, for a GPU; what it looks like is in :mod:`pipeline.pocket.weather`."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.flakes import MOST, cover
from pipeline.pocket.view import View
from pipeline.pocket.weather import LEAST_WEATHER, SNOW_COLOUR, Weather, fog_colour, laid, rained, slid, thinned, veil

KINDS = ("rain", "snow", "fog")


class GpuWeather:
    """Sheets of rain and fog of one view's size, and its flakes; holds no stream's state."""

    def __init__(self, view: View, device: torch.device, seed: int) -> None:
        weather, size = Weather(seed, view, device), (slice(view.height), slice(view.width))
        self._view, self._snow = view, weather.snow
        self._rain, self._fog = (
            torch.stack([lapped(sheet[size]) for sheet in sheets]).to(device)
            for sheets in (weather.rain, (weather.fog,))
        )

    def over(self, image: Tensor, kind: str, amounts: Tensor, shifts: Tensor) -> Tensor:
        """Lay one kind of weather over frames; fog comes before rain, and rain before snow.

        Args:
            image: ``float32 [F, 3, H, W]``, 0..255.
            kind: "rain", "snow" or "fog".
            amounts: of rain, snow and fog, ``[F, 3, h, w]``.
            shifts: of rain's or fog's sheets, in pixels, ``[F, 2 * sheets]``, x before y, of rain followed by cosine
                and sine of the roll; of snow seconds, what those round off, and the pose, ``[F, 6]``.

        Returns:
            As the image is given.
        """
        amounts = thinned(amounts * (amounts.amax((2, 3), keepdim=True) > LEAST_WEATHER))
        only = amounts[:, KINDS.index(kind), None]
        amount = F.interpolate(only, size=image.shape[2:], mode="bilinear", align_corners=False)[:, 0]
        if kind == "fog":
            ones = torch.ones_like(shifts[:, :1])
            level = torch.cat([ones, 0 * ones], 1)
            far, near = (slid(self._fog[0], shift, level) for shift in shifts.split(2, 1))
            return laid(image, fog_colour(image), veil(far, near, amount))
        if kind == "rain":
            return rained(image, amount, falling(self._rain, shifts[:, :-2], shifts[:, -2:]))
        shifts = shifts.double()
        seen_from = torch.cat([shifts[:, :2].sum(1, keepdim=True), shifts[:, 2:]], 1)
        flakes = cover(self._snow.slots(seen_from).split(MOST, 1), self._view)
        return laid(image, SNOW_COLOUR, flakes * amount.clamp(0, 1.5))


def lapped(sheet: Tensor) -> Tensor:
    """A sheet ``[H, W]`` that repeats, with its first row and column once more at its end: ``[H + 1, W + 1]``."""
    return F.pad(sheet[None, None], (0, 1, 0, 1), mode="circular")[0, 0]


def falling(sheets: Tensor, shifts: Tensor, turns: Tensor) -> Tensor:
    """Lapped sheets ``[N, H + 1, W + 1]`` over each other, each from its shift of ``[F, 2 * N]`` on: ``[F, H, W]``."""
    total, *others = (slid(sheet, shift, turns) for sheet, shift in zip(sheets, shifts.split(2, 1), strict=True))
    for other in others:
        total = total + other
    return total.clamp(0, 0.95)
