"""The order of replies: one director's first replies come in the order of its commands."""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

Message = dict[str, Any]


class Director(Protocol):
    """One peer that controls a stream; compared by identity. No method blocks or raises."""

    def send(self, message: Message) -> None:
        """Send a message; dropped in silence when the channel is not open (any more)."""
        ...

    def send_at(self, message: Message, pts: int) -> None:
        """Send a message with ``rtp_timestamp`` added: that of ``pts`` (90 kHz ticks) on this peer's video.

        ``frame`` is in the message already. The frame of ``pts`` has been published before this call.
        Order with :meth:`send` is kept: a message that must wait for the RTP origin holds up later ones.
        """
        ...

    def goodbye(self, reason: str) -> None:
        """Send ``goodbye`` with the reason and close the peer soon; returns at once."""
        ...


class Turn:
    """One command's place in the line: its first reply waits for those before, later ones for that."""

    def __init__(self, line: "ReplyLine", message_id: int | None) -> None:
        self.message_id = message_id
        self.line = line
        self._held: list[tuple[Message, int | None]] = []
        self.settled = False
        """Whether the first reply is known."""
        self._passed = False
        self.aside = False
        """Whether later turns may pass it."""

    def step_aside(self) -> None:
        """Hold up nobody any more: what this command waits for has stopped coming."""
        self.aside = True
        self.line.advance()

    def settle(self, message: Message | None, pts: int | None = None) -> None:
        """Give the first reply, once; ``pts`` is that of the frame it names, in 90 kHz ticks.

        None: the command has no reply but one that comes later, which nobody waits behind.
        """
        if not self.settled:
            self.settled = True
            if message is not None:
                self._held.insert(0, (message, pts))
            self.line.advance()

    def follow(self, message: Message, pts: int | None = None) -> None:
        """Give a later reply."""
        self._held.append((message, pts))
        if self._passed:
            self.release()

    def release(self) -> None:
        """Send what is held; the line calls this when the turn comes."""
        self._passed = True
        for message, pts in self._held:
            self.line.send(message, pts)
        self._held.clear()


class ReplyLine:
    """The turns of one director."""

    def __init__(self, director: Director) -> None:
        self._director: Director | None = director
        self._turns: deque[Turn] = deque()

    def take_turn(self, message_id: int | None) -> Turn:
        """Give the next command its place."""
        turn = Turn(self, message_id)
        self._turns.append(turn)
        return turn

    def advance(self) -> None:
        """Send what no turn before holds up."""
        for turn in list(self._turns):
            if turn.settled:
                self._turns.remove(turn)
                turn.release()
            elif not turn.aside:
                break

    def settle_all(self, make: Callable[[int | None], Message]) -> None:
        """Give every turn that is still open the reply made for its message's id."""
        for turn in list(self._turns):
            turn.settle(make(turn.message_id))

    def send(self, message: Message, pts: int | None = None) -> None:
        """Send out of turn."""
        if self._director is None:
            return
        if pts is None:
            self._director.send(message)
        else:
            self._director.send_at(message, pts)

    def close(self) -> None:
        """Drop what was not sent and whatever comes."""
        self._director = None
        self._turns.clear()
