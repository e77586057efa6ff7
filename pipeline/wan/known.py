"""The latents of a stream that can be read again, and what they are read under."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pipeline.travel import Said
from pipeline.wan.window import WHOLE, Past

Serves = Literal["both", "window", "decoder"]


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Latents that were read together, to be read again: clean ``[1, C, T, h, w]``, and what they were under.

    ``first`` is their place in the window's count, ``count`` how many of them stand: the others were cut off, and seen
    by these. ``said`` is the text, ``past`` what they saw of the window. A picture is ``is_given``. What was flushed
    serves the decoder alone, and the picture that came in then the window alone.
    """

    clean: Tensor
    first: int
    count: int
    said: Said
    is_given: bool = False
    serves: Serves = "both"
    past: Past = WHOLE

    @property
    def end(self) -> int:
        """The place after them."""
        return self.first + self.count
