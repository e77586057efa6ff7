"""The opponent that has learned nothing: keywords, warps, gradings and drawn weather, as one writes in an afternoon.

It is meant to be good: pans keep within the picture, zooms take their detail from the whole file, rain has depth.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.geometry import cover_crop
from pipeline.pocket.film_test import warp_moves, warp_weather
from pipeline.pocket.film_test.play import SIZE, keep, picture_of
from pipeline.pocket.film_test.warp_light import Image, arrival, grade, mixed
from pipeline.pocket.film_test.warp_matter import Mask, matter
from pipeline.pocket.film_test.warp_words import Effect, Wanted, understand
from pipeline.types import Pixels

# The picture is kept so much larger than the frame, so that a zoom stays sharp.
DETAIL = 1.5
LIGHTS = ("day", "night", "warm", "cold", "flicker")
# What moves where nothing is said of a place.
MATTER = {"sway": "foliage", "ripple": "water", "waves": "water", "clouds": "sky", "breathe": "subject"}


class Warp:
    """One picture under one prompt; frames are a function of the second."""

    def __init__(self, picture: Pixels, prompt: str, seconds: float) -> None:
        self.wanted: Wanted = understand(prompt)
        self._seconds = seconds
        width, height = SIZE
        self._large = covering(picture, round(width * DETAIL), round(height * DETAIL))
        self._view = covering(picture, width, height)
        self._masks: dict[str, Mask] = {}
        self._plate: Pixels | None = None
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        self._grid = x, y

    def frame(self, second: float) -> Pixels:
        """The frame at a second, ``uint8 [480, 832, 3]``."""
        wanted = self.wanted
        camera = warp_moves.camera(wanted.camera, wanted.speed, second, self._seconds, SIZE)
        grid_x, grid_y = self._grid
        x, y = (np.asarray(row[0] * grid_x + row[1] * grid_y + row[2], np.float32) for row in camera)
        image, slope = self._moved(x, y, camera, second)
        effects = {effect.name: effect for effect in wanted.effects}
        if slope is not None:
            # Water shines where its waves lean.
            image = np.asarray(np.clip(image * (1 + 0.1 * slope[..., None]), 0, 1), np.float32)
        for name in LIGHTS:
            if name in effects:
                slow = 7.0 if name == "day" else 3.0
                share = self._at(effects[name].where, camera) * arrival(second, slow)
                image = mixed(image, grade(name, image, second), np.asarray(share, np.float32))
        return self._veiled(image, effects, camera, second)

    def _moved(self, x: Mask, y: Mask, camera: warp_moves.Matrix, second: float) -> tuple[Image, Mask | None]:
        """The picture from the camera's place, with all that sways in it, and the slope of its water."""
        moved_x, moved_y, slope = x, y, None
        strength = self.wanted.strength * arrival(second, 1.0)
        for effect in self.wanted.effects:
            place = self._at(effect.where or MATTER.get(effect.name, ""), camera)
            if effect.name == "sway":
                dx, dy = warp_moves.sway(x, y, second, strength)
            elif effect.name == "ripple":
                dy, slope = warp_moves.ripple(y, x, second, strength)
                dx, slope = dy * 0.3, slope * place * strength
            elif effect.name == "waves":
                dx, dy = warp_moves.swell(x, y, second, strength)
            elif effect.name == "breathe":
                dx, dy = warp_moves.breath(x, y, self._middle("subject"), second, strength)
            elif effect.name == "shimmer":
                dx, dy = warp_moves.heat(x, y, second, strength)
            else:
                continue
            moved_x, moved_y = moved_x + place * dx, moved_y + place * dy
        image = self._sampled(self._large, moved_x, moved_y)
        if any(effect.name == "clouds" for effect in self.wanted.effects):
            drifted = self._sampled(self._clouds(), x - 16 * self.wanted.speed * second, y)
            image = mixed(image, drifted, self._at("sky", camera))
        return image, slope

    def _sampled(self, texture: Pixels, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Image:
        columns, rows = ((v * DETAIL + (DETAIL - 1) / 2).astype(np.float32) for v in (x, y))
        # Half-way between two samples is soft, so what is kept larger is read with a wider kernel.
        read = cv2.remap(texture, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        return np.asarray(read.astype(np.float32) / 255, np.float32)

    def _veiled(self, image: Image, effects: Mapping[str, Effect], camera: warp_moves.Matrix, second: float) -> Pixels:
        strength = self.wanted.strength
        if "stars" in effects:
            if "night" not in effects:
                dusk = np.full(image.shape[:2], arrival(second, 2.0), np.float32)
                image = mixed(image, grade("night", image, second), dusk)
            image = warp_weather.stars(image, second, self._at("sky", camera))
        if "aurora" in effects:
            image = warp_weather.aurora(image, second, self._at("sky", camera))
        if "fog" in effects:
            where = effects["fog"].where
            image = warp_weather.fog(image, second, strength, self._at(where, camera), where)
        if "dust" in effects:
            image = warp_weather.dust(image, second, strength)
        if "rain" in effects:
            place = self._at(effects["rain"].where, camera)
            image = mixed(image, grade("rain", image, second), np.asarray(place * arrival(second, 2.0), np.float32))
            fallen = warp_weather.rain(SIZE, second, strength) * place * arrival(second, 1.5)
            image = np.asarray(image + (0.9 - image) * fallen[..., None], np.float32)
        if "snow" in effects:
            shift = (-float(camera[0, 2]), -float(camera[1, 2]))
            fallen = warp_weather.snow(SIZE, second, strength, shift) * self._at(effects["snow"].where, camera)
            image = np.asarray(image + (0.97 - image) * (fallen * arrival(second, 1.5))[..., None], np.float32)
        if "leaves" in effects:
            image = warp_weather.leaves(image, second, strength)
        return np.asarray(np.clip(image * 255 + 0.5, 0, 255), np.uint8)

    def _at(self, name: str, camera: warp_moves.Matrix) -> Mask:
        """A mask as the camera sees it; what names a side is of the frame."""
        if name not in self._masks:
            self._masks[name] = matter(self._view, name)
        mask = self._masks[name]
        if name in ("", "left", "right", "top", "bottom"):
            return mask
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(mask, camera, SIZE, flags=flags, borderMode=cv2.BORDER_REFLECT_101), np.float32
        )

    def _middle(self, name: str) -> tuple[float, float]:
        mask = self._masks[name]
        x, y = self._grid
        total = float(mask.sum()) or 1.0
        return float((x * mask).sum()) / total, float((y * mask).sum()) / total

    def _clouds(self) -> Pixels:
        """The sky alone, larger than the frame, with what stands before it painted over."""
        if self._plate is None:
            sky = self._masks["sky"] if "sky" in self._masks else matter(self._view, "sky")
            small = cv2.resize(self._view, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
            holes = (cv2.resize(sky, small.shape[1::-1], interpolation=cv2.INTER_AREA) < 0.97).astype(np.uint8)
            filled = cv2.inpaint(small, holes, 3, cv2.INPAINT_TELEA)
            height, width = self._large.shape[:2]
            filled = cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC)
            share = cv2.resize(sky, (width, height))[..., None]
            self._plate = np.asarray(self._large * share + filled * (1 - share), np.uint8)
        return self._plate


def covering(picture: Pixels, width: int, height: int) -> Pixels:
    """The middle of a picture, ``uint8 [height, width, 3]``."""
    left, top, right, bottom = cover_crop(picture.shape[1], picture.shape[0], (width, height))
    inner = picture[top : picture.shape[0] - bottom, left : picture.shape[1] - right]
    kernel = cv2.INTER_AREA if inner.shape[1] > width else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(inner, (width, height), interpolation=kernel), np.uint8)


def write_film(job: Mapping[str, Any], fps: int, seconds: int) -> None:
    """Write the frames of a scene, as a pipeline's are; its folder has its name once it is whole."""
    cv2.setNumThreads(1)
    warp = Warp(picture_of(Path(job["picture"])), job["text"], seconds)
    folder = Path(job["folder"])
    partial = folder.with_name(folder.name + ".part")
    partial.mkdir(parents=True, exist_ok=True)
    for number in range(fps * seconds):
        keep(partial, number, warp.frame(number / fps))
    partial.rename(folder)
