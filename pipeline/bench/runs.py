"""Chunks made by the calls that the server makes, and what each stage of them took."""

import sys
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from pipeline import factory
from pipeline.bench.baseline import TABLE_LATENTS, EagerTransformer, Rollout
from pipeline.bench.setting import Setting, switched
from pipeline.bench.work import sight
from pipeline.errors import ConfigError
from pipeline.interface import Pipeline, Progress
from pipeline.recorded import may_compile, may_record
from pipeline.schedule import FlowSchedule
from pipeline.stages import Stages
from pipeline.types import Conditioning
from pipeline.wan.build import assemble, dtype_of, ladder
from pipeline.wan.decision import Decision, decide
from pipeline.wan.random_weights import randomise
from pipeline.wan.sizes import LATENT_CHANNELS, PIXELS_PER_LATENT

GIB = 1 << 30
PROMPT = "the camera pans left, snow falls"
FILLS_POCKET = 6
PROMPT_TOKENS = 20
Samples = dict[str, list[float]]


@dataclass(slots=True, eq=False)
class Run:
    """One setting's pipeline with a stream open, and milliseconds of its chunks by stage.

    ``chunk`` is the whole from call to call by the host's clock, ``passes`` the calls of the transformer: denoising
    and the reading of what was made. ``decision`` is None for a model without one.
    """

    setting: Setting
    decision: Decision | None
    pipeline: Pipeline[Any]
    device: torch.device
    asked: Conditioning
    state: Any
    peak_gib: float = 0.0
    frames: int = 0
    samples: Samples = field(default_factory=Samples)

    def step(self) -> dict[str, float]:
        """Make a chunk and read it, as the server does between two chunks; give its milliseconds."""
        with switched(self.setting):
            begun = time.perf_counter()
            made = self.pipeline.generate_chunk(self.state, self.asked)
            stages = Stages(self.device)
            self.pipeline.commit(self.state)
            stages.lap("context")
            read = stages.ms["context"]
            whole = (time.perf_counter() - begun) * 1000
        self.frames = len(made.frames)
        took = {**made.timings_ms, "context": made.timings_ms.get("context", 0.0) + read, "chunk": whole}
        return {**took, "passes": took.get("denoise", 0.0) + took["context"]}

    def chunk(self) -> None:
        """Make a chunk that counts."""
        keep(self.samples, self.step())

    def change_prompt(self, number: int) -> None:
        """Make a chunk under a prompt that is new: its text is encoded."""
        self.asked = replace(self.asked, prompt=f"{PROMPT}, {number} birds", revision=number)
        text = self.step().get("text")
        if text is not None:
            keep(self.samples, {"new_text": text})


@dataclass(slots=True, eq=False)
class BaselineRun:
    """The baseline beside a setting: the same passes over the same sizes, and milliseconds of them."""

    rollout: Rollout
    size: tuple[int, ...]
    samples: Samples = field(default_factory=Samples)

    @torch.inference_mode()
    def step(self) -> dict[str, float]:
        """Make a chunk of latents and read it."""
        like = self.rollout.text
        stages = Stages(like.device)
        noise = torch.randn(self.size, dtype=like.dtype, device=like.device)
        clean = self.rollout.sample(noise, lambda _: torch.randn_like(noise))
        stages.lap("denoise")
        self.rollout.read(clean)
        stages.lap("context")
        took = stages.ms
        return {**took, "passes": took["denoise"] + took["context"]}

    def chunk(self) -> None:
        """Make a chunk that counts."""
        keep(self.samples, self.step())


def keep(samples: Samples, took: dict[str, float]) -> None:
    """Put what one chunk took beside what others did."""
    for stage, ms in took.items():
        samples.setdefault(stage, []).append(ms)


def built(setting: Setting, progress: Progress) -> tuple[Decision | None, Pipeline[Any]]:
    """Build a setting's pipeline. Raises ConfigError, WeightsError."""
    if setting.config.model.kind != "wan":
        return None, factory.build(setting.config.model, setting.config.wan, progress)
    decision = decide(setting.config.model, setting.config.wan)
    return decision, assemble(decision, progress)


