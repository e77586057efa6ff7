"""Strips of frames to look at: twenty prompts on twenty held-out pictures, drawn by a seed before any training.

``python -m pipeline.pocket.film PICTURES OUT_DIR [--weights FILE] [--truth]`` writes four sheets of five strips.
"""

import argparse
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pipeline.config import ModelConfig
from pipeline.picture import read_picture
from pipeline.pocket.language import DEFAULT_REGION, Effect, Intents, Prompt
from pipeline.pocket.takes import FPS, Player, script
from pipeline.pocket.workers import pool, this_worker
from pipeline.types import Pixels

SEED = 20261123
SECONDS = (0.0, 1.0, 2.0, 3.0, 4.5, 6.0)
THUMB = (277, 160)
STRIPS_PER_SHEET = 5


def _prompt(text: str, camera: str = "none", *effects: Effect, speed: float = 1.0) -> Prompt:
    return Prompt(text, Intents(camera, speed, effects))


def _effect(name: str, region: str = "", strength: float = 1.0, speed: float = 1.0) -> Effect:
    return Effect(name, region or DEFAULT_REGION[name], strength, speed)


# What people may well type: twenty of these are drawn.
PROMPTS = (
    _prompt("the camera pans left", "pan_left"),
    _prompt("slowly pan to the right", "pan_right", speed=0.5),
    _prompt("the camera tilts up", "tilt_up"),
    _prompt("look down", "tilt_down"),
    _prompt("zoom in", "zoom_in"),
    _prompt("the camera quickly zooms in", "zoom_in", speed=1.6),
    _prompt("the camera pulls back", "zoom_out"),
    _prompt("rotate the picture clockwise", "roll_cw"),
    _prompt("the camera stays still", "still"),
    _prompt("a photo of an old place", "drift"),
    _prompt("night falls", "none", _effect("night")),
    _prompt("warm golden light", "none", _effect("warm")),
    _prompt("cold blue light", "none", _effect("cold")),
    _prompt("heavy rain", "none", _effect("rain", strength=1.5)),
    _prompt("snow falls", "none", _effect("snow")),
    _prompt("fog rolls in", "none", _effect("fog")),
    _prompt("a light fog at the bottom", "none", _effect("fog", "bottom", 0.5)),
    _prompt("the leaves sway in the wind", "none", _effect("sway")),
    _prompt("ripples on the water", "none", _effect("ripple")),
    _prompt("the subject breathes", "none", _effect("breathe")),
    _prompt("the clouds drift by", "none", _effect("clouds")),
    _prompt("snow falls while the camera pans right", "pan_right", _effect("snow")),
    _prompt("night falls and the camera zooms in", "zoom_in", _effect("night")),
    _prompt("it rains and fog rolls in", "none", _effect("rain"), _effect("fog")),
    _prompt("warm light, the leaves sway strongly", "none", _effect("warm"), _effect("sway", strength=1.5)),
    _prompt("the clouds drift by and the camera tilts up", "tilt_up", _effect("clouds")),
    _prompt("it gets dark on the left", "none", _effect("night", "left")),
    _prompt("snow at night", "none", _effect("snow"), _effect("night")),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A prompt and the held-out picture that it was drawn with."""

    prompt: Prompt
    picture: str


def draw(pictures: Sequence[str], count: int = 20) -> list[Scene]:
    """Draw prompts and pictures by the seed, none twice while there are enough."""
    rng = random.Random(SEED)
    prompts = rng.sample(PROMPTS, count)
    chosen = rng.sample(sorted(pictures), min(count, len(pictures)))
    return [Scene(prompt, chosen[row % len(chosen)]) for row, prompt in enumerate(prompts)]


def strip(player: Player, image: Pixels, scene: Scene) -> Image.Image:
    """Play a scene; put its frames side by side under a caption."""
    frames = [round(second * FPS) for second in SECONDS]
    take = player.play(image, script((0, scene.prompt), seconds=SECONDS[-1] + 0.25, frames=frames))
    width, height = THUMB
    sheet = Image.new("RGB", (width * len(frames), height + 18), "white")
    ImageDraw.Draw(sheet).text((4, 3), f"{scene.picture}: {scene.prompt.text}   (seconds {SECONDS})", fill="black")
    for column, frame in enumerate(frames):
        thumb = Image.fromarray(take.frames[frame]).resize(THUMB, Image.Resampling.LANCZOS)
        sheet.paste(thumb, (column * width, 18))
    return sheet


def work(scene: Scene) -> Image.Image:
    """Make one strip in a worker process."""
    player, folder = this_worker()
    return strip(player, read_picture(folder / "held" / f"{scene.picture}.jpg"), scene)


def sheets(strips: Sequence[Image.Image]) -> list[Image.Image]:
    """Stack strips, a few a sheet."""
    rows = [strips[n : n + STRIPS_PER_SHEET] for n in range(0, len(strips), STRIPS_PER_SHEET)]
    return [Image.fromarray(np.vstack([np.asarray(s) for s in some])) for some in rows]


def main() -> None:
    """Write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", default="")
    parser.add_argument("--truth", action="store_true")
    args = parser.parse_args()
    scenes = draw([file.stem for file in (args.pictures / "held").glob("*.jpg")])
    config = None if args.truth else ModelConfig(weights=args.weights, threads=1)
    with pool(os.cpu_count() or 1, config, args.pictures) as workers:
        strips = list(workers.map(work, scenes))
    args.out.mkdir(parents=True, exist_ok=True)
    for number, sheet in enumerate(sheets(strips)):
        sheet.save(args.out / f"strips-{number}.png")


if __name__ == "__main__":
    main()
