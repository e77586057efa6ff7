"""Prompts with their meaning, drawn at random: what pocket's transformer learns to understand.

A prompt names at most one camera move and up to three effects, in any order, with words for speed,
strength and place, amid descriptions that mean nothing. A prompt that names no motion means a gentle drift of
the camera; effects alone leave the camera at rest.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from pipeline.pocket.grammar import DATA, LISTS, SYNONYMS, Pattern, draw, place, read_patterns, words_of

MOVES = ("pan_left", "pan_right", "tilt_up", "tilt_down", "zoom_in", "zoom_out", "roll_cw", "roll_ccw")
CAMERAS = ("none", "still", "drift", *MOVES)
EFFECTS = ("night", "warm", "cold", "rain", "snow", "fog", "sway", "ripple", "breathe", "clouds")
REGIONS = ("whole", "left", "right", "top", "bottom", "sky", "water", "foliage", "subject", "ground")
SPEEDS = {"slow": 0.5, "fast": 1.6}
STRENGTHS = {"faint": 0.5, "strong": 1.5}
# Where an effect is when the prompt does not say.
DEFAULT_REGION = dict.fromkeys(EFFECTS, "whole") | {
    "sway": "foliage", "ripple": "water", "breathe": "subject", "clouds": "sky",
}  # fmt: skip

EXAMPLES = (
    "the leaves begin to sway in the wind",
    "the camera pans left",
    "snow begins to fall",
    "night falls and the camera slowly zooms in",
    "the clouds drift by",
    "gentle waves on the lake",
    "fog rolls in and the camera moves forward",
    "golden light floods the scene",
    "heavy rain falls while the camera pans to the right",
    "the cat breathes softly",
    "the camera stays still, the branches sway in the wind",
)

_HALVES = ("left", "right", "top", "bottom")
_NAMED_REGIONS: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("night", "warm", "cold"), (*_HALVES, "sky", "ground", "subject", "whole", "water")
)
_NAMED_REGIONS |= dict.fromkeys(("rain", "snow", "fog"), (*_HALVES, "sky", "ground", "whole", "water", "foliage"))
_NAMED_REGIONS |= {"sway": (*_HALVES, "whole"), "ripple": (*_HALVES, "whole")}
_NAMED_REGIONS |= {"breathe": ("left", "right"), "clouds": ("left", "right", "top")}
_CONTRADICTIONS = ({"warm", "cold"}, {"rain", "snow"}, {"night", "warm"})
_OPPOSITE = {"pan_left": "pan_right", "tilt_up": "tilt_down", "zoom_in": "zoom_out", "roll_cw": "roll_ccw"}
_OPPOSITE |= {there: here for here, there in _OPPOSITE.items()}
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
    """A prompt and what it asks for."""

    text: str
    intents: Intents


@dataclass(frozen=True, slots=True)
class _Part:
    text: str
    form: str
    meaning: Effect | tuple[str, float]


_TAGS = frozenset({*SPEEDS, *STRENGTHS, *REGIONS})


def _read_class(name: str) -> dict[str, tuple[Pattern, ...]]:
    forms: dict[str, tuple[Pattern, ...]] = {}
    for section in dict.fromkeys((name.partition("_")[0] if name in _NAMES else name, name)):
        for form, text in DATA.get(section, {}).items():
            forms[form] = forms.get(form, ()) + read_patterns(text, _NAMES.get(name, {}), _TAGS)
    for form, text in SYNONYMS[name].items():
        forms[form] += read_patterns(text, {}, _TAGS)
    return forms


PATTERNS = {name: _read_class(name) for name in (*CAMERAS[1:], *EFFECTS)}
SCENES = {form: read_patterns(text, {}, frozenset()) for form, text in DATA["scenes"].items()}
HELD_OUT: dict[str, tuple[str, ...]] = {
    name: tuple(pattern.text for pattern in forms["held"]) for name, forms in PATTERNS.items()
}


def sample(rng: random.Random, held_out: bool = False) -> Prompt:
    """Draw a prompt; with ``held_out`` all moves and effects are in words that training never sees."""
    camera, names = _draw_classes(rng)
    if camera == "drift" and rng.random() < 0.75 and not held_out:
        absence = f" {rng.choice(('without', 'with no'))} {rng.choice(DATA['absent'][rng.choice(EFFECTS)])}"
        text = _scene(rng) + (absence if rng.random() < 0.05 else "")
        return Prompt(_finish(text, rng), Intents("drift"))
    if camera == "none" and rng.random() < 0.03 and not held_out:
        return Prompt(_finish(_absence(rng.choice(EFFECTS), rng), rng), Intents("none"))
    parts = [] if camera == "none" else [_part(camera, rng, held_out)]
    parts += [_part(name, rng, held_out) for name in names]
    rng.shuffle(parts)
    text = _join(parts, rng)
    if not held_out:
        text = _leave_something_out(text, camera, names, rng)
    if camera != "drift" and rng.random() < 0.2:
        lead = draw(rng.choice(SCENES["lead"]).text.replace("<noun>", "@"), {}, rng)
        text = f"{lead} {text}".replace("@", _noun(rng)) if rng.random() < 0.7 else f"{text}, {_noun(rng)}"
    speed = next((p.meaning[1] for p in parts if isinstance(p.meaning, tuple)), 1.0)
    effects = tuple(p.meaning for p in parts if isinstance(p.meaning, Effect))
    return Prompt(_finish(text, rng, typos=not held_out), Intents(camera, speed, effects))


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
    for table in ("adverbs", "regions", "wrappers", "joining", "absent"):
        words.update(word for options in DATA[table].values() for option in options for word in words_of(option))
    words.update(word for names in _NAMES.values() for text in names.values() for word in words_of(text))
    return frozenset(words)


def _draw_classes(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    kind = rng.random()
    if kind < 0.08:
        return "drift", ()
    if kind < 0.14:
        return "still", ()
    if kind < 0.44:
        return rng.choice(MOVES), ()
    count = rng.choices((1, 2, 3), (0.66, 0.28, 0.06))[0]
    names = rng.sample(EFFECTS, count)
    while any(pair <= set(names) for pair in _CONTRADICTIONS):
        names = rng.sample(EFFECTS, count)
    if kind < 0.72:
        return "none", tuple(names)
    return rng.choice((*MOVES, "still")), tuple(names[:2])


def _meaning(name: str, tags: frozenset[str]) -> Effect | tuple[str, float]:
    speed = next((SPEEDS[t] for t in tags if t in SPEEDS), 1.0)
    if name in CAMERAS:
        return name, speed
    strength = next((STRENGTHS[t] for t in tags if t in STRENGTHS), 1.0)
    return Effect(name, next((t for t in tags if t in REGIONS), DEFAULT_REGION[name]), strength, speed)


def _part(name: str, rng: random.Random, held_out: bool) -> _Part:
    forms = PATTERNS[name]
    form = "held" if held_out else rng.choices(("do", "is", "of"), (0.38, 0.42, 0.2))[0]
    pattern = rng.choice(forms[form])
    if held_out:
        return _Part(pattern.text, form, _meaning(name, pattern.tags))
    tags = set(pattern.tags)
    added = "" if tags & {*SPEEDS, *STRENGTHS} or name in ("still", "drift") else _draw_adverb(name, form, rng)
    tags |= {added} - {""}
    text = _with_adverb(draw(pattern.text, _NAMES.get(name, {}), rng), added, form, name, rng)
    if name in EFFECTS and rng.random() < 0.22 and not tags & (set(REGIONS) - {"foliage"}):
        region = rng.choice(_NAMED_REGIONS[name])
        tags = (tags - {"foliage"}) | {region}
        words = rng.choice(DATA["regions"][region])
        text = f"{text} {words}" if form != "is" or rng.random() < 0.7 else f"{words}{rng.choice((', ', ' '))}{text}"
    wrapped = rng.random() < {"do": 0.35, "is": 0.1, "of": 0.55}[form]
    text = rng.choice(DATA["wrappers"][form]).replace("@", text) if wrapped else text
    return _Part(text, "" if wrapped else form, _meaning(name, frozenset(tags)))


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
    for part in parts[1:]:
        text += (
            " with " if part.form == "of" and rng.random() < 0.6 else rng.choice(DATA["joining"]["joins"])
        ) + part.text
    return text


def _leave_something_out(text: str, camera: str, names: tuple[str, ...], rng: random.Random) -> str:
    if rng.random() < 0.05 and camera in _OPPOSITE:
        order = rng.choice(("{a}, not {b}", "{a} instead of {b}", "don't {b}, {a}", "not {b} but {a}"))
        other = {
            "roll_cw": "clockwise",
            "roll_ccw": "counterclockwise",
            "zoom_in": "zoom in",
            "zoom_out": "zoom out",
        }
        opposite = _OPPOSITE[camera]
        return order.format(a=text, b=other.get(opposite, opposite.partition("_")[2]))
    if rng.random() > 0.09:
        return text
    absent = rng.choice([name for name in EFFECTS if name not in names])
    words = _absence(absent, rng)
    if rng.random() < 0.12 and camera == "none":
        return f"{words}, only {text}"
    return f"{text}{rng.choice((', ', ' ', ' and ', '. '))}{words}" if rng.random() < 0.6 else f"{words}, {text}"


def _absence(name: str, rng: random.Random) -> str:
    return rng.choice(DATA["joining"]["leave_out"]).replace("{x}", rng.choice(DATA["absent"][name]))


def _noun(rng: random.Random) -> str:
    return " ".join(draw(rng.choice(SCENES["nouns"]).text, {}, rng).split())


def _scene(rng: random.Random) -> str:
    count = rng.choices((0, 1, 2), (0.1, 0.7, 0.2))[0]
    return rng.choice((", ", " and ", " with ")).join(_noun(rng) for _ in range(count))


def _finish(text: str, rng: random.Random, typos: bool = True) -> str:
    if typos and rng.random() < 0.05:
        text = _mistype(text, rng)
    style = rng.random()
    if style < 0.3:
        text = text[:1].upper() + text[1:]
    elif style < 0.33:
        text = text.upper()
    if text and rng.random() < 0.25:
        text += rng.choice((".", ".", ".", "!", "...", " !", ","))
    return text


def _mistype(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    long_words = [index for index, word in enumerate(words) if len(word) >= 5]
    if long_words:
        index = rng.choice(long_words)
        word = words[index]
        at = rng.randrange(1, len(word) - 1)
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        words[index] = rng.choice((swapped, word[:at] + word[at + 1 :], word[: at + 1] + word[at:]))
    return " ".join(words)