def wanted(pipeline: Pipeline[Any]) -> Conditioning:
    """Ask for a take of the mode that the model does first, from a picture where it needs one."""
    mode = pipeline.capabilities.modes[0]
    size = (pipeline.format.height, pipeline.format.width, 3)
    picture = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8) if mode == "i2v" else None
    return Conditioning(mode, PROMPT, picture, seed=1)


def prepare(setting: Setting, progress: Progress) -> Run:
    """Build, warm up, open a stream and fill its window. Raises ConfigError, WeightsError."""
    held = torch.cuda.memory_reserved() if torch.cuda.is_initialized() else 0
    if held:
        torch.cuda.empty_cache()
        held = torch.cuda.memory_reserved()
        torch.cuda.reset_peak_memory_stats()
    with switched(setting):
        decision, pipeline = built(setting, progress)
        pipeline.warm_up(progress)
        asked = wanted(pipeline)
        device = decision.machine.device if decision else factory.find_device(setting.config.model.device)
        run = Run(setting, decision, pipeline, device, asked, pipeline.open(asked))
    progress("filling the window")
    for _ in range(fills(decision)):
        run.step()
    run.peak_gib = host_peak() if device.type == "cpu" else (torch.cuda.max_memory_reserved() - held) / GIB
    return run


def fills(decision: Decision | None) -> int:
    """Chunks until the window has rolled and every chunk is like the next.

    >>> fills(None)
    6
    """
    if decision is None:
        return FILLS_POCKET
    return decision.wan.window // decision.model.latents_per_chunk + 2


def host_peak() -> float:
    """The most memory that this process has held, in GiB; 0 where the system doesn't tell."""
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / GIB if sys.platform == "darwin" else peak * 1024 / GIB


def baseline(run: Run, chunks: int) -> BaselineRun:
    """Build the baseline for a setting, its buffer full. Raises ConfigError for a model that it can't run."""
    decision = run.decision
    if decision is None or decision.sizes.image is not None:
        raise ConfigError("--baseline is for Wan models that see no picture beside the noise")
    wan, count = decision.wan, decision.model.latents_per_chunk
    device, dtype = decision.machine.device, dtype_of(decision.model, decision.machine)
    with torch.device("meta"):
        network = EagerTransformer(decision.sizes.transformer).eval().requires_grad_(False)
    randomise(network, dtype, device)
    text = torch.randn(1, PROMPT_TOKENS, decision.sizes.transformer.text_dim, dtype=dtype, device=device)
    filling = fills(decision)
    rollout = Rollout(
        network,
        FlowSchedule(wan.timestep_shift),
        ladder(wan)[0],
        text,
        wan.window,
        wan.sink,
        sight(decision).tokens,
        wan.context_noise,
        max(TABLE_LATENTS, (filling + chunks) * count),
    )
    size = (1, LATENT_CHANNELS, count, wan.height // PIXELS_PER_LATENT, wan.width // PIXELS_PER_LATENT)
    made = BaselineRun(rollout, size)
    for _ in range(filling):
        made.step()
    return made


def facts(run: Run) -> dict[str, Any]:
    """Tell what ran, for the table: the settled settings, not the asked ones."""
    model, video = run.setting.config.model, run.pipeline.format
    told: dict[str, Any] = {
        "model": run.pipeline.capabilities.model,
        "size": f"{video.width}x{video.height}",
        "latents_per_chunk": video.latents_per_chunk,
    }
    if run.decision is None:
        with switched(run.setting):
            compiled, graph = may_compile(run.device), may_record(run.device)
        return told | {"dtype": model.dtype, "steps": model.steps, "compiled": compiled, "graph": graph}
    wan, placement = run.decision.wan, run.decision.placement
    dtype = str(dtype_of(model, run.decision.machine)).removeprefix("torch.")
    with switched(run.setting):
        # Without the place for a second window the network runs as it is.
        compiled, graph = (may(run.device) and placement.keep_rotated for may in (may_compile, may_record))
    return told | {
        "dtype": dtype,
        "attention": run.decision.sizes.transformer.kernel,
        "linears": dtype if placement.storage == "dtype" else placement.storage,
        "compiled": compiled,
        "graph": graph,
        "decoder": wan.vae,
        "window": wan.window,
        "sink": wan.sink,
        "steps": len(wan.denoising_steps),
        "placed": str(placement),
    }
