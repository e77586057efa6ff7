"""What one stream's generation is, as one value; weights are elsewhere."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from pipeline.cache import KVCache
from pipeline.drift import Watch
from pipeline.pocket.canvas import Canvas
from pipeline.pocket.decoder import Motion
from pipeline.pocket.fade import Fade
from pipeline.pocket.network import Scene
from pipeline.pocket.own_motion import Asking
from pipeline.pocket.painter.scenery import Scenery
from pipeline.travel import Travel

Reading = Callable[[], Tensor]
"""Waits for the keys and values of a latent, ``[layers, 2, B, P, N, D]``."""


@dataclass(frozen=True, slots=True, eq=False)
class Boundary:
    """Everything that a latent boundary needs to be gone back to, but the cache, which truncates itself.

    ``travel`` is how the prompt stands there, None before there was any. What was made before the latent ``rested`` is
    not to be seen: it was at rest then.
    """

    latents: int
    frames: int
    chunks: int
    last: Tensor
    motion: Motion
    watch: Watch | None = None
    travel: Travel = field(default_factory=Travel)
    rested: int = 0
    asking: Asking = field(default_factory=Asking)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What a stream was seen as up to the latent ``until``, when a prompt had another scene painted."""

    until: int
    canvas: Canvas
    scene: Scene
    cache: KVCache
    read_from: int
    fade: Fade | None
    scenery: Scenery | None


@dataclass(slots=True, eq=False)
class StreamState:
    """One stream of an anchored causal model.

    ``now`` is the boundary that the next chunk begins at, ``past`` older ones, newest last. ``known`` holds the newest
    clean latents ``[1, C, 1, h, w]`` up to ``now``, as many as the cache's ring; contexts before ``read_from`` are not
    in that. ``pending`` is the clean latent whose context is not in the cache yet. ``floor`` is the latent at which the
    picture came, before which there is no going back, ``fade`` the picture that it comes out of. ``scenery`` is what
    was painted where no picture was given, ``looks`` the ones before it that can still be gone back to, ``unnamed`` the
    prompt for which a scene was chosen as it named none. ``reading`` waits for the context of what is pending, if it is
    being read already.
    """

    seed: int
    canvas: Canvas
    scene: Scene
    cache: KVCache
    now: Boundary
    past: deque[Boundary] = field(default_factory=deque[Boundary])
    known: deque[Tensor] = field(default_factory=deque[Tensor])
    read_from: int = 0
    pending: Tensor | None = None
    reading: Reading | None = None
    floor: int = 0
    fade: Fade | None = None
    scenery: Scenery | None = None
    looks: list[Look] = field(default_factory=list[Look])
    unnamed: str | None = None
    closed: bool = False


@dataclass(slots=True, eq=False)
class Made:
    """Latents of a chunk: the boundaries before each, the clean latents, their frames; ``here`` is after the last.

    ``reading`` waits for the context of the newest, which is read beside the making of its frames.
    """

    here: Boundary
    before: list[Boundary] = field(default_factory=list[Boundary])
    cleans: list[Tensor] = field(default_factory=list[Tensor])
    frames: list[Tensor] = field(default_factory=list[Tensor])
    reading: Reading | None = None
