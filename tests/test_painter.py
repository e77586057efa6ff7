"""The painter: what words name, and what is on the sheet."""

from functools import cache

import numpy as np
import pytest
import torch

from pipeline.pocket.canvas import shrink
from pipeline.pocket.layers import FOLIAGE, REST, SKY, SUBJECT, WATER
from pipeline.pocket.painter.canvas import painted_canvas
from pipeline.pocket.painter.lexicon import SCENES
from pipeline.pocket.painter.paint import Painting, paint
from pipeline.pocket.painter.scenery import Scenery
from pipeline.pocket.painter.words import names_motion, painted, read_wish
from pipeline.pocket.view import View

# A sixteenth of the frame: the same scene in fewer pixels.
VIEW = View(208, 120)
LUMA = np.array([0.299, 0.587, 0.114])
PROMPTS = (
    "a red sunset over the sea", "misty mountains at dawn", "a starry night over a lake", "green hills",
    "a campfire in the dark forest", "abstract blue light", "a meadow", "desert dunes",
    "a snowfield under northern lights", "the milky way", "a cloudy sky", "a forest",
)  # fmt: skip


@cache
def of(prompt: str, seed: int = 1) -> Painting:
    return paint(painted(read_wish(prompt)), seed, VIEW)


def seen(prompt: str, seed: int = 1) -> np.ndarray:
    """The view alone, ``float [H, W, 3]``."""
    rows, columns = VIEW.room
    return of(prompt, seed).pixels[rows:-rows, columns:-columns].numpy().astype(float)


def shares(prompt: str, seed: int = 1) -> np.ndarray:
    rows, columns = VIEW.room
    return of(prompt, seed).shares[:, rows:-rows, columns:-columns].numpy()


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_seed_makes_the_picture(prompt: str) -> None:
    """The same words and seed give the same bytes, another seed another picture of it that is as bright."""
    again = paint(painted(read_wish(prompt)), 1, VIEW)
    assert torch.equal(again.pixels, of(prompt).pixels)
    assert torch.equal(again.shares, of(prompt).shares)
    one, other = seen(prompt, 1), seen(prompt, 2)
    assert np.abs(one - other).mean() > 3
    assert abs(one.mean() - other.mean()) < 45


def test_a_painting_knows_how_near_things_are() -> None:
    """The sky is farthest, ridges come nearer one by one, ground row by row, and the firs beside are nearest."""
    painting = paint(Scenery("lake", ("mountains",)), 3, VIEW)
    rows, columns = VIEW.room
    near, kinds = (part[..., rows:-rows, columns:-columns] for part in (painting.near, painting.shares))
    assert float(near[kinds[SKY] > 0.99].max()) == 0
    water = near.where(kinds[WATER] > 0.99, near.new_tensor(torch.nan)).nanmedian(1).values
    assert bool((water[80:].diff() > 0).all())
    assert float(near[kinds[FOLIAGE] > 0.99].max()) > float(water[-1])
    ridges = near[(kinds[REST] > 0.99) & (near < 0.1)]
    assert len(ridges.unique()) > 2


@pytest.mark.parametrize("prompt", PROMPTS)
def test_shares_are_whole(prompt: str) -> None:
    """Shares of each pixel lie in 0..1 and sum to 1."""
    every = of(prompt).shares
    assert float(every.min()) >= -1e-5
    assert float((every.sum(0) - 1).abs().max()) < 1e-4


@pytest.mark.parametrize("prompt", PROMPTS)
def test_no_picture_is_plain(prompt: str) -> None:
    """There is something to see: the picture has light and dark, and is nowhere a flat area of one colour for long."""
    picture = seen(prompt)
    grey = picture @ LUMA
    assert np.quantile(grey, 0.98) - np.quantile(grey, 0.02) > 25
    assert len(np.unique(picture @ (65536, 256, 1))) > 0.06 * grey.size


