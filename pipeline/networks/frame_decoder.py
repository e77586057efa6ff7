"""What turns a stream's latents into frames, and the memory that such a network hands from call to call."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class VAEMemory:
    """What a causal video network has seen of one stream, one way (encoding or decoding); nothing changes it.

    ``slots`` are the frames that its convolutions look back at, in the order in which a forward pass meets them;
    a slot that has no history yet is None, and no slots at all are a stream's beginning. ``pending`` are pixel frames
    ``[B, 3, F, H, W]`` that wait for the rest of their group, when encoding.
    """

    slots: tuple[Tensor | None, ...] = ()
    pending: Tensor | None = None

    @property
    def is_beginning(self) -> bool:
        """Whether nothing of the stream went through yet.

        >>> VAEMemory().is_beginning
        True
        """
        return not self.slots


class FrameDecoder(Protocol):
    """A decoder as live video needs it: latents in, frames out, its past in the caller's hands."""

    @property
    def memory_latents(self) -> int:
        """From how many latents its memory follows, the newest among them, whatever came before."""
        ...

    def decode_frames(self, latents: Tensor, memory: VAEMemory | None) -> tuple[Tensor, VAEMemory]:
        """Decode the next latents of a stream.

        Args:
            latents: ``float [B, 16, T, h, w]``, as the transformer makes them (normalised).
            memory: what the last call gave, or None at a stream's beginning.

        Returns:
            Frames ``float32 [B, 3, F, H, W]`` in 0..1, one for a stream's first latent and four for each other,
            and the memory for the next call.
        """
        ...
