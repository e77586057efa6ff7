"""Noise levels, and whole roll-outs from noise to latents, against the reference's: ``scheduler``, ``pipe_*``."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from pipeline.errors import ConditioningError
from pipeline.networks.transformer import KeyValue
from pipeline.parity.end_to_end import after_sampling, before_sampling
from pipeline.parity.result import Case, Result, case, compare, exact
from pipeline.parity.transformer import BAR, empty_cache, sampler_of
from pipeline.schedule import FlowSchedule
from pipeline.wan.sampler import Guide, Sampler, groups
from pipeline.wan.window import Seen, WindowCache

SCHEDULE_BAR = 1e-6


def run(path: Path) -> Iterator[Result]:
    """Run one ``scheduler*`` or ``pipe_*`` case."""
    if path.suffix == ".json":
        yield from _refusals(path)
        return
    with torch.inference_mode():
        given = case(path)
        yield from _schedule(given) if path.stem.startswith("scheduler") else _rollout(given)


def _schedule(given: Case) -> Iterator[Result]:
    stem, tensors = given.path.stem, given.tensors
    told = re.search(r"shift\D{0,3}(\d+(?:\.\d+)?)", str(given.meta.get("note", "")))
    shift = float(told[1]) if told else 5.0
    for key in tensors:
        if found := re.fullmatch(r"shift([\d.]+)\.(sigmas|timesteps|warped\.\w+)", key):
            schedule = FlowSchedule(float(found[1]))
            ours = getattr(schedule, found[2], None)
            ours = _warped(schedule, tensors[key]) if ours is None else ours
            yield compare(f"{stem}/{key}", ours, tensors[key], SCHEDULE_BAR)
        elif found := re.fullmatch(r"set_timesteps(\d+)\.(sigmas|timesteps)", key):
            ours = getattr(FlowSchedule(shift, int(found[1])), found[2])
            yield compare(f"{stem}/{key}", ours, tensors[key], SCHEDULE_BAR)
    yield from _steps(given, FlowSchedule(shift))


def _warped(schedule: FlowSchedule, expected: Tensor) -> Tensor:
    """Warp the case's own list, which it doesn't keep: the whole steps whose places in the table are nearest."""
    table = torch.cat([schedule.timesteps, torch.zeros(1)])
    places = (table - expected[:, None]).abs().argmin(1)
    return torch.tensor(schedule.warped((len(table) - 1 - places).tolist()))


def _steps(given: Case, schedule: FlowSchedule) -> Iterator[Result]:
    """Noise added and taken away again, for a timestep a row."""
    stem, tensors = given.path.stem, given.tensors
    if "add_noise.t" not in tensors:
        return
    t = tensors["add_noise.t"][:, None]

    def rows(name: str, dtype: torch.dtype = torch.float32) -> Tensor:
        return tensors[name][:, :, None].to(dtype)

    low = torch.bfloat16
    made: dict[str, Callable[[], Tensor]] = {
        "add_noise.sigma_used": lambda: schedule.sigma(t)[:, 0],
        "add_noise.xt": lambda: schedule.add_noise(rows("add_noise.x0"), rows("add_noise.noise"), t),
        "add_noise.xt_bf16": lambda: schedule.add_noise(rows("add_noise.x0", low), rows("add_noise.noise", low), t),
        "x0.x0": lambda: schedule.clean(rows("x0.flow"), rows("add_noise.xt"), t),
        "x0.x0_bf16": lambda: schedule.clean(rows("x0.flow", low), rows("add_noise.xt_bf16", low), t),
        "x0.flow_back": lambda: schedule.flow(rows("x0.x0"), rows("add_noise.xt"), t),
        "step.prev": lambda: schedule.step(rows("x0.flow"), rows("add_noise.xt"), t)[: len(tensors["step.prev"])],
    }
    for key, make in made.items():
        if key in tensors:
            yield compare(f"{stem}/{key}", make().reshape(tensors[key].shape), tensors[key], SCHEDULE_BAR)


@dataclass(frozen=True, slots=True, eq=False)
class Watched(Sampler):
    """A sampler that remembers every call under the case's names: where it began, what went in, what came out."""

    cache: WindowCache | None = None
    calls: list[dict[str, Tensor]] = field(default_factory=list[dict[str, Tensor]])

    def flow(
        self, latents: Tensor, timestep: Tensor, guide: Guide, seen: Seen, keep: bool = True
    ) -> tuple[Tensor, Sequence[KeyValue]]:
        """Ask, and remember."""
        made, own = Sampler.flow(self, latents, timestep, guide, seen, keep)
        assert self.cache is not None
        videos = {"x": latents, "flow": made, "x0": self.schedule.clean(made, latents, timestep)}
        call = {what: video.transpose(1, 2) for what, video in videos.items()}
        self.calls.append(call | {"start_frame": torch.tensor(self.cache.latents), "t": timestep})
        return made, own


def watched(given: Case) -> Watched:
    """The sampler that a case describes, with the case's weights."""
    meta = given.meta
    asked = sampler_of(given)
    schedule = FlowSchedule(meta["timestep_shift"])
    steps: list[int] = meta["denoising_step_list"]
    timesteps = schedule.warped(steps) if meta["warp_denoising_step"] else tuple(float(step) for step in steps)
    frames, batch = given.tensors["latents"].shape[1], given.tensors["latents"].shape[0]
    cache = empty_cache(given, asked, frames, batch)
    return Watched(asked.network, schedule, timesteps, "absolute", float(meta["context_noise"]), cache=cache)