@pytest.mark.parametrize("place", ["the sea", "mountains", "a forest", "a meadow"])
def test_night_is_darker_than_day(place: str) -> None:
    """At night a place is at most half as bright as by day; dusk and sunset lie between."""
    night, dusk, day = (float((seen(f"{place} {hour}") @ LUMA).mean()) for hour in ("at night", "at dusk", "by day"))
    assert night < 0.5 * day
    assert night < dusk < day


def test_a_red_sunset_is_redder() -> None:
    """Red against blue: a red sunset before a sunset before the day."""
    tints = [
        float((seen(prompt)[..., 0] - seen(prompt)[..., 2]).mean())
        for prompt in ("a red sunset over the sea", "a sunset over the sea", "the sea by day")
    ]
    assert tints[0] > tints[1] + 10 > tints[2] + 20


def test_a_sea_is_water_below_a_level_horizon() -> None:
    """The lower third is water alone, the upper sky alone, and between them one row for all columns."""
    water, sky = shares("the sea")[WATER], shares("the sea")[SKY]
    assert water[-40:].min() == 1
    assert sky[:40].min() == 1
    firsts = (water > 0.5).argmax(0)
    assert firsts.min() == firsts.max()


@pytest.mark.parametrize(
    ("prompt", "layer", "least", "most"),
    [
        ("a lake", WATER, 0.25, 0.5), ("a forest", FOLIAGE, 0.4, 0.98), ("a meadow", FOLIAGE, 0.3, 0.5),
        ("a campfire", SUBJECT, 0.005, 0.08), ("mountains", SKY, 0.2, 0.8), ("abstract light", REST, 1, 1),
        ("desert dunes", WATER, 0, 0), ("a cloudy sky", SKY, 0.6, 1), ("the milky way", SKY, 0.6, 1),
    ],
)  # fmt: skip
def test_layers_are_of_the_scene(prompt: str, layer: int, least: float, most: float) -> None:
    """A scene has the layers that its words say, of a size that fits."""
    assert least <= shares(prompt)[layer].mean() <= most


def test_where_the_sky_is_the_picture_is_the_sky() -> None:
    """Exact layers: a pixel that is all sky shows the sky that goes on behind everything, to the grey level."""
    lake = of("a lake")
    is_sky = lake.shares[SKY] == 1
    assert 0.2 < float(is_sky.float().mean()) < 0.8
    assert torch.equal(lake.pixels[is_sky], lake.sky[is_sky])
    assert not torch.equal(lake.pixels, lake.sky)


@pytest.mark.parametrize("prompt", ["a sunset over the sea", "the moon over the sea"])
def test_the_sun_stands_still_while_clouds_drift(prompt: str) -> None:
    """Sun and moon are no part of the sky that drifts, and behind them that has none: else it would show twice."""
    painting = of(prompt)
    disc = (painting.pixels.int() - painting.sky.int()).abs().amax(-1) > 25
    disc[VIEW.room[0] + 60 :] = False
    assert int(disc.sum()) > 15
    assert float(painting.shares[SKY][disc].max()) < 0.05


def test_fire_is_where_the_fire_is() -> None:
    """What is a campfire's flame burns: it is brighter and redder by far than the night about it."""
    picture, subject = seen("a campfire"), shares("a campfire")[SUBJECT]
    flames, night = picture[subject > 0.8], picture[subject < 0.01]
    assert (flames @ LUMA).mean() > 3 * (night @ LUMA).mean()
    assert (flames[:, 0] - flames[:, 2]).mean() > 100 > (night[:, 0] - night[:, 2]).mean() + 50


def test_an_hour_changes_the_light_and_not_the_land() -> None:
    """The same seed has the same shores, ridges and trees by day and by dusk."""
    assert np.abs(shares("hills at dusk")[SKY] - shares("hills by day")[SKY]).mean() < 0.02


