"""Pocket's passes for a CPU: the network's own, in fewer and larger steps.

For so few tokens what lies between the products counts. Queries, keys and values are one product; norms are given the
time's scale and shift, a linear layer its GELU; keys lie head by head, where each pass lays its own beside those it
sees; and attention is two plain products, which for a hundred queries take half as long as PyTorch's own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.cache import KVCache
from pipeline.networks.rope import rotate
from pipeline.networks.transformer import Block, CrossKeyValues
from pipeline.pocket.chance import Noise
from pipeline.pocket.latents import LATENT_SHAPE
from pipeline.pocket.network import PocketNetwork, Scene, Text
from pipeline.schedule import noise, renoise


class CpuPasses:
    """The passes of any stream; holds no stream's state, but what the last one was told."""

    @torch.inference_mode()
    def __init__(self, network: PocketNetwork) -> None:
        self._network, self._dtype, window = network, network.position.dtype, network.config.window
        self._source: Noise = noise
        self.before_layer: Callable[[], None] = lambda: None
        """Called before each layer that samples a latent; raises to give that up."""
        self._layers = [_Layer.of(block, network.config.tokens) for block in network.transformer.layers()]
        self._modulation = torch.stack([layer.block.modulation[0] for layer in self._layers])
        # A norm is scaled by one and a scale.
        self._modulation[:, [1, 4]] += 1
        self._places = [network.rotation(place) for place in range(window + 1)]
        self._place, self._silence = network.rotation(window + 1), network.silence(1)
        patches = network.transformer.patch_embedding
        assert patches.bias is not None
        self._embedded = _product(patches.weight.flatten(1), patches.bias, network.config.tokens)
        self._sink: tuple[Scene, Tensor] | None = None
        self._told: tuple[float, Text, Tensor, Tensor] | None = None
        self._quiet = self._parts(self._time(0.0, self._silence))

    def sample(
        self, key: tuple[int, int], last: Tensor, levels: tuple[float, ...], seen: tuple[Scene, Text, KVCache]
    ) -> Tensor:
        """Sample a latent by few steps; see :meth:`pipeline.pocket.gpu_passes.GpuPasses.sample`."""
        (scene, text, cache), network = seen, self._network
        sight = self._sight(scene, cache)
        past, clean = last.to(self._dtype), torch.empty(0)
        for step, level in enumerate(levels):
            fresh = self._source(*key, step, LATENT_SHAPE)
            noisy = renoise(clean, fresh, level) if step else fresh
            (time, parts), tokens = self._moment(level, text), self._tokens(noisy.to(self._dtype), past, scene)
            for layer, part, view, cross in zip(self._layers, parts, sight, text.cross, strict=True):
                self.before_layer()
                tokens = layer.after(tokens, layer.own(tokens, part), (part, view, cross), self._place)
            clean = network.estimate(network.transformer.head(tokens[None], time), past).float()
        return clean

    def draw_from(self, source: Noise) -> None:
        """Take noise from elsewhere, as measurements do that turn it down."""
        self._source = source

    def read(self, clean: Tensor, scene: Scene) -> Tensor:
        """Keys (un-rotated) and values of a clean latent ``[1, 12, 1, h, w]``: ``[layers, 2, 1, P, N, D]``."""
        latent, text = clean.to(self._dtype), self._silence
        sight = self._sight(scene)
        tokens = self._tokens(latent, latent, scene)
        kept: list[Tensor] = []
        for layer, part, view, cross in zip(self._layers, self._quiet, sight, text.cross, strict=True):
            own = layer.own(tokens, part)
            kept.append(torch.stack([own[0][:, 1].to(self._dtype), own[1]]))
            if len(kept) < len(self._layers):
                tokens = layer.after(tokens, own, (part, view, cross), self._place)
        return torch.stack(kept)[:, :, None]

    def _tokens(self, noisy: Tensor, last: Tensor, scene: Scene) -> Tensor:
        """The network's tokens ``[P, dim]``; its convolution takes five times as long."""
        network, side = self._network, self._network.config.patch
        planes = torch.cat([noisy[0, :, 0], last[0, :, 0], network.coordinates[:, 0].to(self._dtype)])
        patches = planes.unflatten(2, (-1, side)).unflatten(1, (-1, side)).permute(1, 3, 0, 2, 4)
        return self._embedded(patches.reshape(network.config.tokens, -1)) + network.position + scene.add[0]

    def _moment(self, level: float, text: Text) -> tuple[Tensor, Tensor]:
        """What the head and the layers are told of a noise level and a text, mostly those of the last time."""
        told = self._told
        if told is None or told[0] != level or told[1] is not text:
            time = self._time(level, text)
            self._told = told = level, text, time, self._parts(time)
        return told[2:]

    def _time(self, level: float, text: Text) -> Tensor:
        return self._network.transformer.embed_time(torch.full((1, 1), 1000 * level)) + text.pooled

    def _parts(self, time: Tensor) -> Tensor:
        """Shift, one and scale, and gate of every layer's attention and of its feed-forward, ``[layers, 6, dim]``."""
        return self._modulation + self._network.transformer.time_projection(time).view(6, -1)

    def _sight(self, scene: Scene, cache: KVCache | None = None) -> Tensor:
        """Rotated keys, and values, of the sink and of the past, with room for a pass's own at their end.

        They lie head by head, ``[layers, 2, N, L + P, D]``.
        """
        sink = self._sink_of(scene)
        past = [cache.ring[:, :, slot, 0] for slot in cache.seen()] if cache else []
        sight = sink.new_empty(*sink.shape[:3], len(past) + 2, *sink.shape[3:])
        sight[:, :, :, 0] = sink
        for place, latent in enumerate(past, 1):
            keys, values = latent.unbind(1)
            sight[:, 0, :, place] = rotate(keys, self._places[place]).transpose(1, 2)
            sight[:, 1, :, place] = values.transpose(1, 2)
        return sight.flatten(3, 4)

    def _sink_of(self, scene: Scene) -> Tensor:
        """The sink's keys in their place, and values, ``[layers, 2, N, P, D]``; mostly those of the last time."""
        held = self._sink
        if held is None or held[0] is not scene:
            pairs = [torch.cat([rotate(k, self._places[0]), v]) for k, v in scene.sink]
            self._sink = held = scene, torch.stack(pairs).transpose(2, 3).contiguous()
        return held[1]


