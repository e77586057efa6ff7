"""Where a prompt's own nouns say that something is, when the text encoder puts it elsewhere.

A wind that "moves the leaves" it hears on the subject, as one that "moves her hair", and every light that twinkles in
the sky, as stars do. The nouns of a prompt tell these apart surely.
"""

import re
from dataclasses import dataclass, replace

from pipeline.pocket.intents import NAMED, REGIONS, Asked


@dataclass(frozen=True, slots=True)
class Place:
    """An effect that is heard in one region belongs to another, where some words are there and others are not."""

    effect: str
    heard: str
    meant: str
    words: re.Pattern[str]
    unless: re.Pattern[str]


def _any(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


_PLANTS = (
    r"lea(?:f|ves)|foliage|grass(?:es)?|trees?|branch(?:es)?|twigs?|bush(?:es)?|shrubs?|hedges?|reeds?|ferns?|ivy"
    r"|vines?|wheat|corn|barley|crops?|meadows?|forests?|flowers?|blossoms?|palms?|fronds?|willows?|pines?|treetops?"
)
_SOMEBODY = (
    r"she|he|her|his|their|hair|fur|mane|tail|feathers?|cloak|dress|skirt|scarf|coat|cape|cloth\w*|curtains?|flags?"
    r"|sails?|subject|person|people|wom[ae]n|m[ae]n|girls?|boys?|child(?:ren)?|cats?|kittens?|dogs?|horses?|birds?"
)
_LAMPS = (
    r"city|cities|towns?|villages?|windows?|lamps?|lanterns?|street\w*|candles?|bulbs?|houses?|buildings?|skyline"
    r"|harbou?rs?|bridges?|christmas|fairy lights?"
)
_HEAVENS = r"stars?|starry|starlight|sky|skies|heavens?|constellations?|galax\w+|milky way|moon"
PLACES = (
    Place("sway", "subject", "foliage", _any(_PLANTS), _any(_SOMEBODY)),
    Place("twinkle", "sky", "whole", _any(_LAMPS), _any(_HEAVENS)),
)


def placed(prompt: str, asked: Asked) -> Asked:
    """Give a prompt's meaning ``[1]`` with its effects where its nouns say that they are."""
    for place in PLACES:
        index, heard = NAMED.index(place.effect), REGIONS.index(place.heard)
        is_there = bool(asked.present[0, index]) and int(asked.region[0, index]) == heard
        if is_there and place.words.search(prompt) and not place.unless.search(prompt):
            region = asked.region.clone()
            region[0, index] = REGIONS.index(place.meant)
            asked = replace(asked, region=region)
    return asked
