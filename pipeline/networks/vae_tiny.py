"""TAEHV, the tiny video autoencoder for Wan2.1's latents (taew2_1); parameter names are those of the checkpoint.

Its blocks see one step back in time, so its memory is the last input of each; what a call brings is worked through
side by side, time folded into the batch. Unlike the Wan VAE it takes latents as they are and pixels in 0..1, and it
groups frames 0-3, 4-7 and so on when encoding. Source: github.com/madebyollin/taehv.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import repeat
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.networks.frame_decoder import VAEMemory

GROW_PLACES = (7, 13, 19)
"""Where the decoder multiplies frames."""
POOL_PLACES = (2, 7, 12)
"""Where the encoder joins frames."""
BLOCKS = 3
"""Memory blocks of one stage."""


@dataclass(frozen=True, slots=True)
class TinyVAEConfig:
    """Sizes of one network; those of taew2_1 are the defaults.

    ``decoder_widths`` are the widths of the decoder's four stages; ``time_pools`` and ``time_grows`` say by how much
    the frames of each stage are joined and multiplied.
    """

    latent_channels: int = 16
    image_channels: int = 3
    encoder_width: int = 64
    decoder_widths: tuple[int, int, int, int] = (256, 128, 64, 64)
    time_pools: tuple[int, int, int] = (2, 2, 1)
    time_grows: tuple[int, int, int] = (1, 2, 2)

    @property
    def frames_per_latent(self) -> int:
        """Raw frames that the decoder makes of a latent.

        >>> TinyVAEConfig().frames_per_latent
        4
        """
        first, second, third = self.time_grows
        return first * second * third

    @property
    def frames_to_trim(self) -> int:
        """Raw frames at a stream's beginning that stand for nothing.

        >>> TinyVAEConfig().frames_to_trim
        3
        """
        return self.frames_per_latent - 1

    @property
    def frames_per_group(self) -> int:
        """Frames that the encoder makes a latent of.

        >>> TinyVAEConfig().frames_per_group
        4
        """
        first, second, third = self.time_pools
        return first * second * third


def config_of(state: Mapping[str, Tensor], time_grows: tuple[int, int, int] = (1, 2, 2)) -> TinyVAEConfig:
    """Read the sizes off a state dict. ``time_grows`` is not in it: its kernels may be larger than what is used.

    Raises KeyError when a key of the network is missing.
    """
    encoder_width, image_channels = state["encoder.0.weight"].shape[:2]
    pools = [state[f"encoder.{place}.conv.weight"].shape[1] // encoder_width for place in POOL_PLACES]
    # Each stage's width is what its first convolution gives.
    widths = [state[f"decoder.{place}.weight"].shape[0] for place in (1, *(grow + 1 for grow in GROW_PLACES))]
    return TinyVAEConfig(
        latent_channels=state["decoder.1.weight"].shape[1],
        image_channels=image_channels,
        encoder_width=encoder_width,
        decoder_widths=(widths[0], widths[1], widths[2], widths[3]),
        time_pools=(pools[0], pools[1], pools[2]),
        time_grows=time_grows,
    )


def fit_state_dict(state: Mapping[str, Tensor], config: TinyVAEConfig | None = None) -> dict[str, Tensor]:
    """Cut the kernels that multiply frames to the rows that this network uses, the last ones.

    A checkpoint trained to multiply frames more often holds the rows of all its frames, earlier frames first; a
    network that makes fewer of them wants the latest. Everything else passes as it is, what does not fit too:
    loading tells of it.
    """
    fitted = dict(state)
    for place, grow in zip(GROW_PLACES, (config or TinyVAEConfig()).time_grows, strict=True):
        kernel = state.get(key := f"decoder.{place}.conv.weight")
        if kernel is not None:
            fitted[key] = kernel[-grow * kernel.shape[1] :]
    return fitted


class Clamp(nn.Module):
    """Bounds latents smoothly to -3..3."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class MemoryBlock(nn.Module):
    """Three convolutions over a step and the one before it, beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            conv(2 * channels, channels),
            nn.ReLU(),
            conv(channels, channels),
            nn.ReLU(),
            conv(channels, channels),
        )

    def forward(self, x: Tensor, last: Tensor | None, batch: int) -> tuple[Tensor, Tensor]:
        """Run ``[B * T, C, h, w]`` after ``last``, ``[B, C, h, w]`` or None at the beginning; gives the next one."""
        steps = x.unflatten(0, (batch, -1))
        before = torch.zeros_like(steps[:, :1]) if last is None else last[:, None]
        past = torch.cat([before, steps[:, :-1]], 1).flatten(0, 1)
        # A copy: a view would hold all steps in memory.
        return F.relu(self.conv(torch.cat([x, past], 1)) + x), steps[:, -1].clone()


class TimePool(nn.Module):
    """Joins ``factor`` neighbouring frames into one, the earlier ones first among the channels."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv2d(factor * channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[B * T, C, h, w]`` to ``[B * T / factor, C, h, w]``."""
        return self.conv(x.unflatten(0, (-1, self.factor)).flatten(1, 2))


class TimeGrow(nn.Module):
    """Makes ``factor`` frames of one, the earlier ones from the first channels."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv2d(channels, factor * channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[B * T, C, h, w]`` to ``[B * T * factor, C, h, w]``."""
        return self.conv(x).unflatten(1, (self.factor, -1)).flatten(0, 1)


