"""Keys and values of the latents that a chunk attends to: the first ones, and the newest that fit.

A call for a chunk sees at most ``window`` latents, its own included. The first ``sink`` latents stay for good, the
oldest of the others go. Nothing is shifted: slots of a ring are overwritten. Keys are kept un-rotated and placed when
read, so positions can stay inside the trained range for ever (arXiv 2509.22622, 2511.20649).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from pipeline.errors import ConfigError, TruncationError
from pipeline.networks.rope import rotate, rotations
from pipeline.networks.transformer import KeyValue, TransformerConfig

Positions = Literal["absolute", "relative"]


@dataclass(frozen=True, slots=True)
class WindowShape:
    """Sizes of a window: latents in all, latents that stay, and the patch grid ``(rows, columns)`` of one.

    ``gap`` is how many places a cut leaves free.
    """

    window: int
    sink: int
    grid: tuple[int, int]
    gap: int = 0

    @property
    def tokens(self) -> int:
        """P, tokens of one latent."""
        return self.grid[0] * self.grid[1]


@dataclass(frozen=True, slots=True)
class Past:
    """What a call sees of the past: the sink and, of what the window has, the latents from ``floor`` on.

    Latents from ``cut`` on are placed further away from those before it than they are.
    """

    floor: int = 0
    cut: int | None = None

    def places(self, latents: Sequence[int], gap: int) -> list[int]:
        """Number the places of latents in order, with ``gap`` of them left free at the cut.

        >>> Past(cut=6).places([0, 4, 5, 6, 7], 9), Past().places([0, 4, 5], 9)
        ([0, 1, 2, 12, 13], [0, 1, 2])
        """
        return [place + self.shift(latent, gap) for place, latent in enumerate(latents)]

    def shift(self, latent: int, gap: int) -> int:
        """Give how much later than it is a latent is placed."""
        return gap if self.cut is not None and latent >= self.cut else 0


WHOLE = Past()


class SeenWindow(Sequence[KeyValue]):
    """What a call sees of the past, layer by layer: rotated keys and values ``[B, L, N, D]``.

    A layer is rotated when it is asked for; with ``keep`` the result stays for the other calls of the chunk, which
    is faster and takes the memory of a second window. ``stored`` is the cache's, ``slots`` ``int64 [S]`` are those
    seen, in order, and ``rotation`` is that of their tokens.
    """

    def __init__(self, stored: Tensor, slots: list[int], rotation: Tensor, keep: bool) -> None:
        self.stored, self.rotation, self._keep = stored, rotation, keep
        self.slots = torch.tensor(slots, device=stored.device)
        self._rotated: dict[int, KeyValue] = {}

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, layer: int) -> KeyValue:  # type: ignore[override]  # no slices
        if layer in self._rotated:
            return self._rotated[layer]
        k, v = (part.index_select(1, self.slots).flatten(1, 2) for part in self.stored[layer])
        pair = rotate(k, self.rotation), v
        if self._keep:
            self._rotated[layer] = pair
        return pair


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one chunk's calls are made under: the past, or None at the start, and where the chunk itself stands.

    ``token`` tells it from every other without holding it.
    """

    past: SeenWindow | None
    rotation: Tensor
    token: object = field(default_factory=object)


