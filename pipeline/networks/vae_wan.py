"""The Wan VAE: pixels to latents and back, streamed; parameter names are those of the published checkpoint.

A stream's first frame is a latent of its own, each further latent stands for four frames. Encoder and decoder work
through one latent at a time, so a stream cut anywhere gives bit for bit what one call gives. What the convolutions
have seen is handed in and out (:class:`~pipeline.networks.frame_decoder.VAEMemory`). Source: Wan2.1
(arXiv 2503.20314).
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from math import ceil

import torch
from torch import Tensor, nn

from pipeline.errors import ConfigError
from pipeline.networks.frame_decoder import VAEMemory
from pipeline.networks.vae_wan_config import WanVAEConfig
from pipeline.networks.vae_wan_layers import (
    LOOK_BACK,
    Downsample,
    Head,
    Middle,
    ResidualBlock,
    SlotTape,
    Upsample,
    causal_conv,
)


class Encoder(nn.Module):
    """Pixels to the moments of latents, one group of frames at a time."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        widths = [config.dim * mult for mult in (1, *config.dim_mult)]
        self.conv1 = causal_conv(3, widths[0])
        self.downsamples = nn.ModuleList()
        for stage, (narrow, wide) in enumerate(pairwise(widths)):
            for block in range(config.num_res_blocks):
                self.downsamples.append(ResidualBlock(wide if block else narrow, wide))
            if stage < len(config.temporal_downsample):
                self.downsamples.append(Downsample(wide, config.temporal_downsample[stage]))
        self.middle = Middle(widths[-1])
        self.head = Head(widths[-1], 2 * config.z_dim)

    def forward(self, video: Tensor, memory: VAEMemory) -> tuple[Tensor, VAEMemory]:
        """Encode a group ``[B, 3, F, H, W]``, F 1 at the beginning, else 4, to ``[B, 2 z, 1, h, w]``."""
        tape = SlotTape(memory)
        return self.finish(self.features(video, tape), tape), tape.memory()

    def features(self, video: Tensor, tape: SlotTape) -> Tensor:
        """The part that looks no farther than ``reach_px``: ``[B, 3, F, H, W]`` to ``[B, C, 1, h, w]``."""
        x = tape.through(self.conv1, video)
        for layer in self.downsamples:
            x = layer(x, tape)
        return x

    def finish(self, features: Tensor, tape: SlotTape) -> Tensor:
        """The part whose attention sees the whole frame: ``[B, C, 1, h, w]`` to ``[B, 2 z, 1, h, w]``."""
        return self.head(self.middle(features, tape), tape)


