"""Wishes are said plainly word for word; what is wished away is left as it is."""

from __future__ import annotations

import pytest

from pipeline.pocket.readings import readings
from pipeline.pocket.tokens import tokens
from pipeline.pocket.wishes import plain_wish


def test_each_word_stands_in_the_place_of_one() -> None:
    """A wish has as many tokens as before, so that what is found of each is found of the same one."""
    some = readings()["wish/wanted"]
    assert len(some) >= 20
    for reading in some:
        assert plain_wish(reading.text) != reading.text
        assert len(tokens(plain_wish(reading.text))) == len(tokens(reading.text)), reading.text


def test_what_is_to_end_is_left_as_it_is() -> None:
    """Who wishes that something stop is heard rightly already; so is all that is no wish."""
    others = [one for kind, some in readings().items() if kind != "wish/wanted" for one in some]
    assert [one.text for one in others if plain_wish(one.text) != one.text] == []


@pytest.mark.parametrize(
    ("said", "plainly"),
    [
        ("I WISH IT WOULD RAIN!", "please let IT now RAIN!"),
        ("I wish it would rain but the snow would stop", "please let it now rain but the snow would stop"),
        ("I wish it would stop raining, if only it would snow", "I wish it would stop raining, please let it now snow"),
        ("it'd be nice if it would rain", "now now please let it now rain"),
        ("would that it would rain", "would that it would rain"),
        ("I wish would rain", "I wish would rain"),
        ("the wish of a dog would come true", "the wish of a dog would come true"),
        ("", ""),
    ],
)
def test_each_wish_for_itself(said: str, plainly: str) -> None:
    """Upper case, two wishes, one of each kind, and what only looks like one."""
    assert plain_wish(said) == plainly
