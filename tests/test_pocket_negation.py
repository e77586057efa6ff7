"""What is not wanted is said in many ways, and never counts as wanted."""

from __future__ import annotations

import random

from pipeline.pocket import language
from pipeline.pocket.intents import NAMED
from pipeline.pocket.language import MOVES, sample
from pipeline.pocket.negation import NEGATED, contrast, denial, deny, noun, turned
from pipeline.pocket.roles import ASKED, LEFT_OUT, mark, unmark, word_roles


def test_everything_can_be_denied_in_many_ways() -> None:
    """The camera, each move and each effect have denials: effects at least 200, with no slot left open."""
    rng = random.Random(0)
    assert set(NEGATED) == {"camera", *MOVES, *NAMED}
    for name in NEGATED:
        said = {denial(name, rng) for _ in range(400)}
        assert len(said) >= (200 if name in NAMED else 10), name
        assert not any(set("{}<>|~") & set(text) for text in said), name


def test_a_denial_stands_beside_what_is_wanted() -> None:
    """What is wanted stays whole and asked for; all around it is left out, but for what joins them."""
    rng = random.Random(1)
    for _ in range(500):
        text, roles = unmark(deny(mark("the leaves sway", ASKED), rng.sample(("rain", "snow", "camera"), 2), rng))
        assert "the leaves sway" in text
        assert word_roles(text, roles).count(ASKED) == 3
        assert LEFT_OUT in roles


def test_what_is_denied_is_not_asked_for() -> None:
    """In drawn prompts no effect is asked for in the part that leaves it out; a camera denied is still."""
    rng = random.Random(2)
    seen = 0
    for prompt in (sample(rng) for _ in range(4000)):
        left_out = "".join(c for c, role in zip(prompt.text, prompt.roles, strict=True) if role == LEFT_OUT).lower()
        for name, word in (("rain", "rain"), ("snow", "snow"), ("fog", "fog")):
            if word in left_out:
                seen += 1
                assert name not in {effect.name for effect in prompt.intents.effects}, prompt.text
        if "camera movement" in left_out:
            assert prompt.intents.camera in ("still", *MOVES), prompt.text
    assert seen > 50


def test_only_denials_mean_a_gentle_life() -> None:
    """A prompt that only leaves effects out asks for nothing: the drift; one about the camera, for stillness."""
    rng = random.Random(3)
    alone = [p for p in (sample(rng) for _ in range(4000)) if p.roles and set(p.roles) <= {LEFT_OUT, 3}]
    alone = [prompt for prompt in alone if LEFT_OUT in prompt.roles]
    assert len(alone) > 50
    assert {prompt.intents.camera for prompt in alone} == {"drift", "still"}
    assert all(prompt.intents.effects == () for prompt in alone)
    assert language.Intents("drift") in {prompt.intents for prompt in alone}


def test_one_thing_is_named_in_the_place_of_another() -> None:
    """The order of words alone tells which of two is wanted: the one keeps its role, all of the other is left out."""
    rng = random.Random(4)
    for _ in range(400):
        text, roles = unmark(contrast(mark("xylophones", ASKED), "rain", rng))
        asked = "".join(c for c, role in zip(text, roles, strict=True) if role == ASKED)
        assert asked == "xylophones"
        assert LEFT_OUT in roles
        assert not set("{}@|") & set(text), text


def test_a_move_is_never_denied_with_its_own_word() -> None:
    """Who wants to pan left is not told not to pan; the word for what is left out is another kind of move's."""
    rng = random.Random(5)
    said = {turned(mark("westwards", ASKED), "pan_left", rng) for _ in range(600)}
    plain = {unmark(text)[0] for text in said}
    assert len(plain) > 100
    assert not any(word in text.split() for text in plain for word in ("pan", "panning", "turn", "turning"))
    assert any("tilting" in text for text in plain)


def test_corrections_are_drawn_for_every_name() -> None:
    """Prompts that name one thing in the place of another occur with every move and every effect."""
    rng = random.Random(6)
    some = [language._in_its_place(rng, language.PLAIN) for _ in range(1500)]
    asked = {p.intents.camera for p in some} | {effect.name for p in some for effect in p.intents.effects}
    assert asked == {"none", *MOVES, *NAMED}
    assert all(LEFT_OUT in prompt.roles for prompt in some)
    assert noun("rain", rng)