def roll_out(sampler: Watched, given: Case, guide: Guide, initial: Tensor | None, noise: Tensor) -> Tensor:
    """Make all latents ``[B, C, T, h, w]``, the initial ones first, with the case's noise."""
    chunk, first_alone = given.meta["num_frame_per_block"], given.meta["independent_first_frame"]
    made: list[Tensor] = []
    cache = sampler.cache
    assert cache is not None
    if initial is not None:
        sampler.begin_with(initial, guide, cache, groups(initial.shape[2], chunk, first_alone))
        made.append(initial)
    injected = iter(_numbered(given.tensors, "injected").values())
    for part in noise.split(groups(noise.shape[2], chunk, first_alone and initial is None), dim=2):

        def fresh(_step: int, count: int = part.shape[2]) -> Tensor:
            return given.tensors[next(injected)].unflatten(0, (-1, count)).transpose(1, 2)

        seen = cache.see(part.shape[2], sampler.positions)
        clean = sampler.sample(part, fresh, guide, seen)
        cache.append(sampler.read(clean, guide, seen), part.shape[2])
        made.append(clean)
    return torch.cat(made, dim=2)


def _rollout(given: Case) -> Iterator[Result]:
    """From given noise to latents by the sampler that the live pipeline uses; every call is looked at."""
    stem, tensors, sampler = given.path.stem, given.tensors, watched(given)
    steps = torch.tensor(sampler.timesteps)
    yield compare(f"{stem}/denoising_steps", steps, tensors["denoising_steps"], SCHEDULE_BAR)
    guide = Guide(sampler.network.cross_keys_values(tensors["prompt_embeds"]))
    initial, noise = (_latents(tensors, name) for name in ("initial_latent", "noise"))
    assert noise is not None
    latents = roll_out(sampler, given, guide, initial, noise)
    yield from _calls(given, sampler.calls)
    yield compare(f"{stem}/latents", latents.transpose(1, 2), tensors["latents"], BAR)
    if "weights_all" in given.meta:
        yield from before_sampling(given)
        yield from after_sampling(given, latents)


def _calls(given: Case, calls: list[dict[str, Tensor]]) -> Iterator[Result]:
    stem, tensors, names = given.path.stem, given.tensors, _numbered(given.tensors, "call")
    for number, name in names.items():
        for what, ours in calls[number].items():
            if (key := f"{name}.{what}") not in tensors:
                continue
            if what == "start_frame":
                yield exact(f"{stem}/{key}", ours, tensors[key])
            else:
                # Of a timestep for a whole chunk, ours has one for each latent.
                expected = tensors[key].expand_as(ours) if what == "t" else tensors[key]
                yield compare(f"{stem}/{key}", ours, expected, SCHEDULE_BAR if what == "t" else BAR)
    yield exact(f"{stem}/calls", len(calls), given.meta.get("calls", len(names)))


def _numbered(tensors: dict[str, Tensor], family: str) -> dict[int, str]:
    """The names ``family.number`` by number, in its order, with however many digits it is written."""
    found = (re.match(rf"{family}\.(\d+)", key) for key in tensors)
    return dict(sorted({int(match[1]): match[0] for match in found if match}.items()))


def _latents(tensors: dict[str, Tensor], name: str) -> Tensor | None:
    """The reference's pipelines keep frames before channels."""
    return tensors[name].transpose(1, 2) if name in tensors else None


def _refusals(path: Path) -> Iterator[Result]:
    """What the reference refuses, ours refuses with words; but what only crashes there may work here."""
    for told in json.loads(path.read_text()):
        name = f"{path.stem}/{told}"
        if told.startswith("batch"):
            yield _batch_of_given(name, path.parent, told)
            continue
        numbers = {what: int(found[1]) for what, found in _found(told).items()}
        first_alone = "independent" in told and "false" not in told
        try:
            groups(numbers["latents"], numbers.get("chunk", 3), first_alone)
        except ConditioningError as error:
            yield exact(name, "give" in str(error), True)
        else:
            yield Result(f"{name}: was not refused", float("inf"), 0.0)


def _found(told: str) -> dict[str, re.Match[str]]:
    """Read the numbers out of a refusal's description; a single frame is one."""
    text = told.replace("single", "1")
    patterns = {"chunk": r"chunks?(?: of)? (\d+)", "latents": r"(\d+)(?:[ -]\w+)?[ -]frame"}
    return {what: found for what, pattern in patterns.items() if (found := re.search(pattern, text))}


def _batch_of_given(name: str, folder: Path, told: str) -> Result:
    """A batch with given latents crashes in the reference (its trap B8): ours must equal each stream alone."""
    batch, count = (int(number) for number in re.findall(r"\d+", told)[:2])
    source = case(min(folder.glob("pipe_*.safetensors")))
    # All latents at once, whatever that case's window.
    source = Case(source.path, source.tensors, source.meta | {"local_attn_size": -1})
    sampler = sampler_of(source)
    config, size = sampler.network.config, source.tensors["noise"].shape[-2:]
    generator = torch.Generator(torch.get_default_device()).manual_seed(0)
    given = torch.randn(batch, config.out_channels, count, *size, generator=generator)
    texts = torch.randn(batch, 7, config.text_dim, generator=generator)
    kept: list[Tensor] = []
    with torch.inference_mode():
        for part in (slice(None), *(slice(one, one + 1) for one in range(batch))):
            cache = empty_cache(source, sampler, count, len(given[part]))
            sampler.begin_with(given[part], Guide(sampler.network.cross_keys_values(texts[part])), cache, [count])
            kept.append(cache.stored)
    return compare(name, kept[0], torch.cat(kept[1:], dim=2), BAR)