Product = Callable[[Tensor], Tensor]
Own = tuple[Tensor, Tensor]
"""Queries and keys (normed, not rotated, ``float32 [P, 2, N, D]``) and values ``[P, N, D]`` of a pass's tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """A block of the transformer, and its linear layers, of which queries, keys and values are one.

    ``norm float32 [2, dim]`` is that of queries, which are scaled by it for the attention, and of keys; ``text_norm``
    that of the queries that look at the text.
    """

    block: Block
    products: tuple[Product, ...]
    norm: Tensor
    text_norm: Tensor

    @classmethod
    def of(cls, block: Block, tokens: int) -> "_Layer":
        """Take a block's weights, for passes of so many tokens."""
        own, text = block.self_attn, block.cross_attn
        qkv = [torch.cat([getattr(part, name) for part in (own.q, own.k, own.v)]) for name in ("weight", "bias")]
        up, _, down = cast("Iterable[nn.Linear]", block.ffn)
        plain = (own.o, text.q, text.o, down)
        products = (
            _product(qkv[0], qkv[1], tokens),
            *(_product(one.weight, one.bias, tokens) for one in plain),
            _product(up.weight, up.bias, tokens, has_gelu=True),
        )
        scale = (own.q.out_features // own.num_heads) ** -0.5
        norms = torch.stack([own.norm_q.weight.float() * scale, own.norm_k.weight.float()])
        return cls(block, products, norms, text.norm_q.weight.float() * scale)

    def own(self, tokens: Tensor, part: Tensor) -> Own:
        """What a pass's tokens ``[P, dim]`` look for, and what is seen of them."""
        shift, scale, *_ = part
        made = self.products[0](F.layer_norm(tokens, shift.shape, scale, shift, self.block.norm1.eps))
        heads, width = (self.block.self_attn.num_heads, -1), len(shift)
        looking = _normed(made[:, : 2 * width].unflatten(1, (2, width)), self.norm, self.block.self_attn.norm_q.eps)
        return looking.unflatten(2, heads), made[:, 2 * width :].unflatten(1, heads)

    def after(self, tokens: Tensor, own: Own, seen: tuple[Tensor, Tensor, CrossKeyValues], place: Tensor) -> Tensor:
        """Tokens ``[P, dim]`` after the block.

        ``seen`` is the layer's modulation ``[6, dim]``, its keys and values (:meth:`CpuPasses._sight`), at whose end
        the tokens' own are laid, and those of the text.
        """
        (_, _, gate, shift, scale, last_gate), view, ((text_keys, text_values),) = seen
        _, out, text_queries, text_out, down, up = self.products
        block, (looking, v) = self.block, own
        turned = rotate(looking.flatten(1, 2)[None], place)[0].unflatten(1, looking.shape[1:3])
        q, k = turned.to(v.dtype).permute(1, 2, 0, 3)
        view[0, :, -len(v) :], view[1, :, -len(v) :] = k, v.transpose(0, 1)
        tokens = tokens + gate * out(_looked(q, view[0], view[1]))
        q = _normed(text_queries(block.norm3(tokens)), self.text_norm, block.cross_attn.norm_q.eps).to(v.dtype)
        q = q.unflatten(1, v.shape[1:]).transpose(0, 1)
        tokens = tokens + text_out(_looked(q, text_keys[0].transpose(0, 1), text_values[0].transpose(0, 1)))
        h = F.layer_norm(tokens, shift.shape, scale, shift, block.norm2.eps)
        return tokens + last_gate * down(up(h))


def multiplies_bfloat16() -> bool:
    """Whether oneDNN has instructions of this processor to multiply bfloat16."""
    onednn: Any = torch.ops.mkldnn
    return hasattr(onednn, "_linear_pointwise") and bool(onednn._is_mkldnn_bf16_supported())


def _product(weight: Tensor, bias: Tensor, tokens: int, has_gelu: bool = False) -> Product:
    """A linear layer, and after it a GELU, for so many tokens.

    In bfloat16 its weight is laid out once as oneDNN multiplies it, which it would else do each time; a processor that
    has no instructions for it (an AVX2 one, say) cannot, and multiplies as PyTorch does.
    """
    onednn: Any = torch.ops.mkldnn
    if weight.dtype != torch.bfloat16 or not multiplies_bfloat16():
        if has_gelu:
            return lambda x: F.gelu(F.linear(x, weight, bias), approximate="tanh")
        return lambda x: F.linear(x, weight, bias)
    laid, after = onednn._reorder_linear_weight(weight, tokens), ("gelu", [], "tanh") if has_gelu else ("none", [], "")
    return lambda x: onednn._linear_pointwise(x, laid, bias, *after)


def _normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """A root-mean-square norm over the last axis that stays in float32."""
    return F.rms_norm(x.float(), x.shape[-1:], eps=eps) * weight


def _looked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of scaled queries ``[N, P, D]`` to ``[N, L, D]``: ``[P, dim]``."""
    return (torch.softmax(q @ k.transpose(1, 2), 2) @ v).transpose(0, 1).flatten(1)
