"""What a stream was asked, kept where its model can't take it along when it dies."""

from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.types import Conditioning


@dataclass(slots=True, eq=False)
class Journal:
    """All that makes a stream's state again: how it was opened, its last checkpoint, what was called since.

    ``saved`` is what :meth:`pipeline.interface.Resumable.save` gave, None before the first.
    """

    opening: Conditioning
    saved: bytes | None = None
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list[tuple[str, tuple[Any, ...]]])
    """(method of PipelineHost, its arguments after the id) of each call that succeeded, in their order."""

    @property
    def chunks(self) -> int:
        """How many chunks would have to be made again.

        >>> journal = Journal(Conditioning("t2v", "", None, 0))
        >>> journal.add("generate", (journal.opening,))
        >>> journal.add("commit", ())
        >>> journal.chunks
        1
        >>> journal.checkpoint(b"...")
        >>> journal.chunks
        0
        """
        return sum(method == "generate" for method, _ in self.calls)

    def add(self, method: str, arguments: tuple[Any, ...]) -> None:
        """Note a call that was carried out."""
        self.calls.append((method, arguments))

    def checkpoint(self, saved: bytes) -> None:
        """Begin anew from a state that was saved, in the take that was opened last."""
        for method, arguments in self.calls:
            if method == "open":
                # What it came out of is in the state.
                self.opening = replace(arguments[0], enter="cut")
        self.saved = saved
        self.calls.clear()
