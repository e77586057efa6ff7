"""Light and fog that take their time."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from pipeline.pocket import arrival
from pipeline.pocket.arrival import LEAST, dusk_of, pace, told
from pipeline.pocket.camera import Camera
from pipeline.pocket.canvas import Canvas
from pipeline.pocket.decoder import Motion, calm
from pipeline.pocket.drawn.drawing import Drawing, Wish
from pipeline.pocket.intents import Asked
from pipeline.pocket.latents import CHANNELS, DISPLACEMENT, GAIN, GRID, LATENTS_PER_SECOND, WEATHER
from pipeline.pocket.names import DRAWN, NAMED, REGIONS
from pipeline.pocket.truth import LOG_GAINS
from tests.test_drawn import canvas

FOG = WEATHER.stop - 1
FIELDS = {name: torch.zeros(CHANNELS, *GRID) for name in ("night", "fog", "still")}
FIELDS["night"][GAIN] = torch.tensor(LOG_GAINS["night"])[:, None, None]
FIELDS["fog"][FOG] = 1.0


@cache
def asked(name: str, speed: float = 1.0) -> Asked:
    row = torch.tensor([[one == name for one in NAMED]])
    ones = torch.ones(1, len(NAMED))
    return Asked(torch.zeros(1).long(), torch.ones(1), row, torch.zeros_like(row).long(), ones, speed * ones)


def arrived(latent: torch.Tensor, motion: Motion, meaning: Asked | None, picture: Canvas) -> torch.Tensor:
    coarse = torch.zeros(5, *GRID) if picture.layers is None else picture.layers.coarse
    return arrival.arrived(latent, motion.recent, coarse, told(motion.drawing, meaning, picture))


def shown(*wants: tuple[float, str], seconds: float = 10.0, speed: float = 1.0) -> torch.Tensor:
    """What is shown under what is wanted by its second, each latent calm, ``[N, 12, h, w]``.

    As the transformer has it, a third of what is left comes with each latent.
    """
    said = torch.zeros(CHANNELS, *GRID)
    motion, made = Motion.at_rest(), list[torch.Tensor]()
    for latent in range(round(seconds * LATENTS_PER_SECOND)):
        name = [one for start, one in wants if start * LATENTS_PER_SECOND <= latent][-1]
        said = said + 0.35 * (FIELDS[name] - said)
        seen = calm(arrived(said, motion, asked(name, speed), canvas()))
        motion = motion.after(Camera(), torch.cat([seen[None], motion.recent[:2]]))
        made.append(seen)
    return torch.stack(made)


def share(of: torch.Tensor) -> np.ndarray:
    """The whole way as 1."""
    way = of.mean((1, 2)).numpy()
    return way / way[-1]


@pytest.mark.parametrize(("name", "channel"), [("night", GAIN.start), ("fog", FOG)])
def test_it_comes_little_by_little(name: str, channel: int) -> None:
    """Its way is monotone, seen within the first second, half gone after two to three and all but whole after seven."""
    way = share(shown((0, name), seconds=12)[:, channel])
    assert (np.diff(way) > -1e-4).all()
    assert way[3] > 0.08
    assert way[7] < 0.5 < way[13]
    assert way[27] > 0.93


@pytest.mark.parametrize(("name", "channel"), [("night", GAIN.start), ("fog", FOG)])
def test_it_comes_and_goes_without_a_jump(name: str, channel: int) -> None:
    """From one latent to the next goes at most an eleventh of the way, its pace changes by a thirtieth."""
    way = shown((0, name), (5, "still"), seconds=14)[:, channel].mean((1, 2)).numpy()
    size = np.abs(way).max()
    assert np.abs(np.diff(way)).max() < size / 11
    assert np.abs(np.diff(way, 2)).max() < size / 30


def test_what_went_away_is_gone() -> None:
    """Some time after the last word of it nothing at all is left, so that what is still is the picture again."""
    end = shown((0, "night"), (2, "still"), seconds=16)[-1]
    assert not bool(end[GAIN].any())
    assert not bool(end[FOG].any())
    early = shown((0, "night"), (2, "still"), seconds=4)[-1]
    assert float(early[GAIN].abs().min()) > 4 * LEAST


def test_words_say_how_fast() -> None:
    """Quickly, two thirds are gone in three seconds; slowly, less than a third."""
    quick, plain, slow = (
        float(shown((0, "night"), seconds=3, speed=speed)[-1, GAIN.start].mean()) for speed in (1.6, 1.0, 0.5)
    )
    whole = float(shown((0, "night"), seconds=20)[-1, GAIN.start].mean())
    assert quick < plain < slow
    assert quick / whole > 0.7
    assert slow / whole < 0.32
    assert pace(None) == pace(asked("still")) == 1.0


def test_fog_rolls_in_from_one_side() -> None:
    """After two seconds there is more at the left than at the right, and later as much everywhere."""
    way = shown((0, "fog"), seconds=14)[:, FOG].mean(1)
    assert float(way[8, 0]) > 1.6 * float(way[8, -1])
    assert float(way[-1, 0] - way[-1, -1]) < 0.03


def test_all_else_is_shown_as_it_was() -> None:
    """Neither a swing nor rain or snow waits."""
    latent = torch.randn(CHANNELS, *GRID, generator=torch.Generator().manual_seed(0))
    made = arrived(latent, Motion.at_rest(), None, canvas())
    others = [n for n in range(CHANNELS) if n != FOG and n not in range(GAIN.start, GAIN.stop)]
    assert torch.equal(made[others], latent[others])
    assert not torch.equal(made[GAIN], latent[GAIN])
    assert DISPLACEMENT.start in others


def test_light_on_one_layer_is_as_strong_as_asked_for() -> None:
    """Where the transformer says two thirds of it, all of it comes; a light all about, and more than asked, stay."""
    whole, on_water = asked("warm"), replace(asked("warm"), region=torch.full((1, len(NAMED)), REGIONS.index("water")))
    gain = torch.tensor(LOG_GAINS["warm"])
    for meant, said, comes in ((on_water, 0.66, 1.0), (on_water, 1.2, 1.2), (on_water, 0.2, 0.34), (whole, 0.66, 0.66)):
        latent = torch.zeros(CHANNELS, *GRID)
        latent[GAIN] = (said * gain + 0.012 * gain.sign())[:, None, None]
        motion = Motion.at_rest()
        for _ in range(60):
            motion = motion.after(
                Camera(), torch.cat([calm(arrived(latent, motion, meant, canvas()))[None], motion.recent[:2]])
            )
        torch.testing.assert_close(motion.recent[0, GAIN, -1, 3], comes * gain, rtol=0.03, atol=0.005)


def by_day(luma: float) -> Canvas:
    marks = canvas().marks
    assert marks is not None
    return replace(canvas(), marks=replace(marks, sky_luma=luma))


@pytest.mark.parametrize("name", ["twinkle", "aurora"])
def test_lights_of_night_bring_dusk_to_a_sky_of_day_alone(name: str) -> None:
    """It grows dark for stars over a bright sky, and what is dark already, or has no sky, stays as it is."""
    stars = Drawing().after({name: Wish(1.0, "sky")}, 1).after({name: Wish(1.0, "sky")}, 1)
    assert dusk_of(stars, by_day(190.0)) == pytest.approx(stars.amounts[DRAWN.index(name)])
    assert dusk_of(stars, by_day(60.0)) == 0.0
    assert dusk_of(stars, replace(by_day(190.0), layers=None)) == 0.0
    assert dusk_of(Drawing(), by_day(190.0)) == 0.0
    motion = replace(Motion.at_rest(), drawing=stars)
    rest = torch.zeros(CHANNELS, *GRID)
    assert float(arrived(rest, motion, None, by_day(190.0))[GAIN].max()) < 0
    assert not bool(arrived(rest, motion, None, by_day(60.0)).any())
