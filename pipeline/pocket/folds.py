"""Which pictures are kept out of a training of the layers: some for good, and with a fold every Nth besides."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fold:
    """Every ``count``-th picture from ``first`` on is kept out."""

    first: int
    count: int

    @classmethod
    def read(cls, text: str) -> "Fold":
        """Read ``K/N``. Raises ValueError where that is no fold.

        >>> Fold.read("2/3")
        Fold(first=2, count=3)
        """
        first, count = map(int, text.split("/"))
        if not 0 <= first < count:
            raise ValueError(f"{text} is no fold: write K/N, K from 0 to N - 1")
        return cls(first, count)


def kept(marked: Sequence[bool], fold: Fold | None) -> list[bool]:
    """Which pictures are not trained on: those that are marked so, and those of a fold.

    >>> kept([True, False, False, False], None), kept([True, False, False, False], Fold(1, 2))
    ([True, False, False, False], [True, True, False, True])
    """
    if fold is None:
        return list(marked)
    return [mark or index % fold.count == fold.first for index, mark in enumerate(marked)]


def judged(marked: Sequence[bool], fold: Fold | None) -> list[bool]:
    """Which pictures judge: those that are marked so, or of a fold the others that it keeps out.

    >>> judged([True, False, False, False], None), judged([True, False, False, False], Fold(0, 3))
    ([True, False, False, False], [False, False, False, True])
    """
    if fold is None:
        return list(marked)
    return [not mark and index % fold.count == fold.first for index, mark in enumerate(marked)]
