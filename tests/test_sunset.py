"""A sun that sets: what its words ask for, and how its light comes and goes."""

from functools import cache

import pytest
import torch

from pipeline.pocket import arrival
from pipeline.pocket.camera import Camera
from pipeline.pocket.decoder import Motion, calm
from pipeline.pocket.drawn.drawing import Drawing
from pipeline.pocket.grade import graded, light
from pipeline.pocket.intents import NAMED, REGIONS, Asked
from pipeline.pocket.latents import CHANNELS, GAIN, GRID, LATENTS_PER_SECOND
from pipeline.pocket.sunset import setting
from pipeline.pocket.truth import LOG_GAINS
from tests.test_drawn import canvas

NIGHT, WARM = NAMED.index("night"), NAMED.index("warm")


def asked(*names: str, region: str = "whole", speed: float = 1.0) -> Asked:
    row = torch.tensor([[one in names for one in NAMED]])
    ones, where = torch.ones(1, len(NAMED)), torch.full((1, len(NAMED)), REGIONS.index(region))
    return Asked(torch.zeros(1).long(), torch.ones(1), row, where, ones, torch.where(row, speed, ones))


@pytest.mark.parametrize(
    ("prompt", "sets"),
    [
        ("the sun sets", True),
        ("The sun is slowly setting over the sea.", True),
        ("as the sun goes down, the leaves sway", True),
        ("the sunset fades into night", True),
        ("sunset light", False),
        ("night falls", False),
        ("the sun is shining", False),
    ],
)
def test_words_of_a_sun_that_sets_ask_for_gold_and_night(prompt: str, sets: bool) -> None:
    """Whichever was heard, and wherever: both are asked for everywhere, as fast; other words stay as they were."""
    for name in ("night", "warm"):
        given = asked(name, region="water", speed=0.5)
        made = setting(prompt, given)
        assert (made is not given) == sets
        if sets:
            assert made.present[0].nonzero()[:, 0].tolist() == sorted([NIGHT, WARM])
            assert {REGIONS[int(made.region[0, index])] for index in (NIGHT, WARM)} == {"whole"}
            assert made.speed[0, [NIGHT, WARM]].tolist() == [0.5, 0.5]


def test_a_sunset_that_is_not_wanted_is_none() -> None:
    """Where neither light was heard nothing is added."""
    given = asked("sway")
    assert setting("the sun does not set, it never sets", given) is given
    assert setting("no sun sets here", given) is given


@cache
def seen(*names: str, seconds: int = 20, speed: float = 1.0) -> torch.Tensor:
    """A grey of 128 under what the transformer says of such lights, in each latent, ``[N, 3]``."""
    said, goal = torch.zeros(CHANNELS, *GRID), torch.zeros(CHANNELS, *GRID)
    goal[GAIN] = sum(torch.tensor(LOG_GAINS[name]) for name in names)[:, None, None]  # type: ignore[index]
    motion, made = Motion.at_rest(), list[torch.Tensor]()
    for _ in range(seconds * LATENTS_PER_SECOND):
        said = said + 0.35 * (goal - said)
        row = arrival.told(Drawing(), asked(*names, speed=speed), canvas())
        shown = calm(arrival.arrived(said, motion.recent, torch.zeros(5, *GRID), row))
        motion = motion.after(Camera(), torch.cat([shown[None], motion.recent[:2]]))
        made.append(graded(torch.full((3, 1, 1), 128.0), light(shown[GAIN, :1, :1]))[:, 0, 0])
    return torch.stack(made)


def test_a_sunset_is_gold_before_it_is_night() -> None:
    """After three seconds it is golden and as bright as by day, then it darkens, and ends as dark and blue as night."""
    way, night = seen("night", "warm"), seen("night")[-1]
    gold = way[3 * LATENTS_PER_SECOND]
    assert float(gold[0]) > 1.6 * float(gold[2])
    assert float(gold[0]) > 125
    assert float(way[-1].mean()) < 1.3 * float(night.mean())
    assert float(way[-1, 2]) > 1.2 * float(way[-1, 0])


def test_a_dusk_is_red_until_it_is_dark() -> None:
    """Once gold has come, what is half as bright as by day is still redder than grey."""
    way = seen("night", "warm")
    half = next(colour for colour in way if float(colour.mean()) < 64)
    assert float(half[0]) > 1.3 * float(half[2])


def test_a_sunset_comes_without_a_jump() -> None:
    """No colour changes faster than when night falls, nor more suddenly; once gold has come it only gets darker."""
    way, night = seen("night", "warm"), seen("night")
    for order in (1, 2):
        assert float(way.diff(n=order, dim=0).abs().max()) <= float(night.diff(n=order, dim=0).abs().max())
    assert (way[4 * LATENTS_PER_SECOND :].mean(1).diff() < 0.02).all()


def test_a_quick_sunset_is_sooner_night() -> None:
    """After seven seconds it is darker than one that has its time."""
    at = 7 * LATENTS_PER_SECOND
    assert float(seen("night", "warm", speed=1.6)[at].mean()) < 0.8 * float(seen("night", "warm")[at].mean())
