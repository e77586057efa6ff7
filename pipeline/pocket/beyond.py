"""Draw what people type that pocket can do nothing with; the patterns are data, in ``beyond.toml``."""

import random
import re

from pipeline.pocket.grammar import draw
from pipeline.pocket.lexicon import DATA, Lexicon

_KINDS = {kind: tuple(filter(None, text.splitlines())) for kind, text in DATA.items() if isinstance(text, str)}
_WEIGHTS = {"requests": 10, "actions": 9, "styles": 4, "questions": 4, "talk": 3, "settings": 3, "gibberish": 2}
_WEIGHTS |= {"foreign": 4}
_SLOT = re.compile(r"\{(\w+)\}")
_LETTERS = ("bcdfghjklmnpqrstvwxz", "aeiouy")


def draw_beyond(rng: random.Random, lexicon: Lexicon) -> str:
    """One prompt, or a part of one, that pocket can do nothing with."""
    if lexicon.sentences and rng.random() < 0.2:
        return rng.choice(lexicon.sentences)
    (kind,) = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
    return draw_kind(kind, rng, lexicon)


def draw_clause(rng: random.Random, lexicon: Lexicon) -> str:
    """A part that may stand beside something asked for: a request, an action or a style."""
    return draw_kind(rng.choice(("requests", "requests", "actions", "actions", "styles")), rng, lexicon)


def draw_kind(kind: str, rng: random.Random, lexicon: Lexicon) -> str:
    """One of the patterns of a kind, with its slots filled."""
    text = draw(rng.choice(_KINDS[kind]), {}, rng)
    language = rng.choice(lexicon.languages)
    while match := _SLOT.search(text):
        word = _fill(match[1], rng, lexicon, language)
        text = text[: match.start()] + word + text[match.end() :]
        text = draw(text, {}, rng) if "(" in word and match[1] != "marks" else text
    return " ".join(text.split())


def _fill(slot: str, rng: random.Random, lexicon: Lexicon, language: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
    thing, deed = rng.choice(lexicon.things), rng.choice(lexicon.deeds)
    match slot:
        case "a":
            return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"
        case "the":
            return f"{rng.choice(('the', 'the', 'the', 'my', 'her', 'his', 'our', 'this'))} {thing}"
        case "some":
            return f"{rng.choice(('two', 'three', 'some', 'many', 'a few', 'ten', 'a lot of'))} {plural(thing)}"
        case "thing" | "things":
            return thing if slot == "thing" else plural(thing)
        case "do" | "does" | "doing":
            return {"do": deed, "does": plural(deed), "doing": doing(deed)}[slot]
        case "f" | "w":
            return rng.choice(language[slot == "f"])
        case "noise":
            return "".join(rng.choice(rng.choice(_LETTERS)) for _ in range(rng.randrange(3, 9)))
        case "digits":
            return str(rng.randrange(10 ** rng.randrange(1, 8)))
        case "marks":
            return rng.choice(DATA["lists"]["marks"][1:-1].split("|"))
        case _:
            return DATA["lists"][slot]


def plural(word: str) -> str:
    """A noun for many, or a verb for one.

    >>> [plural(word) for word in ("dog", "fox", "cry", "toy")]
    ['dogs', 'foxes', 'cries', 'toys']
    """
    if word.endswith(("s", "x", "ch", "sh", "z")):
        return word + "es"
    return word[:-1] + "ies" if word.endswith("y") and word[-2:-1] not in "aeiou" else word + "s"


def doing(word: str) -> str:
    """A verb in its -ing form, by the common rules.

    >>> [doing(word) for word in ("dance", "run", "sleep", "see")]
    ['dancing', 'running', 'sleeping', 'seeing']
    """
    if word.endswith("e") and not word.endswith(("ee", "ye", "oe")):
        return word[:-1] + "ing"
    short = re.fullmatch(r"[^aeiou]*[aeiou][bdgklmnprt]", word)
    return word + (word[-1] if short else "") + "ing"
