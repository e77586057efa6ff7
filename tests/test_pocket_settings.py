"""What a scene is set in is asked for, too, and is said neither twice nor against anything else."""

import random

from pipeline.pocket.language import Prompt, sample
from pipeline.pocket.names import NAMED
from pipeline.pocket.pairings import CONTRADICTIONS
from pipeline.pocket.settings import SHARE, TAILS, draw_setting, set_in


def effects(prompt: Prompt) -> set[str]:
    return {effect.name for effect in prompt.intents.effects}


def test_a_prompt_set_in_the_rain_asks_for_rain_and_more() -> None:
    rng = random.Random(5)
    beside = [p for p in (sample(rng) for _ in range(4000)) if p.text.endswith(" in the pouring rain")]
    assert len(beside) >= 2
    assert all("rain" in effects(prompt) for prompt in beside)
    assert any(len(effects(prompt)) > 1 or prompt.intents.camera != "none" for prompt in beside)


def test_settings_contradict_nothing() -> None:
    rng = random.Random(1)
    for name in NAMED:
        drawn = {draw_setting("none", (name,), rng) for _ in range(400)} - {""}
        assert drawn
        assert name not in drawn
        assert not any(pair == {name, other} for pair in CONTRADICTIONS for other in drawn)


def test_few_prompts_are_set_and_no_crowd_is() -> None:
    rng = random.Random(2)
    share = sum(bool(draw_setting("pan_left", (), rng)) for _ in range(4000)) / 4000
    assert 0.8 * SHARE < share < 1.2 * SHARE
    assert {draw_setting("none", ("rain", "leaves", "fire"), rng) for _ in range(200)} == {""}
    assert {draw_setting("drift", (), rng) for _ in range(200)} == {""}


def test_the_setting_stands_at_one_end() -> None:
    rng = random.Random(3)
    plain = {set_in("@", name, rng) for name in TAILS for _ in range(40)}
    assert any(text.startswith("@ ") for text in plain)
    assert any(text.endswith("@") for text in plain)
    assert all("|" not in text and "(" not in text for text in plain)
