"""Calls of the transformer for chunks of one size, over tensors that stay where they are.

What a chunk sees, past and text, is copied into place once; the passes that follow read it there, each a CUDA graph
where graphs can be recorded. A stream is only its cache: the next one's past takes the place of the last one's, so any
number of streams share these tensors and the graphs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.networks import split_block
from pipeline.networks.attention import attend, attend_to_each, beside_window
from pipeline.networks.block import Block, CrossKeyValues, KeyValue
from pipeline.networks.own_rows import Place, put_in_place
from pipeline.networks.rope import rotate
from pipeline.networks.transformer import CausalTransformer
from pipeline.quantize import FP8, as_kept
from pipeline.recorded import Recorded, compiled, may_compile, may_record
from pipeline.wan.window import Seen, SeenWindow, WindowShape


@dataclass(frozen=True, slots=True, eq=False)
class Own(Sequence[KeyValue]):
    """A call's own keys (un-rotated) and values of all layers together, each ``[layers, B, L, N, D]``.

    They hold until the next call of the passes that gave them.
    """

    keys: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, layer: int) -> KeyValue:  # type: ignore[override]  # no slices
        return self.keys[layer], self.values[layer]


class Passes:
    """Flow of a chunk of ``latents`` latents of one stream, by parts that are compiled once for all layers.

    The network keeps its weights; its layers' queries, keys and values come to lie side by side. ``shape`` is that of
    every stream's window.
    """

    def __init__(self, network: CausalTransformer, shape: WindowShape, latents: int) -> None:
        config, weight = network.config, network.patch_embedding.weight
        self._network, self._shape, self._latents = network, shape, latents
        self._dtype, self._device = weight.dtype, weight.device
        blocks = [block for block in network.blocks if isinstance(block, Block)]
        self._weights = [split_block.weights_of(block) for block in blocks]
        self._tokens = latents * shape.tokens
        in_fp8 = config.kernel == "fa3_fp8"
        rows = (len(blocks), 1, shape.window * shape.tokens, config.num_heads, config.head_dim)
        own = (len(blocks), 1, self._tokens, config.num_heads, config.head_dim)
        self._keys, self._values = (self._empty(rows, FP8 if in_fp8 else self._dtype) for _ in range(2))
        self._own_keys = self._empty(own, self._dtype)
        self._own_values = self._empty(own, self._dtype) if in_fp8 else None
        self._rotation = self._empty((self._tokens, config.head_dim // 2, 2), torch.float32)
        self._cross: list[CrossKeyValues] = []
        self._seen: object = None
        self._guide: Sequence[CrossKeyValues] | None = None
        self._graphs: dict[tuple[int, bool], Recorded[Tensor]] = {}
        self._pool: Any = torch.cuda.graph_pool_handle() if may_record(self._device) else None
        self._enter = compiled(split_block.enter, self._device)
        self._across = compiled(split_block.across, self._device)
        self._onward = compiled(split_block.onward, self._device)
        self._leave = compiled(split_block.leave, self._device)
        self._place_past = compiled(place_past, self._device)

    def takes(self, latents: Tensor) -> bool:
        """Whether latents ``[B, C, T, h, w]`` are a chunk of the one size, of one stream."""
        return latents.shape[0] == 1 and latents.shape[2] == self._latents

    def flow(
        self, stacked: Tensor, timestep: Tensor, cross: Sequence[CrossKeyValues], seen: Seen, keep: bool
    ) -> tuple[Tensor, Sequence[KeyValue]]:
        """Ask the network once.

        Args:
            stacked: latents with what stands beside them, ``[1, C, T, h, w]``.
            timestep: ``float [1, T]``, 0 to 1000.
            cross: keys and values of the text, and of the picture.
            seen: what the chunk is made under.
            keep: the layers' keys and values are wanted, and the flow is not.

        Returns:
            The flow ``float32 [1, C, T, h, w]`` (nothing that was computed, with ``keep``), and the layers' own keys
            and values, none without ``keep``.
        """
        self.take_in(cross, seen)
        past = self._past(seen)
        inputs = (stacked.to(self._dtype), timestep)
        if not may_record(self._device):
            flow = self._run(past, keep, *inputs)
        else:
            if (past, keep) not in self._graphs:
                self._graphs[past, keep] = Recorded(lambda x, t: self._run(past, keep, x, t), inputs, self._pool)
            flow = self._graphs[past, keep](*inputs).clone()
        return flow, self._own(past) if keep else ()

    def _run(self, past: int, keep: bool, stacked: Tensor, timestep: Tensor) -> Tensor:
        network, eps, last = self._network, self._network.config.eps, len(self._weights) - 1
        time = network.embed_time(timestep)
        projected = network.time_projection(time).unflatten(2, (6, -1))
        x, grid = self._patchify(stacked)
        kernel, beside = network.config.kernel, beside_window(network.config.kernel)
        made = self._enter(x, projected, self._weights[0], eps)
        for layer, weights in enumerate(self._weights):
            q = put_in_place(made, weights.own, self._rotation, self._place(layer, past), eps)
            if keep and layer == last:
                # The last layer's keys and values are in place; what it would make of them nobody reads.
                return projected
            end = past + self._tokens
            attended = attend(q, self._keys[layer][:, :end], self._values[layer][:, :end], kernel)
            x, asked = self._across(x, attended, projected, weights, eps)
            attended = attend_to_each(asked, self._cross[layer], beside)
            if layer == last:
                x = self._leave(x, attended, projected, weights, eps)
            else:
                pair = (weights, self._weights[layer + 1])
                x, made = self._onward(x, attended, projected, pair, eps)
        return network.unpatchify(network.head(x, time), grid).float()

    def _patchify(self, stacked: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
        """Tokens and grid; the convolution has no overlap, so it is a multiplication."""
        conv = self._network.patch_embedding
        (t, h, w), (pt, ph, pw) = stacked.shape[2:], self._network.config.patch
        grid = (t // pt, h // ph, w // pw)
        cut = stacked.unflatten(4, (-1, pw)).unflatten(3, (-1, ph)).unflatten(2, (-1, pt))
        patches = cut.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)
        return F.linear(patches, conv.weight.flatten(1), conv.bias), grid

    def _place(self, layer: int, past: int) -> Place:
        own = slice(past, past + self._tokens)
        raw = None if self._own_values is None else self._own_values[layer]
        return Place(self._keys[layer][:, own], self._values[layer][:, own], self._own_keys[layer], raw)

    def _own(self, past: int) -> Own:
        values = self._own_values
        return Own(self._own_keys, self._values[:, :, past : past + self._tokens] if values is None else values)

    def _past(self, seen: Seen) -> int:
        return 0 if seen.past is None else len(seen.past.slots) * self._shape.tokens

    def take_in(self, cross: Sequence[CrossKeyValues], seen: Seen) -> None:
        """Put in place what the chunk sees, unless it is there."""
        if self._guide is not cross:
            self._take_in_cross(cross)
            self._guide = cross
        if self._seen is not seen.token:
            self._rotation.copy_(seen.rotation)
            if seen.past is not None:
                self._take_in_past(seen.past)
            self._seen = seen.token

    def _take_in_cross(self, cross: Sequence[CrossKeyValues]) -> None:
        if not self._cross:
            self._cross = [tuple((k.clone(), v.clone()) for k, v in pairs) for pairs in cross]
            return
        held, given = ([part for pairs in all_ for pair in pairs for part in pair] for all_ in (self._cross, cross))
        torch.ops.aten._foreach_copy_.default(held, given)

    def _take_in_past(self, past: SeenWindow) -> None:
        # As many rows as a full window has, so that one compiled function serves while it fills; what is beyond the
        # past is overwritten by the chunk's own rows or not read.
        missing = self._shape.window - self._latents - len(past.slots)
        slots = F.pad(past.slots, (0, missing))
        rotation = F.pad(past.rotation, (0, 0, 0, 0, 0, missing * self._shape.tokens))
        if may_compile(self._device):
            self._place_past(past.stored, slots, rotation, self._keys, self._values)
            return
        for layer in range(len(past.stored)):
            one = slice(layer, layer + 1)
            place_past(past.stored[one], slots, rotation, self._keys[one], self._values[one])

    def _empty(self, size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.zeros(size, dtype=dtype, device=self._device)


def place_past(stored: Tensor, slots: Tensor, rotation: Tensor, keys: Tensor, values: Tensor) -> None:
    """Copy the latents of a cache that a chunk sees to the beginning of a window, keys rotated.

    Args:
        stored: ``[layers, 2, B, slots, P, N, D]``, see :class:`pipeline.wan.window.WindowCache`.
        slots: ``int64 [S]``, those to take, in order.
        rotation: ``float32 [S * P, D / 2, 2]``.
        keys, values: ``[layers, B, at least S * P, N, D]``, written.
    """
    k, v = (stored[:, part].index_select(2, slots).flatten(2, 3) for part in (0, 1))
    rows = slice(0, k.shape[2])
    keys[:, :, rows].copy_(as_kept(rotate(k, rotation), keys))
    values[:, :, rows].copy_(as_kept(v, values))
