"""Draw what people say they do not want, alone and beside what they do want; the patterns are in ``negations.toml``."""

import random
import tomllib
from pathlib import Path
from typing import Any

from pipeline.pocket.grammar import draw, fill_names
from pipeline.pocket.roles import LEFT_OUT, mark

DATA: dict[str, Any] = tomllib.loads(Path(__file__).with_name("negations.toml").read_text(encoding="utf-8"))
_NOUNS, _CLAUSES, _PAIRS, _CONTRASTS, _MOVES = (
    tuple(filter(None, DATA[form].splitlines())) for form in ("nouns", "clauses", "pairs", "contrasts", "moves")
)
# A camera's moves without a direction, as "pan" and "panning"; and those of a kind of move.
_TURNS = [tuple(pair.split("/")) for pair in DATA["turns"].split()]
_SAME = {
    "pan": {"pan", "turn", "swing"},
    "tilt": {"tilt"},
    "zoom": {"zoom"},
    "roll": {"rotate", "turn", "spin", "roll"},
}
_THINGS: dict[str, dict[str, str]] = DATA["things"]
NEGATED = tuple(_THINGS)
_ONE = {"dont": "doesn't", "isnt": "isn't", "stop": "stops"}
_MANY = {"dont": "don't", "isnt": "aren't", "stop": "stop"}


def noun(name: str, rng: random.Random) -> str:
    """A noun for a camera move or an effect: what is not wanted."""
    return draw(_THINGS[name]["nouns"], {}, rng)


def denial(name: str, rng: random.Random) -> str:
    """A whole clause that says that something is not wanted."""
    thing = _THINGS[name]
    forms = [form for form in ("nouns", "clauses", "calm") if form in thing]
    if "clauses" not in thing:
        forms = ["calm"]
    form = rng.choices(forms, [{"nouns": 5, "clauses": 4, "calm": 2}[form] for form in forms])[0]
    if form == "calm":
        return _draw(rng.choice(list(filter(None, thing["calm"].splitlines()))), {}, rng)
    if form == "nouns":
        word = noun(name, rng)
        the = word if rng.random() < 0.4 else f"the {word}"
        return _draw(rng.choice(_NOUNS), {"n": word, "the": the}, rng)
    it, do, does, doing, number = rng.choice(list(filter(None, thing["clauses"].splitlines()))).split(" / ")
    words = _MANY if number == "p" else _ONE
    subject = " ".join(draw(it, {}, rng).split())
    return _draw(rng.choice(_CLAUSES), {"it": subject, "do": do, "does": does, "doing": doing, **words}, rng)


def deny(text: str, names: list[str], rng: random.Random) -> str:
    """``text``, already marked, beside a denial of ``names``: of the first, or of the first two."""
    first, second = names[0], names[-1]
    pattern = rng.choice([p for p in _PAIRS if "{m}" not in p or (first != second and "clauses" in _THINGS[first])])
    return _around(text, pattern, {"no": denial(first, rng), "n": noun(first, rng), "m": noun(second, rng)}, rng)


def contrast(text: str, name: str, rng: random.Random) -> str:
    """``text``, already marked, in the place of something else: of ``name``, as a noun."""
    return _around(text, rng.choice(_CONTRASTS), {"n": noun(name, rng)}, rng)


def turned(text: str, name: str, rng: random.Random) -> str:
    """``text``, already marked, that asks for ``name``, in the place of a camera's move of another kind."""
    same = _SAME.get(name.partition("_")[0], set[str]())
    now, doing = rng.choice([pair for pair in _TURNS if pair[0] not in same])
    return _around(text, rng.choice(_MOVES), {"now": now, "doing": doing}, rng)


def _around(text: str, pattern: str, fills: dict[str, str], rng: random.Random) -> str:
    before, _, after = draw(pattern, {}, rng).partition("@")
    parts = (fill_names(part, fills) for part in (before, after))
    left, right = (mark(part, LEFT_OUT) if part.strip(" ,.;") else part for part in parts)
    return left + text + right


def _draw(text: str, fills: dict[str, str], rng: random.Random) -> str:
    """Choices first, so that what is filled in is not taken for one."""
    return " ".join(fill_names(draw(text, {name: f"{{{name}}}" for name in fills}, rng), fills).split())
