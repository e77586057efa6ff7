"""Decoded frames into the bytes that leave the pipeline."""

from collections.abc import Callable

from torch import Tensor

from pipeline.preprocess import to_bytes
from pipeline.types import Pixels


def frames_of(video: Tensor) -> Tensor:
    """``float [1, 3, F, H, W]`` in 0..1 to ``uint8 [F, H, W, 3]`` on the same device."""
    return to_bytes(video)[0].permute(1, 2, 3, 0).contiguous()


def to_host(video: Tensor) -> Pixels:
    """``float [1, 3, F, H, W]`` in 0..1 to ``uint8 [F, H, W, 3]`` in host memory: a third of a copy's bytes."""
    return frames_of(video).cpu().numpy()


def features_of(frames: Tensor, encoder: Callable[[Tensor], Tensor] | None) -> Tensor | None:
    """What an image encoder says of the last of frames ``uint8 [F, H, W, 3]``, ``float [1, D]``; None without one."""
    if encoder is None:
        return None
    picture = frames[-1:].permute(0, 3, 1, 2).float() / 127.5 - 1
    return encoder(picture).float().mean(1)
