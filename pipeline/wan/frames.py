"""Decoded frames into the bytes that leave the pipeline."""

from torch import Tensor

from pipeline.preprocess import to_bytes
from pipeline.types import Pixels


def to_host(frames: Tensor) -> Pixels:
    """``float [1, 3, F, H, W]`` in 0..1 to ``uint8 [F, H, W, 3]`` in host memory: a third of a copy's bytes."""
    return to_bytes(frames)[0].permute(1, 2, 3, 0).contiguous().cpu().numpy()