@dataclass(slots=True, eq=False)
class WindowCache:
    """The cache of one stream (or of a batch of like ones).

    ``stored`` is ``[layers, 2, B, slots, P, N, D]``, ``latents`` counts what was appended, ``held`` tells which
    latent each slot holds.
    """

    config: TransformerConfig
    shape: WindowShape
    dtype: torch.dtype = torch.float32
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    batch: int = 1
    keep_rotated: bool = False
    latents: int = 0
    held: list[int] = field(init=False)
    stored: Tensor = field(init=False)

    def __post_init__(self) -> None:
        config, shape = self.config, self.shape
        size = (config.num_layers, 2, self.batch, shape.window, shape.tokens, config.num_heads, config.head_dim)
        self.stored = torch.zeros(size, dtype=self.dtype, device=self.device)
        self.held = [-1] * shape.window

    def kept(self, count: int, past: Past = WHOLE) -> list[int]:
        """Number the latents that the next ``count`` ones see before them, oldest first.

        Raises ConfigError when sink and chunk do not fit into the window together.
        """
        window, sink = self.shape.window, self.shape.sink
        if sink + count > window:
            raise ConfigError(f"a chunk of {count} latents and a sink of {sink} need a window of {sink + count}")
        room = window - count
        fits = self.latents <= room
        ring = range(0 if fits else max(past.floor, self.latents - (room - sink)), self.latents)
        if fits:
            return [latent for latent in ring if latent < sink or latent >= past.floor]
        return [*range(sink), *ring]

    def see(self, count: int, positions: Positions, past: Past = WHOLE) -> Seen:
        """Give what a call for the next ``count`` latents sees.

        ``absolute`` places every latent at its number, for ever; ``relative`` at its place in the window, which is
        the same until the window first rolls and never exceeds it after.
        """
        # All are held but where a stream is made again from its newest latents.
        kept = [latent for latent in self.kept(count, past) if self.held[self._slot(latent)] == latent]
        first, gap = self.latents if positions == "absolute" else len(kept), self.shape.gap
        here = self._rotations([place + past.shift(self.latents, gap) for place in range(first, first + count)])
        if not kept:
            return Seen(None, here)
        by_number = [latent + past.shift(latent, gap) for latent in kept]
        there = self._rotations(by_number if positions == "absolute" else past.places(kept, gap))
        slots = [self._slot(latent) for latent in kept]
        return Seen(SeenWindow(self.stored, slots, there, self.keep_rotated), here)

    def append(self, own: Sequence[KeyValue], count: int) -> None:
        """Keep keys (un-rotated) and values ``[B, count * P, N, D]`` of the next latents, one pair a layer."""
        for index in range(count):
            slot = self._slot(self.latents + index)
            tokens = slice(index * self.shape.tokens, (index + 1) * self.shape.tokens)
            for layer, pair in enumerate(own):
                for part, values in enumerate(pair):
                    self.stored[layer, part, :, slot] = values[:, tokens]
            self.held[slot] = self.latents + index
        self.latents += count

    def clear(self) -> None:
        """Hold nothing."""
        self.latents, self.held = 0, [-1] * self.shape.window

    def truncate(self, latents: int, count: int, past: Past = WHOLE) -> None:
        """Forget what came after the first ``latents``.

        Raises TruncationError when what the next ``count`` latents would see then is not held any more.
        """
        if not 0 <= latents <= self.latents:
            raise TruncationError(f"a cache of {self.latents} latents cannot go back to {latents}")
        before, self.latents = self.latents, latents
        if any(self.held[self._slot(latent)] != latent for latent in self.kept(count, past)):
            self.latents = before
            raise TruncationError(f"a window of {self.shape.window} does not reach back from {before} to {latents}")

    def rows(self, layer: int, positions: Positions) -> Iterator[KeyValue]:
        """Give each latent that is held in logical order, keys rotated, as ``[B, P, N, D]`` twice: for comparison."""
        for place, latent in enumerate(self.kept(0)):
            k, v = self.stored[layer, :, :, self._slot(latent)]
            yield rotate(k, self._rotations([latent if positions == "absolute" else place])), v

    def _slot(self, latent: int) -> int:
        sink = self.shape.sink
        return latent if latent < sink else sink + (latent - sink) % (self.shape.window - sink)

    def _rotations(self, latents: Sequence[int]) -> Tensor:
        frames = torch.tensor(list(latents), dtype=torch.float64, device=self.device)
        return rotations(frames, *self.shape.grid, self.config.head_dim)
