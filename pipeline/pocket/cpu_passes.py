"""Pocket's passes for a CPU: the network's own, in fewer and larger steps.

For so few tokens what lies between the products counts. Queries, keys and values are one product; norms are given the
time's scale and shift; keys lie head by head, where each pass lays its own beside those it sees; and attention is two
plain products, which for a hundred queries take half as long as PyTorch's own.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.cache import KVCache
from pipeline.networks.rope import rotate
from pipeline.networks.transformer import Attention, Block, CrossKeyValues, KeyValue, RMSNorm
from pipeline.pocket.latents import LATENT_SHAPE
from pipeline.pocket.network import PocketNetwork, Scene, Text
from pipeline.schedule import noise, renoise


class CpuPasses:
    """The passes of any stream; holds no stream's state."""

    @torch.inference_mode()
    def __init__(self, network: PocketNetwork) -> None:
        self._network, self._dtype, window = network, network.position.dtype, network.config.window
        self._layers = [_Layer.of(block) for block in network.transformer.layers()]
        self._modulation = torch.stack([layer.block.modulation[0] for layer in self._layers])
        self._sink_place, self._places = network.rotation(0), network.rotation(*range(1, window + 1))
        self._place, self._silence = network.rotation(window + 1), network.silence(1)

    def sample(
        self, key: tuple[int, int], last: Tensor, levels: tuple[float, ...], seen: tuple[Scene, Text, KVCache]
    ) -> Tensor:
        """Sample a latent by few steps; see :meth:`pipeline.pocket.gpu_passes.GpuPasses.sample`."""
        (scene, text, cache), network = seen, self._network
        sight = self._sight(cache.read(self._sink_place, self._places))
        past, clean = last.to(self._dtype), torch.empty(0)
        for step, level in enumerate(levels):
            fresh = noise(*key, step, LATENT_SHAPE)
            noisy = renoise(clean, fresh, level) if step else fresh
            time, tokens = self._time(level, text), network.tokens(noisy.to(self._dtype), past, scene.add)[0]
            for layer, part, view, cross in zip(self._layers, self._parts(time), sight, text.cross, strict=True):
                tokens = layer.after(tokens, layer.own(tokens, part), (part, view, cross), self._place)
            clean = network.estimate(network.transformer.head(tokens[None], time), past).float()
        return clean

    def read(self, clean: Tensor, scene: Scene) -> Tensor:
        """Keys (un-rotated) and values of a clean latent ``[1, 12, 1, h, w]``: ``[layers, 2, 1, P, N, D]``."""
        network, latent, text = self._network, clean.to(self._dtype), self._silence
        sight = self._sight([(rotate(k, self._sink_place), v) for k, v in scene.sink])
        tokens = network.tokens(latent, latent, scene.add)[0]
        kept: list[Tensor] = []
        for layer, part, view, cross in zip(
            self._layers, self._parts(self._time(0.0, text)), sight, text.cross, strict=True
        ):
            own = layer.own(tokens, part)
            kept.append(torch.stack([own[1].to(self._dtype), own[2]]))
            if len(kept) < len(self._layers):
                tokens = layer.after(tokens, own, (part, view, cross), self._place)
        return torch.stack(kept)[:, :, None]

    def _time(self, level: float, text: Text) -> Tensor:
        return self._network.transformer.embed_time(torch.full((1, 1), 1000 * level)) + text.pooled

    def _parts(self, time: Tensor) -> Tensor:
        """Shift, scale and gate of every layer's attention and of its feed-forward, ``[layers, 6, dim]``."""
        return self._modulation + self._network.transformer.time_projection(time).view(6, -1)

    def _sight(self, window: list[KeyValue]) -> Tensor:
        """Keys and values head by head with room for a pass's own at their end, ``[layers, 2, N, L + P, D]``."""
        _, length, heads, width = window[0][0].shape
        sight = torch.empty(len(window), 2, heads, length + self._network.config.tokens, width, dtype=self._dtype)
        for place, part in zip(sight.flatten(0, 1), (part for pair in window for part in pair), strict=True):
            place[:, :length] = part[0].transpose(0, 1)
        return sight


Own = tuple[Tensor, Tensor, Tensor]
"""Queries, keys (neither rotated, both normed, ``float32``) and values of a pass's tokens, ``[P, N, D]``."""


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """A block of the transformer, and the weight and bias of its queries, keys and values at once."""

    block: Block
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, block: Block) -> "_Layer":
        parts = block.self_attn.q, block.self_attn.k, block.self_attn.v
        return cls(block, torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts]))

    def own(self, tokens: Tensor, part: Tensor) -> Own:
        """What a pass's tokens ``[P, dim]`` look for and have to be seen by themselves."""
        attention, (shift, scale, *_) = self.block.self_attn, part
        h = F.layer_norm(tokens, shift.shape, 1 + scale, shift, self.block.norm1.eps)
        q, k, v = F.linear(h, self.weight, self.bias).chunk(3, 1)
        heads = (attention.num_heads, -1)
        return (
            _normed(q, attention.norm_q).unflatten(1, heads),
            _normed(k, attention.norm_k).unflatten(1, heads),
            v.unflatten(1, heads),
        )

    def after(self, tokens: Tensor, own: Own, seen: tuple[Tensor, Tensor, CrossKeyValues], place: Tensor) -> Tensor:
        """Tokens ``[P, dim]`` after the block.

        ``seen`` is the layer's modulation ``[6, dim]``, its keys and values (:meth:`CpuPasses._sight`), at whose end
        the tokens' own are laid, and those of the text.
        """
        (_, _, gate, shift, scale, last_gate), view, ((text_keys, text_values),) = seen
        block, (q, k, v) = self.block, own
        view[0, :, -len(k) :] = rotate(k[None], place)[0].transpose(0, 1)
        view[1, :, -len(v) :] = v.transpose(0, 1)
        looked = _looked(rotate(q[None], place)[0], view[0], view[1], block.self_attn)
        tokens = torch.addcmul(tokens, looked, gate)
        h = block.norm3(tokens)
        q = _normed(block.cross_attn.q(h), block.cross_attn.norm_q).unflatten(1, q.shape[1:])
        tokens = tokens + _looked(q, text_keys[0].transpose(0, 1), text_values[0].transpose(0, 1), block.cross_attn)
        h = F.layer_norm(tokens, shift.shape, 1 + scale, shift, block.norm2.eps)
        return torch.addcmul(tokens, block.ffn(h), last_gate)


def _normed(x: Tensor, norm: RMSNorm) -> Tensor:
    """A root-mean-square norm that stays in float32."""
    return F.rms_norm(x.float(), norm.weight.shape, norm.weight.float(), norm.eps)


def _looked(q: Tensor, k: Tensor, v: Tensor, attention: Attention) -> Tensor:
    """Attention of queries ``float32 [P, N, D]`` to ``[N, L, D]``, projected: ``[P, dim]``."""
    q = (q * q.shape[2] ** -0.5).to(k.dtype).transpose(0, 1)
    found = torch.softmax(q @ k.transpose(1, 2), 2) @ v
    return attention.o(found.transpose(0, 1).flatten(1))