def conv(in_channels: int, out_channels: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size, or divides it by ``stride``."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=bias)


class TinyVAE(nn.Module):
    """Both halves. Pixels and latents may come in any floating dtype; the network works in that of its weights.

    Calls that cut a stream differently agree to rounding (at most 7e-6 of rms in float32, measured at full size), since
    convolutions of another batch add up in another order; calls that cut it alike agree bit for bit.
    """

    def __init__(self, config: TinyVAEConfig | None = None) -> None:
        super().__init__()
        self.config = config or TinyVAEConfig()
        self.encoder = nn.Sequential(*_encoder_layers(self.config))
        self.decoder = nn.Sequential(*_decoder_layers(self.config))

    def decode(self, latents: Tensor, memory: VAEMemory | None = None) -> tuple[Tensor, VAEMemory]:
        """Decode the next latents of a stream.

        Args:
            latents: ``float [B, 16, T, h, w]``, normalised as the transformer makes them, T at least 1.
            memory: what the last call gave, or None at a stream's beginning. It stays as it is.

        Returns:
            Video ``[B, 3, F, 8 h, 8 w]``, nominally 0..1 but not clamped, F = 4 T, less 3 at the beginning; and the
            memory for the next call.
        """
        trim = self.config.frames_to_trim if memory is None or memory.is_beginning else 0
        raw, seen = self.decode_untrimmed(latents, memory)
        return raw[:, :, trim:], seen

    def decode_untrimmed(self, latents: Tensor, memory: VAEMemory | None = None) -> tuple[Tensor, VAEMemory]:
        """Decode as :meth:`decode` does, and keep the frames that a stream's beginning drops: F = 4 T."""
        return self._run(self.decoder, latents.to(self._dtype), memory or VAEMemory())

    @property
    def memory_latents(self) -> int:
        """See :class:`pipeline.networks.frame_decoder.FrameDecoder`.

        >>> TinyVAE().memory_latents
        8
        """
        steps, back = 1, Fraction(0)
        for grow in self.config.time_grows:
            back += Fraction(BLOCKS, steps)
            steps *= grow
        # The last block's memory is its own input.
        return 1 + ceil(back - Fraction(self.config.time_grows[-1], steps))

    def decode_frames(self, latents: Tensor, memory: VAEMemory | None) -> tuple[Tensor, VAEMemory]:
        """See :meth:`pipeline.networks.frame_decoder.FrameDecoder.decode_frames`."""
        video, seen = self.decode(latents, memory)
        return video.float().clamp(0, 1), seen

    def encode(self, video: Tensor, memory: VAEMemory | None = None) -> tuple[Tensor, VAEMemory]:
        """Encode the next frames of a stream.

        Args:
            video: ``float [B, 3, F, H, W]`` in 0..1, H and W multiples of 8.
            memory: what the last call gave, or None at a stream's beginning. It stays as it is.

        Returns:
            Latents ``[B, 16, T, H / 8, W / 8]``, one for every four frames, so T may be 0; and the memory for the
            next call. Frames that do not fill a group wait in the memory for more, or for :meth:`flush`.
        """
        memory = memory or VAEMemory()
        video = video.to(self._dtype)
        if memory.pending is not None:
            video = torch.cat([memory.pending, video], 2)
        whole = video.shape[2] - video.shape[2] % self.config.frames_per_group
        pending = video[:, :, whole:].clone() if whole < video.shape[2] else None
        if not whole:
            height, width = video.shape[3] // 8, video.shape[4] // 8
            none = video.new_empty(video.shape[0], self.config.latent_channels, 0, height, width)
            return none, VAEMemory(memory.slots, pending)
        latents, seen = self._run(self.encoder, video[:, :, :whole], memory)
        return latents, VAEMemory(seen.slots, pending)

    def flush(self, memory: VAEMemory) -> Tensor | None:
        """Encode what waits at a stream's end, the last frame repeated to a whole group; None if nothing waits."""
        if memory.pending is None:
            return None
        missing = self.config.frames_per_group - memory.pending.shape[2]
        return self.encode(memory.pending[:, :, -1:].expand(-1, -1, missing, -1, -1), memory)[0]

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def _run(self, layers: nn.Sequential, video: Tensor, memory: VAEMemory) -> tuple[Tensor, VAEMemory]:
        batch = video.shape[0]
        past: Iterator[Tensor | None] = repeat(None) if memory.is_beginning else iter(memory.slots)
        kept: list[Tensor | None] = []
        x = video.transpose(1, 2).flatten(0, 1)
        for layer in layers:
            if isinstance(layer, MemoryBlock):
                x, last = layer(x, next(past), batch)
                kept.append(last)
            else:
                x = layer(x)
        return x.unflatten(0, (batch, -1)).transpose(1, 2), VAEMemory(tuple(kept))


def _encoder_layers(config: TinyVAEConfig) -> Iterator[nn.Module]:
    """Give the encoder's layers in the order of the checkpoint's numbers."""
    width = config.encoder_width
    yield conv(config.image_channels, width)
    yield nn.ReLU()
    for pool in config.time_pools:
        yield TimePool(width, pool)
        yield conv(width, width, stride=2, bias=False)
        yield from (MemoryBlock(width) for _ in range(BLOCKS))
    yield conv(width, config.latent_channels)


def _decoder_layers(config: TinyVAEConfig) -> Iterator[nn.Module]:
    """Give the decoder's layers in the order of the checkpoint's numbers."""
    widths = config.decoder_widths
    yield Clamp()
    yield conv(config.latent_channels, widths[0])
    yield nn.ReLU()
    for width, narrower, grow in zip(widths, widths[1:], config.time_grows, strict=False):
        yield from (MemoryBlock(width) for _ in range(BLOCKS))
        yield nn.Upsample(scale_factor=2.0, mode="nearest")
        yield TimeGrow(width, grow)
        yield conv(width, narrower, bias=False)
    yield nn.ReLU()
    yield conv(widths[-1], config.image_channels)
