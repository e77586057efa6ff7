"""Prompts with their meaning, drawn at random: what pocket's transformer learns to understand.

A prompt names at most one camera move and up to three effects, in any order, with words for speed,
strength and place, amid descriptions and wishes that mean nothing to pocket; it may say what is not wanted. A prompt
that names no motion means a gentle drift of the camera; effects alone leave the camera at rest.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from pipeline.pocket.beyond import draw_beyond, draw_clause
from pipeline.pocket.grammar import (
    DATA,
    LISTS,
    SAYINGS,
    SYNONYMS,
    Pattern,
    draw,
    fill_names,
    place,
    read_patterns,
    words_of,
)
from pipeline.pocket.lexicon import PLAIN, Lexicon
from pipeline.pocket.names import CAMERAS as CAMERAS
from pipeline.pocket.names import DEFAULT_REGION as DEFAULT_REGION
from pipeline.pocket.names import MOVES as MOVES
from pipeline.pocket.names import NAMED as NAMED
from pipeline.pocket.names import REGIONS as REGIONS
from pipeline.pocket.negation import contrast, denial, deny, noun, turned
from pipeline.pocket.pairings import CONTRADICTIONS, NAMED_REGIONS, NEAR, OPPOSITE
from pipeline.pocket.roles import ASKED, BEYOND, LEFT_OUT, mark
from pipeline.pocket.settings import draw_setting, set_in
from pipeline.pocket.slips import as_typed

SPEEDS = {"slow": 0.5, "fast": 1.6}
STRENGTHS = {"faint": 0.5, "strong": 1.5}
_NAMES: dict[str, dict[str, str]] = DATA["names"]


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect: its name, where it is, and how strong (0.5, 1, 1.5) and fast (0.5, 1, 1.6) it is."""

    name: str
    region: str
    strength: float = 1.0
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Intents:
    """What a prompt asks for: a camera move with its speed (0.5, 1, 1.6), and effects."""

    camera: str
    speed: float = 1.0
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt, what it asks for, and which role (``roles.py``) each of its characters has, where it was drawn."""

    text: str
    intents: Intents
    roles: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    text: str
    form: str
    meaning: Effect | tuple[str, float] | None


_TAGS = frozenset({*SPEEDS, *STRENGTHS, *REGIONS})


def _read_class(name: str) -> dict[str, tuple[Pattern, ...]]:
    forms: dict[str, tuple[Pattern, ...]] = {}
    for section in dict.fromkeys((name.partition("_")[0] if name in _NAMES else name, name)):
        for form, text in DATA.get(section, {}).items():
            forms[form] = forms.get(form, ()) + read_patterns(text, _NAMES.get(name, {}), _TAGS)
    for more in (SYNONYMS, SAYINGS):
        for form, text in more.get(name, {}).items():
            forms[form] += read_patterns(text, {}, _TAGS)
    return forms


PATTERNS = {name: _read_class(name) for name in (*CAMERAS[1:], *NAMED)}
SCENES = {form: read_patterns(text, {}, frozenset()) for form, text in DATA["scenes"].items()}
HELD_OUT: dict[str, tuple[str, ...]] = {
    name: tuple(pattern.text for pattern in forms["held"]) for name, forms in PATTERNS.items()
}


def sample(rng: random.Random, held_out: bool = False, lexicon: Lexicon = PLAIN) -> Prompt:
    """Draw a prompt; with ``held_out`` all moves and effects are in words that training never sees."""
    kind = 1.0 if held_out else rng.random()
    if kind < 0.35:
        return _without_motion(rng, lexicon) if kind < 0.26 else _in_its_place(rng, lexicon)
    camera, names = _draw_classes(rng)
    setting = "" if held_out else draw_setting(camera, names, rng)
    parts = [] if camera == "none" else [_part(camera, rng, held_out, lexicon)]
    parts += [_part(name, rng, held_out, lexicon) for name in names]
    if not held_out and camera != "drift" and rng.random() < 0.25:
        parts += [_Part(mark(draw_clause(rng, lexicon), BEYOND), "", None)]
    rng.shuffle(parts)
    text = _join(parts, rng)
    text = set_in(text, setting, rng) if setting else text
    if not held_out and camera != "drift" and rng.random() < 0.3:
        denied = _denied(camera, (*names, setting), rng)
        camera = "still" if denied[0] == "camera" or (denied[0], camera) == ("shake", "none") else camera
        text = deny(text, denied, rng)
    elif camera != "drift" and rng.random() < 0.2:
        text = _described(text, rng)
    speed = next((p.meaning[1] for p in parts if isinstance(p.meaning, tuple)), 1.0)
    effects = tuple(p.meaning for p in parts if isinstance(p.meaning, Effect))
    effects += (Effect(setting, DEFAULT_REGION[setting]),) if setting else ()
    return _prompt(text, Intents(camera, speed, effects), rng, slips=not held_out)


def _without_motion(rng: random.Random, lexicon: Lexicon) -> Prompt:
    """A prompt that names no motion: a description, what pocket can't do, or only what is not wanted."""
    kind = rng.random()
    if kind < 0.27:
        name = rng.choice(NAMED)
        text, camera = mark(denial(name, rng), LEFT_OUT), "still" if name == "shake" else "drift"
    elif kind < 0.37:
        text, camera = mark(denial(rng.choice(("camera", "camera", "camera", *MOVES)), rng), LEFT_OUT), "still"
    elif kind < 0.53:
        text, camera = mark(_scene(rng), BEYOND), "drift"
    else:
        count = rng.choices((1, 2, 3), (0.75, 0.2, 0.05))[0]
        text = rng.choice((", ", " and ", ". ", " while ")).join(draw_beyond(rng, lexicon) for _ in range(count))
        text, camera = mark(text, BEYOND), "drift"
    return _prompt(text, Intents(camera), rng)


