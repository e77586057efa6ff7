"""The causal transformer against the reference's: ``dit_*``."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.networks.rope import axis_pairs, rotate, rotations
from pipeline.networks.transformer import CausalTransformer, sinusoid
from pipeline.parity.result import Case, Result, case, compare, exact, numbers
from pipeline.schedule import FlowSchedule
from pipeline.wan.key_maps import to_diffusers
from pipeline.wan.sampler import Guide, Sampler
from pipeline.wan.sizes import from_published
from pipeline.wan.window import Seen, WindowCache, WindowShape

BAR = 5e-5
BF16_BAR = 0.08
# Ours are float32, the case's float64.
TABLE_BAR = 1e-6
SINUSOID_BAR = 1e-12
NO_SCHEDULE = FlowSchedule(1.0)


def run(path: Path) -> Iterator[Result]:
    """Run one ``dit_*`` case."""
    if path.suffix == ".json":
        yield from _key_map(path)
        return
    with torch.inference_mode():
        yield from _network_case(case(path))


def sampler_of(given: Case, dtype: torch.dtype = torch.float32) -> Sampler:
    """Build the network of a case, with its weights, asked under no particular schedule."""
    network = CausalTransformer(from_published(given.meta["config"]))
    network.load_state_dict(given.weights())
    return Sampler(network.to(dtype).eval(), NO_SCHEDULE, (), "absolute")


def context(given: Case, sampler: Sampler, image: Tensor | None = None) -> Guide:
    """Embed the prompts of a case, padded to the longest; ``context.{b}`` is ``[L, text_dim]``."""
    texts = [given.tensors[f"context.{index}"] for index in numbers(given.tensors, "context.")]
    longest = max(len(text) for text in texts)
    padded = torch.stack([nn.functional.pad(text, (0, 0, 0, longest - len(text))) for text in texts])
    dtype = sampler.network.patch_embedding.weight.dtype
    return Guide(sampler.network.cross_keys_values(padded.to(dtype), None if image is None else image.to(dtype)))


def empty_cache(given: Case, sampler: Sampler, latents: int, batch: int = 1) -> WindowCache:
    """An empty cache of the case's window; of so many latents where the case has none."""
    patch = sampler.network.config.patch
    height, width = given.meta["latent_hw"] if "latent_hw" in given.meta else _latent_size(given)
    grid = (height // patch[1], width // patch[2])
    window = given.meta.get("local_attn_size", -1)
    sink = given.meta.get("sink_size", 0) if window > 0 else 0
    shape = WindowShape(window if window > 0 else latents, sink, grid)
    dtype = sampler.network.patch_embedding.weight.dtype
    return WindowCache(sampler.network.config, shape, dtype, torch.get_default_device(), batch)


def _latent_size(given: Case) -> tuple[int, int]:
    sized = next(value for key, value in given.tensors.items() if key.endswith(("x", "noise")) and value.ndim == 5)
    return sized.shape[3], sized.shape[4]


def _network_case(given: Case) -> Iterator[Result]:
    names, stem = given.tensors, given.path.stem
    if any(name.startswith(("rope.", "apply.", "sin.")) for name in names):
        yield from _tables(given)
    elif "clip_fea" in names:
        yield from _image_to_video(given)
    elif "chunk0.x" in names:
        yield from _intermediates(given)
    elif "chunk0.call0.flow_bf16" in names:
        yield from _bfloat16(given)
    elif "chunk0.call0.flow" in names:
        sampler = sampler_of(given)
        yield from _chunks(given, sampler, context(given, sampler))
    elif "num_frame_per_block" in given.meta:
        yield from _one_forward(given)
    elif "flow" in names:
        sampler = sampler_of(given)
        yield compare(f"{stem}/flow", _bidirectional(names, context(given, sampler), sampler), names["flow"], BAR)
    else:
        yield Result(f"{stem}: not a case that is known", float("inf"), 0.0)


def _chunks(given: Case, sampler: Sampler, guide: Guide, prefix: str = "", bar: float = BAR) -> Iterator[Result]:
    """Chunk by chunk, call by call; the last call of a chunk is the one that is kept."""
    stem, tensors = f"{given.path.stem}/{prefix}", given.tensors
    chunks = numbers(tensors, f"{prefix}chunk")
    total = sum(tensors[f"{prefix}chunk{c}.call0.x"].shape[2] for c in chunks)
    batch = tensors[f"{prefix}chunk0.call0.x"].shape[0]
    cache = empty_cache(given, sampler, total, batch)
    yield from _cross(given, guide)
    for chunk in chunks:
        name = f"{prefix}chunk{chunk}"
        count = tensors[f"{name}.call0.x"].shape[2]
        seen, own = cache.see(count, "absolute"), []
        asked = Guide(guide.cross, tensors.get(f"{name}.y"))
        for call in numbers(tensors, f"{name}.call"):
            x, t = tensors[f"{name}.call{call}.x"], tensors[f"{name}.call{call}.t"]
            flow, own = sampler.flow(x, t, asked, seen)
            yield compare(f"{stem}chunk{chunk}.call{call}.flow", flow, tensors[f"{name}.call{call}.flow"], bar)
        cache.append(own, count)
        yield from _end_indices(given, cache, name)
        yield from _cache_rows(given, cache, name, bar)


def _end_indices(given: Case, cache: WindowCache, name: str) -> Iterator[Result]:
    """The reference writes its buffer at a chunk's first call and again at every other; the counters stay."""
    ours = torch.tensor([cache.latents, len(cache.kept(0))]) * cache.shape.tokens
    for call in numbers(given.tensors, f"{name}.call"):
        if (key := f"{name}.call{call}.end_index") in given.tensors:
            yield exact(f"{given.path.stem}/{key}", ours, given.tensors[key])


def _cache_rows(given: Case, cache: WindowCache, name: str, bar: float) -> Iterator[Result]:
    """What is held, in logical order and rotated; the case has the newest rows, or all and the buffer's empty rest."""
    for key, expected in given.tensors.items():
        if not key.startswith(f"{name}.cache.layer"):
            continue
        layer, part = key.removeprefix(f"{name}.cache.layer").split(".")
        rows = [pair["kv".index(part)] for pair in cache.rows(int(layer), "absolute")]
        ours = torch.cat(rows[-(expected.shape[1] // cache.shape.tokens) :], dim=1)
        ours = nn.functional.pad(ours, (0, 0, 0, 0, 0, expected.shape[1] - ours.shape[1]))
        yield compare(f"{given.path.stem}/{key}", ours, expected, bar)


def _cross(given: Case, guide: Guide) -> Iterator[Result]:
    for key, expected in given.tensors.items():
        if key.startswith("cross.layer"):
            layer, part = key.removeprefix("cross.layer").split(".")
            ours = guide.cross[int(layer)][0]["kv".index(part)]
            yield compare(f"{given.path.stem}/{key}", ours, expected, BAR)


def _bidirectional(tensors: dict[str, Tensor], guide: Guide, sampler: Sampler, prefix: str = "") -> Tensor:
    """All latents in one call, with nothing before them; the timestep is ``[B]``."""
    x = tensors[f"{prefix}x"]
    patch = sampler.network.config.patch
    grid = x.shape[3] // patch[1], x.shape[4] // patch[2]
    seen = Seen(None, rotations(torch.arange(x.shape[2]), *grid, sampler.network.config.head_dim))
    asked = Guide(guide.cross, tensors.get(f"{prefix}y"))
    return sampler.flow(x, tensors[f"{prefix}t"][:, None], asked, seen)[0]


def _image_to_video(given: Case) -> Iterator[Result]:
    sampler, tensors = sampler_of(given), given.tensors
    guide = context(given, sampler, tensors["clip_fea"])
    if "bidir.flow" in tensors:
        flow = _bidirectional(tensors, guide, sampler, "bidir.")
        yield compare(f"{given.path.stem}/bidir.flow", flow, tensors["bidir.flow"], BAR)
    if "causal.chunk0.call0.flow" in tensors:
        yield from _chunks(given, sampler, guide, "causal.")


def _one_forward(given: Case) -> Iterator[Result]:
    """One forward with a mask by chunk, as in training, is a roll-out with one call a chunk."""
    sampler, tensors, chunk = sampler_of(given), given.tensors, given.meta["num_frame_per_block"]
    guide, x = context(given, sampler), tensors["x"]
    t = tensors["t"].expand(len(x), x.shape[2])
    for key in (key for key in tensors if key.startswith("flow")):
        window = int(key.removeprefix("flow_local")) if key != "flow" else x.shape[2]
        cache = empty_cache(given, sampler, window, len(x))
        made = []
        for part, times in zip(x.split(chunk, 2), t.split(chunk, 1), strict=True):
            flow, own = sampler.flow(part, times, guide, cache.see(part.shape[2], "absolute"))
            cache.append(own, part.shape[2])
            made.append(flow)
        yield compare(f"{given.path.stem}/{key}", torch.cat(made, 2), tensors[key], BAR)


def _bfloat16(given: Case) -> Iterator[Result]:
    """In float32 within the small bar; in bfloat16 held against the reference's float32, and against its bfloat16."""
    renamed = {
        kind: {key.removesuffix(f"_{kind}"): v for key, v in given.tensors.items() if not key.endswith(f"_{other}")}
        for kind, other in (("f32", "bf16"), ("bf16", "f32"))
    }
    low = torch.bfloat16
    asked = (("f32", "f32", torch.float32, BAR), ("bf16", "f32", low, BF16_BAR), ("bf16", "bf16", low, BF16_BAR))
    for made, expected, dtype, bar in asked:
        sampler = sampler_of(given, dtype)
        as_one = Case(given.path, renamed[expected], given.meta)
        for result in _chunks(as_one, sampler, context(given, sampler), bar=bar):
            against = "" if made == expected else f" against {expected}"
            yield Result(f"{result.name}_{made}{against}", result.error, result.bar)


def _intermediates(given: Case) -> Iterator[Result]:
    """Every stage of the network, read off its modules while it runs."""
    sampler, stem = sampler_of(given), given.path.stem
    network, tensors, seen_values = sampler.network, given.tensors, dict[str, Tensor]()

    def watch(name: str, module: nn.Module) -> None:
        def keep(_module: nn.Module, _given: object, made: Tensor | tuple[Tensor, object]) -> None:
            seen_values[name] = made[0] if isinstance(made, tuple) else made

        module.register_forward_hook(keep)

    for name in ("patch_embedding", "text_embedding", "time_embedding", "time_projection", "head"):
        watch(name, network.get_submodule(name))
    for index in range(network.config.num_layers):
        block = network.get_submodule(f"blocks.{index}")
        watch(f"block{index}", block)
        inside = {"self_attn.o": "self_attn", "cross_attn.o": "cross_attn"}
        attention = (f"self_attn.{part}" for part in ("q", "k", "v", "norm_q", "norm_k"))
        for part in ("norm1", "norm2", "norm3", "ffn", *attention, *inside):
            watch(f"block{index}.{inside.get(part, part)}", block.get_submodule(part))
    chunks = numbers(tensors, "chunk")
    total = sum(tensors[f"chunk{c}.x"].shape[2] for c in chunks)
    cache, guide = empty_cache(given, sampler, total, len(tensors["chunk0.x"])), context(given, sampler)
    for chunk in chunks:
        x, t = tensors[f"chunk{chunk}.x"], tensors[f"chunk{chunk}.t"]
        seen = cache.see(x.shape[2], "absolute")
        flow, own = sampler.flow(x, t, guide, seen)
        cache.append(own, x.shape[2])
        seen_values |= {"flow": flow, "sinusoid_f64": sinusoid(t, network.config.freq_dim).flatten(0, 1)}
        seen_values |= _rotated(seen_values, seen, network)
        for key, expected in tensors.items():
            what = key.removeprefix(f"chunk{chunk}.")
            if key.startswith(f"chunk{chunk}.") and what not in ("x", "t"):
                yield compare(f"{stem}/{key}", seen_values[what].reshape(expected.shape), expected, BAR)


def _rotated(values: dict[str, Tensor], seen: Seen, network: CausalTransformer) -> dict[str, Tensor]:
    made = {}
    for index in range(network.config.num_layers):
        for part in "qk":
            heads = values[f"block{index}.self_attn.norm_{part}"].unflatten(-1, (network.config.num_heads, -1))
            made[f"block{index}.{part}_after_rope"] = rotate(heads, seen.rotation)
    return made


def _tables(given: Case) -> Iterator[Result]:
    stem, tensors = given.path.stem, given.tensors
    for key in (key for key in tensors if key.endswith(".split")):
        width = int(key.removeprefix("rope.hd").removesuffix(".split"))
        pairs = axis_pairs(width)
        yield exact(f"{stem}/{key}", torch.tensor(pairs), tensors[key])
        count = len(tensors[f"rope.hd{width}.cos"])
        along = torch.arange(count)
        here = torch.zeros(1)
        grids = [rotations(along, 1, 1, width), rotations(here, count, 1, width), rotations(here, 1, count, width)]
        parts = [grid.split(pairs, 1)[axis] for axis, grid in enumerate(grids)]
        cos, sin = torch.cat(parts, 1).unbind(-1)
        yield compare(f"{stem}/rope.hd{width}.cos", cos, tensors[f"rope.hd{width}.cos"], TABLE_BAR)
        yield compare(f"{stem}/rope.hd{width}.sin", sin, tensors[f"rope.hd{width}.sin"], TABLE_BAR)
    for key in (key for key in tensors if key.startswith("apply.start")):
        first, (frames, rows, columns) = int(key.removeprefix("apply.start")), _grid(given)
        rotation = rotations(torch.arange(first, first + frames), rows, columns, tensors["apply.x"].shape[-1])
        yield compare(f"{stem}/{key}", rotate(tensors["apply.x"], rotation), tensors[key], TABLE_BAR)
    for key in (key for key in tensors if key.startswith("sin.dim")):
        width = int(key.removeprefix("sin.dim").removesuffix("_f64"))
        yield compare(f"{stem}/{key}", sinusoid(tensors["sin.t"], width), tensors[key], SINUSOID_BAR)


def _grid(given: Case) -> tuple[int, int, int]:
    """Read ``grid (F=2,H=3,W=4)`` out of the case's description."""
    found = {axis: int(number) for axis, number in re.findall(r"\b([FHW])\s*=\s*(\d+)", given.meta["apply"])}
    return found["F"], found["H"], found["W"]


def _key_map(path: Path) -> Iterator[Result]:
    expected = json.loads(path.read_text())
    yield exact(f"{path.stem}", {key: to_diffusers(key) for key in expected}, expected)
