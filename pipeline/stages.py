"""How long the stages of a chunk take."""

import time

import torch


class Stages:
    """Adds up milliseconds by stage; on a GPU each lap waits until the work before it is done.

    >>> stages = Stages(torch.device("cpu"))
    >>> stages.lap("denoise")
    >>> list(stages.ms)
    ['denoise']
    """

    def __init__(self, device: torch.device) -> None:
        self.ms: dict[str, float] = {}
        self._device = device
        self._since = self._now()

    def lap(self, stage: str) -> None:
        """Count the time since the last lap, or since the beginning, to a stage."""
        now = self._now()
        self.ms[stage] = self.ms.get(stage, 0.0) + (now - self._since) * 1000
        self._since = now

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
