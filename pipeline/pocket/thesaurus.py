"""Other words for those of training prompts, from WordNet, where the word table has both near to each other."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.pocket.beyond import doing, plural
from pipeline.pocket.lexicon import common_words, synsets
from pipeline.pocket.tokens import vocabulary

LEAST_COSINE = 0.45
# Words whose other meanings are commoner than the one that prompts have, or that decide which way it goes.
_KEPT_WORDS = "left right up down in out back still no not stop light cw ccw even ever well just set go get"
KEPT = frozenset(_KEPT_WORDS.split(" "))
_FORMS = {"verb": (str, plural, doing), "noun": (str, plural), "adj": (str,), "adv": (str,)}


def synonyms(wordnet: Path, table: npt.NDArray[np.float32]) -> dict[str, tuple[str, ...]]:
    """Synonyms of each word that may ask for something; ``table float32 [V, axes]`` is the word table."""
    ids, asking = vocabulary().ids, vocabulary().asking - KEPT
    rows = table / np.linalg.norm(table, axis=1, keepdims=True).clip(1e-6)
    found: dict[str, set[str]] = {}
    for word, other in same_meaning(wordnet):
        fit = word in asking and other in ids and other not in KEPT
        if fit and float(rows[ids[word]] @ rows[ids[other]]) > LEAST_COSINE:
            found.setdefault(word, set()).add(other)
    return {word: tuple(sorted(others)) for word, others in found.items()}


def same_meaning(wordnet: Path) -> Iterator[tuple[str, str]]:
    """Every two words of a synset, in each form that both have by the common rules."""
    for pos, forms in _FORMS.items():
        common = common_words(wordnet / f"index.{pos}")
        for _, words, _ in synsets(wordnet / f"data.{pos}"):
            for word in words:
                for other in words:
                    if word != other and other in common:
                        yield from ((form(word), form(other)) for form in forms)