def _in_its_place(rng: random.Random, lexicon: Lexicon) -> Prompt:
    """A prompt that names one thing in the place of another: only the order of its words tells which is wanted."""
    name = rng.choice((*MOVES, *MOVES, *NAMED))
    named = _Part(mark(noun(name, rng), ASKED), "", _meaning(name, frozenset()))
    part = named if rng.random() < 0.55 else _part(name, rng, False, lexicon)
    if rng.random() < 0.4:
        text = turned(part.text, name, rng)
    elif name in OPPOSITE:
        text = contrast(part.text, OPPOSITE[name], rng)
    else:
        near = [other for group in NEAR if name in group.split() for other in group.split()]
        others = near if near and rng.random() < 0.6 else NAMED
        text = contrast(part.text, rng.choice([other for other in others if other != name]), rng)
    if isinstance(part.meaning, Effect):
        return _prompt(text, Intents("none", effects=(part.meaning,)), rng)
    return _prompt(text, Intents(*(part.meaning or (name, 1.0))), rng)


def _denied(camera: str, names: tuple[str, ...], rng: random.Random) -> list[str]:
    """What is said not to be wanted: the opposite move, the camera's moving, or effects that are not asked for."""
    others = rng.sample([name for name in NAMED if name not in names], 2)
    if camera in OPPOSITE and rng.random() < 0.4:
        return [OPPOSITE[camera], others[0]]
    if camera in ("none", "still") and not {"shake", "dolly"} & set(names) and rng.random() < 0.3:
        return ["camera", others[0]]
    return others


def held_out_prompts() -> dict[str, tuple[Prompt, ...]]:
    """Every held-out phrasing alone, by class, with what it asks for."""
    prompts = {}
    for name, forms in PATTERNS.items():
        meanings = [_meaning(name, pattern.tags) for pattern in forms["held"]]
        prompts[name] = tuple(
            Prompt(p.text, Intents("none", effects=(m,)) if isinstance(m, Effect) else Intents(*m))
            for p, m in zip(forms["held"], meanings, strict=True)
        )
    return prompts


def all_words() -> frozenset[str]:
    """Every word that a training prompt can hold, typing errors aside."""
    words = {word for options in LISTS.values() for option in options for word in words_of(option)}
    for forms in (*PATTERNS.values(), SCENES):
        words.update(
            w for form, patterns in forms.items() if form != "held" for p in patterns for w in words_of(p.text)
        )
    for table in ("adverbs", "regions", "wrappers", "joining"):
        words.update(word for options in DATA[table].values() for option in options for word in words_of(option))
    words.update(word for tail in DATA["tails"].values() for word in words_of(tail))
    words.update(word for names in _NAMES.values() for text in names.values() for word in words_of(text))
    return frozenset(words)


