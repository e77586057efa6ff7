"""Decoded frames into the bytes that leave the pipeline."""

from torch import Tensor

from pipeline.preprocess import to_bytes
from pipeline.types import Pixels


def frames_of(video: Tensor) -> Tensor:
    """``float [1, 3, F, H, W]`` in 0..1 to ``uint8 [F, H, W, 3]`` on the same device."""
    return to_bytes(video)[0].permute(1, 2, 3, 0).contiguous()


def to_host(video: Tensor) -> Pixels:
    """``float [1, 3, F, H, W]`` in 0..1 to ``uint8 [F, H, W, 3]`` in host memory: a third of a copy's bytes."""
    return frames_of(video).cpu().numpy()
