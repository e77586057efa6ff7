"""Pocket's passes for a GPU: the sampling of a latent, and the reading of one, compiled and recorded.

What they see, past, picture and text, is copied into place first, so any number of streams share the graphs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pipeline.cache import KVCache
from pipeline.networks.rope import rotate
from pipeline.networks.transformer import KeyValue
from pipeline.pocket.chance import Noise
from pipeline.pocket.latents import LATENT_SHAPE
from pipeline.pocket.network import PocketNetwork, Scene, Text
from pipeline.recorded import Recorded, compiled, may_record
from pipeline.schedule import noise, renoise

Key = tuple[int, int, int]


class GpuPasses:
    """The passes of one stream at a time; holds no stream's state, but what the last one saw."""

    @torch.inference_mode()
    def __init__(self, network: PocketNetwork) -> None:
        self._network, self._device = network, network.position.device
        self._source: Noise = noise
        self._dtype, window = network.position.dtype, network.config.window
        sizes = network.transformer.config
        layers, heads, width = sizes.num_layers, sizes.num_heads, sizes.head_dim
        self._silence = network.silence(1)
        rows = self._silence.cross[0][0][0].shape[1]
        self._places, self._place = network.rotation(*range(window + 1)), network.rotation(window + 1)
        self._past = self._empty(layers, 2, window, 1, network.config.tokens, heads, width)
        self._sink = self._empty(layers, 2, 1, network.config.tokens, heads, width)
        self._cross = self._empty(layers, 2, 1, rows, heads, width)
        self._quiet = torch.stack([torch.stack(pairs[0]) for pairs in self._silence.cross])
        self._add, self._pooled = self._empty(1, network.config.tokens, sizes.dim), self._empty(1, 1, sizes.dim)
        self._scene: Scene | None = None
        self._text: Text | None = None
        self._ahead: tuple[Key, Tensor] | None = None
        self._denoise = compiled(self._denoised, self._device)
        self._read = compiled(self._kept, self._device)
        self._look = compiled(looked_at, self._device)
        self._graphs: dict[object, Recorded[Tensor]] = {}
        self._times: dict[float, Tensor] = {}
        self._pool: Any = torch.cuda.graph_pool_handle() if may_record(self._device) else None

    def sample(
        self, key: tuple[int, int], last: Tensor, levels: tuple[float, ...], seen: tuple[Scene, Text, KVCache]
    ) -> Tensor:
        """Sample a latent by few steps.

        Args:
            key: seed, and index of the latent.
            last: the latent before it, ``float32 [1, 12, 1, h, w]``.
            levels: noise levels, from 1 downward.
            seen: the picture, the text and the past.

        Returns:
            ``float32 [1, 12, 1, h, w]``.
        """
        self._take_in(*seen)
        fresh = self._noise((*key, len(levels)))
        for level in levels:
            # Outside of a recording, which the copies from the host would spoil.
            self._time(level)

        def run(fresh: Tensor, last: Tensor) -> Tensor:
            return self._sampled(fresh, last, levels)

        clean = self._recorded(levels, run, (fresh, last))
        # While the GPU is busy: what the next latent will need, unless the stream is another one or goes back.
        self._noise((key[0], key[1] + 1, len(levels)))
        return clean

    def draw_from(self, source: Noise) -> None:
        """Take noise from elsewhere, as measurements do that turn it down."""
        self._source, self._ahead = source, None

    def read(self, clean: Tensor, scene: Scene) -> Tensor:
        """Keys (un-rotated) and values of a clean latent ``[1, 12, 1, h, w]``: ``[layers, 2, 1, P, N, D]``."""
        self._take_in_scene(scene)
        self._time(0.0)
        return self._recorded("read", self._read_clean, (clean,))

    def _recorded(self, name: object, run: Any, inputs: tuple[Tensor, ...]) -> Tensor:
        if not may_record(self._device):
            return run(*inputs)
        if name not in self._graphs:
            self._graphs[name] = Recorded(run, inputs, self._pool)
        return self._graphs[name](*inputs).clone()

    def _sampled(self, fresh: Tensor, last: Tensor, levels: tuple[float, ...]) -> Tensor:
        window = self._look(self._past, self._sink, self._places)
        past, clean = last.to(self._dtype), torch.empty(0)
        for step, level in enumerate(levels):
            noisy = renoise(clean, fresh[step], level) if step else fresh[step]
            clean = self._denoise(noisy.to(self._dtype), past, self._times[level], window)
        return clean

    def _denoised(self, noisy: Tensor, last: Tensor, time: Tensor, window: tuple[Tensor, Tensor]) -> Tensor:
        network = self._network
        pairs, cross = list(zip(*window, strict=True)), _by_layer(self._cross)
        tokens = network.tokens(noisy, last, self._add)
        patches, _ = network.transformer(
            tokens, time + self._pooled, pairs, [(pair,) for pair in cross], self._place, keep=False
        )
        return network.estimate(patches, last).float()

    def _read_clean(self, clean: Tensor) -> Tensor:
        return self._read(clean.to(self._dtype), self._times[0.0])

    def _kept(self, clean: Tensor, time: Tensor) -> Tensor:
        network, cross = self._network, [(pair,) for pair in _by_layer(self._quiet)]
        sink_place = self._places[: network.config.tokens]
        window = list(zip(rotate(self._sink[:, 0], sink_place), self._sink[:, 1], strict=True))
        tokens = network.tokens(clean, clean, self._add)
        own = network.transformer.read(tokens, time + self._silence.pooled, window, cross, self._place)
        return torch.stack([torch.stack(pair) for pair in own])

    def _take_in(self, scene: Scene, text: Text, cache: KVCache) -> None:
        self._take_in_scene(scene)
        if self._text is not text:
            _copy([part for pair in _by_layer(self._cross) for part in pair], [p for (kv,) in text.cross for p in kv])
            self._pooled.copy_(text.pooled)
            self._text = text
        for place, slot in enumerate(cache.seen()):
            self._past[:, :, place].copy_(cache.ring[:, :, slot])

    def _take_in_scene(self, scene: Scene) -> None:
        if self._scene is not scene:
            _copy([part for pair in _by_layer(self._sink) for part in pair], [p for pair in scene.sink for p in pair])
            self._add.copy_(scene.add)
            self._scene = scene

    def _time(self, level: float) -> Tensor:
        if level not in self._times:
            timestep = torch.full((1, 1), 1000 * level, device=self._device)
            self._times[level] = self._network.transformer.embed_time(timestep)
        return self._times[level]

    def _noise(self, key: Key) -> Tensor:
        if self._ahead is None or self._ahead[0] != key:
            seed, latent, steps = key
            made = torch.stack([self._source(seed, latent, step, LATENT_SHAPE) for step in range(steps)])
            if self._device.type == "cuda":
                made = made.pin_memory()
            self._ahead = key, made.to(self._device, non_blocking=True)
        return self._ahead[1]

    def _empty(self, *size: int) -> Tensor:
        return torch.zeros(size, dtype=self._dtype, device=self._device)


def looked_at(past: Tensor, sink: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Rotated keys, and values, of sink and past.

    Args:
        past: ``[layers, 2, W, 1, P, N, D]``, oldest first.
        sink: ``[layers, 2, 1, P, N, D]``.
        places: ``float32 [(1 + W) * P, D / 2, 2]``.

    Returns:
        ``[layers, 1, (1 + W) * P, N, D]`` twice.
    """
    rows = torch.cat([sink, past.transpose(2, 3).flatten(3, 4)], 3)
    return rotate(rows[:, 0], places), rows[:, 1]


def _by_layer(stacked: Tensor) -> list[KeyValue]:
    return [(layer[0], layer[1]) for layer in stacked]


def _copy(held: Sequence[Tensor], given: Sequence[Tensor]) -> None:
    torch.ops.aten._foreach_copy_.default(held, given)
