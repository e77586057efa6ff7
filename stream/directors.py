"""Who directs a stream together, and which of them has the baton.

Everyone who holds the control token directs, until one is handed the baton; then the commands of the others are refused
until it is handed on, taken over, or its holder leaves. It is a courtesy among people who trust each other with the
token, so that two do not talk at once: whoever wants it may take it, and all are told.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from stream.errors import StreamError
from stream.protocol import Bookmark, ClientMessage, Fork, Hello, Ping, Prepare, TakeOver

FREE = (Hello, Ping, TakeOver, Prepare, Bookmark, Fork)
"""Commands that change nothing of what the others see."""


@dataclass(frozen=True, slots=True)
class Person:
    """A director who is there: an id that the server gives, and the name that it was told, which may be empty."""

    id: str
    name: str = ""

    @property
    def label(self) -> str:
        """Id and name, for a log.

        >>> Person("director-2", "Ann").label, Person("http").label
        ('director-2 (Ann)', 'http')
        """
        return f"{self.id} ({self.name})" if self.name else self.id


class Baton:
    """Who has the baton; nobody at first, and then all direct."""

    def __init__(self) -> None:
        self.holder: str | None = None

    def admit(self, by: Person, message: ClientMessage) -> None:
        """Let a command through. Raises StreamError ``wrong_state`` while somebody else has the baton."""
        if self.holder is not None and self.holder != by.id and not isinstance(message, FREE):
            told = f"{self.holder} has the baton; ask for it, or take over"
            raise StreamError("wrong_state", f"{told} with `take_over`.")

    def hand(self, to: str | None, present: Iterable[Person]) -> None:
        """Give it to one of these, or to nobody. Raises StreamError ``not_found``."""
        if to is not None and all(person.id != to for person in present):
            raise StreamError("not_found", f"There is no director {to[:40]!r} here (any more).")
        self.holder = to

    def leave(self, person: Person) -> None:
        """Let everyone direct again when its holder goes."""
        if self.holder == person.id:
            self.holder = None

    def describe(self, present: Iterable[Person], you: Person) -> dict[str, Any]:
        """Make the ``directors`` message for one of them."""
        directors = [{"director": person.id, "name": person.name} for person in present]
        return {"type": "directors", "you": you.id, "directors": directors, "baton": self.holder}
