"""The directors of one stream: each has a seat, whose replies keep their order, and all are told of the others."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from stream.directors import Baton, Person
from stream.errors import StreamError
from stream.picture import Picture
from stream.protocol import ClientMessage
from stream.replies import Director, Message, ReplyLine, Turn
from stream.server_messages import error_message


@dataclass(slots=True, eq=False)
class Command:
    """A command that has its turn; ``received`` is loop time. A picture's ``outcome`` is missing at first.

    ``by`` is who gave it.
    """

    message: ClientMessage
    turn: Turn
    received: float
    by: Person
    outcome: Picture | StreamError | None = None


@dataclass(slots=True, eq=False)
class Seat:
    """A director's place: its replies in order, its commands that wait for an upload."""

    line: ReplyLine
    person: Person
    is_peer: bool = True
    """Whether it counts as a director who is there."""
    waiting: list[Command] = field(default_factory=list[Command])


class Seats:
    """Who directs, and who of them has the baton."""

    def __init__(self) -> None:
        self._taken: dict[Director, Seat] = {}
        self._peers_seated = 0
        self._baton = Baton()

    def __len__(self) -> int:
        return len(self._taken)

    def __iter__(self) -> Iterator[Director]:
        return iter(self._taken)

    @property
    def peers(self) -> int:
        """How many directors are there."""
        return len(self._present())

    def find(self, director: Director) -> Seat | None:
        """Give a director's seat, None where it has none (any more)."""
        return self._taken.get(director)

    def take(self, director: Director, is_peer: bool) -> None:
        """Seat a director, under a name of its own; idempotent."""
        if director not in self._taken:
            self._peers_seated += is_peer
            name = f"director-{self._peers_seated}" if is_peer else "http"
            self._taken[director] = Seat(ReplyLine(director), Person(name), is_peer)

    def leave(self, director: Director) -> bool:
        """Take a director away, with what it waits for, and tell the others; False where it was not there."""
        seat = self._taken.pop(director, None)
        if seat is None:
            return False
        seat.line.close()
        seat.waiting.clear()
        self._baton.leave(seat.person)
        self._tell_directors()
        return True

    def dismiss(self, last: Message, reason: str) -> None:
        """Refuse what is not answered yet, tell everyone this last message, and say goodbye."""
        taken, self._taken = self._taken, {}
        for director, seat in taken.items():
            seat.line.settle_all(partial(error_message, StreamError("internal", reason)))
            seat.line.send(last)
            seat.line.close()
            director.goodbye(reason)

    def admit(self, command: Command) -> None:
        """Let a command through. Raises StreamError ``wrong_state`` while somebody else has the baton."""
        self._baton.admit(command.by, command.message)

    def introduce(self, line: ReplyLine, name: str) -> None:
        """Give the director of this line a name, and tell all who is there."""
        for seat in self._taken.values():
            if seat.line is line:
                seat.person = replace(seat.person, name=name)
        self._tell_directors()

    def hand_over(self, to: str | None) -> None:
        """Give the baton to a director, or to nobody, and tell all. Raises StreamError ``not_found``."""
        self._baton.hand(to, self._present())
        self._tell_directors()

    def tell_all(self, message: Message) -> None:
        """Send a message to every director."""
        for seat in self._taken.values():
            seat.line.send(message)

    def tell_others(self, line: ReplyLine, message: Message) -> None:
        """Send a message to every director but the one of this line."""
        for seat in self._taken.values():
            if seat.line is not line:
                seat.line.send(message)

    def _present(self) -> list[Person]:
        return [seat.person for seat in self._taken.values() if seat.is_peer]

    def _tell_directors(self) -> None:
        for seat in self._taken.values():
            if seat.is_peer:
                seat.line.send(self._baton.describe(self._present(), seat.person))
