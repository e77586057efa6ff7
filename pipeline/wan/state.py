"""What one stream of a Wan model is, as one value."""

from collections import deque
from dataclasses import dataclass, field

from torch import Tensor

from pipeline.drift import Watch
from pipeline.networks.frame_decoder import VAEMemory
from pipeline.networks.transformer import CrossKeyValues
from pipeline.travel import Said
from pipeline.types import Pixels
from pipeline.wan.fade import Fade
from pipeline.wan.given import Given
from pipeline.wan.known import Known
from pipeline.wan.sampler import Guide
from pipeline.wan.switch import Course
from pipeline.wan.window import Seen, WindowCache


@dataclass(frozen=True, slots=True, eq=False)
class Boundary:
    """A chunk's beginning: what was counted, what the decoder remembers there, how far the video has drifted.

    ``made`` counts latents of the take, ``cached`` those that the window holds, a picture's with them. ``course`` is
    what the chunk before was made under.
    """

    made: int
    cached: int
    frames: int
    chunks: int
    memory: VAEMemory | None
    watch: Watch | None = None
    course: Course = field(default_factory=Course)


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A chunk that can be taken back: where it began, its clean latents ``[1, C, T, h, w]``, and the window before it.

    ``cache`` and ``known`` are that window and what it can be made again from: a prompt that came in by ``recache``
    left them as they were.
    """

    begin: Boundary
    clean: Tensor
    cache: WindowCache
    known: list[Known]


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A chunk that was made and not read yet: clean latents ``[1, C, T, h, w]`` and what they were made under."""

    clean: Tensor
    guide: Guide
    seen: Seen


@dataclass(slots=True, eq=False)
class WanState:
    """One stream: picture, window, where its next chunk begins, the chunks that can be taken back (newest last).

    ``begun`` counts the chunks before its first one under this picture, -1 where that went on from those before, and
    ``fade`` is what it comes out of. ``known`` are the latents of the sink and the newest ones, from which window and
    decoder can be made again. ``seen`` is what the next chunk sees, once the last one was read, if its prompt is that
    one's. ``cross`` are the cross-attention's keys and values under what is ``said``, 94 MB for the 1.3B model.
    """

    seed: int
    image: Pixels | None
    given: Given
    cache: WindowCache
    now: Boundary
    past: deque[Made] = field(default_factory=deque[Made])
    begun: int = 0
    fade: Fade | None = None
    known: list[Known] = field(default_factory=list[Known])
    pending: Pending | None = None
    seen: Seen | None = None
    said: Said | None = None
    cross: list[CrossKeyValues] | None = None
    closed: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether anything was made in this take."""
        return bool(self.known) and not self.known[-1].is_given
