"""A Wan stream as bytes: its clean latents and counts; window and decoder are made again from these.

The bytes are a safetensors file, so reading them runs nothing: tensors, and the few numbers as JSON in one of them.
"""

import json
from dataclasses import astuple, dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from pipeline.drift import Anchor, Look, Watch
from pipeline.errors import PipelineError
from pipeline.types import Conditioning
from pipeline.wan.state import Known, WanState

Counts = tuple[int, int, int, int]
"""``made``, ``cached``, ``frames`` and ``chunks`` of a boundary."""
Like = tuple[tuple[int, int], torch.device]
"""(h, w) of a model's latents, and its device."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What was saved of a boundary."""

    counts: Counts
    watch: Watch | None


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """What was saved: what the stream knows, where the chunks began that can be taken back, and last where it is."""

    known: list[Known]
    boundaries: list[Kept]
    begun: int
    is_pending: bool


def save_state(state: WanState) -> bytes:
    """Save a stream; the picture is left out. At 832x480 a latent takes 0.4 MB.

    Raises PipelineError while a picture fades into another.
    """
    if state.fade is not None and state.now.frames < state.fade.ends:
        raise PipelineError("a picture is fading in; a stream is saved when that is over")
    boundaries = [*(made.begin for made in state.past), state.now]
    tensors = {f"known.{number}": one.clean for number, one in enumerate(state.known)}
    for number, boundary in enumerate(boundaries):
        tensors |= {f"watch.{number}.{name}": value for name, value in _tensors(boundary.watch).items()}
    numbers = {
        "seed": state.seed,
        "known": [[one.first, one.count, one.prompt, one.is_given, one.serves] for one in state.known],
        "counts": [[one.made, one.cached, one.frames, one.chunks] for one in boundaries],
        "watches": [_figures(boundary.watch) for boundary in boundaries],
        "begun": state.begun,
        "is_pending": state.pending is not None,
    }
    # Of their own: boundaries share an anchor, and a file may not.
    kept = {name: value.float().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    kept["numbers"] = torch.frombuffer(bytearray(json.dumps(numbers), "ascii"), dtype=torch.uint8)
    return save(kept)


def read_saved(saved: bytes, state: WanState, like: Like) -> Saved:
    """Read a stream that was saved under the picture and seed of this one.

    Raises PipelineError when it was of another seed, another size, or another model.
    """
    tensors = load(saved)
    numbers: dict[str, Any] = json.loads(tensors["numbers"].numpy().tobytes()) if "numbers" in tensors else {}
    if "known" not in numbers or numbers["seed"] != state.seed:
        raise PipelineError("the saved stream is not one of this model under this seed")
    size, device = like
    placed = {name: value.to(device) for name, value in tensors.items() if name != "numbers"}
    known = [
        Known(_latents(placed[f"known.{number}"], size), first, count, prompt, is_given, serves)
        for number, (first, count, prompt, is_given, serves) in enumerate(numbers["known"])
    ]
    boundaries: list[Kept] = []
    for number, (counts, figures) in enumerate(zip(numbers["counts"], numbers["watches"], strict=True)):
        own = f"watch.{number}."
        parts = {name.removeprefix(own): value for name, value in placed.items() if name.startswith(own)}
        made, cached, frames, chunks = counts
        boundaries.append(Kept((made, cached, frames, chunks), _watch(figures, parts, state)))
    return Saved(known, boundaries, numbers["begun"], numbers["is_pending"])


def _latents(clean: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(clean.shape[3:]) != size:
        raise PipelineError(f"the saved stream has latents of {tuple(clean.shape[3:])}, and this model makes {size}")
    return clean


def _figures(watch: Watch | None) -> dict[str, Any] | None:
    if watch is None:
        return None
    looks = {"look": watch.look, "anchor": watch.anchor and watch.anchor.look}
    figures = {name: None if look is None else astuple(look) for name, look in looks.items()}
    return figures | {
        "mode": watch.asked.mode,
        "prompt": watch.asked.prompt,
        "seconds": watch.seconds,
        "is_reanchoring": watch.is_reanchoring,
    }


def _tensors(watch: Watch | None) -> dict[str, Tensor]:
    if watch is None:
        return {}
    anchor = watch.anchor
    found = {"features": watch.features}
    if anchor is not None:
        found |= {"channels": anchor.channels, "anchor_features": anchor.features}
    return {name: value for name, value in found.items() if value is not None}


def _watch(figures: dict[str, Any] | None, tensors: dict[str, Tensor], state: WanState) -> Watch | None:
    if figures is None:
        return None
    look, anchor = (None if figures[name] is None else Look(*figures[name]) for name in ("look", "anchor"))
    held = None if anchor is None else Anchor(anchor, tensors.get("channels"), tensors.get("anchor_features"))
    asked = Conditioning(figures["mode"], figures["prompt"], state.image, state.seed)
    return Watch(asked, figures["seconds"], held, look, tensors.get("features"), figures["is_reanchoring"])
