"""The tiny decoder as live video runs it: the same function of latents, with less to compute and to move.

Growing in time is a product of channels, upsampling copies and the convolution after them is linear too: the three
are one convolution of 2x2 on the small picture (:mod:`pipeline.networks.upsampling`), and the picture of full size is
never there: the last layer reads its blocks. Where cuDNN has them, convolution, bias, shortcut and ReLU are one kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.networks.upsampling import clear_outside, fold_reading, fold_upsampling, unblock
from pipeline.networks.vae_tiny import MemoryBlock, TimeGrow, TinyVAE

ALIGNED = 8
"""Channels of a result come in eights, for tensor cores in two-byte floats: fewer are filled up."""


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """A convolution's weight ``[N, C, 3, 3]``, channels last in memory, and its bias ``[N]``."""

    weight: Tensor
    bias: Tensor


Block = tuple[Kernel, Kernel, Kernel]


class TinyLive:
    """A decoder made of a network's weights, one stream's latents a call; it holds no stream's memory.

    ``fuses`` asks cuDNN for a convolution with all that follows it as one kernel: on CUDA, in two-byte floats.
    """

    begins = True

    def __init__(self, network: TinyVAE, *, fuses: bool) -> None:
        self._fuses = fuses
        self.frames_to_trim = network.config.frames_to_trim
        layers = list(network.decoder)
        first, last = layers[1], layers[-1]
        assert isinstance(first, nn.Conv2d)
        assert isinstance(last, nn.Conv2d)
        self._first = _kernel(first)
        self._stages: list[list[Block]] = []
        self._grows: list[list[Tensor]] = []
        for before, layer, after in zip(layers, layers[1:], layers[2:], strict=False):
            if isinstance(layer, MemoryBlock):
                if not isinstance(before, MemoryBlock):
                    self._stages.append([])
                self._stages[-1].append(_block(layer))
            elif isinstance(layer, TimeGrow):
                assert isinstance(after, nn.Conv2d)
                folded = [fold_upsampling(weight) for weight in _grown(layer, after)]
                self._grows.append([_laid(weight.to(after.weight)) for weight in folded])
        reading = fold_reading(last.weight)
        self._shown = reading.shape[0]
        self._last = _laid(F.pad(reading, (0, 0, 0, 0, 0, 0, 0, -self._shown % ALIGNED)))
        self._last_bias = last.bias

    @property
    def dtype(self) -> torch.dtype:
        """That of the weights, and of memory."""
        return self._last.dtype

    def beginning(self, height: int, width: int, device: torch.device) -> list[Tensor]:
        """Make slots without history for latents of this size: zeros ``[1, C, H, W]``, channels last in memory."""
        made: list[Tensor] = []
        for number, blocks in enumerate(self._stages):
            channels, edge = len(blocks[0][0].bias), 2**number
            size = (1, height * edge, width * edge, channels)
            made += [torch.zeros(size, dtype=self.dtype, device=device).permute(0, 3, 1, 2) for _ in blocks]
        return made

    def __call__(self, latents: Tensor, slots: Sequence[Tensor]) -> Tensor:
        """Decode, and bring the memory forward.

        Args:
            latents: ``float [1, 16, T, h, w]``, normalised.
            slots: those of :class:`~pipeline.networks.frame_decoder.VAEMemory`, in the network's dtype; they are
                overwritten. Zeros are a stream's beginning.

        Returns:
            ``[4 T, 8 h, 8 w, 3]``, nominally 0..1, not clamped; no frame is dropped (``frames_to_trim`` of a
            stream's first call stand for nothing).
        """
        x = latents[0].transpose(0, 1).to(self.dtype).contiguous(memory_format=torch.channels_last)
        x = self._convolved(torch.tanh(x / 3) * 3, self._first)
        past = iter(slots)
        for number, (blocks, grows) in enumerate(zip(self._stages, self._grows, strict=True), 1):
            for block in blocks:
                x = self._remembered(x, next(past), block)
            if number == len(self._stages):
                return self._finished(x, grows)
            frames = [unblock(F.conv2d(x, weight, padding=1)) for weight in grows]
            x = frames[0] if len(frames) == 1 else _alternating(frames)
        raise AssertionError("a network has stages")

    def _remembered(self, x: Tensor, slot: Tensor, block: Block) -> Tensor:
        """A memory block: ``[T, C, h, w]`` beside the step before each, the first of them in ``slot``."""
        count, channels, *size = x.shape
        both = torch.empty(
            (count, 2 * channels, *size), dtype=x.dtype, device=x.device, memory_format=torch.channels_last
        )
        both[:, :channels] = x
        both[:1, channels:] = slot
        both[1:, channels:] = x[:-1]
        slot.copy_(x[-1:])
        first, second, third = block
        h = self._convolved(both, first, x, 0.0)
        h = self._convolved(h, second, h, 0.0)
        return self._convolved(h, third, x, 1.0)

    def _convolved(self, x: Tensor, kernel: Kernel, shortcut: Tensor | None = None, share: float = 0.0) -> Tensor:
        """``relu(conv(x) + share * shortcut)``; the shortcut's values must be finite though its share be 0."""
        if self._fuses and shortcut is not None:
            # Without a shortcut the kernel multiplies what the result's memory held by 0: NaN, if that was no number.
            one = (1, 1)
            return torch.cudnn_convolution_add_relu(x, kernel.weight, shortcut, share, kernel.bias, one, one, one, 1)
        made = F.conv2d(x, kernel.weight, kernel.bias, padding=1)
        return F.relu(made + shortcut if shortcut is not None and share else made)

    def _finished(self, x: Tensor, grows: list[Tensor]) -> Tensor:
        """The last stage's ``[T, C, h, w]`` to pixels ``[F, 2 h, 2 w, 3]``."""
        frames: list[Tensor] = []
        for weight in grows:
            blocks = F.relu(F.conv2d(x, weight, padding=1), inplace=True)
            clear_outside(blocks)
            frames.append(F.conv2d(blocks, self._last)[:, : self._shown])
        shown = torch.stack(frames, 1).flatten(0, 1).unflatten(1, (2, 2, -1))
        pixels = shown.permute(0, 4, 1, 5, 2, 3).flatten(1, 2).flatten(2, 3)
        return pixels if self._last_bias is None else pixels + self._last_bias


def _alternating(frames: list[Tensor]) -> Tensor:
    """First frames, second frames and so on ``[T, C, h, w]`` each, in order: ``[T * len, C, h, w]``, channels last."""
    joined = torch.stack([frame.permute(0, 2, 3, 1) for frame in frames], 1)
    return joined.flatten(0, 1).permute(0, 3, 1, 2)


def _grown(grow: TimeGrow, conv: nn.Conv2d) -> list[Tensor]:
    """One kernel ``[N, C, 3, 3]`` for each frame that is made of one: growing, then the convolution; not rounded."""
    assert conv.bias is None
    wide = torch.promote_types(conv.weight.dtype, torch.float32)
    products = grow.conv.weight[:, :, 0, 0].to(wide).unflatten(0, (grow.factor, -1))
    return [torch.einsum("ndyx,dc->ncyx", conv.weight.to(wide), product) for product in products]


def _block(block: MemoryBlock) -> Block:
    first, second, third = (_kernel(layer) for layer in block.conv if isinstance(layer, nn.Conv2d))
    return first, second, third


def _kernel(conv: nn.Conv2d) -> Kernel:
    assert conv.bias is not None
    return Kernel(_laid(conv.weight), conv.bias)


def _laid(weight: Tensor) -> Tensor:
    return weight.detach().contiguous(memory_format=torch.channels_last)
