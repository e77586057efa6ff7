"""The film test's verdicts: looked up, counted, kept."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.pocket.film_test.verdicts import Answers, count, kept, majorities, read_answers, share, summary, told


def key() -> dict[str, Any]:
    """Three decks against one opponent: ours is A on the first and third scene."""
    entries = {
        f"sheet-{n:02}": {"scene": f"{n:02}", "picture": "p", "text": "t", "ours": "A" if n % 2 else "B"}
        for n in range(1, 5)
    }
    decks = {f"deck-{n}": {"opponent": "theirs", "sheets": entries} for n in range(1, 4)}
    return {"seed": 1, "ours": "ours", "films": {}, "decks": decks}


def answers(number: int, choices: str) -> Answers:
    """A judge's answers, one letter a sheet; t is a tie."""
    words = {"A": "A", "B": "B", "t": "tie"}
    given = {f"sheet-{n:02}": (words[c], "why") for n, c in enumerate(choices, 1)}
    return Answers(f"deck-{number}", f"judge {number}", given)


def test_a_verdict_is_looked_up_in_the_key() -> None:
    """The letter chosen counts by who was that letter, and a tie counts as half."""
    verdicts = count(key(), [answers(1, "AAtB")])
    assert [v.preferred for v in verdicts] == [1.0, 0.0, 0.5, 1.0]
    assert share(verdicts) == 0.625


def test_majorities_are_by_scene() -> None:
    """Two of three judges decide; a judge for, one against and a tie leave it open."""
    verdicts = count(key(), [answers(1, "AAAt"), answers(2, "ABBA"), answers(3, "BAtB")])
    # Scene 1: 1 1 0. Scene 2: 0 1 0. Scene 3: 1 0 half. Scene 4: half 0 1.
    assert majorities(verdicts) == {"01": 1.0, "02": 0.0, "03": 0.5, "04": 0.5}
    found = summary(verdicts)["theirs"]
    assert found["majority"] == 0.5
    assert found["judges"] == {"judge 1": 0.625, "judge 2": 0.5, "judge 3": 0.375}
    assert found["lost"] == ["02"]
    assert "missed" in told(verdicts)
    assert "lost 02" in told(verdicts)


def test_a_liking_for_one_letter_is_half() -> None:
    """A judge who always says A prefers ours in half, and as_A and as_B show it."""
    found = summary(count(key(), [answers(1, "AAAA")]))["theirs"]
    assert (found["all"], found["as_A"], found["as_B"]) == (0.5, 1.0, 0.0)


@pytest.mark.parametrize(
    ("judges", "message"),
    [
        ([answers(9, "AAAA")], "'deck-9', which the key does not have"),
        ([answers(1, "AAA")], "left out, or not in the deck: sheet-04"),
        ([answers(1, "AAAA"), answers(1, "BBBB")], "judged one opponent twice"),
    ],
)
def test_answers_that_do_not_fit_are_refused(judges: list[Answers], message: str) -> None:
    """No verdict is counted from a deck unknown, incomplete or counted already."""
    with pytest.raises(ValueError, match=message):
        count(key(), judges)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no answer of the form"),
        ('{"deck": "deck-1", "answers": {"sheet-01": "A"}}', "no answer of the form"),
        ('{"deck": "deck-1", "answers": {"sheet-01": {"choice": "C"}}}', "sheet-01 is answered by 'C'"),
    ],
)
def test_a_file_that_is_no_answer_says_so(tmp_path: Path, text: str, message: str) -> None:
    """A judge's file that can't be read is told with what is wrong."""
    (tmp_path / "one.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_answers(tmp_path / "one.json")


def test_verdicts_are_kept_with_their_reasons(tmp_path: Path) -> None:
    """The file that is kept has every verdict, and counts to the same again."""
    file = tmp_path / "one.json"
    file.write_text(
        json.dumps(
            {
                "deck": "deck-1",
                "answers": {s: {"choice": "A", "reason": "calm"} for s in key()["decks"]["deck-1"]["sheets"]},
            }
        )
    )
    verdicts = count(key(), [read_answers(file)])
    data = json.loads(kept(key(), verdicts))
    assert [row["reason"] for row in data["verdicts"]] == ["calm"] * 4
    assert [row["judge"] for row in data["verdicts"]] == ["one"] * 4
    assert data["summary"] == summary(verdicts)
    assert [row["preferred"] for row in data["verdicts"]] == [asdict(v)["preferred"] for v in verdicts]
