"""Reads what a prompt wants to be painted, word by word; what is left of it is for the motion."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pipeline.pocket.painter.lexicon import (
    COLOURS,
    FLAGS,
    HOURS,
    JOINS,
    KEPT,
    MOVES,
    NATURAL,
    PLACES,
    PLAIN,
    WEAK,
    WEATHER,
)
from pipeline.pocket.painter.scenery import Colour, Hour, Place, Scenery, Weather

KeyT = TypeVar("KeyT")
_CLAUSE = re.compile(r"[^,;.!?]+")
_WORD = re.compile(r"[^\W\d_]+(?:[-'\u2019][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a prompt names of a scene, nothing or None where it does not; ``rest`` is what it says besides.

    ``places`` come in their order. ``mentioned`` are also those that only move in it: "the moon rises".
    """

    places: tuple[Place, ...]
    hour: Hour | None
    weather: Weather | None
    colour: Colour | None
    flags: frozenset[str]
    mentioned: frozenset[str]
    rest: str

    @property
    def is_empty(self) -> bool:
        """Whether nothing is named that a scene is changed for."""
        return not self.places and self.hour is None and not self.flags


def read_wish(prompt: str) -> Wish:
    """Read a prompt.

    A clause that says how something moves is left whole for the motion, but for where and when it does.

    >>> wish = read_wish("a stormy sea at night, rain falls, the camera pans left")
    >>> wish.places, wish.hour, wish.weather, wish.rest
    (('sea',), 'night', 'stormy', 'rain falls, the camera pans left')
    >>> read_wish("a dog on a bicycle").rest
    'a dog on a bicycle'
    >>> read_wish("night falls").hour, read_wish("the camera pans left over the mountains").rest
    (None, 'the camera pans left')
    """
    found = _Found()
    left = [part for clause in _CLAUSE.findall(prompt) if (part := found.read(clause.strip()))]
    return Wish(
        tuple(dict.fromkeys(found.places)), found.hour, found.weather, found.colour, frozenset(found.flags),
        frozenset(found.mentioned), ", ".join(left),
    )  # fmt: skip


def painted(wish: Wish, now: Scenery | None = None) -> Scenery:
    """Choose the scene for a wish, ``now`` being the one that is seen; what adds nothing to it keeps it.

    Other places make another scene; an hour, a weather, snow, a moon alone change the one that is there. Where nothing
    has been named at all, it is a lake among hills by day.

    >>> painted(read_wish("mountains at dawn")).described()
    'mountains, at dawn'
    >>> lake = painted(read_wish("a lake by moonlight"))
    >>> painted(read_wish("the camera pans left"), lake) == lake
    True
    >>> painted(read_wish("at sunset"), lake).described()
    'a lake, at sunset'
    """
    if now is not None and wish.is_empty:
        return now
    if now is not None and (not wish.places or set(wish.places) <= {now.place, *now.beyond}):
        return _changed(now, wish)
    return _changed(_begun(wish), wish)


def names_motion(words: str) -> bool:
    """Whether words say that something moves.

    >>> names_motion("the camera drifts"), names_motion("boat")
    (True, False)
    """
    return MOVES.search(words.lower()) is not None


def _begun(wish: Wish) -> Scenery:
    places = list(wish.places)
    place: Place = _foremost(places) or _implied(wish)
    behind: tuple[Place, ...] = ("forest", "hills", "mountains")
    beyond: tuple[Place, ...] = tuple(one for one in behind if one in places and one != place)
    lights = _LIGHTS & wish.mentioned
    hour: Hour = "night" if lights or place in ("stars", "fire") else "day"
    begun = Scenery(
        place, beyond, hour, is_wintry=place == "snow", has_stars=place == "stars", has_fire=place == "fire"
    )
    return replace(begun, **dict.fromkeys(lights, True))


_LIGHTS = frozenset({"has_moon", "has_stars", "has_aurora"})
# What fills the picture when several are named: what is nearest to who looks.
_NEAREST: tuple[Place, ...] = (
    "abstract", "sea", "lake", "desert", "snow", "field", "fire", "forest", "mountains", "hills", "stars", "sky",
)  # fmt: skip


def _foremost(places: list[Place]) -> Place | None:
    return next((place for place in _NEAREST if place in places), None)


