"""Say what was understood of a prompt, in plain words, and which parts of it pocket can't do."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from pipeline.pocket.intents import CAMERAS, NAMED, REGIONS, SPEEDS, Asked
from pipeline.pocket.language import DEFAULT_REGION
from pipeline.pocket.mood import is_mood
from pipeline.pocket.places import placed
from pipeline.pocket.roles import ASKED, BEYOND, LEFT_OUT
from pipeline.pocket.sunset import setting
from pipeline.pocket.tokens import Token, tokens
from pipeline.pocket.wishes import plain_wish
from pipeline.types import Heard

_MOVES = {
    "still": "the camera stays still", "drift": "a gentle drift",
    "pan_left": "the camera pans left", "pan_right": "the camera pans right",
    "tilt_up": "the camera tilts up", "tilt_down": "the camera tilts down",
    "zoom_in": "the camera zooms in", "zoom_out": "the camera zooms out",
    "roll_cw": "the picture turns clockwise", "roll_ccw": "the picture turns counterclockwise",
}  # fmt: skip
_EFFECTS = {
    "night": "night", "warm": "warm light", "cold": "cold light", "rain": "rain", "snow": "snow", "fog": "fog",
    "sway": "wind", "ripple": "ripples", "breathe": "breathing", "clouds": "drifting clouds",
    "fire": "flickering fire", "twinkle": "twinkling lights", "aurora": "northern lights", "leaves": "falling leaves",
    "smoke": "rising smoke", "dust": "floating dust", "heat": "heat shimmer", "stream": "flowing water",
    "waves": "waves rolling in", "day": "day and night passing", "hue": "colours shifting",
    "shake": "the camera shakes", "dolly": "a dolly zoom",
}  # fmt: skip
_PLACES = {
    "whole": "everywhere", "left": "on the left", "right": "on the right", "top": "at the top",
    "bottom": "at the bottom", "sky": "in the sky", "water": "on the water", "foliage": "in the leaves",
    "subject": "on the subject", "ground": "on the ground",
}  # fmt: skip
_JOINING = frozenset({"and", "while", "then", "but", "as", "with", "plus", "also", "or"})
_MARKS = frozenset(".,;:!?")
MOST_CLAUSES = 8


def hear(prompt: str, read: Callable[[str], tuple[Asked, Tensor]]) -> tuple[Asked, Heard]:
    """Read a prompt with ``read`` (meaning, logits ``[1, S, 3]`` of its tokens' roles), and say what was understood.

    Each clause is read alone besides, for its roles: what can't be done is seen more surely without what can.
    """
    asked, roles = read(plain_wish(prompt))
    # The text encoder takes what tells of calm alone for stillness, or for nothing in particular.
    if CAMERAS[int(asked.camera)] in ("still", "drift") and is_mood(prompt):
        drift = torch.full_like(asked.camera, CAMERAS.index("drift"))
        slow = torch.full_like(asked.camera_speed, min(SPEEDS))
        asked = replace(asked, camera=drift, camera_speed=slow)
    asked = setting(prompt, placed(prompt, asked))
    found = tokens(prompt)[: roles.shape[1]]
    likely = roles.float().log_softmax(-1)
    parts = _clauses(prompt, found)
    for begin, end in parts[:MOST_CLAUSES] if len(parts) > 1 else []:
        part = plain_wish(prompt[found[begin].begin : found[end - 1].end])
        alone = read(part)[1].float().log_softmax(-1)
        likely[:, begin:end] += alone[:, : end - begin]
    return asked, heard(prompt, asked, likely)


def _clauses(prompt: str, found: list[Token]) -> list[tuple[int, int]]:
    """Where the clauses of a prompt begin and end, in tokens: between marks and words that join."""
    joins = [n for n, t in enumerate(found) if prompt[t.begin : t.end].lower() in _JOINING | _MARKS]
    ends = zip([-1, *joins], [*joins, len(found)], strict=True)
    return [(begin + 1, end) for begin, end in ends if end > begin + 1]


def heard(prompt: str, asked: Asked, roles: Tensor) -> Heard:
    """What was understood of a prompt: ``asked`` and the logits ``[1, S, 3]`` of its tokens' roles are its reading."""
    found = tokens(prompt)
    if not found:
        return Heard((), ())
    likeliest = _smooth(roles[0, : len(found)].float()).argmax(-1).tolist()
    # What lies behind the last token that is read was not understood either.
    likeliest += [BEYOND] * (len(found) - len(likeliest))
    named = [*_camera(asked), *_effects(asked)]
    # A drift that was asked for is asked for by every word; any other is what a prompt gets that asks for nothing.
    if asked.camera.item() == CAMERAS.index("drift") and set(likeliest) != {ASKED}:
        named = []
    denied = [f"“{part}”" for part in _parts(prompt, found, likeliest, LEFT_OUT)]
    if not named and not denied:
        return Heard((), (prompt.strip(),))
    return Heard((*named, *denied), tuple(_parts(prompt, found, likeliest, BEYOND)))


def _camera(asked: Asked) -> Iterator[str]:
    name = CAMERAS[int(asked.camera)]
    if name in _MOVES:
        steady = name in ("still", "drift")
        yield _MOVES[name] + ("" if steady else _degree(float(asked.camera_speed), ", slowly", ", fast"))


def _effects(asked: Asked) -> Iterator[str]:
    for index, name in enumerate(NAMED):
        if asked.present[0, index]:
            place = REGIONS[int(asked.region[0, index])]
            words = _EFFECTS[name] + _degree(float(asked.strength[0, index]), ", faint", ", strong")
            words += _degree(float(asked.speed[0, index]), ", slow", ", fast")
            yield words if place == DEFAULT_REGION[name] else f"{words}, {_PLACES[place]}"


def _degree(value: float, less: str, more: str) -> str:
    return less if value < 1 else more if value > 1 else ""


def _smooth(logits: Tensor) -> Tensor:
    """Each token's logits, half its own and half its neighbours': a lone word has no part of its own."""
    sides = torch.cat([logits[:1], logits, logits[-1:]])
    return 0.5 * logits + 0.25 * (sides[:-2] + sides[2:])


def _parts(prompt: str, found: list[Token], roles: list[int], role: int) -> Iterator[str]:
    """The parts of a prompt whose tokens have a role, without the words and marks that join them to others."""
    begin = 0
    while begin < len(roles):
        end = begin
        while end < len(roles) and roles[end] == role:
            end += 1
        words = [t for t in found[begin:end] if prompt[t.begin].isalnum()]
        while words and prompt[words[0].begin : words[0].end].lower() in _JOINING:
            words = words[1:]
        while words and prompt[words[-1].begin : words[-1].end].lower() in _JOINING:
            words = words[:-1]
        if words:
            yield prompt[words[0].begin : words[-1].end]
        begin = max(end, begin + 1)
