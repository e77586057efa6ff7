"""How a causal Wan model is run, as one value."""

from dataclasses import dataclass
from fractions import Fraction

from pipeline.types import ImageEntry, Mode
from pipeline.wan.sizes import TRAINED_LATENTS
from pipeline.wan.window import Positions


@dataclass(frozen=True, slots=True)
class Plan:
    """How a causal Wan model is run; see ``configs/wan_1_3b.yaml`` for what each value means.

    ``steps`` holds the denoising steps of each quality level, best first, ``reanchor`` the drift from which the video
    is brought back (0: never). ``recaches`` tells that there is room for a second window for a while.
    """

    name: str
    needs: str
    width: int
    height: int
    fps: Fraction
    latents_per_chunk: int
    steps: tuple[tuple[float, ...], ...]
    shift: float
    context_noise: float
    window: int
    sink: int
    positions: Positions
    first_alone: bool
    image_entry: ImageEntry
    max_streams: int
    keep_rotated: bool
    reanchor: float = 0.0
    recaches: bool = True

    @property
    def gap(self) -> int:
        """Places that a cut leaves free: as many as a window may be longer and stay within what was trained."""
        return max(0, TRAINED_LATENTS - self.window)

    @property
    def modes(self) -> tuple[Mode, ...]:
        """What can be asked for: a network that must see a picture makes nothing from text alone."""
        both: dict[ImageEntry, tuple[Mode, ...]] = {"none": ("t2v",), "clip": ("i2v",)}
        return both.get(self.image_entry, ("t2v", "i2v"))

    def count(self, cached: int, mode: Mode) -> int:
        """How many latents the next chunk has: one to begin from text alone, where the model was trained so."""
        return 1 if self.first_alone and cached == 0 and mode == "t2v" else self.latents_per_chunk
