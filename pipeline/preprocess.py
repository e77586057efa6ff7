"""Pictures into what the Wan family reads, and its pictures back into bytes."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.geometry import cover_crop
from pipeline.types import Pixels

FRAMES_PER_LATENT = 4


def cover(picture: Pixels, width: int, height: int) -> Tensor:
    """Scale ``uint8 [H, W, 3]`` to cover the frame and crop the centre: ``float32 [1, 3, 1, H, W]`` in -1..1."""
    image = Image.fromarray(picture)
    left, top, right, bottom = cover_crop(image.width, image.height, (width, height))
    return _resized(image, (width, height), (left, top, image.width - right, image.height - bottom))


def stretch(picture: Pixels, width: int, height: int) -> Tensor:
    """Scale ``uint8 [H, W, 3]`` to the frame, its shape not kept: ``float32 [1, 3, 1, H, W]`` in -1..1.

    So does the command line that was published with Self Forcing (arXiv 2506.08009).
    """
    image = Image.fromarray(picture)
    return _resized(image, (width, height), (0, 0, image.width, image.height))


def to_bytes(video: Tensor) -> Tensor:
    """Cut values in 0..1 to ``uint8``; shape and device are kept, what lies outside is clamped.

    Fractions are dropped, not rounded: 1.0 alone is 255, as in the published command line.

    >>> to_bytes(torch.tensor([0.0, 0.999, 1.0, 2.0])).tolist()
    [0, 254, 255, 255]
    """
    return (255.0 * video.float().clamp(0.0, 1.0)).to(torch.uint8)


def signed_to_bytes(video: Tensor) -> Tensor:
    """Cut values in -1..1 to ``uint8``, as :func:`to_bytes` does, in the arithmetic of the published demo.

    >>> signed_to_bytes(torch.tensor([-1.0, 0.0, 1.0, 2.0])).tolist()
    [0, 127, 255, 255]
    """
    return (video.float().clamp(-1.0, 1.0) * 127.5 + 127.5).to(torch.uint8)


def given_frame_mask(frames: int, height: int, width: int) -> Tensor:
    """Say which frames a network is given, the first alone: ``float32 [4, T, h, w]`` of ones and zeros.

    ``frames`` counts pixels' frames, 1 + 4n; ``height`` and ``width`` are the latents'. A latent frame's channels
    are the four frames it stands for; the first latent stands for one, which fills all four.
    """
    latents = 1 + (frames - 1) // FRAMES_PER_LATENT
    mask = torch.zeros(FRAMES_PER_LATENT, latents, height, width)
    mask[:, 0] = 1.0
    return mask


def given_frame(latents: Tensor) -> Tensor:
    """Put the mask on top of what a network with ``y`` input (Wan2.1 I2V) is given beside the noise.

    Args:
        latents: ``[B, 16, T, h, w]``, the VAE's of a picture followed by frames of zero.

    Returns:
        ``[B, 20, T, h, w]``: mask, then latents.
    """
    batch, _, count, height, width = latents.shape
    mask = given_frame_mask(1 + FRAMES_PER_LATENT * (count - 1), height, width)
    return torch.cat([mask.to(latents).expand(batch, -1, -1, -1, -1), latents], dim=1)


def _resized(image: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int]) -> Tensor:
    # Pillow's bilinear filter is as wide as the step between pixels, so a picture made smaller doesn't alias.
    resized = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box), np.float32)
    return ((torch.from_numpy(resized).permute(2, 0, 1) / 255 - 0.5) / 0.5)[None, :, None]
