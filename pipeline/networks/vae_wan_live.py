"""The Wan VAE's decoder as live video runs it: the same function of latents, laid out for a GPU's matrix units.

All latents of a call go through together, channels last. Each convolution in time reads a tensor whose first two
frames are its memory, into which the norm before it writes; biases and shortcuts are added by the norm behind it.
Upsampling and the convolution after it are one of 2x2 on the small picture (:mod:`pipeline.networks.upsampling`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.networks.row_kernels import norm_silu, unblock_rows
from pipeline.networks.upsampling import fold_upsampling
from pipeline.networks.vae_wan import WanVAE
from pipeline.networks.vae_wan_layers import LOOK_BACK, ChannelNorm, FrameAttention, ResidualBlock, Upsample

ALIGNED = 8
"""Channels of a result come in eights, for tensor cores in two-byte floats: fewer are filled up."""
SHOWN = 3
"""Colours of a pixel."""


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """``[T, h, w, C]`` with what is still to be added to it: a bias ``[C]``, a shortcut of its shape."""

    value: Tensor
    bias: Tensor | None = None
    shortcut: Tensor | None = None

    def settled(self) -> Tensor:
        """Add it all, in place."""
        for added in (self.bias, self.shortcut):
            if added is not None:
                self.value.add_(added)
        return self.value


class WanLive:
    """A decoder made of a network's weights, one stream's latents a call; it holds no stream's memory."""

    frames_to_trim = 0
    begins = False

    def __init__(self, vae: WanVAE) -> None:
        self._vae = vae
        # Made once: a graph can't hold their copy to the device.
        self._mean, self._std = vae.statistics(vae.conv2.weight.device)
        decoder = vae.decoder
        self._first = _Causal(decoder.conv1)
        before, attention, after = decoder.middle.children()
        self._layers = [_prepared(layer) for layer in (before, attention, after, *decoder.upsamples)]
        norm, last = decoder.head.children()
        self._gain, self._last = _gain(norm), _Causal(_conv(last), filled=-SHOWN % ALIGNED)

    @property
    def dtype(self) -> torch.dtype:
        """That of the weights, and of memory."""
        return self._vae.conv2.weight.dtype

    def beginning(self, height: int, width: int, device: torch.device) -> list[Tensor]:
        """Make slots without history for latents of this size: zeros ``[1, C, 2, H, W]``, channels last in memory."""
        shapes = [(self._first.channels, 1)]
        edge = 1
        for layer in self._layers:
            shapes += [(channels, edge) for channels in layer.slot_channels]
            edge *= 2 if isinstance(layer, _Grow) else 1
        shapes.append((self._last.channels, edge))
        made = [
            torch.zeros(LOOK_BACK, height * edge, width * edge, channels, dtype=self.dtype, device=device)
            for channels, edge in shapes
        ]
        return [slot.permute(3, 0, 1, 2)[None] for slot in made]

    def __call__(self, latents: Tensor, slots: Sequence[Tensor]) -> Tensor:
        """Decode, and bring the memory forward.

        Args:
            latents: ``float [1, 16, T, h, w]``, normalised; not a stream's first.
            slots: those of :class:`~pipeline.networks.frame_decoder.VAEMemory`, in the network's dtype; they are
                overwritten. Frames that it has not seen yet are zeros.

        Returns:
            ``float32 [4 T, 8 h, 8 w, 3]``, in 0..1.
        """
        past = iter(slots)
        mu = self._vae.conv2((latents.float() * self._std + self._mean).to(self.dtype))
        x = self._first.of(mu[0].permute(1, 2, 3, 0), next(past))
        for layer in self._layers:
            x = layer(x, past)
        x = self._last.after_norm(x, self._gain, past)
        return x.settled()[..., :SHOWN].float().clamp(-1, 1).mul(0.5).add(0.5).clamp(0, 1)


