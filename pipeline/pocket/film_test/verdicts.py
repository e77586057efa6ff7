"""Counts what judges answered on blind sheets, and keeps it."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHOICES = ("A", "B", "tie")
BAR = 0.75


@dataclass(frozen=True, slots=True)
class Answers:
    """One judge's choices and reasons by sheet, and the deck that they are of."""

    deck: str
    judge: str
    choices: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge preferred on a scene: ``preferred`` is 1 for ours, 0 for the opponent's, a half for a tie."""

    opponent: str
    judge: str
    scene: str
    picture: str
    text: str
    preferred: float
    ours: str
    reason: str


def read_answers(file: Path) -> Answers:
    """Read one judge's file; raises ValueError that says what is wrong with it."""
    try:
        data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        answers: dict[str, Any] = data["answers"]
        choices = {sheet: (str(entry["choice"]), str(entry.get("reason", ""))) for sheet, entry in answers.items()}
        read = Answers(str(data["deck"]), str(data.get("judge") or file.stem), choices)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        form = '{"deck": ..., "judge": ..., "answers": {"sheet-01": {"choice": "A", "reason": ...}}}'
        raise ValueError(f"{file} is no answer of the form {form}: {error!r}") from error
    for sheet, (choice, _) in read.choices.items():
        if choice not in CHOICES:
            raise ValueError(f"{file}: {sheet} is answered by {choice!r}; take one of {', '.join(CHOICES)}")
    return read


def count(key: Mapping[str, Any], judges: Sequence[Answers]) -> list[Verdict]:
    """Look up who was A; raises ValueError for a sheet left out or unknown, and for a judge who judged one twice."""
    verdicts: list[Verdict] = []
    for answers in judges:
        deck = key["decks"].get(answers.deck)
        if deck is None:
            raise ValueError(f"{answers.judge} judged {answers.deck!r}, which the key does not have")
        if set(answers.choices) != set(deck["sheets"]):
            odd = sorted(set(answers.choices) ^ set(deck["sheets"]))
            raise ValueError(f"{answers.judge} on {answers.deck}: left out, or not in the deck: {', '.join(odd)}")
        for sheet, (choice, reason) in answers.choices.items():
            entry = deck["sheets"][sheet]
            preferred = 0.5 if choice == "tie" else float(choice == entry["ours"])
            seen = (entry["scene"], entry["picture"], entry["text"], preferred, entry["ours"], reason)
            verdicts.append(Verdict(deck["opponent"], answers.judge, *seen))
    judged = [(v.opponent, v.judge, v.scene) for v in verdicts]
    if len(set(judged)) < len(judged):
        raise ValueError("a judge judged one opponent twice; give every judge another name")
    return verdicts


def share(verdicts: Sequence[Verdict]) -> float:
    """How often ours were preferred, a tie as half."""
    return sum(v.preferred for v in verdicts) / len(verdicts)


def majorities(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """By scene, of one opponent: 1 where more judges preferred ours than the other, 0 where fewer, a half between."""
    by_scene: dict[str, list[float]] = defaultdict(list)
    for verdict in verdicts:
        by_scene[verdict.scene].append(verdict.preferred)
    return {scene: 0.5 + 0.5 * ((sum(v) > len(v) / 2) - (sum(v) < len(v) / 2)) for scene, v in sorted(by_scene.items())}


def summary(verdicts: Sequence[Verdict]) -> dict[str, dict[str, Any]]:
    """By opponent: the share of scenes that the majority preferred, each judge's share, and how ours fared as A."""
    told: dict[str, dict[str, Any]] = {}
    for opponent in sorted({v.opponent for v in verdicts}):
        against = [v for v in verdicts if v.opponent == opponent]
        by_judge = {
            j: round(share([v for v in against if v.judge == j]), 3) for j in sorted({v.judge for v in against})
        }
        majority = majorities(against)
        told[opponent] = {
            "majority": round(sum(majority.values()) / len(majority), 3),
            "all": round(share(against), 3),
            "judges": by_judge,
            "as_A": round(share([v for v in against if v.ours == "A"] or against), 3),
            "as_B": round(share([v for v in against if v.ours == "B"] or against), 3),
            "lost": [scene for scene, won in majority.items() if won < 0.5],
        }
    return told


def kept(key: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    """The file that is kept: what was judged, the summary, and every verdict with its reason."""
    rows = [
        {"opponent": v.opponent, "judge": v.judge, "scene": v.scene, "picture": v.picture, "text": v.text}
        | {"preferred": v.preferred, "ours_was": v.ours, "reason": v.reason}
        for v in sorted(verdicts, key=lambda v: (v.opponent, v.scene, v.judge))
    ]
    head = {"bar": BAR, "ours": key["ours"], "films": key["films"], "seed": key["seed"], "summary": summary(verdicts)}
    return json.dumps(head | {"verdicts": rows}, indent=1, ensure_ascii=False) + "\n"


def told(verdicts: Sequence[Verdict]) -> str:
    """The summary in words, and by scene what was lost and why."""
    lines: list[str] = []
    for opponent, one in summary(verdicts).items():
        met = "met" if one["majority"] >= BAR else "missed"
        judges = ", ".join(f"{judge} {value:.2f}" for judge, value in one["judges"].items())
        lines.append(f"{opponent}: preferred by the majority in {one['majority']:.3f} (bar {BAR}: {met}); {judges}")
        lines.append(f"  as A {one['as_A']:.2f}, as B {one['as_B']:.2f}")
        for verdict in verdicts:
            if verdict.opponent == opponent and verdict.scene in one["lost"] and verdict.preferred < 0.5:
                lines.append(f"  lost {verdict.scene} ({verdict.text}, {verdict.picture}): {verdict.reason}")
    return "\n".join(lines)
