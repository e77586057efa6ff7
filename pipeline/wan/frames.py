"""Decoded frames into the bytes that leave the pipeline."""

import torch
from torch import Tensor

from pipeline.preprocess import to_bytes
from pipeline.types import Pixels


def frames_of(video: Tensor) -> Tensor:
    """``float [1, 3, F, H, W]`` in 0..1 to ``uint8 [F, H, W, 3]`` on the same device."""
    return to_bytes(video)[0].permute(1, 2, 3, 0).contiguous()


def to_host(video: Tensor) -> Pixels:
    """``float [1, 3, F, H, W]`` in 0..1 to ``uint8 [F, H, W, 3]`` in host memory: a third of a copy's bytes."""
    return frames_of(video).cpu().numpy()


def copied(frames: Tensor) -> Pixels:
    """``uint8 [F, H, W, 3]``, contiguous, to host memory of its own, by one copy that the host's processor sits out.

    From a GPU the array lies in pinned memory, which PyTorch keeps for the next one when this array is dropped: 16 MiB
    for each chunk of 12 frames of 832x480 that is alive.
    """
    if frames.device.type != "cuda":
        return frames.cpu().numpy()
    host = torch.empty(frames.shape, dtype=frames.dtype, pin_memory=True)
    host.copy_(frames, non_blocking=True)
    torch.cuda.current_stream(frames.device).synchronize()
    return host.numpy()
