"""What a configuration of Wan comes to on this machine: the device, what fits its memory, what goes where."""

import contextlib
import logging
from dataclasses import dataclass, replace
from typing import cast

import torch

from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import ConfigError
from pipeline.networks.attention import Kernel, available_kernels
from pipeline.networks.transformer import CausalTransformer
from pipeline.wan.memory import GIB, Demand, Placement, demand, place
from pipeline.wan.sizes import PartSizes, part_sizes

logger = logging.getLogger(__name__)

RANDOM = "random"
PIXELS_PER_TOKEN = 16
REDUCED = (208, 112)
CLIP_LATENTS = 21
"""Latents of one clip: as many as the published models were trained to make together."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to run on: a device, and bytes of its memory that may be taken (on a CPU, without bound)."""

    device: torch.device
    available: int


@dataclass(frozen=True, slots=True)
class Decision:
    """How a configuration is run on this machine: the settled settings, what they take, and what goes where."""

    model: ModelConfig
    wan: WanConfig
    machine: Machine
    sizes: PartSizes
    needed: Demand
    placement: Placement


def decide(model: ModelConfig, wan: WanConfig) -> Decision:
    """Settle what is left open by the memory that is free. Raises ConfigError."""
    machine = find_machine(wan)
    wan = fit_to(machine, model, wan)
    check(model, wan)
    sizes = part_sizes(wan.size)
    sizes = replace(sizes, transformer=replace(sizes.transformer, kernel=kernel_of(wan)))
    with torch.device("meta"):
        parameters = sum(p.numel() for p in CausalTransformer(sizes.transformer).parameters())
    is_live = wan.sampling == "few_steps"
    latents = (wan.window, model.latents_per_chunk) if is_live else (0, CLIP_LATENTS)
    *better, last = decoders(wan)
    for vae in better:
        needed = demand(sizes.transformer, parameters, latents, (wan.width, wan.height), vae == "wan")
        with contextlib.suppress(ConfigError):
            return Decision(model, replace(wan, vae=vae), machine, sizes, needed, placed(machine, needed, wan))
    needed = demand(sizes.transformer, parameters, latents, (wan.width, wan.height), last == "wan")
    return Decision(model, replace(wan, vae=last), machine, sizes, needed, placed(machine, needed, wan))


def decoders(wan: WanConfig) -> tuple[str, ...]:
    """Name the decoders to try, best first: for files the fine one where it fits, for live video the quick one.

    >>> decoders(WanConfig()), decoders(WanConfig(sampling="clips"))
    (('taehv',), ('wan', 'taehv'))
    """
    if wan.vae != "auto":
        return (wan.vae,)
    # The fine one takes 0.2 s of the 0.75 s that a chunk lasts, and 11 GiB.
    return ("taehv",) if wan.sampling == "few_steps" else ("wan", "taehv")


def find_machine(wan: WanConfig) -> Machine:
    """Find the device that is configured, and what is free of its memory. Raises ConfigError when there is none."""
    has_gpu = torch.cuda.is_available()
    if wan.device == "cuda" and not has_gpu:
        raise ConfigError("wan.device is cuda, and PyTorch sees no CUDA GPU here; model.kind=pocket runs on a CPU")
    if wan.device == "cpu" or not has_gpu:
        return Machine(torch.device("cpu"), 1 << 62)
    free, total = torch.cuda.mem_get_info()
    if wan.memory_gb:
        torch.cuda.set_per_process_memory_fraction(min(1.0, wan.memory_gb * GIB / total))
        free = min(free, int(wan.memory_gb * GIB))
    return Machine(torch.device("cuda"), free)


def fit_to(machine: Machine, model: ModelConfig, wan: WanConfig) -> WanConfig:
    """Give a model of toy size, and no other, where there is no GPU.

    Raises ConfigError when the published model is asked of a CPU that was not named outright.
    """
    if machine.device.type == "cuda" or wan.device == "cpu" or wan.size.startswith("tiny"):
        return wan
    if model.weights != RANDOM:
        raise ConfigError(
            "Wan2.1 needs a CUDA GPU, and PyTorch sees none here; model.kind=pocket runs on a CPU, and wan.device=cpu "
            "runs Wan on it all the same, at minutes a second of video"
        )
    logger.warning("no CUDA GPU: a toy of Wan2.1's form at %sx%s stands in for it; its video is noise", *REDUCED)
    size_name = "tiny-i2v" if wan.size.startswith("i2v") else "tiny"
    return replace(wan, size=size_name, width=REDUCED[0], height=REDUCED[1])


def check(model: ModelConfig, wan: WanConfig) -> None:
    """Raise ConfigError for settings that do not go together; the message names what would."""
    for name, pixels in (("width", wan.width), ("height", wan.height)):
        if pixels % PIXELS_PER_TOKEN:
            nearest = round(pixels / PIXELS_PER_TOKEN) * PIXELS_PER_TOKEN
            raise ConfigError(f"wan.{name}: {pixels} is not a multiple of {PIXELS_PER_TOKEN}; {nearest} is")
    sees = part_sizes(wan.size).image is not None
    if sees != (wan.image_entry == "clip"):
        fitting = "clip" if sees else "first_latent or none"
        raise ConfigError(f"wan.image_entry: {wan.image_entry} does not go with wan.size={wan.size}; {fitting} does")
    if wan.sampling == "few_steps" and wan.sink + model.latents_per_chunk > wan.window:
        raise ConfigError(
            f"wan.window: {wan.window} latents hold no sink of {wan.sink} and a chunk of {model.latents_per_chunk}; "
            f"{wan.sink + model.latents_per_chunk} do"
        )
    if sorted(wan.denoising_steps, reverse=True) != wan.denoising_steps or not wan.denoising_steps:
        raise ConfigError("wan.denoising_steps must fall, as 1000,750,500,250 do")


def placed(machine: Machine, needed: Demand, wan: WanConfig) -> Placement:
    """Decide what goes where. Raises ConfigError when the model does not fit."""
    if machine.device.type == "cpu":
        return Placement("device", "fp8" if wan.storage == "fp8" else "dtype", True, None)
    return place(needed, machine.available, wan.text_encoder, wan.storage)


def kernel_of(wan: WanConfig) -> Kernel:
    """Choose the attention's kernel. Raises ConfigError when the one that is asked for can't run here."""
    known = available_kernels()
    if wan.attention == "auto":
        return known[0]
    if wan.attention not in known:
        raise ConfigError(f"wan.attention: {wan.attention} needs a Hopper GPU and the package fa3-fwd; take {known[0]}")
    return cast(Kernel, wan.attention)
