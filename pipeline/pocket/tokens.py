"""Text to the token ids that pocket reads: whole words of a closed vocabulary, punctuation, single digits.

The vocabulary is data, ``vocabulary.txt``, a word a line: first those that ask for something, which a word with a slip
of typing is taken for, then, behind an empty line, those of common English. Ids 0 and 1 are nothing and any other word.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

Encode = Callable[[str], npt.NDArray[np.int64]]
VOCABULARY = Path(__file__).with_name("vocabulary.txt")
PADDING, UNKNOWN = 0, 1
_PIECE = re.compile(r"['\u2019]s\b|[^\W\d_]+(?:['\u2019](?!s\b)[^\W\d_]+)*|\d|[^\w\s]|_")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Shorter words are too near to others for a slip to be told.
_SLIP_LETTERS = 5
_HALF_LETTERS = 3


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its id, and where it stands in the text."""

    id: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words with their ids, and those that a slip of typing is mended to."""

    ids: dict[str, int]
    asking: frozenset[str]

    def find(self, word: str) -> tuple[int, ...]:
        """The id of a word in lower case, or of what it seems to be.

        That is the nearest word that may ask for something where one letter is amiss, or else two words written as one.
        """
        known = self.ids.get(word)
        if known is not None or len(word) < _SLIP_LETTERS or not word.isascii():
            return (UNKNOWN if known is None else known,)
        if slip := next((near for near in _slips(word) if near in self.asking), None):
            return (self.ids[slip],)
        halves = ((word[:at], word[at:]) for at in range(len(word) - _HALF_LETTERS, _HALF_LETTERS - 1, -1))
        return next(((self.ids[a], self.ids[b]) for a, b in halves if a in self.ids and b in self.ids), (UNKNOWN,))


@cache
def vocabulary() -> Vocabulary:
    """Read the vocabulary, once."""
    asking, _, others = VOCABULARY.read_text(encoding="utf-8").partition("\n\n")
    words = asking.split("\n") + others.split()
    return Vocabulary({word: number for number, word in enumerate(words, UNKNOWN + 1)}, frozenset(asking.split("\n")))


def pieces(text: str) -> Iterator[re.Match[str]]:
    """Words, digits and marks, as they follow each other.

    >>> [piece[0] for piece in pieces("Don't pan, zoom 10x!")]
    ["Don't", 'pan', ',', 'zoom', '1', '0', 'x', '!']
    """
    return _PIECE.finditer(text)


def tokens(text: str) -> list[Token]:
    """All tokens of a text, however many.

    >>> [token.id == UNKNOWN for token in tokens("the camrea pans brzlgrmpf")]
    [False, False, False, True]
    """
    known = vocabulary()
    return [
        Token(number, piece.start(), piece.end())
        for piece in pieces(text)
        for number in known.find(piece[0].lower().replace("\u2019", "'"))
    ]


def tokenizer(length: int) -> Encode:
    """Give a function from text to ids ``int64 [length]``: no start or end marks, 0 behind the end.

    >>> (tokenizer(4)("It rains!") > UNKNOWN).tolist()
    [True, True, True, False]
    """

    def encode(text: str) -> npt.NDArray[np.int64]:
        ids = [token.id for token in tokens(text)[:length]]
        return np.pad(np.asarray(ids, np.int64), (0, length - len(ids)))

    return encode


def _slips(word: str) -> Iterator[str]:
    """What may have been meant, the likeliest first: two letters swapped, one doubled, missing, too many, wrong."""
    cuts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    yield from (a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1)
    yield from (a + b[1:] for a, b in cuts if a and b and a[-1] == b[0])
    yield from (a + letter + b for a, b in cuts for letter in _LETTERS)
    yield from (a + b[1:] for a, b in cuts if b)
    yield from (a + letter + b[1:] for a, b in cuts if b for letter in _LETTERS)
