"""Frames from a GPU to the host, beside whatever the GPU does next."""

import torch
from torch import Tensor

from pipeline.types import Pixels


class HostCopy:
    """A copy of frames ``uint8 [F, H, W, 3]``, contiguous, that has begun; they must not change until it is waited for.

    From a GPU they come into pinned memory, which PyTorch keeps for the next ones when the array is dropped: 16 MiB for
    each chunk of 12 frames of 832x480 that is alive. ``stream`` is where the copy stands in line; None on a CPU, whose
    frames are there.
    """

    def __init__(self, frames: Tensor) -> None:
        self.stream: torch.cuda.Stream | None = None
        if frames.device.type != "cuda":
            self._host = frames.cpu()
            return
        self._host = torch.empty(frames.shape, dtype=frames.dtype, pin_memory=True)
        # Of a pool of PyTorch's: it costs nothing to ask for one.
        self.stream, self._frames = torch.cuda.Stream(frames.device), frames
        self.stream.wait_stream(torch.cuda.current_stream(frames.device))
        with torch.cuda.stream(self.stream):
            self._host.copy_(frames, non_blocking=True)
        self._done = self.stream.record_event()

    def wait(self) -> Pixels:
        """Sleep until the copy is there, and give it, ``uint8 [F, H, W, 3]``."""
        if self.stream is not None:
            self._done.synchronize()
        return self._host.numpy()
