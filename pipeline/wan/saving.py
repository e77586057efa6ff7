"""A Wan stream as bytes: its clean latents and counts; window and decoder are made again from these.

The bytes are a safetensors file, so reading them runs nothing: tensors, and the few numbers as JSON in one of them.
"""

import json
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.wan.state import Known, WanState

Counts = tuple[int, int, int, int]
"""``made``, ``cached``, ``frames`` and ``chunks`` of a boundary."""


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """What was saved: what the stream knows, where it is, where the chunks began that can be taken back."""

    known: list[Known]
    now: Counts
    past: list[Counts]
    is_pending: bool


def save_state(state: WanState) -> bytes:
    """Save a stream; the picture is left out. At 832x480 a latent takes 0.4 MB."""
    counts = [
        (one.made, one.cached, one.frames, one.chunks) for one in (*(made.begin for made in state.past), state.now)
    ]
    numbers = {
        "seed": state.seed,
        "known": [[one.first, one.count, one.prompt, one.is_given] for one in state.known],
        "counts": counts,
        "is_pending": state.pending is not None,
    }
    tensors = {f"known.{number}": one.clean.float().cpu().contiguous() for number, one in enumerate(state.known)}
    tensors["numbers"] = torch.frombuffer(bytearray(json.dumps(numbers), "ascii"), dtype=torch.uint8)
    return save(tensors)


def read_saved(saved: bytes, seed: int, like: tuple[tuple[int, int], torch.device]) -> Saved:
    """Read a stream that was saved under this seed; ``like`` is (h, w) of its latents and a device.

    Raises PipelineError when it was of another seed, another size, or another model.
    """
    tensors = load(saved)
    numbers: dict[str, Any] = json.loads(tensors["numbers"].numpy().tobytes()) if "numbers" in tensors else {}
    if "known" not in numbers or numbers["seed"] != seed:
        raise PipelineError("the saved stream is not one of this model under this seed")
    size, device = like
    known = [
        Known(_latents(tensors[f"known.{number}"], size).to(device), first, count, prompt, is_given)
        for number, (first, count, prompt, is_given) in enumerate(numbers["known"])
    ]
    *past, now = [(made, cached, frames, chunks) for made, cached, frames, chunks in numbers["counts"]]
    return Saved(known, now, past, numbers["is_pending"])


def _latents(clean: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(clean.shape[3:]) != size:
        raise PipelineError(f"the saved stream has latents of {tuple(clean.shape[3:])}, and this model makes {size}")
    return clean
