"""From a scene to a picture: which layers it has, from the farthest to the nearest."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.pocket.painter.abstract import paint_abstract
from pipeline.pocket.painter.fire import paint_fire
from pipeline.pocket.painter.heavens import paint_sky
from pipeline.pocket.painter.land import paint_dunes, paint_ground, paint_hills, paint_mountains, paint_shore
from pipeline.pocket.painter.light import Light, light_of
from pipeline.pocket.painter.noise import Noise
from pipeline.pocket.painter.scenery import Place, Scenery
from pipeline.pocket.painter.sheet import Sheet
from pipeline.pocket.painter.water import paint_water
from pipeline.pocket.painter.woods import paint_firs, paint_forest, paint_frame
from pipeline.pocket.view import View

# Where the sky ends, as a share of the view's height.
_HORIZONS: dict[Place, float] = {
    "sea": 0.56, "lake": 0.57, "mountains": 0.80, "hills": 0.72, "forest": 0.80, "field": 0.58, "desert": 0.50,
    "snow": 0.56, "sky": 0.93, "stars": 0.90, "fire": 0.70, "abstract": 1.0,
}  # fmt: skip
# Where flat ground would end, at the lowest.
HIGHEST_EYE = 0.62


@dataclass(frozen=True, slots=True, eq=False)
class Painting:
    """What was painted, of the view and the room around it.

    ``pixels uint8 [H, W, 3]``; ``shares float32 [5, H, W]`` of rest, sky, water, foliage and subject sum to 1 exactly
    where they were painted; ``sky uint8 [H, W, 3]`` is the sky with nothing before it; ``near float32 [H, W]`` is how
    near what was painted is (:mod:`pipeline.pocket.nearness`).
    """

    pixels: Tensor
    shares: Tensor
    sky: Tensor
    near: Tensor


def paint(scenery: Scenery, seed: int, view: View) -> Painting:
    """Paint a scene for a view. The same seed gives the same bytes, and the same land under another hour's light."""
    sheet, light = Sheet.blank(view), light_of(scenery, seed)
    sheet.horizon = horizon_of(scenery, seed) * sheet.height
    # Who stands among trees or looks at heights sees over the ground from no lower than elsewhere.
    sheet.eye = min(sheet.horizon, HIGHEST_EYE * sheet.height)
    if scenery.place == "abstract":
        paint_abstract(sheet, scenery, seed)
    else:
        paint_sky(sheet, scenery, light, seed)
        _paint_land(sheet, scenery, light, seed)
    # Less than a grey level of grain, or else a wide sky shows steps.
    grain = torch.from_numpy(Noise(seed, "grain").chance.random(sheet.size, "float32")) - 0.5
    return Painting(_pixels(sheet.picture, grain), sheet.shares, _pixels(sheet.sky, grain), sheet.near)


def horizon_of(scenery: Scenery, seed: int) -> float:
    """Where the sky of a painting ends, as a share of the view's height."""
    wander = Noise(seed, "horizon").between(-0.035, 0.035) if scenery.place != "abstract" else 0.0
    return _HORIZONS[scenery.place] + wander


def _paint_land(sheet: Sheet, scenery: Scenery, light: Light, seed: int) -> None:
    place, top = scenery.place, sheet.horizon
    behind = [one for one in ("mountains", "hills", "forest") if one in scenery.beyond]
    if place in ("mountains", "hills", "sky", "stars"):
        _paint_heights(sheet, scenery, light, seed)
    if place == "forest" or (place == "fire" and set(behind) <= {"forest"}):
        paint_forest(sheet, scenery, light, seed)
    elif place in ("lake", "field", "snow", "sea", "fire", "desert"):
        if "mountains" in behind:
            paint_mountains(sheet, scenery, light, seed, top + 4)
        if "hills" in behind or (place in ("lake", "field", "snow") and "mountains" not in behind):
            paint_hills(sheet, scenery, light, seed, top + 4)
        if place in ("lake", "snow") or "forest" in behind:
            paint_firs(sheet, scenery, light, seed, (top + 2, 46 if "forest" in behind else 30), 0.38)
    if place in ("sea", "lake"):
        paint_water(sheet, scenery, light, seed, top)
    elif place in ("field", "snow") or (place == "fire" and set(behind) - {"forest"}):
        paint_ground(sheet, scenery, light, seed, top)
    elif place == "desert":
        paint_dunes(sheet, light, seed, top)
    if place in ("lake", "hills", "mountains", "snow"):
        paint_frame(sheet, scenery, light, seed)
    if place in ("sea", "lake") and scenery.has_fire:
        paint_shore(sheet, light, seed, 0.76 * sheet.height)
    if place == "fire" or scenery.has_fire:
        paint_fire(sheet, seed, (0.5 * sheet.width, 0.86 * sheet.height), 0.26 * sheet.height)


def _paint_heights(sheet: Sheet, scenery: Scenery, light: Light, seed: int) -> None:
    if scenery.has("mountains"):
        paint_mountains(sheet, scenery, light, seed, sheet.horizon)
    if not scenery.has("mountains") or scenery.has("hills"):
        paint_hills(sheet, scenery, light, seed, sheet.horizon)


def _pixels(picture: Tensor, grain: Tensor) -> Tensor:
    levels = (picture.clamp(0, 1) * 255 + grain).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(1, 2, 0).contiguous()
