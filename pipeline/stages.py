"""How long the stages of a chunk take."""

import time
from itertools import pairwise

import torch

Mark = int | torch.cuda.Event
"""A moment: nanoseconds of the host's clock, or a place in the work of a GPU's stream."""


class Stages:
    """Adds up milliseconds by stage; on a GPU by its own clock, and nothing waits for it until ``ms`` is asked for.

    A stage on a GPU lasts from where its stream reached the last lap to where it reaches this one: the host may be
    ahead by then, and time in which the GPU waited for the host counts.

    >>> stages = Stages(torch.device("cpu"))
    >>> stages.lap("denoise")
    >>> list(stages.ms)
    ['denoise']
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._names: list[str] = []
        self._marks: list[Mark] = [self._now()]

    def lap(self, stage: str, stream: torch.cuda.Stream | None = None) -> None:
        """Count the time since the last lap, or since the beginning, to a stage, which may end on another stream."""
        self._names.append(stage)
        self._marks.append(self._now(stream))

    @property
    def ms(self) -> dict[str, float]:
        """Milliseconds by stage, in the order in which they began; on a GPU it waits for the last lap."""
        last = self._marks[-1]
        if not isinstance(last, int):
            last.synchronize()
        added: dict[str, float] = {}
        for name, (since, until) in zip(self._names, pairwise(self._marks), strict=True):
            added[name] = added.get(name, 0.0) + _between(since, until)
        return added

    def _now(self, stream: torch.cuda.Stream | None = None) -> Mark:
        if self._device.type != "cuda":
            return time.perf_counter_ns()
        event = torch.cuda.Event(enable_timing=True)
        event.record(stream or torch.cuda.current_stream(self._device))
        return event


def _between(since: Mark, until: Mark) -> float:
    if isinstance(since, int) or isinstance(until, int):
        assert isinstance(since, int)
        assert isinstance(until, int)
        return (until - since) / 1e6
    return since.elapsed_time(until)