class _Causal:
    """A convolution that sees two frames back, its bias left to what comes next; ``filled`` channels are zeros.

    cuDNN's own for volumes takes 97 ms for a chunk on an H200. The sum of three for pictures takes 96 ms and 1.8 GiB
    more, one for a picture of three times the channels 112 ms.
    """

    def __init__(self, conv: nn.Conv3d, filled: int = 0) -> None:
        assert conv.bias is not None
        weight = F.pad(conv.weight.detach(), (0, 0) * 4 + (0, filled))
        self.bias = F.pad(conv.bias.detach(), (0, filled))
        self._weight = weight.contiguous(memory_format=torch.channels_last_3d)
        self._padding = (0, *(int(edge) for edge in conv.padding[1:]))
        self.channels = conv.in_channels

    def of(self, x: Tensor, slot: Tensor) -> Sum:
        """Run on ``[T, h, w, C]``; ``slot`` goes in and is brought forward."""
        seen = _begun(x, slot)
        seen[LOOK_BACK:] = x
        return self._run(seen, slot)

    def after_norm(self, x: Sum, gain: Tensor, past: Iterator[Tensor]) -> Sum:
        """Run on what norm and SiLU make of a sum, which is settled thereby."""
        seen = _begun(x.value, slot := next(past))
        norm_silu(x.value, x.bias, x.shortcut, gain, seen[LOOK_BACK:])
        return self._run(seen, slot)

    def _run(self, seen: Tensor, slot: Tensor) -> Sum:
        _keep(seen, slot)
        made = F.conv3d(seen.permute(3, 0, 1, 2)[None], self._weight, padding=self._padding)
        return Sum(made[0].permute(1, 2, 3, 0), self.bias)


class _Residual:
    def __init__(self, block: ResidualBlock) -> None:
        parts = block.residual
        self._gains = _gain(parts["0"]), _gain(parts["3"])
        self._convs = _Causal(_conv(parts["2"])), _Causal(_conv(parts["6"]))
        self._shortcut = block.shortcut if isinstance(block.shortcut, nn.Conv3d) else None
        self.slot_channels = tuple(conv.channels for conv in self._convs)

    def __call__(self, x: Sum, past: Iterator[Tensor]) -> Sum:
        h = self._convs[0].after_norm(x, self._gains[0], past)
        h = self._convs[1].after_norm(h, self._gains[1], past)
        if self._shortcut is None:
            return Sum(h.value, h.bias, x.value)
        return Sum(h.value, h.bias, F.linear(x.value, self._shortcut.weight.flatten(1), self._shortcut.bias))


class _Attention:
    def __init__(self, attention: FrameAttention) -> None:
        self._attention = attention
        self.slot_channels = ()

    def __call__(self, x: Sum, past: Iterator[Tensor]) -> Sum:
        return Sum(self._attention(x.settled().permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous())


class _Grow:
    """Twice the frames, where so built, and twice the size."""

    def __init__(self, layer: Upsample) -> None:
        _, conv = layer.resample.children()
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        self._weight, self._bias = fold_upsampling(conv.weight.detach()), conv.bias
        self._weight = self._weight.contiguous(memory_format=torch.channels_last)
        time = layer.time_conv
        # [2 C, 3 C]: the frames side by side, oldest first.
        self._product = None if time is None else time.weight.detach().flatten(2).transpose(1, 2).flatten(1)
        self._product_bias = None if time is None else time.bias
        self.slot_channels = () if time is None else (time.in_channels,)

    def __call__(self, x: Sum, past: Iterator[Tensor]) -> Sum:
        frames = x.settled()
        if self._product is not None:
            seen = _begun(frames, slot := next(past))
            seen[LOOK_BACK:] = frames
            _keep(seen, slot)
            taps = torch.cat([seen[tap : tap + len(frames)] for tap in range(LOOK_BACK + 1)], -1)
            pairs = F.linear(taps, self._product, self._product_bias).unflatten(-1, (2, -1))
            frames = pairs.permute(0, 3, 1, 2, 4).flatten(0, 1)
        blocks = F.conv2d(frames.permute(0, 3, 1, 2), self._weight, padding=1)
        return Sum(unblock_rows(blocks.permute(0, 2, 3, 1), self._bias))


def _prepared(layer: nn.Module) -> _Residual | _Attention | _Grow:
    if isinstance(layer, ResidualBlock):
        return _Residual(layer)
    if isinstance(layer, Upsample):
        return _Grow(layer)
    assert isinstance(layer, FrameAttention)
    return _Attention(layer)


def _begun(like: Tensor, slot: Tensor) -> Tensor:
    """A tensor for two frames and those of ``like``, ``[2 + T, h, w, C]``, the first two those of a slot."""
    seen = like.new_empty(LOOK_BACK + like.shape[0], *like.shape[1:])
    seen[:LOOK_BACK] = slot[0].permute(1, 2, 3, 0)
    return seen


def _keep(seen: Tensor, slot: Tensor) -> None:
    slot[0].permute(1, 2, 3, 0).copy_(seen[-LOOK_BACK:])


def _gain(norm: nn.Module) -> Tensor:
    assert isinstance(norm, ChannelNorm)
    return norm.gamma.detach().flatten()


def _conv(module: nn.Module) -> nn.Conv3d:
    assert isinstance(module, nn.Conv3d)
    return module
