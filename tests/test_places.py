"""Nouns that say where an effect is."""

import pytest
import torch

from pipeline.pocket.intents import NAMED, REGIONS, Asked
from pipeline.pocket.places import placed


def asked(effect: str, region: str) -> Asked:
    here = torch.tensor([[name == effect for name in NAMED]])
    ones = torch.ones(1, len(NAMED))
    where = torch.full((1, len(NAMED)), REGIONS.index(region))
    return Asked(torch.zeros(1).long(), torch.ones(1), here, where, ones, ones)


@pytest.mark.parametrize(
    ("prompt", "effect", "heard", "meant"),
    [
        ("a breeze moves the leaves", "sway", "subject", "foliage"),
        ("The wind blows through the GRASS", "sway", "subject", "foliage"),
        ("her hair blows in the wind", "sway", "subject", "subject"),
        ("wind moves her hair and the leaves", "sway", "subject", "subject"),
        ("the wind blows", "sway", "subject", "subject"),
        ("the trees sway behind the lake", "sway", "water", "water"),
        ("the city lights twinkle", "twinkle", "sky", "whole"),
        ("the stars twinkle over the city", "twinkle", "sky", "sky"),
        ("lights twinkle", "twinkle", "sky", "sky"),
        ("the grass under the night of the city", "night", "sky", "sky"),
    ],
)
def test_an_effect_is_where_the_nouns_say(prompt: str, effect: str, heard: str, meant: str) -> None:
    """Plants sway, and lamps of a town twinkle, where no words say otherwise; all else stays where it was heard."""
    given = asked(effect, heard)
    made = placed(prompt, given)
    index = NAMED.index(effect)
    assert REGIONS[int(made.region[0, index])] == meant
    others = [n for n in range(len(NAMED)) if n != index]
    assert torch.equal(made.region[0, others], given.region[0, others])
    assert (made is given) == (heard == meant)
