"""Functions of tensors made fast on a GPU: compiled, and recorded once as a CUDA graph, then replayed.

``NO_TORCH_COMPILE=1`` and ``NO_CUDA_GRAPH=1`` in the environment turn either off: what is slow then is right too.
"""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
ResultT = TypeVar("ResultT")
REHEARSALS = 2
"""Runs before a recording: libraries set themselves up, the compiler compiles, and neither may be recorded."""


def may_compile(device: torch.device) -> bool:
    """Whether functions are compiled for this device: a GPU, with Triton, and nobody said no."""
    return device.type == "cuda" and not _is_set("NO_TORCH_COMPILE") and _has_triton()


def may_record(device: torch.device) -> bool:
    """Whether CUDA graphs are recorded for this device."""
    return device.type == "cuda" and not _is_set("NO_CUDA_GRAPH")


def compiled(function: FunctionT, device: torch.device) -> FunctionT:
    """Compile a function for this device, whole and for the shapes it is called with, or give it as it is.

    What was compiled is kept on disk, so that the next start takes seconds: under ``TORCHINDUCTOR_CACHE_DIR``, or
    ``XDG_CACHE_HOME/vivant``.
    """
    if not may_compile(device):
        return function
    _read_rows_once()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(home / "vivant" / "inductor"))
    return cast(FunctionT, torch.compile(function, fullgraph=True, dynamic=False))


class Recorded(Generic[ResultT]):
    """A function of tensors as a CUDA graph, over inputs and outputs that stay where they are.

    ``inputs`` are examples: their shapes and dtypes are those of every call. Other tensors that the function reads or
    writes must stay where they are too. ``outputs`` hold until the next call. Graphs of one ``pool`` share the memory
    of their work, so their outputs hold until any of them is called again. Raises RuntimeError when the function does
    what a graph can't hold.
    """

    def __init__(self, function: Callable[..., ResultT], inputs: Sequence[Tensor], pool: Any = None) -> None:
        self.inputs = tuple(torch.empty_like(given).copy_(given) for given in inputs)
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(REHEARSALS):
                function(*self.inputs)
        torch.cuda.current_stream().wait_stream(beside)
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        # Another thread's calls, an encoder's say, must not spoil this recording.
        with uncollected(), torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self.outputs = function(*self.inputs)

    def __call__(self, *inputs: Tensor) -> ResultT:
        """Copy the inputs into place, unless they stand there, and replay."""
        for held, given in zip(self.inputs, inputs, strict=True):
            if given is not held:
                held.copy_(given)
        self._graph.replay()
        return self.outputs


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the collector from running meanwhile: another graph that it frees would spoil a recording."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@cache
def _read_rows_once() -> None:
    # The hook is the compiler's own, but no promise of PyTorch's: where it is not, rows are read twice.
    config = import_module("torch._inductor.config")
    if hasattr(config, "inductor_choices_class"):
        choices = import_module("pipeline.inductor_choices").WholeRows
        setattr(config, "inductor_choices_class", choices)  # noqa: B010  # pyright knows no such name


def _is_set(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


@cache
def _has_triton() -> bool:
    from torch.utils._triton import has_triton

    return has_triton()
