"""The harder prompts that reading is judged by are many, mean what they say, and are never trained on."""

from __future__ import annotations

import random
import re
from functools import cache

import pytest

from pipeline.pocket.grammar import draw, matcher, normalise, read_patterns
from pipeline.pocket.intents import CAMERAS, NAMED
from pipeline.pocket.language import DATA, PATTERNS, SCENES, sample
from pipeline.pocket.readings import Reading, readings

KINDS = readings()
TEXTS = [reading.text for some in KINDS.values() for reading in some]


def count(section: str) -> int:
    return sum(len(some) for kind, some in KINDS.items() if kind.startswith(f"{section}/"))


@cache
def expressions() -> list[re.Pattern[str]]:
    """What matches the phrasings of every class and every description."""
    found = [
        matcher(pattern, DATA["names"].get(name, {}))
        for name, forms in PATTERNS.items()
        for form, patterns in forms.items()
        if form != "held"
        for pattern in patterns
    ]
    return found + [matcher(pattern, {}) for pattern in SCENES["nouns"]]


def test_there_are_enough_of_each() -> None:
    """At least 60 negations, 60 prompts that pocket can do nothing with, and 40 with distractors or unusual order."""
    assert count("negation") >= 60
    assert count("beyond") >= 60
    assert count("mixed") + count("order") >= 40
    assert len({normalise(text) for text in TEXTS}) == len(TEXTS)
    assert all(len(normalise(text)) >= 2 for text in TEXTS)


def test_no_pattern_makes_one() -> None:
    """No training pattern of any class, nor any scene, can make a prompt of this list."""
    known = expressions()
    for plain in map(normalise, TEXTS):
        assert [e.pattern for e in known if e.fullmatch(plain)] == [], plain


def test_the_expressions_match_what_they_should() -> None:
    """A drawn phrasing is matched: the test above can't pass by never matching."""
    (pattern,) = read_patterns("stop (the rain|snowing)", {}, frozenset())
    assert matcher(pattern, {}).fullmatch(normalise(draw(pattern.text, {}, random.Random(0))))
    assert any(e.fullmatch(normalise("the camera pans left")) for e in expressions())


@pytest.mark.parametrize("count", [10_000, pytest.param(60_000, marks=pytest.mark.slow)])
def test_no_training_prompt_is_one(count: int) -> None:
    """Of so many training prompts, with all that is put around the patterns, none is a prompt of this list."""
    rng = random.Random(3)
    drawn = {normalise(sample(rng).text) for _ in range(count)}
    assert [text for text in TEXTS if normalise(text) in drawn] == []


def test_a_reading_is_right_only_with_nothing_besides() -> None:
    """Rain with a camera at rest is right for rain alone; with snow besides, or with a pan, it is not."""
    (rain,) = [r for some in KINDS.values() for r in some if r.text == "rain instead of snow"]
    assert rain.is_right("none", frozenset({"rain"}))
    assert rain.is_right("still", frozenset({"rain"}))
    assert not rain.is_right("none", frozenset({"rain", "snow"}))
    assert not rain.is_right("pan_left", frozenset({"rain"}))
    assert not rain.is_right("none", frozenset())


def test_what_asks_for_nothing_gets_a_gentle_life() -> None:
    """A prompt beyond pocket is right with the drift alone; after a mere negation the camera may rest, too."""
    for kind, some in KINDS.items():
        if kind.startswith("beyond"):
            assert {r.cameras for r in some} == {frozenset({"drift"})}
            assert all(r.beyond == r.text for r in some)
    assert Reading("no rain", frozenset({"drift", "still"}), frozenset()) in [
        Reading("no rain", r.cameras, r.effects) for r in KINDS["negation/effect"]
    ]


def test_every_prompt_names_what_pocket_knows() -> None:
    """Cameras and effects are those of the vocabulary, and the part beyond pocket is part of the prompt."""
    for some in KINDS.values():
        for reading in some:
            assert set() < reading.cameras <= set(CAMERAS), reading
            assert reading.effects <= set(NAMED), reading
            assert reading.beyond in reading.text, reading
