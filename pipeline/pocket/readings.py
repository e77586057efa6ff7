"""Prompts to judge the reading of prompts by: negations, what pocket can't do, distractors, unusual word order.

The prompts are data, in ``readings.toml``: a first list, fixed before the training prompts were extended to such, and a
second (sections that end in ``_2``), fixed when those were done, before the text encoder that they judge was trained. A
third (``together`` and sections that end in ``_3``) is for effects that are drawn, fixed before any pattern of these. A
fourth (``wish``) is for the rule that says wishes plainly.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.pocket.names import CAMERAS, NAMED

DATA = Path(__file__).with_name("readings.toml")


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt, the cameras that are right for it, the effects that it asks for, and the part that pocket can't do."""

    text: str
    cameras: frozenset[str]
    effects: frozenset[str]
    beyond: str = ""

    def is_right(self, camera: str, effects: frozenset[str]) -> bool:
        """Whether this is what the prompt asks for, with nothing besides."""
        return camera in self.cameras and effects == self.effects


def readings() -> dict[str, tuple[Reading, ...]]:
    """Give the prompts by ``section/kind``."""
    data: Mapping[str, Mapping[str, str]] = tomllib.loads(DATA.read_text(encoding="utf-8"))
    return {
        f"{section}/{kind}": tuple(_reading(section, line) for line in lines.splitlines() if line)
        for section, kinds in data.items()
        for kind, lines in kinds.items()
    }


def _reading(section: str, line: str) -> Reading:
    if section.startswith("beyond"):
        return Reading(line, frozenset({"drift"}), frozenset(), line)
    text, _, rest = line.partition(" => ")
    wanted, _, beyond = rest.partition(" | ")
    names = set(wanted.split())
    effects = frozenset(names & set(NAMED))
    cameras = names & set(CAMERAS)
    if "nothing" in names:
        cameras = {"drift", "still"}
    elif not cameras:
        cameras = {"none", "still"} if effects else {"still"}
    return Reading(text, frozenset(cameras), effects, beyond)
