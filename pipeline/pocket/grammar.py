"""Patterns of phrasings: reading them, drawing from them, and recognising what they can make.

A pattern is text with choices ``(a|b|)``, named lists ``<name>`` and slots ``~`` where a word for speed or
strength may stand. The phrasings themselves are data, in ``phrasings.toml``, ``drawn.toml`` and ``sayings.toml``.
"""

from __future__ import annotations

import random
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA: dict[str, Any] = tomllib.loads(Path(__file__).with_name("phrasings.toml").read_text(encoding="utf-8"))
_DRAWN: dict[str, Any] = tomllib.loads(Path(__file__).with_name("drawn.toml").read_text(encoding="utf-8"))
DATA |= _DRAWN | {"lists": DATA["lists"] | _DRAWN["lists"]}
SYNONYMS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("synonyms.toml").read_text(encoding="utf-8"))
SAYINGS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("sayings.toml").read_text(encoding="utf-8"))
LISTS: dict[str, tuple[str, ...]] = {name: tuple(text[1:-1].split("|")) for name, text in DATA["lists"].items()}

_GROUP = re.compile(r"\(([^()]*)\)")
_LIST = re.compile(r"<(\w+)>")
_TAGS = re.compile(r"((?:\w+ )*\w+): ")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of the data: its text, and the tags (speed, strength, region) that always go with it."""

    text: str
    tags: frozenset[str]


def read_patterns(text: str, names: dict[str, str], known_tags: frozenset[str]) -> tuple[Pattern, ...]:
    """The patterns of a block of lines, with every ``{name}`` replaced by what ``names`` gives for it."""
    patterns = []
    for line in filter(None, text.splitlines()):
        match = _TAGS.match(line)
        tags = frozenset(match[1].split()) if match else frozenset()
        if match is None or not tags <= known_tags:
            tags, body = frozenset(), line
        else:
            body = line[match.end() :]
        patterns.append(Pattern(fill_names(body, names), tags))
    return tuple(patterns)


def fill_names(text: str, names: dict[str, str]) -> str:
    """``text`` with every ``{name}`` replaced."""
    return re.sub(r"\{(\w+)\}", lambda match: names[match[1]], text)


def draw(text: str, names: dict[str, str], rng: random.Random) -> str:
    """One phrasing of a pattern; its slots are still in it."""
    while "<" in text:
        text = _LIST.sub(lambda match: fill_names(rng.choice(LISTS[match[1]]), names), text, count=1)
    while "(" in text:
        text = _GROUP.sub(lambda match: rng.choice(match[1].split("|")), text)
    return text


def place(text: str, words: list[str], at_end: list[str], rng: random.Random) -> str:
    """``text`` with at most one word put into a slot (from ``at_end`` in the last one) and no slots left.

    A text without slots gets its word at the end.
    """
    pieces = text.split("~")
    if words and len(pieces) == 1:
        pieces.append("")
    chosen = rng.randrange(len(pieces) - 1) if words else -1
    parts = []
    for index, piece in enumerate(pieces):
        parts.append(piece)
        if index == chosen:
            last = not "".join(pieces[index + 1 :]).strip()
            parts.append(f" {rng.choice(at_end if last else words)} ")
    return " ".join("".join(parts).split())


def normalise(text: str) -> str:
    """Lower case letters and digits only: what two phrasings must share to count as the same."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def matcher(pattern: Pattern, names: dict[str, str]) -> re.Pattern[str]:
    """An expression that matches exactly the normalised phrasings of a pattern, its slots empty."""
    text = pattern.text
    while "<" in text:
        text = _LIST.sub(lambda match: "(" + fill_names("|".join(LISTS[match[1]]), names) + ")", text)
    return re.compile(re.sub(r"[^a-z0-9()|]", "", text.lower()))


def words_of(text: str) -> set[str]:
    """The words that a pattern or phrasing holds, lists aside."""
    return set(re.findall(r"[a-z0-9][a-z0-9'-]*", re.sub(r"<\w+>|\{\w+\}", " ", text.lower())))
