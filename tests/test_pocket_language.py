"""Prompts drawn for training mean what they say, and never say what is held out."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest

from pipeline.pocket import language
from pipeline.pocket.examples import EXAMPLES
from pipeline.pocket.grammar import draw, matcher, normalise, place, read_patterns, words_of
from pipeline.pocket.language import CAMERAS, HELD_OUT, NAMED, REGIONS, Intents, sample
from pipeline.pocket.lexicon import PLAIN
from pipeline.pocket.roles import ASKED, BEYOND, JOINING, LEFT_OUT

CLASSES = (*CAMERAS[1:], *NAMED)


def training_matchers(name: str) -> list[re.Pattern[str]]:
    names = language.DATA["names"].get(name, {})
    forms = language.PATTERNS[name].items()
    return [matcher(pattern, names) for form, patterns in forms if form != "held" for pattern in patterns]


def draws(name: str, count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    names = language.DATA["names"].get(name, {})
    patterns = [p for form, group in language.PATTERNS[name].items() if form != "held" for p in group]
    return [place(draw(rng.choice(patterns).text, names, rng), [], [], rng) for _ in range(count)]


@pytest.fixture(scope="module")
def matchers() -> dict[str, list[re.Pattern[str]]]:
    scenes = [matcher(pattern, {}) for pattern in language.SCENES["nouns"]]
    return {name: training_matchers(name) for name in CLASSES} | {"scenes": scenes}


def test_prompts_follow_from_the_seed() -> None:
    """The same random state gives the same prompts."""
    one, other = random.Random(5), random.Random(5)
    assert [sample(one) for _ in range(200)] == [sample(other) for _ in range(200)]


def test_every_class_has_many_phrasings() -> None:
    """Each camera move and effect has at least 40 written patterns and 60 phrasings without its adverbs."""
    for name in CLASSES:
        patterns = [p for form, group in language.PATTERNS[name].items() if form != "held" for p in group]
        assert len(patterns) >= 40, name
        assert len({normalise(text) for text in draws(name, 1500)}) >= 60, name


def test_every_meaning_is_drawn() -> None:
    """Cameras, effects, regions, speeds and strengths all occur, and nothing else does."""
    rng = random.Random(1)
    intents = [sample(rng).intents for _ in range(12_000)]
    effects = [effect for intent in intents for effect in intent.effects]
    assert {intent.camera for intent in intents} == set(CAMERAS)
    assert {effect.name for effect in effects} == set(NAMED)
    assert {effect.region for effect in effects} == set(REGIONS)
    assert {intent.speed for intent in intents} | {effect.speed for effect in effects} == {0.5, 1.0, 1.6}
    assert {effect.strength for effect in effects} == {0.5, 1.0, 1.5}
    assert max(len(intent.effects) for intent in intents) == 3


def test_held_out_phrasings_cannot_be_generated(matchers: dict[str, list[re.Pattern[str]]]) -> None:
    """No training pattern of any class, nor any scene, can make a held-out phrasing."""
    for name, phrasings in HELD_OUT.items():
        assert len(phrasings) >= 6, name
        for phrasing in map(normalise, phrasings):
            for other, expressions in matchers.items():
                hits = [e.pattern for e in expressions if e.fullmatch(phrasing)]
                assert not hits, (phrasing, other, hits)


@pytest.mark.parametrize("count", [4_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_held_out_phrasings_are_not_part_of_training_prompts(count: int) -> None:
    """Whole training prompts, with all that is put around the patterns, hold no held-out phrasing."""
    rng = random.Random(2)
    text = "\n".join(normalise(sample(rng).text) for _ in range(count))
    assert [p for group in HELD_OUT.values() for p in group if normalise(p) in text] == []


def test_matchers_know_their_own_phrasings(matchers: dict[str, list[re.Pattern[str]]]) -> None:
    """What a pattern makes, its expression matches: the held-out tests cannot pass by never matching."""
    for name in CLASSES:
        for text in map(normalise, draws(name, 40)):
            assert any(e.fullmatch(text) for e in matchers[name]), text


@pytest.mark.parametrize("count", [15, pytest.param(60, marks=pytest.mark.slow)])
def test_no_phrasing_means_two_things(matchers: dict[str, list[re.Pattern[str]]], count: int) -> None:
    """What one class makes, no other class can make."""
    for name in CLASSES:
        for text in map(normalise, draws(name, count, seed=3)):
            others = [o for o in matchers if o != name and any(e.fullmatch(text) for e in matchers[o])]
            assert others == [], (text, others)


def test_effects_alone_leave_the_camera_at_rest() -> None:
    """A prompt without camera words has camera ``none``; one without any motion has ``drift``."""
    rng = random.Random(4)
    for prompt in (sample(rng) for _ in range(3000)):
        if prompt.intents.camera == "drift":
            assert prompt.intents.effects == ()
    assert any(p.text == "" and p.intents == Intents("drift") for p in (sample(rng) for _ in range(6000)))


def test_descriptions_name_no_motion(matchers: dict[str, list[re.Pattern[str]]]) -> None:
    """A thing that is only named (a castle at the sea) is never also an order or an effect."""
    rng = random.Random(6)
    for pattern in language.SCENES["nouns"]:
        noun = normalise(draw(pattern.text, {}, rng))
        hits = [n for n in CLASSES if n != "drift" and any(e.fullmatch(noun) for e in matchers[n])]
        assert hits == [], noun


def test_held_out_samples_use_held_out_words_only() -> None:
    """With ``held_out`` every part of a prompt is one of the held-out phrasings."""
    rng = random.Random(7)
    for prompt in (sample(rng, held_out=True) for _ in range(500)):
        text = normalise(prompt.text)
        names = [effect.name for effect in prompt.intents.effects]
        names += [prompt.intents.camera] if prompt.intents.camera != "none" else []
        assert all(any(normalise(p) in text for p in HELD_OUT[name]) for name in names), prompt


def test_every_character_has_a_role() -> None:
    """Each prompt says of every character what it does, and some of all roles occur."""
    rng = random.Random(9)
    prompts = [sample(rng) for _ in range(2000)]
    assert all(len(prompt.roles) == len(prompt.text) for prompt in prompts)
    assert {role for prompt in prompts for role in prompt.roles} == {ASKED, LEFT_OUT, BEYOND, JOINING}
    for prompt in prompts:
        named = prompt.intents.effects or prompt.intents.camera not in ("drift", "still")
        assert ASKED in prompt.roles or not named, prompt


def test_a_synonym_takes_the_place_of_a_word() -> None:
    """With synonyms in the lexicon some prompts hold them; without, none does."""
    rich = replace(PLAIN, synonyms={"camera": ("kinematograph",)})
    drawn = [sample(random.Random(n), lexicon=rich).text.lower() for n in range(800)]
    assert any("kinematograph" in text for text in drawn)
    assert not any("kinematograph" in sample(random.Random(n)).text.lower() for n in range(800))


def test_held_out_prompts_carry_their_meaning() -> None:
    """Every held-out phrasing comes with the class it stands for, and with its region where it names one."""
    for name, prompts in language.held_out_prompts().items():
        for prompt in prompts:
            said = {prompt.intents.camera} | {effect.name for effect in prompt.intents.effects}
            assert said - {"none"} == {name}
    hair = [p for p in language.held_out_prompts()["sway"] if "locks" in p.text]
    assert [effect.region for prompt in hair for effect in prompt.intents.effects] == ["subject"]


def test_tags_and_adverbs_set_the_amount() -> None:
    """``strong: a downpour`` is a strong rain, and the word in a slot comes out once."""
    (pattern,) = read_patterns("strong: a ~ downpour ~", {}, frozenset({"strong"}))
    assert pattern.tags == {"strong"}
    text = place(pattern.text, ["sudden"], ["at once"], random.Random(0))
    assert text in ("a sudden downpour", "a downpour at once")
    assert place(pattern.text, [], [], random.Random(0)) == "a downpour"


def test_examples_are_made_of_training_phrasings(matchers: dict[str, list[re.Pattern[str]]]) -> None:
    """Every example prompt of the page is one the training grammar makes, joined from its own parts."""
    every = [expression for name in CLASSES for expression in matchers[name]]
    adverbs = {word for words in language.DATA["adverbs"].values() for word in words}
    for example in EXAMPLES:
        for part in example.replace(" while ", " and ").replace(", ", " and ").split(" and "):
            plain = normalise(" ".join(word for word in part.split() if word not in adverbs))
            assert any(e.fullmatch(normalise(part)) or e.fullmatch(plain) for e in every), part


def test_all_words_cover_the_prompts() -> None:
    """Apart from typing errors, a prompt that only asks hardly holds a word that ``all_words`` leaves out."""
    rng = random.Random(8)
    prompts = [prompt for prompt in (sample(rng) for _ in range(3000)) if set(prompt.roles) <= {ASKED, JOINING}]
    said = [word for prompt in prompts for word in words_of(prompt.text)]
    words = language.all_words()
    assert sum(word in words for word in said) / len(said) > 0.98
    assert {
        "left",
        "clockwise",
        "downpour",
        "please",
        "castle",
        "everywhere",
        "slowly",
    } <= language.all_words()
