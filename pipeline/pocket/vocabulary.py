"""Write the words that pocket knows: those of its training prompts, and common English.

``python -m pipeline.pocket.vocabulary WORDNET_DIR LISTS_DIR`` (Debian's ``wordnet-base``, ``wamerican-small`` and
``wbritish-small``: ``/usr/share/wordnet`` and ``/usr/share/dict``).
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from pipeline.pocket import beyond, negation
from pipeline.pocket.language import all_words
from pipeline.pocket.lexicon import common_words
from pipeline.pocket.tokens import VOCABULARY, pieces

MARKS = ("'s", *".,!?;:-&+()/\"'*#@%=<>|~_^[]{}$…0123456789")
LISTS = ("american-english-small", "british-english-small")


def plain(texts: Iterable[str]) -> set[str]:
    """The words in some texts, in lower case, without marks and digits."""
    found = (piece[0].lower() for text in texts for piece in pieces(text))
    return {word for word in found if word[0].isalpha()}


def asking() -> list[str]:
    """Words that training prompts are made of, what pocket can't do left out: a slip is mended to one of these."""
    return sorted(plain(all_words()) | plain(_texts(negation.DATA)))


def others(wordnet: Path, lists: Path) -> list[str]:
    """Marks, digits, and words of common English."""
    words = plain(_texts(beyond.DATA))
    words |= {w for pos in ("noun", "verb", "adj", "adv") for w in common_words(wordnet / f"index.{pos}")}
    for name in LISTS:
        words |= set((lists / name).read_text(encoding="utf-8").split())
    known = set(asking())
    fit = {w for w in words if w.isascii() and w.islower() and w.replace("'", "").isalpha() and not w.endswith("'s")}
    return [*MARKS, *sorted(fit - known)]


def _texts(data: object) -> Iterable[str]:
    """All strings in tables of tables, slots and choices as they stand."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from _texts(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wordnet", type=Path)
    parser.add_argument("lists", type=Path)
    args = parser.parse_args()
    first, more = asking(), others(args.wordnet, args.lists)
    VOCABULARY.write_text("\n".join([*first, "", *more]) + "\n", encoding="utf-8")
    print(f"{len(first)} words that may ask for something, {len(more)} others")


if __name__ == "__main__":
    main()
