"""Words for what pocket can do nothing with: things, deeds, other languages, sentences about something else.

A few are data of this repository (``beyond.toml``). Training takes many more from dictionaries that Debian packages
carry: WordNet (``wordnet-base``) and word lists (``wngerman``, ``wfrench`` and their like).
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATA: dict[str, Any] = tomllib.loads(Path(__file__).with_name("beyond.toml").read_text(encoding="utf-8"))
# The numbers of WordNet's lexicographer files (lexnames(5WN)): animal, artifact, body, food, person, plant.
_THINGS = {"05", "06", "08", "13", "18", "20"}
# Body, communication, competition, consumption, contact, creation, emotion, motion, perception, social.
_DEEDS = {"29", "32", "33", "34", "35", "36", "37", "38", "39", "41"}
_EXAMPLE = re.compile(r'"([a-zA-Z][^"]{8,70})"')
# The small words of a language, which its sentences are full of.
_SMALL = {
    "ngerman": "der die das ein eine und mit auf im ist nicht wir ich sie ihr von zu den dem für bitte sehr auch",
    "french": "le la les un une des et avec dans sur est pas nous je il elle vous de du au pour très aussi qui",
    "spanish": "el la los las un una y con en por es no nosotros yo ella usted de del al para muy también que",
    "italian": "il lo la gli un una e con nel sul è non noi io lei voi di del al per molto anche che",
    "dutch": "de het een en met op in is niet wij ik zij jullie van naar voor heel ook die dat er",
    "portuguese": "o a os as um uma e com no na é não nós eu ela você de do ao para muito também que",
    "polish": "i w na z do jest nie my ja ona wy od dla bardzo też który ten ta to po za pod",
    "swedish": "en ett och med på i är inte vi jag hon ni av till för mycket också som den det",
}


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Things and deeds in English, words and small words of each other language, sentences of any matter, synonyms."""

    things: tuple[str, ...]
    deeds: tuple[str, ...]
    languages: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    sentences: tuple[str, ...] = ()
    synonyms: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


PLAIN = Lexicon(
    tuple(DATA["words"]["things"].split()),
    tuple(DATA["words"]["deeds"].split()),
    tuple((tuple(words.split()), tuple(words.split())) for words in _SMALL.values()),
)


def from_dictionaries(wordnet: Path, lists: Path, known: frozenset[str]) -> Lexicon:
    """Read WordNet's folder and one of word lists; nothing with a word that pocket knows, nor near to a known verb.

    Args:
        wordnet: the folder with ``data.noun`` and ``data.verb`` (``/usr/share/wordnet``).
        lists: the folder of word lists (``/usr/share/dict``).
        known: words that may ask for something.
    """
    common = {name: common_words(wordnet / f"index.{name}") for name in ("noun", "verb")}
    verbs = list(synsets(wordnet / "data.verb"))
    near = known | {word for _, words, _ in verbs if known & set(words) for word in words}
    things = {w for number, words, _ in synsets(wordnet / "data.noun") if number in _THINGS for w in words[:2]}
    deeds = {w for number, words, _ in verbs if number in _DEEDS for w in words[:3]}
    notes = (note for name in ("noun", "verb", "adj") for _, _, note in synsets(wordnet / f"data.{name}"))
    sentences = (s for note in notes for s in _EXAMPLE.findall(note))
    return Lexicon(
        tuple(sorted(w for w in things & common["noun"] if w not in known and 3 <= len(w) <= 12)) + PLAIN.things * 10,
        tuple(sorted(w for w in deeds & common["verb"] if w not in near and 3 <= len(w) <= 10)) + PLAIN.deeds * 10,
        tuple((_words(lists / name), tuple(small.split())) for name, small in _SMALL.items()),
        tuple(sorted({s for s in sentences if not known & set(re.findall(r"[a-z]+", s.lower()))})),
    )


def synsets(path: Path) -> Iterator[tuple[str, list[str], str]]:
    """Lexicographer's file, single words, and gloss of each synset, as wndb(5WN) lays them out."""
    for line in path.read_text(encoding="ascii").splitlines():
        if not line.startswith("  "):
            fields, _, note = line.partition(" | ")
            parts = fields.split()
            words = parts[4 : 4 + 2 * int(parts[3], 16) : 2]
            yield parts[1], [w for w in words if w.isalpha() and w.islower()], note


def common_words(path: Path) -> set[str]:
    """Words that WordNet's tagged texts hold."""
    rows = (line.split() for line in path.read_text(encoding="ascii").splitlines() if not line.startswith("  "))
    return {row[0] for row in rows if int(row[4 + int(row[3]) + 1]) > 0}


def _words(path: Path, most: int = 20_000) -> tuple[str, ...]:
    """Plain words of a list, evenly taken."""
    words: Iterable[str] = path.read_text(encoding="utf-8", errors="ignore").split()
    plain = [word for word in words if word.isalpha() and word.islower() and 3 <= len(word) <= 11]
    return tuple(plain[:: max(1, len(plain) // most)])
