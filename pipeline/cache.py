"""What a stream's transformer has seen: keys and values of a sink and of the newest latents, in a ring.

Attention does not care for the order of keys, so nothing is ever shifted: the oldest slot is overwritten, the sink
never. Keys are kept un-rotated and placed relative to the window when read, so positions never leave the range that
was trained and a stream never has to be cut. The ring is longer than the window by what may be taken back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.errors import TruncationError
from pipeline.networks.rope import rotate
from pipeline.networks.transformer import KeyValue


@dataclass(slots=True, eq=False)
class KVCache:
    """Ring and sink of one stream.

    ``ring`` holds keys and values ``[layers, 2, slots, B, P, N, D]``, P the tokens of a latent. ``rest`` stands for
    every latent before the first: a stream begins as if it had always been at rest; it lies in one slot more, the
    last. ``latents`` counts what was appended; those before ``floor`` are seen as if they had been at rest.
    """

    sink: list[KeyValue]
    rest: list[KeyValue]
    window: int
    spare: int
    latents: int = 0
    floor: int = 0
    ring: Tensor = field(init=False)

    def __post_init__(self) -> None:
        size = self.rest[0][0].shape
        self.ring = self.rest[0][0].new_empty(len(self.rest), 2, self.slots + 1, *size)
        self._put(self.rest, -1)

    @property
    def slots(self) -> int:
        """How many latents are held at most."""
        return self.window + self.spare

    def append(self, pairs: Sequence[KeyValue] | Tensor) -> None:
        """Keep keys (un-rotated) and values of the next latent: ``[B, P, N, D]`` for every layer.

        They may come as one tensor ``[layers, 2, B, P, N, D]``.
        """
        slot = self.latents % self.slots
        if isinstance(pairs, Tensor):
            self.ring[:, :, slot] = pairs
        else:
            self._put(pairs, slot)
        self.latents += 1

    def _put(self, pairs: Sequence[KeyValue], slot: int) -> None:
        for layer, (k, v) in enumerate(pairs):
            self.ring[layer, 0, slot] = k
            self.ring[layer, 1, slot] = v

    def seen(self) -> list[int]:
        """Name the slots of the window before the next latent, oldest first; -1 is that of rest."""
        window = range(self.latents - self.window, self.latents)
        return [i % self.slots if i >= self.floor else -1 for i in window]

    def read(self, sink_place: Tensor, places: Tensor) -> list[KeyValue]:
        """Give the window before the next latent, keys rotated.

        Args:
            sink_place: ``float32 [P, D / 2, 2]`` for the sink.
            places: ``float32 [window * P, D / 2, 2]`` for the past, oldest first.

        Returns:
            For every layer ``[B, (1 + window) * P, N, D]`` twice.
        """
        slots = self.seen()
        out: list[KeyValue] = []
        for layer, (sink_k, sink_v) in enumerate(self.sink):
            k = [self.ring[layer, 0, slot] for slot in slots]
            v = [self.ring[layer, 1, slot] for slot in slots]
            keys = torch.cat([rotate(sink_k, sink_place), rotate(torch.cat(k, 1), places)], 1)
            out.append((keys, torch.cat([sink_v, *v], 1)))
        return out

    def truncate(self, latents: int) -> None:
        """Forget what came after the first ``latents``. Raises TruncationError beyond what the ring still holds."""
        if not 0 <= latents <= self.latents or self.latents - latents > self.spare:
            raise TruncationError(f"a cache of {self.latents} latents can go back {self.spare}, not to {latents}")
        self.latents = latents
