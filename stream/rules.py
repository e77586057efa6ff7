"""What a field of a client's message must be: one JSON Schema that both the check and the reference go by."""

import operator
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pipeline.types import Mode, PicturePolicy, Policy


def _is_integer(value: Any) -> bool:
    # Not isinstance: to that, a bool is an int.
    return type(value) is int


def _is_number(value: Any) -> bool:
    # 1e999 reads as infinity, and an integer of 400 digits is more than a float can hold.
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_text(value: Any) -> bool:
    # JSON can spell half of a surrogate pair, which can't be written as UTF-8 again.
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


_TYPES: dict[str, Callable[[Any], bool]] = {"integer": _is_integer, "number": _is_number, "string": _is_text}
_KEYWORDS: dict[str, Callable[[Any, Any], bool]] = {
    "enum": lambda value, choices: value in choices,
    "pattern": lambda value, pattern: re.fullmatch(pattern, value) is not None,
    "minimum": operator.ge,
    "exclusiveMinimum": operator.gt,
    "maximum": operator.le,
}


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """What a value must be: ``wanted`` says it in words, ``schema`` as JSON Schema (draft 2020-12).

    >>> rule = Rule("an integer of 0 or more", {"type": "integer", "minimum": 0})
    >>> rule.accepts(3), rule.accepts(-3), rule.accepts("3")
    (True, False, False)
    """

    wanted: str
    schema: Mapping[str, Any]

    def accepts(self, value: Any) -> bool:
        """Tell whether a value read from JSON satisfies the schema.

        Stricter in what the schema can't say: 1.0 is no integer, a number fits a float, a string can be
        written as UTF-8. Raises KeyError for a keyword that is not known here.
        """
        if not _TYPES[self.schema["type"]](value):
            return False
        bounds = {keyword: bound for keyword, bound in self.schema.items() if keyword != "type"}
        return all(_KEYWORDS[keyword](value, bound) for keyword, bound in bounds.items())


def choice(values: tuple[str, ...]) -> Rule:
    """Make the rule that a value is one of these."""
    return Rule(f"one of {', '.join(values)}", {"type": "string", "enum": list(values)})


INTEGER = Rule("an integer", {"type": "integer"})
NATURAL = Rule("an integer of 0 or more", {"type": "integer", "minimum": 0})
POSITIVE = Rule("an integer above 0", {"type": "integer", "exclusiveMinimum": 0})
SEED = Rule("an integer from 0 to 2^63 - 1", {"type": "integer", "minimum": 0, "maximum": 2**63 - 1})
NUMBER = Rule("a number", {"type": "number"})
SECONDS = Rule("a number of 0 or more", {"type": "number", "minimum": 0})
RATE = Rule("a number above 0", {"type": "number", "exclusiveMinimum": 0})
TEXT = Rule("a string of whole characters", {"type": "string"})
NAME = Rule("a line of at most 40 characters", {"type": "string", "pattern": "^[^\\u0000-\\u001f\\u007f]{0,40}$"})
SHA256 = Rule("64 hexadecimal digits", {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"})
MODE = choice(get_args(Mode))
POLICY = choice(get_args(Policy))
PICTURE_POLICY = choice(get_args(PicturePolicy))
FADE_S = Rule("a number from 0 to 10", {"type": "number", "minimum": 0, "maximum": 10})
