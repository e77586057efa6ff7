"""All that ``stream`` knows of a model."""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from pipeline.types import Capabilities, Chunk, Conditioning, VideoFormat

StateT = TypeVar("StateT")
SwappedT = TypeVar("SwappedT")
SavedT = TypeVar("SavedT", contravariant=True)

Progress = Callable[[str], None]
"""Told each stage of a model's start as it begins, in words for people: "warming up: chunk 3 of 5"."""


def silent(stage: str) -> None:
    """Tell nobody."""


class Pipeline(Protocol[StateT]):
    """A model that makes video chunk by chunk; blocking, not thread-safe; weights here, streams in StateT."""

    @property
    def format(self) -> VideoFormat:
        """Size, where no other of its sizes is asked for, and rate of what this pipeline makes."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """Modes, how an image enters, switch policies, quality ladder."""
        ...

    def warm_up(self, progress: Progress = silent) -> tuple[float, ...]:
        """Fill caches and pools; return the seconds that one chunk takes, one number per quality level."""
        ...

    def open(self, conditioning: Conditioning) -> StateT:
        """Begin a take. Raises ConditioningError (no picture, a mode or size it lacks) or CapacityError."""
        ...

    def generate_chunk(self, state: StateT, conditioning: Conditioning) -> Chunk:
        """Make the next chunk; the state moves only if this returns. Raises ConditioningError."""
        ...

    def commit(self, state: StateT) -> None:
        """Write the clean context of the chunk made last; does nothing when it is written already."""
        ...

    def truncate(self, state: StateT, latent: int) -> None:
        """Go back to the boundary before ``latent``, bit-equal to never having made what followed.

        Raises TruncationError when the boundary is ahead, or more than ``truncatable_latents`` back.
        """
        ...

    def close(self, state: StateT) -> None:
        """Free the state's slot; idempotent."""
        ...


@runtime_checkable
class Swapping(Protocol[SwappedT]):
    """A pipeline besides that can go on under another picture: by every policy of its capabilities but ``cut``."""

    def swap(self, state: SwappedT, conditioning: Conditioning) -> SwappedT:
        """Begin a take out of the one before, as ``enter`` says, and give its state in place of that one.

        Latents count on, its size stays, and there is no going back to before this. A state in its slot, so nothing is
        closed. Raises ConditioningError, and leaves the state as it was then.
        """
        ...


@runtime_checkable
class Preparing(Protocol):
    """A pipeline besides that can read what may be asked for before it is, and remembers some."""

    def prepare(self, conditioning: Conditioning) -> None:
        """Read a prompt, so that the first chunk under it comes as soon as any; and a picture, where there is one.

        A picture is read so that a take from it opens sooner; a model that gains nothing by that leaves it. Raises
        ConditioningError for a picture that no take could begin from.
        """
        ...


@runtime_checkable
class Abandoning(Protocol):
    """A pipeline besides that can give up a chunk or a context while it is made."""

    def heed(self, is_given_up: Callable[[], bool]) -> None:
        """Have ``generate_chunk`` and ``commit`` ask this every few milliseconds, from now on.

        Once it says so they raise AbandonedError, the state as before the call. ``open``, ``truncate``, ``swap`` and
        ``restore`` may ask too, so it must say so during those two alone.
        """
        ...


@runtime_checkable
class Resumable(Protocol[SavedT]):
    """A pipeline besides whose streams can go on in another process; one that lacks this loses them with its own.

    ``restore(open(conditioning), saved)`` is a state bit-equal to the saved one, where ``conditioning`` has the picture
    and the seed which that was opened under, on the same kind of machine; or as near to it as ``restore`` says.
    """

    def save(self, state: SavedT) -> bytes:
        """Give what came to the state since it was opened, as bytes that run nothing when they are read."""
        ...

    def restore(self, state: SavedT, saved: bytes) -> None:
        """Take a state just opened to where the saved one was. Raises PipelineError for another model's bytes."""
        ...