def _draw_classes(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    kind = rng.random()
    if kind < 0.04:
        return "drift", ()
    if kind < 0.11:
        return "still", ()
    if kind < 0.41:
        return rng.choice(MOVES), ()
    count = rng.choices((1, 2, 3), (0.62, 0.28, 0.1))[0]
    camera = "none" if kind < 0.75 else rng.choice((*MOVES, "still"))
    while True:
        names = rng.sample(NAMED, count if camera == "none" else min(count, 2))
        if not any(pair <= {camera, *names} for pair in CONTRADICTIONS):
            return camera, tuple(names)


def _meaning(name: str, tags: frozenset[str]) -> Effect | tuple[str, float]:
    speed = next((SPEEDS[t] for t in tags if t in SPEEDS), 1.0)
    if name in CAMERAS:
        return name, speed
    strength = next((STRENGTHS[t] for t in tags if t in STRENGTHS), 1.0)
    return Effect(name, next((t for t in tags if t in REGIONS), DEFAULT_REGION[name]), strength, speed)


def _part(name: str, rng: random.Random, held_out: bool, lexicon: Lexicon) -> _Part:
    forms = PATTERNS[name]
    form = "held" if held_out else rng.choices(("do", "is", "of"), (0.38, 0.42, 0.2))[0]
    pattern = rng.choice(forms[form])
    if held_out:
        return _Part(mark(pattern.text, ASKED), form, _meaning(name, pattern.tags))
    tags = set(pattern.tags)
    added = "" if tags & {*SPEEDS, *STRENGTHS} or name in ("still", "drift") else _draw_adverb(name, form, rng)
    tags |= {added} - {""}
    text = _with_adverb(draw(pattern.text, _NAMES.get(name, {}), rng), added, form, name, rng)
    if name in NAMED_REGIONS and rng.random() < 0.22 and not tags & (set(REGIONS) - {"foliage"}):
        region = rng.choice(NAMED_REGIONS[name])
        tags = (tags - {"foliage"}) | {region}
        words = rng.choice(DATA["regions"][region])
        text = f"{text} {words}" if form != "is" or rng.random() < 0.7 else f"{words}{rng.choice((', ', ' '))}{text}"
    if lexicon.synonyms and rng.random() < 0.3:
        text = _reworded(text, rng, lexicon)
    wrapped = rng.random() < {"do": 0.35, "is": 0.1, "of": 0.55}[form]
    text = rng.choice(DATA["wrappers"][form]).replace("@", text) if wrapped else text
    return _Part(mark(text, ASKED), "" if wrapped else form, _meaning(name, frozenset(tags)))


def _reworded(text: str, rng: random.Random, lexicon: Lexicon) -> str:
    """``text`` with a synonym for one of its words, where it has one."""
    words = text.split(" ")
    known = [index for index, word in enumerate(words) if word in lexicon.synonyms]
    if known:
        index = rng.choice(known)
        words[index] = rng.choice(lexicon.synonyms[words[index]])
    return " ".join(words)


def _draw_adverb(name: str, form: str, rng: random.Random) -> str:
    if name in CAMERAS:
        return rng.choices(("", "slow", "fast"), (0.56, 0.24, 0.2))[0]
    if form == "of":
        return ""
    return rng.choices(("", "faint", "strong", "slow", "fast"), (0.6, 0.12, 0.12, 0.09, 0.07))[0]


def _with_adverb(text: str, kind: str, form: str, name: str, rng: random.Random) -> str:
    if not kind:
        return place(text, [], [], rng)
    adverbs = DATA["adverbs"]
    if form == "of":
        if "~" in text:
            return place(text, adverbs[f"{kind}_adj"], adverbs[f"{kind}_adj"], rng)
        return place(text, [""], adverbs[f"{kind}_end"][:3], rng)
    # Of a camera, "gently" says how fast; of an effect, how strong.
    words = [w for w in adverbs[f"{kind}_mid"] if name in CAMERAS or kind != "slow" or w != "gently"]
    return place(text, words, adverbs[f"{kind}_end"], rng)


def _join(parts: list[_Part], rng: random.Random) -> str:
    text = parts[0].text
    if len(parts) == 2 and rng.random() < 0.15:
        return fill_names(rng.choice(DATA["joining"]["frames"]), {"a": text, "b": parts[1].text})
    for part in parts[1:]:
        text += (
            " with " if part.form == "of" and rng.random() < 0.6 else rng.choice(DATA["joining"]["joins"])
        ) + part.text
    return text


def _described(text: str, rng: random.Random) -> str:
    """``text`` beside a description of the picture, before or behind it."""
    if rng.random() < 0.7:
        lead = draw(rng.choice(SCENES["lead"]).text.replace("<noun>", "@"), {}, rng)
        return f"{mark(lead.replace('@', _noun(rng)), BEYOND)} {text}"
    return f"{text}, {mark(_noun(rng), BEYOND)}"


def _noun(rng: random.Random) -> str:
    return " ".join(draw(rng.choice(SCENES["nouns"]).text, {}, rng).split())


def _scene(rng: random.Random) -> str:
    count = rng.choices((0, 1, 2), (0.1, 0.7, 0.2))[0]
    return rng.choice((", ", " and ", " with ")).join(_noun(rng) for _ in range(count))


def _prompt(text: str, intents: Intents, rng: random.Random, slips: bool = True) -> Prompt:
    plain, roles = as_typed(text, rng, slips)
    return Prompt(plain, intents, roles)
