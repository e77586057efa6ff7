"""Water: what stands above it upside down, waves in perspective, glitter under sun and moon."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.layers import WATER
from pipeline.pocket.painter.heavens import sun_at
from pipeline.pocket.painter.light import RGB, Light, mix, of_thing, plain
from pipeline.pocket.painter.noise import Noise, sampled, smoothstep
from pipeline.pocket.painter.scenery import Scenery
from pipeline.pocket.painter.sheet import Sheet

_DEEP: RGB = (0.05, 0.19, 0.28)
_SHALLOW: RGB = (0.20, 0.47, 0.50)


def paint_water(sheet: Sheet, scenery: Scenery, light: Light, seed: int, top: float) -> None:
    """Fill what is below ``top`` with a sea, or with a lake, which is calmer and a better mirror."""
    noise = Noise(seed, "water")
    is_sea = scenery.place == "sea"
    rough = 1.9 if scenery.weather == "stormy" else 1.0
    rough *= 1.0 if is_sea else 0.30
    waves, chop = noise.texture(6, 0.6), noise.texture(7, 0.66, first=8)
    first = round((top * sheet.view.scale) + sheet.view.room[0])
    x, y = sheet.x, sheet.y[first:]
    away = (y - top).clamp(min=0.4)
    far = sheet.height / (away + 5.0)
    u, v = (x - 0.5 * sheet.width) / sheet.width * far * 0.16 + 0.5, far * 0.34
    bend = sampled(waves, u * 0.5, v * 0.3) - 0.5
    swell = sampled(waves, u, v + 0.22 * bend)
    fine = sampled(chop, u * 1.6 + 0.3, v * 2.4 + 0.25 * bend)
    height = 0.62 * swell + 0.38 * fine
    tilt = height - _shifted(height)
    mirror = _mirrored(sheet, first, top, tilt * rough, fine * rough)
    depth = (away / (sheet.height - top)).clamp(0, 1.2)
    # The air's colour is in the water too.
    air = mix(light.horizon, (0.0, 0.0, 0.0), 0.55)
    shallow, deep = (
        plain(mix(of_thing(own, light), air, 0.45 - 0.3 * part)) for own, part in ((_SHALLOW, 0), (_DEEP, 1))
    )
    body = torch.lerp(shallow, deep, (0.35 + 0.65 * depth).clamp(0, 1))
    lit = body + plain(light.middle) * (0.30 * (height - 0.5) * min(1.6, rough) * (0.4 + depth))
    see = (0.92 if not is_sea else 0.82) - (0.42 if not is_sea else 0.62) * depth.sqrt() - 0.5 * rough * (height - 0.5)
    water = torch.lerp(lit.clamp(0, 1), mirror * 0.94, see.clamp(0.06, 0.97))
    sheet.lay(water, torch.ones(y.shape[0], x.shape[1]), WATER, slice(first, sheet.size[0]))
    _glitter(sheet, light, (first, top), (swell, fine), rough)
    if is_sea:
        _foam(sheet, light, first, (height, away), rough)


def _shifted(plane: Tensor) -> Tensor:
    return torch.cat([plane[1:], plane[-1:]])


def _mirrored(sheet: Sheet, first: int, top: float, tilt: Tensor, fine: Tensor) -> Tensor:
    """The picture above, upside down, its places bent by the waves, the more the nearer."""
    rows, columns = sheet.size
    y = sheet.y[first:]
    away = (y - top).clamp(min=0)
    source = (
        top - away * 0.92 - 1.0 + (fine - 0.5 * fine.mean()) * (away * 0.10).clamp(max=18) + tilt * (6 + 0.2 * away)
    )
    aside = tilt * (10 + 0.55 * away) * 1.6
    room, scale = sheet.view.room, sheet.view.scale
    across = ((sheet.x + aside) * scale + room[1]) * (2 / columns) - 1
    along = (source * scale + room[0]) * (2 / rows) - 1
    grid = torch.stack(torch.broadcast_tensors(across, along), dim=-1)[None]
    return F.grid_sample(sheet.picture[None], grid, mode="bilinear", align_corners=False, padding_mode="reflection")[0]


def _glitter(sheet: Sheet, light: Light, where: tuple[int, float], waves: tuple[Tensor, Tensor], rough: float) -> None:
    """Sparks on the waves between the viewer and the sun or moon."""
    if light.strength <= 0 or light.size <= 0:
        return
    (first, top), (swell, fine) = where, waves
    away = (sheet.y[first:] - top).clamp(min=0)
    sun = sun_at(sheet, light)[0]
    wide = 12 + away * (0.20 + 0.22 * min(rough, 1.0))
    column = torch.exp(-(((sheet.x - sun + 60 * (swell - 0.5)) / wide) ** 2))
    spark = smoothstep(0.60 - 0.20 * column, 0.86 - 0.20 * column, 0.75 * fine + 0.30 * swell)
    amount = column * (0.16 + 1.05 * spark) * (0.75 if light.is_night else 1.0)
    sheet.shine(mix(light.glow, (1.0, 1.0, 0.95), 0.35), amount, slice(first, sheet.size[0]))


def _foam(sheet: Sheet, light: Light, first: int, wave: tuple[Tensor, Tensor], rough: float) -> None:
    height, away = wave
    edge = 0.92 - 0.13 * rough
    crest = smoothstep(edge, edge + 0.10, height) * (away / 60).clamp(0.1, 1)
    sheet.glaze(of_thing((0.92, 0.95, 0.97), light, 0.3), crest * 0.8, slice(first, sheet.size[0]))
