"""The networks of a Wan model as its pipeline uses them, each behind the one call that is made of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pipeline.networks.frame_decoder import FrameDecoder
from pipeline.networks.transformer import CausalTransformer
from pipeline.networks.vae_wan import VAEMemory

EncodesText = Callable[[str], Tensor]
"""A prompt to what the transformer attends to, ``[1, S, text_dim]`` on its device, S the prompt's own length."""
EncodesImage = Callable[[Tensor], Tensor]
"""The CLIP tower of an I2V model: ``[B, 3, H, W]`` in -1..1 to features ``[B, tokens, image_dim]``."""


class EncodesVideo(Protocol):
    """The encoding half of the Wan VAE."""

    def encode(self, video: Tensor, memory: VAEMemory | None = None) -> tuple[Tensor, VAEMemory]:
        """``[B, 3, F, H, W]`` in -1..1 to latents ``float32 [B, 16, T, h, w]``, frames after those before."""
        ...

    def encode_image(self, image: Tensor, tile: int | None = None) -> Tensor:
        """``[B, 3, 1, H, W]`` in -1..1 to a first latent ``float32 [B, 16, 1, h, w]``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A model's networks, loaded and in place; ``device`` and ``dtype`` are the transformer's.

    ``encoder`` and ``image_encoder`` are None where the model takes no picture, or needs no features of it. ``tile``
    is the edge in pixels of the squares that a picture is encoded in, None for the whole at once.
    """

    transformer: CausalTransformer
    text: EncodesText
    decoder: FrameDecoder
    encoder: EncodesVideo | None
    image_encoder: EncodesImage | None
    device: torch.device
    dtype: torch.dtype
    tile: int | None = None
