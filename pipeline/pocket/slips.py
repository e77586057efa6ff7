"""Prompts as people type them: slips, capitals, marks at the end."""

import random

from pipeline.pocket.roles import JOINING, unmark


def as_typed(text: str, rng: random.Random, slips: bool = True) -> tuple[str, tuple[int, ...]]:
    """A marked text as somebody would type it, plain, and the role of each of its characters."""
    plain, roles = unmark(_mistype(text, rng) if slips and rng.random() < 0.05 else text)
    style = rng.random()
    if style < 0.3:
        plain = plain[:1].upper() + plain[1:]
    elif style < 0.33 and len(plain.upper()) == len(plain):
        plain = plain.upper()
    if plain and rng.random() < 0.25:
        end = rng.choice((".", ".", ".", "!", "...", " !", ","))
        plain, roles = plain + end, (*roles, *[JOINING] * len(end))
    return plain, roles


def _mistype(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    long_words = [index for index, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    if long_words:
        index = rng.choice(long_words)
        word = words[index]
        at = rng.randrange(1, len(word) - 1)
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        words[index] = rng.choice((swapped, word[:at] + word[at + 1 :], word[: at + 1] + word[at:]))
    return " ".join(words)
