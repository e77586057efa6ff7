"""A sun that sets: words that say so, which ask for golden light and for night, the one after the other."""

import re
from dataclasses import replace

from pipeline.pocket.intents import NAMED, REGIONS, Asked

_SETS = re.compile(
    r"\bsun\b(?: \w+ly| is| was| now| then| has| begins to| starts to| will| must){0,3}"
    r" (?:sets?|setting|sinks?|sinking|sunk|goes? down|going down|dips?|dipping|disappears?|vanish(?:es)?)\b"
    r"|\bsunset\b(?: \w+){0,3} (?:night|dark|darkness|dusk)\b",
    re.IGNORECASE,
)
_LIGHTS = ("night", "warm")


def setting(prompt: str, asked: Asked) -> Asked:
    """Give a prompt's meaning ``[1]`` with both lights of a sunset, everywhere, where its words tell of one.

    The text encoder hears one of the two, or either over what the sun sinks into; what is not wanted it hears of
    neither.
    """
    indices = [NAMED.index(name) for name in _LIGHTS]
    heard = [index for index in indices if bool(asked.present[0, index])]
    if not heard or not _SETS.search(prompt):
        return asked
    present, region, speed, strength = (
        part.clone() for part in (asked.present, asked.region, asked.speed, asked.strength)
    )
    present[0, indices] = True
    region[0, indices] = REGIONS.index("whole")
    for part in (speed, strength):
        part[0, indices] = part[0, heard[0]].clone()
    return replace(asked, present=present, region=region, speed=speed, strength=strength)