def _implied(wish: Wish) -> Place:
    """The place of a prompt that names none."""
    if "is_wintry" in wish.flags:
        return "snow"
    return "stars" if "has_stars" in wish.flags else "lake"


def _changed(scenery: Scenery, wish: Wish) -> Scenery:
    changes: dict[str, Any] = dict.fromkeys(wish.flags, True)
    if wish.hour is not None:
        changes["hour"] = wish.hour
        if wish.hour != "night":
            changes |= {name: name in wish.flags for name in _LIGHTS}
    elif _LIGHTS & wish.flags:
        changes["hour"] = "night"
    changes |= {} if wish.weather is None else {"weather": wish.weather}
    is_plain = wish.colour is None or (scenery.place in NATURAL.get(wish.colour, ()) and scenery.hour == "day")
    changes |= {} if is_plain else {"colour": wish.colour}
    return replace(scenery, **changes)


class _Found:
    """What was found so far, clause by clause."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.hour: Hour | None = None
        self.weather: Weather | None = None
        self.colour: Colour | None = None
        self.flags: set[str] = set()
        self.mentioned: set[str] = set()

    def read(self, clause: str) -> str:
        """Take in a clause; gives what it says besides."""
        lower = clause.lower().replace("\u2019", "'")
        self.mentioned |= {flag for found in _SCENE.finditer(lower) for flag in _flags(_plain(found[0]))}
        if not names_motion(lower):
            return self._left(clause)
        left = _WHERE.sub(lambda phrase: "" if not self._left(phrase[0]) else phrase[0], clause).strip()
        # What moves is there: "the sea ripples".
        for found in _SCENE.finditer(left.lower()):
            self.places += _strong(_plain(found[0]))
        return left or clause

    def _left(self, phrase: str) -> str:
        """Take in the words of a phrase that are a scene's; gives the others, with what joins them."""
        lower = phrase.lower().replace("\u2019", "'")
        found = list(_SCENE.finditer(lower))
        if all(_plain(match[0]) in WEAK or _is_colour(_plain(match[0])) for match in found):
            return phrase.strip()
        known = [False] * len(phrase)
        for match in found:
            self._take(_plain(match[0]))
            known[match.start() : match.end()] = [match[0] not in KEPT.split("|")] * len(match[0])
        words = [
            word for word in _WORD.finditer(phrase)
            if not known[word.start()] and not re.fullmatch(f"{PLAIN}|{JOINS}", word[0].lower())
        ]  # fmt: skip
        return phrase[words[0].start() : words[-1].end()] if words else ""

    def _take(self, words: str) -> None:
        places: list[Place] = _named(PLACES, words)
        hours: list[Hour] = _named(HOURS, words)
        weathers: list[Weather] = _named(WEATHER, words)
        colours: list[Colour] = _named(COLOURS, words)
        self.places += places
        self.hour = hours[0] if hours else self.hour
        self.weather = weathers[0] if weathers else self.weather
        self.colour = colours[0] if colours else self.colour
        self.flags |= _flags(words)


def _named(table: Mapping[KeyT, str], words: str) -> list[KeyT]:
    return [key for key, names in table.items() if words in names.split("|")]


def _plain(words: str) -> str:
    return " ".join(words.split())


def _flags(words: str) -> set[str]:
    return set(_named(FLAGS, words))


def _is_colour(words: str) -> bool:
    return bool(_named(COLOURS, words))


def _strong(words: str) -> list[Place]:
    """Places that something is, not what may move in others: clouds, fire."""
    named: list[Place] = _named(PLACES, words)
    return [place for place in named if place not in ("sky", "fire")]


def _either(*groups: Mapping[Any, str]) -> str:
    names = {name for group in groups for names in group.values() for name in names.split("|")}
    return "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in sorted(names, key=len, reverse=True))


_ALL = _either(PLACES, HOURS, WEATHER, COLOURS, FLAGS)
_SCENE = re.compile(rf"\b(?:{_ALL})\b")
_WHERE = re.compile(
    rf"\s*\b(?:over|above|at|by|in|on|across|through|under|near|towards|before|during)\s+(?:(?:a|an|the|some|its|{PLAIN})\s+)*"
    rf"(?:(?:{_ALL})\b\s*)+",
    re.IGNORECASE,
)