def test_a_canvas_is_the_painting_and_its_world_goes_on() -> None:
    """At rest the view is the painting exactly, the margins are painted too, and the layers are the painter's own."""
    scenery = painted(read_wish("a lake at sunset"))
    canvas, painting = painted_canvas(scenery, 1, VIEW, torch.device("cpu")), of("a lake at sunset")
    rows, columns = VIEW.room
    assert torch.equal(canvas.rest, painting.pixels[rows:-rows, columns:-columns])
    means = shrink(canvas.texture, (painting.pixels.shape[0], painting.pixels.shape[1]))[0].permute(1, 2, 0)
    assert torch.equal(means.round().to(torch.uint8), painting.pixels)
    assert canvas.layers is not None
    assert canvas.layers.has_sky
    assert canvas.layers.water is not None
    assert torch.allclose(canvas.layers.shares[0], painting.shares, atol=1e-5)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a red sunset over the sea", "the sea, at sunset, red light"),
        ("misty mountains at dawn", "mountains, at dawn, misty"),
        ("a starry night over a lake", "a lake, at night, stars"),
        ("a campfire in the dark forest", "a campfire with a forest, at night"),
        ("abstract blue light", "blue light"),
        ("A Stormy Ocean, the camera pans left", "the sea, by day, stormy"),
        ("snowy mountains under the northern lights", "mountains, at night, snow, northern lights"),
        ("a calm lake between mountains in the evening", "a lake with mountains, at sunset"),
        ("the moon rises over the sea", "the sea, at night, a moon"),
        ("clouds drift over green hills", "hills, by day"),
        ("a dog on a bicycle", "a lake, by day"),
        ("", "a lake, by day"),
    ],
)  # fmt: skip
def test_what_a_prompt_paints(prompt: str, told: str) -> None:
    """Words of place, hour, weather and colour are understood; without any it is a lake by day."""
    assert painted(read_wish(prompt)).described() == told


@pytest.mark.parametrize(
    ("prompt", "rest"),
    [
        ("a stormy sea at night, rain falls, the camera pans left", "rain falls, the camera pans left"),
        ("a dog on a bicycle", "a dog on a bicycle"),
        ("a lake with a small boat", "boat"),
        ("the camera zooms in on the moon", "the camera zooms in"),
        ("misty mountains at dawn", ""),
        ("a rainy day", "rainy"),
        ("the sea ripples", "the sea ripples"),
        ("night falls", "night falls"),
        ("snow", "snow"),
        ("fog", "fog"),
    ],
)
def test_what_is_left_for_the_motion(prompt: str, rest: str) -> None:
    """What moves, and what is not understood, is left to be read as any prompt is."""
    assert read_wish(prompt).rest == rest


@pytest.mark.parametrize(
    "prompt", ["the camera pans left", "snow falls", "night falls", "", "a dog", "the lake ripples", "fog rolls in"]
)
def test_motion_alone_keeps_the_scene(prompt: str) -> None:
    """A prompt that names no other place, hour or light paints nothing."""
    lake = painted(read_wish("a lake by moonlight"))
    assert painted(read_wish(prompt), lake) == lake


@pytest.mark.parametrize(
    ("prompt", "told"),
    [("at sunset", "a lake, at sunset"), ("a forest", "a forest, by day"), ("stars", "a lake, at night, stars")],
)  # fmt: skip
def test_another_scene_is_painted(prompt: str, told: str) -> None:
    """An hour or light changes what is there, another place is another scene."""
    assert painted(read_wish(prompt), painted(read_wish("a lake"))).described() == told


def test_a_scene_is_the_same_from_json() -> None:
    """A scene is kept with a stream as JSON; what another version wrote beside is left out."""
    scenery = painted(read_wish("a frozen lake between mountains and hills at night"))
    assert Scenery.from_json(scenery.as_json() | {"later": 1}) == scenery


@pytest.mark.parametrize("prompt", SCENES)
def test_every_example_is_painted_whole(prompt: str) -> None:
    """An example names a scene of its own, and leaves nothing but motion."""
    wish = read_wish(prompt)
    assert not wish.is_empty
    assert wish.rest == "" or names_motion(wish.rest)
    assert painted(wish) != Scenery()
