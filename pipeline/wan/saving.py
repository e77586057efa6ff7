"""A Wan stream as bytes: its clean latents and counts; window and decoder are made again from these.

The bytes are a safetensors file, so reading them runs nothing: tensors, and the few numbers as JSON in one of them.
"""

import json
from dataclasses import asdict, astuple, dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from pipeline.drift import Anchor, Look, Watch
from pipeline.errors import PipelineError
from pipeline.travel import Said, Travel
from pipeline.types import Conditioning
from pipeline.wan.known import Known
from pipeline.wan.state import WanState
from pipeline.wan.switch import Course
from pipeline.wan.window import Past

FORMAT = 2

Counts = tuple[int, int, int, int]
"""``made``, ``cached``, ``frames`` and ``chunks`` of a boundary."""
Like = tuple[tuple[int, int], torch.device]
"""(h, w) of a model's latents, and its device."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What was saved of a boundary: ``known`` is what its window, told by a number, can be made again from."""

    counts: Counts
    watch: Watch | None
    course: Course
    window: int
    known: list[Known]


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """What was saved: where the chunks began that can be taken back, and last where it is."""

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
    # Of a chunk that can be taken back the one after it has the same latents, unless they were let go since.
    windows = [*((made.cache, made.known) for made in state.past), (state.cache, state.known)]
    caches = list({id(cache): cache for cache, _ in windows})
    latents = list({id(one.clean): one.clean for _, known in windows for one in known}.values())
    numbered = {id(clean): number for number, clean in enumerate(latents)}
    tensors = {f"known.{number}": clean for number, clean in enumerate(latents)}
    for number, boundary in enumerate(boundaries):
        tensors |= {f"watch.{number}.{name}": value for name, value in _tensors(boundary.watch).items()}
    numbers = {
        "format": FORMAT,
        "seed": state.seed,
        "known": [[_line(one, numbered[id(one.clean)]) for one in known] for _, known in windows],
        "windows": [caches.index(id(cache)) for cache, _ in windows],
        "courses": [asdict(boundary.course) for boundary in boundaries],
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
    if numbers.get("format") != FORMAT or numbers["seed"] != state.seed:
        raise PipelineError("the saved stream is not one of this model under this seed")
    size, device = like
    placed = {name: value.to(device) for name, value in tensors.items() if name != "numbers"}
    latents = {name: _latents(value, size) for name, value in placed.items() if name.startswith("known.")}
    boundaries: list[Kept] = []
    for number, (counts, figures) in enumerate(zip(numbers["counts"], numbers["watches"], strict=True)):
        own = f"watch.{number}."
        parts = {name.removeprefix(own): value for name, value in placed.items() if name.startswith(own)}
        made, cached, frames, chunks = counts
        known = [_known(line, latents) for line in numbers["known"][number]]
        course, window = _course(numbers["courses"][number]), numbers["windows"][number]
        watch = _watch(figures, parts, state)
        boundaries.append(Kept((made, cached, frames, chunks), watch, course, window, known))
    return Saved(boundaries, numbers["begun"], numbers["is_pending"])


def _line(one: Known, number: int) -> list[Any]:
    return [number, one.first, one.count, one.said, one.is_given, one.serves, astuple(one.past)]


def _known(line: list[Any], latents: dict[str, Tensor]) -> Known:
    number, first, count, said, is_given, serves, past = line
    return Known(latents[f"known.{number}"], first, count, _said(said), is_given, serves, Past(*past))


def _course(told: dict[str, Any]) -> Course:
    travel = told["travel"] | {"before": _said(told["travel"]["before"])}
    return Course(Travel(**travel), Past(**told["past"]))


def _said(told: list[tuple[str, float]]) -> Said:
    return tuple((prompt, share) for prompt, share in told)


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
