"""The light of a scene: colours of the sky by height, of sun or moon, and what they leave of a thing's own colour."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.pocket.painter.noise import Noise
from pipeline.pocket.painter.scenery import Scenery

RGB = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Light:
    """Colours 0..1 (sRGB) and places.

    ``zenith``, ``middle`` and ``horizon`` are the sky's, ``glow`` that about the sun or moon, ``lit`` and ``shade``
    the two sides of a cloud. ``ambient`` multiplies the colours of things, ``key`` is added where the sun meets them.
    ``sun`` is where it stands, as shares of the view's width and of the sky's height above the horizon; ``size`` its
    disc in units, 0 for none to be seen. ``clouds`` is how much of the sky they cover, ``mist`` how thick the air is.
    """

    zenith: RGB
    middle: RGB
    horizon: RGB
    glow: RGB
    lit: RGB
    shade: RGB
    ambient: RGB
    key: RGB
    sun: tuple[float, float] = (0.7, 0.5)
    size: float = 0.0
    clouds: float = 0.45
    mist: float = 0.35
    is_night: bool = False
    strength: float = 1.0


_HOURS = {
    "dawn": Light(
        (0.33, 0.44, 0.62), (0.70, 0.70, 0.76), (0.99, 0.81, 0.68), (1.0, 0.83, 0.60), (1.0, 0.87, 0.78),
        (0.58, 0.56, 0.66), (0.66, 0.62, 0.66), (0.42, 0.28, 0.16), (0.35, 0.16), 15.0, 0.42, 0.75,
    ),
    "day": Light(
        (0.17, 0.39, 0.70), (0.42, 0.64, 0.87), (0.80, 0.88, 0.93), (1.0, 0.97, 0.86), (1.0, 0.99, 0.97),
        (0.66, 0.72, 0.80), (0.84, 0.87, 0.92), (0.26, 0.22, 0.12), (0.72, 1.15), 0.0, 0.48, 0.36, strength=0.5,
    ),
    "sunset": Light(
        (0.20, 0.23, 0.43), (0.66, 0.40, 0.46), (0.99, 0.62, 0.31), (1.0, 0.76, 0.36), (1.0, 0.66, 0.42),
        (0.42, 0.28, 0.40), (0.40, 0.30, 0.34), (0.38, 0.18, 0.06), (0.62, 0.13), 17.0, 0.50, 0.46,
    ),
    "dusk": Light(
        (0.07, 0.10, 0.24), (0.25, 0.25, 0.45), (0.80, 0.50, 0.43), (0.95, 0.55, 0.38), (0.72, 0.45, 0.50),
        (0.17, 0.17, 0.31), (0.26, 0.25, 0.36), (0.16, 0.08, 0.06), (0.42, -0.06), 0.0, 0.40, 0.45, strength=0.8,
    ),
    "night": Light(
        (0.018, 0.030, 0.082), (0.045, 0.080, 0.180), (0.115, 0.175, 0.290), (0.60, 0.70, 0.86), (0.25, 0.32, 0.45),
        (0.055, 0.085, 0.155), (0.115, 0.145, 0.245), (0.050, 0.065, 0.095), (0.68, 0.62), 15.0, 0.22, 0.35,
        is_night=True, strength=0.42,
    ),
}  # fmt: skip
_TINTS: dict[str, RGB] = {
    "red": (0.86, 0.20, 0.14), "orange": (1.0, 0.52, 0.16), "gold": (1.0, 0.76, 0.30), "green": (0.30, 0.80, 0.42),
    "teal": (0.16, 0.72, 0.74), "blue": (0.20, 0.44, 0.98), "purple": (0.58, 0.30, 0.88), "pink": (1.0, 0.50, 0.66),
    "white": (0.95, 0.96, 1.0),
}  # fmt: skip


def light_of(scenery: Scenery, seed: int) -> Light:
    """Choose the light of a scene; where its sun or moon stands is the seed's."""
    light = _HOURS[scenery.hour]
    noise = Noise(seed, "light")
    side, height, clouds = noise.between(0.24, 0.76), noise.between(0.9, 1.12), noise.between(0.75, 1.25)
    light = replace(light, sun=(side, light.sun[1] * height), clouds=light.clouds * clouds)
    if scenery.weather == "cloudy":
        light = replace(_greyed(light, 0.35, 0.97), clouds=0.85, size=light.size * light.is_night)
    elif scenery.weather == "stormy":
        grey, gain = (0.40, 1.35) if light.is_night else (0.55, 0.66)
        light = replace(_greyed(light, grey, gain), clouds=0.92, size=0.0, mist=0.6, strength=0.25)
    elif scenery.weather == "misty":
        light = replace(_greyed(light, 0.3, 1.0), mist=1.15, clouds=0.3 * clouds)
    if scenery.colour:
        light = _tinted(light, _TINTS[scenery.colour])
    moon = scenery.has_moon or (scenery.hour == "night" and not scenery.has_stars and not scenery.has_aurora)
    if light.is_night and not moon:
        light = replace(light, size=0.0, strength=0.0, clouds=0.5 * light.clouds)
    return light


def tint(colour: str) -> RGB:
    """Give the colour of a name; blue for none."""
    return _TINTS.get(colour, _TINTS["blue"])


def mix(one: RGB, other: RGB, share: float) -> RGB:
    """Give the colour ``share`` of the way from one to the other."""
    a, b, c = (x + (y - x) * share for x, y in zip(one, other, strict=True))
    return a, b, c


def plain(colour: RGB) -> Tensor:
    """Give a colour as ``float32 [3, 1, 1]``."""
    return torch.tensor(colour)[:, None, None]


def of_thing(colour: RGB, light: Light, lit: float = 0.0) -> RGB:
    """Give a thing's colour under a light, ``lit`` of it met by the sun."""
    a, b, c = (min(1.0, x * m + lit * k) for x, m, k in zip(colour, light.ambient, light.key, strict=True))
    return a, b, c


def _greyed(light: Light, share: float, gain: float) -> Light:
    def grey(colour: RGB) -> RGB:
        mean = gain * (0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2])
        return mix((colour[0] * gain, colour[1] * gain, colour[2] * gain), (mean, mean, mean * 1.04), share)

    return replace(
        light, zenith=grey(light.zenith), middle=grey(light.middle), horizon=grey(light.horizon), lit=grey(light.lit),
        shade=grey(light.shade), ambient=grey(light.ambient), glow=grey(light.glow), key=mix(light.key, (0, 0, 0), 0.6),
    )  # fmt: skip


def _tinted(light: Light, colour: RGB) -> Light:
    def tinted(one: RGB, share: float) -> RGB:
        luma = 0.3 * one[0] + 0.59 * one[1] + 0.11 * one[2]
        peak = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
        gain = min(luma / peak, 0.92 / max(colour))
        return mix(one, (colour[0] * gain, colour[1] * gain, colour[2] * gain), share)

    return replace(
        light, zenith=tinted(light.zenith, 0.45), middle=tinted(light.middle, 0.62),
        horizon=tinted(light.horizon, 0.68), glow=tinted(light.glow, 0.6), lit=tinted(light.lit, 0.65),
        shade=tinted(light.shade, 0.45), ambient=tinted(light.ambient, 0.4), key=tinted(light.key, 0.6),
    )  # fmt: skip
