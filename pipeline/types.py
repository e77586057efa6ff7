"""The values that cross the border between ``stream`` and ``pipeline``; plain data, no torch."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

Mode = Literal["t2v", "i2v"]
Policy = Literal["blend", "recache", "flush", "cut", "auto"]
PicturePolicy = Literal["cut", "flush", "blend"]
"""How another picture comes in: as a take that begins anew, with the motion going on, or as that by a cross-fade."""
ImageEntry = Literal["none", "first_latent", "clip", "anchor"]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """What a pipeline makes: pixel size, nominal rate, and how frames group into latents and chunks.

    The size is the first of :attr:`Capabilities.sizes`, which is made where no picture asks for another.
    """

    width: int
    height: int
    fps: Fraction
    latents_per_chunk: int
    frames_per_latent: int

    @property
    def chunk_seconds(self) -> Fraction:
        """Playing time of one chunk in seconds; it is the same at every rate.

        >>> VideoFormat(832, 480, Fraction(16), 1, 4).chunk_seconds
        Fraction(1, 4)
        """
        return Fraction(self.latents_per_chunk * self.frames_per_latent) / self.fps


@dataclass(frozen=True, slots=True)
class QualityLevel:
    """One rung of a model's quality ladder: a name for people and the frame rate it makes.

    ``helps_at_once`` tells that its first chunk already takes its time; what changes the picture little by little saves
    nothing until that is over.
    """

    name: str
    fps: Fraction
    helps_at_once: bool = True


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do, told truthfully to clients.

    ``sizes`` are the widths and heights that a take may have, each about as much work. ``quality`` runs from best to
    least; rung 0 is the nominal one. ``truncatable_latents`` is how far back
    :meth:`pipeline.interface.Pipeline.truncate` reaches. ``needs`` says in a sentence what the model must have to run.
    ``scenes`` are examples for text alone, where ``examples`` are for a picture. ``joins_midway`` tells that a latent
    made again goes on, unseen, from the first half of what it was (``Conditioning.skip``). ``settled`` is what settings
    left to the machine have come to, as ``section.key=value``: with these and the others it makes the same bytes on
    another start.
    """

    model: str
    modes: tuple[Mode, ...]
    image_entry: ImageEntry
    policies: tuple[Policy, ...]
    sizes: tuple[tuple[int, int], ...]
    quality: tuple[QualityLevel, ...]
    max_streams: int
    truncatable_latents: int
    examples: tuple[str, ...]
    needs: str = ""
    settled: tuple[str, ...] = ()
    picture_policies: tuple[PicturePolicy, ...] = ("cut",)
    scenes: tuple[str, ...] = ()
    joins_midway: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Conditioning:
    """What was asked for, as it stood at one chunk boundary.

    ``image`` is the whole upright sRGB picture, ``uint8 [H, W, 3]``, or None. The pipeline scales it to cover the
    take's size and crops the centre (:func:`pipeline.geometry.cover_crop`). ``revision`` grows by one with every
    command, ``quality`` indexes :attr:`Capabilities.quality`. ``policy`` is how its prompt comes in where another was
    in force, ``over_s`` the seconds of a ``blend``. ``enter`` is how its take comes out of the one before, ``enter_s``
    the seconds of a cross-fade. ``skip`` is how many frames of the chunk are left out at its beginning: they were shown
    as they were before it was made again; only for a model that ``joins_midway``. ``size`` is the width and height that
    a take is opened in, one of :attr:`Capabilities.sizes`; None is the one nearest in shape to the picture.
    """

    mode: Mode
    prompt: str
    image: Pixels | None
    seed: int
    revision: int = 0
    policy: Policy = "auto"
    quality: int = 0
    enter: PicturePolicy = "cut"
    enter_s: float = 0.0
    over_s: float = 0.5
    size: tuple[int, int] | None = None
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """A place inside a chunk that :meth:`pipeline.interface.Pipeline.truncate` can go back to: what lies before it."""

    frames: int
    latents: int


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a video is from what it was when its prompt had just settled, each as a share of that.

    ``similarity`` is the cosine of CLIP's features, None where no CLIP is loaded; ``is_reanchoring`` tells that the
    video is being brought back.

    >>> Drift(-0.02, 0.0, 0.31, 0.1).largest
    0.31
    """

    luma: float
    contrast: float
    saturation: float
    sharpness: float
    similarity: float | None = None
    is_reanchoring: bool = False

    @property
    def largest(self) -> float:
        """The largest share, of either sign."""
        return max(abs(self.luma), abs(self.contrast), abs(self.saturation), abs(self.sharpness))


@dataclass(frozen=True, slots=True)
class Heard:
    """What a model of a closed vocabulary took from a prompt, in plain words, and the parts that it can't do.

    Both are empty for an empty prompt.
    """

    understood: tuple[str, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Frames that the model made together.

    ``frames`` is ``uint8 [F, H, W, 3]`` RGB in host memory; F follows from the quality's rate, so trust
    the array. ``first_frame`` and ``first_latent`` count from this ``open``. ``timings_ms`` is
    milliseconds by stage. ``cuts`` are the places inside it that the stream can go back to, in order. ``drift`` is
    None until there is something to be measured from. ``heard`` is what was understood of its prompt, None where a
    model takes all words as they come.
    """

    index: int
    first_frame: int
    first_latent: int
    latents: int
    frames: Pixels
    fps: Fraction
    revision: int
    quality: int
    timings_ms: dict[str, float] = field(default_factory=dict[str, float])
    cuts: tuple[Cut, ...] = ()
    drift: Drift | None = None
    heard: Heard | None = None