class Decoder(nn.Module):
    """Latents to pixels, one latent at a time."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        mults = config.dim_mult[::-1]
        widths = [config.dim * mult for mult in (mults[0], *mults)]
        self.conv1 = causal_conv(config.z_dim, widths[0])
        self.middle = Middle(widths[0])
        self.upsamples = nn.ModuleList()
        in_time = config.temporal_downsample[::-1]
        for stage, (before, width) in enumerate(pairwise(widths)):
            entering = before // 2 if stage else before
            for block in range(config.num_res_blocks + 1):
                self.upsamples.append(ResidualBlock(width if block else entering, width))
            if stage < len(in_time):
                self.upsamples.append(Upsample(width, in_time[stage]))
        self.head = Head(widths[-1], 3)

    def forward(self, z: Tensor, memory: VAEMemory) -> tuple[Tensor, VAEMemory]:
        """Decode one latent ``[B, z, 1, h, w]`` to ``[B, 3, F, H, W]``, F 1 at the beginning, else 4."""
        tape = SlotTape(memory)
        x = self.middle(tape.through(self.conv1, z), tape)
        for layer in self.upsamples:
            x = layer(x, tape)
        return self.head(x, tape), tape.memory()


class WanVAE(nn.Module):
    """Both halves, and the scale of the latents that the transformer works in.

    A half that is not needed is left out with ``encoder=False`` or ``decoder=False``; its methods fail then.
    Pixels and latents may come in any floating dtype; the network works in that of its weights.
    """

    def __init__(self, config: WanVAEConfig | None = None, *, encoder: bool = True, decoder: bool = True) -> None:
        super().__init__()
        self.config = config or WanVAEConfig()
        z_dim = self.config.z_dim
        if encoder:
            self.encoder = Encoder(self.config)
            self.conv1 = nn.Conv3d(2 * z_dim, 2 * z_dim, 1)
        if decoder:
            self.conv2 = nn.Conv3d(z_dim, z_dim, 1)
            self.decoder = Decoder(self.config)

    def decode(self, latents: Tensor, memory: VAEMemory | None = None) -> tuple[Tensor, VAEMemory]:
        """Decode the next latents of a stream.

        Args:
            latents: ``float [B, 16, T, h, w]``, normalised, T at least 1.
            memory: what the last call gave, or None at a stream's beginning. It stays as it is.

        Returns:
            Video ``[B, 3, F, 8 h, 8 w]``, nominally -1..1 but not clamped, F = 4 T, less 3 at the beginning; and
            the memory for the next call, 1.9 GB at 480x832 in two-byte floats.
        """
        return self.decode_mu(self.denormalise(latents), memory)

    def decode_mu(self, mu: Tensor, memory: VAEMemory | None = None) -> tuple[Tensor, VAEMemory]:
        """Decode as :meth:`decode` does, from latents on the network's own scale.

        For one latent with a memory of two or more this is work on the device alone, of constant shapes: what a
        CUDA graph can hold.
        """
        seen = memory or VAEMemory()
        videos: list[Tensor] = []
        for latent in mu.to(self.conv2.weight.dtype).split(1, dim=2):
            video, seen = self.decoder(self.conv2(latent), seen)
            videos.append(video)
        return torch.cat(videos, 2), seen

    @property
    def memory_latents(self) -> int:
        """See :class:`pipeline.networks.frame_decoder.FrameDecoder`.

        >>> with torch.device("meta"):
        ...     WanVAE(encoder=False).memory_latents
        38
        """
        # The kernels that a frame goes through before and between the places where frames are doubled. What the last
        # one of all remembers is its own input.
        blocks = 2 * (self.config.num_res_blocks + 1)
        steps, back = 1, Fraction(LOOK_BACK * (1 + 4))
        for doubles in (*self.config.temporal_downsample[::-1], False):
            back += Fraction(LOOK_BACK * (blocks + doubles), steps)
            steps *= 1 + doubles
        return 1 + ceil(back)

    def decode_frames(self, latents: Tensor, memory: VAEMemory | None) -> tuple[Tensor, VAEMemory]:
        """See :meth:`pipeline.networks.frame_decoder.FrameDecoder.decode_frames`."""
        video, seen = self.decode(latents, memory)
        return video.float().clamp(-1, 1).mul(0.5).add(0.5).clamp(0, 1), seen

    def encode(self, video: Tensor, memory: VAEMemory | None = None) -> tuple[Tensor, VAEMemory]:
        """Encode the next frames of a stream.

        Args:
            video: ``float [B, 3, F, H, W]`` in -1..1, H and W multiples of 8.
            memory: what the last call gave, or None at a stream's beginning. It stays as it is.

        Returns:
            Latents ``float32 [B, 16, T, H / 8, W / 8]``, normalised: one for a stream's first frame and one for every
            four that follow, so T may be 0; and the memory for the next call. Frames that do not fill a group wait
            in the memory: a stream that ends there never encodes them.
        """
        mu, memory = self.encode_mu(video, memory)
        return self.normalise(mu), memory

    def encode_mu(self, video: Tensor, memory: VAEMemory | None = None) -> tuple[Tensor, VAEMemory]:
        """Encode as :meth:`encode` does, to latents on the network's own scale and in its dtype."""
        memory = memory or VAEMemory()
        video = video.to(self.conv1.weight.dtype)
        if memory.pending is not None:
            video = torch.cat([memory.pending, video], 2)
        height, width = (size // self.config.spatial_factor for size in video.shape[3:])
        mus = [video.new_empty(video.shape[0], self.config.z_dim, 0, height, width)]
        at, slots = 0, VAEMemory(memory.slots)
        while (end := at + (1 if slots.is_beginning else self.config.temporal_factor)) <= video.shape[2]:
            moments, slots = self.encoder(video[:, :, at:end], slots)
            mus.append(self._mu(moments))
            at = end
        pending = video[:, :, at:].clone() if at < video.shape[2] else None
        return torch.cat(mus, 2), VAEMemory(slots.slots, pending)

    def encode_image(self, image: Tensor, tile: int | None = None) -> Tensor:
        """Encode a picture to a stream's first latent, in squares where memory is short.

        Tiling approximates nothing. A square is encoded with as much of its surroundings as its convolutions reach
        (72 px each side), what the cut spoils is thrown away, and the attention runs once over the whole picture.
        The result differs from the untiled one by rounding alone.

        Args:
            image: ``float [B, 3, 1, H, W]`` in -1..1, H and W multiples of 8.
            tile: edge of a square in pixels, a multiple of 8; None takes the picture whole.

        Returns:
            The latent ``float32 [B, 16, 1, H / 8, W / 8]``, normalised.

        Raises:
            ConfigError: ``tile`` is not a positive multiple of 8.
        """
        image = image.to(self.conv1.weight.dtype)
        features = self._tiled(image, tile) if tile is not None else self.encoder.features(image, _fresh())
        return self.normalise(self._mu(self.encoder.finish(features, _fresh())))

    def normalise(self, mu: Tensor) -> Tensor:
        """Latents of the network to those of the transformer: ``float32``, mean 0, deviation 1 in each channel."""
        mean, std = self.statistics(mu.device)
        return (mu.float() - mean) / std

    def denormalise(self, latents: Tensor) -> Tensor:
        """Undo :meth:`normalise`; ``float32``."""
        mean, std = self.statistics(latents.device)
        return latents.float() * std + mean

    def statistics(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each channel of the network's latents, ``float32 [1, z, 1, 1, 1]`` each."""
        pair = torch.tensor([self.config.latent_mean, self.config.latent_std], device=device)
        mean, std = pair[:, None, :, None, None, None].unbind(0)
        return mean, std

    def _mu(self, moments: Tensor) -> Tensor:
        return self.conv1(moments)[:, : self.config.z_dim]

    def _tiled(self, image: Tensor, tile: int) -> Tensor:
        factor = self.config.spatial_factor
        if tile <= 0 or tile % factor:
            raise ConfigError(f"a tile's edge is a multiple of {factor} pixels, not {tile}")
        halo = -(-self.config.reach_px // factor)
        rows: list[Tensor] = []
        for ys, kept_ys in _tiles(image.shape[3] // factor, tile // factor, halo, factor):
            row: list[Tensor] = []
            for xs, kept_xs in _tiles(image.shape[4] // factor, tile // factor, halo, factor):
                row.append(self.encoder.features(image[:, :, :, ys, xs], _fresh())[:, :, :, kept_ys, kept_xs])
            rows.append(torch.cat(row, 4))
        return torch.cat(rows, 3)


def _fresh() -> SlotTape:
    return SlotTape(VAEMemory())


def _tiles(size: int, tile: int, halo: int, factor: int) -> Iterator[tuple[slice, slice]]:
    """Cut an axis of ``size`` latent places: the pixels to encode for each tile, and the places of those to keep."""
    for start in range(0, size, tile):
        end, first = min(start + tile, size), max(start - halo, 0)
        yield slice(first * factor, (end + halo) * factor), slice(start - first, end - first)
