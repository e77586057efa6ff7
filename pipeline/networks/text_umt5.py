"""The text encoder of the Wan family: UMT5's encoder, by the transformers library, where its weights may live.

Unlike T5, every layer has a relative position table of its own. Nothing is scaled by the width of a head, and
dropout is off. Source: UniMax (arXiv 2304.09151), T5 (arXiv 1910.10683); as text encoder: Wan2.1 (arXiv 2503.20314).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

Residence = Literal["device", "cpu", "streamed"]
"""Where the weights live: on the device that computes; in host memory, which then computes; or in host memory,
from where each layer is copied to the device when its turn comes."""
SLAB_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class UMT5Config:
    """Sizes of the encoder; the defaults are UMT5-XXL's. ``dim_attn`` is the width of all heads together."""

    vocabulary: int = 256_384
    dim: int = 4096
    dim_attn: int = 4096
    dim_ffn: int = 10_240
    num_heads: int = 64
    num_layers: int = 24
    num_buckets: int = 32
    max_distance: int = 128
    eps: float = 1e-6


class UMT5(nn.Module):
    """The encoder's weights and its pass; built under ``torch.device("meta")`` it takes no memory."""

    def __init__(self, config: UMT5Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = _stack(config)
        self.eval().requires_grad_(False)

    @property
    def layers(self) -> list[nn.Module]:
        """The layers, first to last; each takes ``[B, S, dim]`` and an additive mask, and gives ``[B, S, dim]``."""
        return list(cast(nn.ModuleList, self.encoder.block))

    @property
    def final_norm(self) -> nn.Module:
        """The norm behind the last layer."""
        return cast(nn.Module, self.encoder.final_layer_norm)

    def embed(self, ids: Tensor) -> Tensor:
        """Token table rows of ``int64 [B, S]`` as ``[B, S, dim]``."""
        return cast(nn.Embedding, self.encoder.embed_tokens)(ids)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode ``int64 [B, S]``; ``mask`` ``[B, S]`` is 0 where there is padding, None is all ones.

        Returns:
            ``[B, S, dim]`` in the weights' dtype. Rows of padding are not zero.
        """
        x = self.embed(ids)
        hidden = additive_mask(mask, x.dtype)
        for layer in self.layers:
            x = layer(x, hidden)
        return self.final_norm(x)


class TextEncoder:
    """An encoder whose weights are loaded, in its residence.

    Rows are the same to rounding whether a text is padded or not, so give texts no longer than they are: padding
    to 512 costs time and changes nothing.
    """

    def __init__(self, network: UMT5, device: torch.device, residence: Residence = "device") -> None:
        """Move the weights to where they live. ``device`` is where results go, in every residence."""
        self.network = network.to(device if residence == "device" else "cpu")
        self.device = device
        self.residence: Residence = residence
        if residence == "streamed" and device.type == "cuda":
            # Measured for UMT5-XXL in bfloat16 on an H200: 0.18 s a prompt out of pinned memory, 1.4 s out of other.
            # The token table stays as it is: only rows leave it.
            _pin([weight for layer in network.layers for weight in layer.parameters()])

    @torch.inference_mode()
    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Encode texts for the transformer.

        Args:
            ids: ``int64 [B, S]``.
            mask: ``int64 [B, S]``, 1 for a text's tokens, its end mark among them, then 0.

        Returns:
            ``[B, S, dim]`` on ``device`` in the weights' dtype; rows from a text's length on are zero, as the
            transformer was trained to see them. The encoder's own rows of padding are not.
        """
        rows = self._streamed(ids, mask) if self.residence == "streamed" else self._resident(ids, mask)
        lengths = mask.to(self.device).sum(1)
        padding = torch.arange(ids.shape[1], device=self.device) >= lengths[:, None]
        return rows.masked_fill(padding[..., None], 0.0)

    def _resident(self, ids: Tensor, mask: Tensor) -> Tensor:
        home = torch.device("cpu") if self.residence == "cpu" else self.device
        return self.network(ids.to(home), mask.to(home)).to(self.device)

    def _streamed(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.network.embed(ids.cpu()).to(self.device)
        hidden = additive_mask(mask.to(self.device), x.dtype)
        for layer in self.network.layers:
            x = functional_call(layer, self._copied(layer), (x, hidden))
        return functional_call(self.network.final_norm, self._copied(self.network.final_norm), (x,))

    def _copied(self, layer: nn.Module) -> dict[str, Tensor]:
        """Weights of one layer on the device.

        The copies queue up on the stream that computes, so that they are there in time, and the allocator hands
        the memory of a layer that is through to a later one.
        """
        return {name: weight.to(self.device, non_blocking=True) for name, weight in layer.named_parameters()}


def additive_mask(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Make of ``[B, S]``, 0 where there is padding, what is added to scores: ``[B, 1, 1, S]``, 0 or the least number.

    >>> additive_mask(torch.tensor([[1, 0]]), torch.bfloat16).flatten().tolist()
    [0.0, -3.3895313892515355e+38]
    """
    if mask is None:
        return None
    score = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return score.masked_fill(mask == 0, torch.finfo(dtype).min)[:, None, None]


def _pin(weights: Sequence[nn.Parameter]) -> None:
    """Move weights to pinned memory, many to a slab.

    The allocator rounds each piece of pinned memory up to a power of two: piece by piece UMT5-XXL's layers would
    take 12 GiB, in slabs they take 9.
    """
    left = sum(_aligned(weight) for weight in weights)
    slab, used = torch.empty(0, dtype=torch.uint8), 0
    for weight in weights:
        if used + _aligned(weight) > slab.numel():
            slab = torch.empty(max(_aligned(weight), min(SLAB_BYTES, left)), dtype=torch.uint8, pin_memory=True)
            used = 0
        place = slab[used : used + weight.nbytes].view(weight.dtype).view(weight.shape)
        weight.data = place.copy_(weight.data)
        used, left = used + _aligned(weight), left - _aligned(weight)


def _aligned(weight: Tensor) -> int:
    """Bytes that a weight takes in a slab."""
    return -(-weight.nbytes // 256) * 256


def key_map(config: UMT5Config) -> dict[str, str]:
    """Give for each key of the published checkpoint the key of :class:`UMT5`; one to one."""
    names = {
        "norm1.weight": "layer.0.layer_norm.weight",
        "attn.q.weight": "layer.0.SelfAttention.q.weight",
        "attn.k.weight": "layer.0.SelfAttention.k.weight",
        "attn.v.weight": "layer.0.SelfAttention.v.weight",
        "attn.o.weight": "layer.0.SelfAttention.o.weight",
        "pos_embedding.embedding.weight": "layer.0.SelfAttention.relative_attention_bias.weight",
        "norm2.weight": "layer.1.layer_norm.weight",
        "ffn.gate.0.weight": "layer.1.DenseReluDense.wi_0.weight",
        "ffn.fc1.weight": "layer.1.DenseReluDense.wi_1.weight",
        "ffn.fc2.weight": "layer.1.DenseReluDense.wo.weight",
    }
    layers = {
        f"blocks.{index}.{published}": f"encoder.block.{index}.{ours}"
        for index in range(config.num_layers)
        for published, ours in names.items()
    }
    ends = {
        "token_embedding.weight": "encoder.embed_tokens.weight",
        "norm.weight": "encoder.final_layer_norm.weight",
    }
    return ends | layers


def transformers_map(config: UMT5Config) -> dict[str, str]:
    """Give for each key of a transformers checkpoint of this encoder the key of the published one.

    There the token table has two names, one table behind both; :class:`UMT5` knows it by the second alone.
    """
    other = {ours: published for published, ours in key_map(config).items()}
    return {"shared.weight": other["encoder.embed_tokens.weight"]} | other


def _stack(config: UMT5Config) -> nn.Module:
    from pipeline import torchvision_shim as torchvision_shim  # noqa: I001  must come before transformers
    from transformers import UMT5Config as LibraryConfig, UMT5EncoderModel

    # Eager attention rounds where the published code does, scores plus table plus mask, in bfloat16 too. The
    # library would keep `wo` in float32 when it loads a file itself; here every weight has the dtype it is given.
    model = UMT5EncoderModel(
        LibraryConfig(
            vocab_size=config.vocabulary,
            d_model=config.dim,
            d_kv=config.dim_attn // config.num_heads,
            d_ff=config.dim_ffn,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            relative_attention_num_buckets=config.num_buckets,
            relative_attention_max_distance=config.max_distance,
            layer_norm_epsilon=config.eps,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            attn_implementation="eager",  # pyright: ignore[reportCallIssue]  taken by the base class
        )
    )
    return model.encoder
