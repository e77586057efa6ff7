"""From a decision how a configuration is run to a Wan pipeline: which files, which networks, how chunks are made."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import torch

from pipeline import wan_files
from pipeline.config import ModelConfig, WanConfig
from pipeline.interface import Pipeline, Progress
from pipeline.schedule import FlowSchedule
from pipeline.types import ImageEntry
from pipeline.wan.clips import ClipPipeline, ClipPlan
from pipeline.wan.decision import CLIP_LATENTS, RANDOM, Decision, Machine, decide
from pipeline.wan.loading import Loader
from pipeline.wan.memory import GIB, Demand, Placement, another, can_recache, size
from pipeline.wan.parts import Parts
from pipeline.wan.pipeline import Plan, WanPipeline
from pipeline.wan.window import Positions
from pipeline.wan_files import Part


def build(model: ModelConfig, wan: WanConfig, progress: Progress) -> Pipeline[Any]:
    """Build the pipeline. Raises ConfigError for settings that do not go together, WeightsError for files."""
    return assemble(decide(model, wan), progress)


def assemble(decision: Decision, progress: Progress) -> Pipeline[Any]:
    """Load the networks and put the pipeline together. Raises WeightsError for files."""
    model, wan, machine = decision.model, decision.wan, decision.machine
    torch.set_num_threads(model.threads or os.cpu_count() or 1)
    loader = Loader(
        decision.sizes,
        files(model, wan),
        machine.device,
        dtype_of(model, machine),
        pixel_dtype(machine),
        decision.placement,
    )
    parts = load(loader, wan, progress)
    told = needs(wan, decision.needed, decision.placement)
    name = f"{wan.model} with random weights" if model.weights == RANDOM else wan.model
    if wan.sampling == "clips":
        return ClipPipeline(parts, clip_plan(wan, name, told))
    streams = room(machine, decision.needed, decision.placement, model.max_streams)
    how = plan(model, wan, name, told, decision.placement, streams)
    recaches = can_recache(decision.needed, decision.placement, machine.available, streams)
    pipeline = WanPipeline(parts, replace(how, recaches=recaches))
    pipeline.capabilities = replace(pipeline.capabilities, settled=settled(decision))
    return pipeline


def settled(decision: Decision) -> tuple[str, ...]:
    """Tell what the settings that are left to the machine have come to, as overrides of the configuration."""
    model, wan, machine = decision.model, decision.wan, decision.machine
    return (
        f"model.dtype={str(dtype_of(model, machine)).removeprefix('torch.')}",
        f"model.threads={torch.get_num_threads()}",
        f"wan.device={machine.device.type}",
        f"wan.size={wan.size}",
        f"wan.width={wan.width}",
        f"wan.height={wan.height}",
        f"wan.vae={wan.vae}",
        f"wan.text_encoder={decision.placement.text}",
        f"wan.storage={decision.placement.storage}",
        f"wan.attention={decision.sizes.transformer.kernel}",
    )


def files(model: ModelConfig, wan: WanConfig) -> Mapping[Part, Path] | None:
    """Find the files; None for random weights. Raises WeightsError for one that is missing."""
    if model.weights == RANDOM:
        return None
    found = wan_files.locate(wan.model, wan_files.weights_folder(wan.folder), "wan" if wan.vae == "wan" else "both")
    return {**found, "transformer": Path(model.weights)} if model.weights else found


def dtype_of(model: ModelConfig, machine: Machine) -> torch.dtype:
    """bfloat16 on a GPU, float32 on a CPU, unless the configuration says."""
    if model.dtype != "auto":
        return cast(torch.dtype, getattr(torch, model.dtype))
    return torch.bfloat16 if machine.device.type == "cuda" else torch.float32


def pixel_dtype(machine: Machine) -> torch.dtype:
    """What pictures are encoded and decoded in: float16 has three bits more than bfloat16 for the shades of a sky."""
    return torch.float16 if machine.device.type == "cuda" else torch.float32


def load(loader: Loader, wan: WanConfig, progress: Progress) -> Parts:
    """Load every network that this configuration uses; the text encoder, the largest, beside the others."""
    sees = wan.image_entry == "clip"
    with ThreadPoolExecutor(1, "text-encoder") as beside:
        progress("loading the text encoder")
        text = beside.submit(loader.text)
        progress("loading the transformer")
        transformer = loader.transformer()
        progress("loading the VAE")
        needs_encoder = wan.image_entry != "none" or wan.vae == "wan"
        vae = loader.wan_vae(decoder=wan.vae == "wan") if needs_encoder else None
        decoder = vae if wan.vae == "wan" and vae is not None else loader.tiny_vae()
        if sees:
            progress("loading CLIP")
        image_encoder = loader.image_encoder() if sees else None
    return Parts(
        transformer=transformer,
        text=text.result(),
        decoder=decoder,
        encoder=vae,
        image_encoder=image_encoder,
        device=loader.device,
        dtype=loader.dtype,
        tile=loader.placement.tile,
    )


def plan(model: ModelConfig, wan: WanConfig, name: str, told: str, placement: Placement, streams: int) -> Plan:
    """Put together how chunks are made."""
    return Plan(
        name=name,
        needs=told,
        width=wan.width,
        height=wan.height,
        fps=Fraction(wan.fps),
        latents_per_chunk=model.latents_per_chunk,
        steps=ladder(wan),
        shift=wan.timestep_shift,
        context_noise=wan.context_noise,
        window=wan.window,
        sink=wan.sink,
        positions=cast(Positions, wan.positions),
        first_alone=wan.first_latent_alone,
        image_entry=cast(ImageEntry, wan.image_entry),
        max_streams=streams,
        keep_rotated=placement.keep_rotated,
        reanchor=wan.reanchor,
    )


def ladder(wan: WanConfig) -> tuple[tuple[float, ...], ...]:
    """Give the timesteps of each quality: as configured, then fewer, evenly spaced, down to two.

    >>> [len(steps) for steps in ladder(WanConfig())]
    [4, 3, 2]
    """
    lists = [wan.denoising_steps]
    for count in range(len(wan.denoising_steps) - 1, 1, -1):
        lists.append([round(wan.denoising_steps[0] * (1 - i / count)) for i in range(count)])
    schedule = FlowSchedule(wan.timestep_shift)
    return tuple(schedule.warped(steps) if wan.warp_steps else tuple(map(float, steps)) for steps in lists)


def clip_plan(wan: WanConfig, name: str, told: str) -> ClipPlan:
    """Put together how clips are made."""
    return ClipPlan(
        name=name,
        needs=told,
        width=wan.width,
        height=wan.height,
        fps=Fraction(wan.fps),
        latents=CLIP_LATENTS,
        steps=wan.clip_steps,
        shift=wan.timestep_shift,
        guidance=wan.guidance,
        negative_prompt=wan.negative_prompt,
    )


def room(machine: Machine, needed: Demand, placement: Placement, wanted: int) -> int:
    """Give how many streams fit: each has a window and a decoder's memory of its own."""
    if machine.device.type == "cpu":
        return wanted
    left = machine.available - size(needed, placement)
    return min(wanted, 1 + left // another(needed, placement))


def needs(wan: WanConfig, needed: Demand, placement: Placement) -> str:
    """Say what this model must have, for ``/capabilities``."""
    if wan.size.startswith("tiny"):
        return "Nothing: it is a toy of Wan2.1's form with random weights, and its video is noise."
    gib = size(needed, placement) / GIB
    picture = {
        "none": "it takes no picture",
        "first_latent": "a picture becomes its first latent",
        "clip": "a picture is seen by CLIP and beside every latent, and must be there",
    }[wan.image_entry]
    return (
        f"A CUDA GPU: {gib:.0f} GiB of its memory for one stream of {wan.width}x{wan.height} as placed here; {picture}."
    )
