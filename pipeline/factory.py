"""From a configuration to a pipeline that can be warmed up."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import ConfigError
from pipeline.interface import Pipeline, Progress, silent

if TYPE_CHECKING:
    import torch

AS_PUBLISHED = WanConfig()
POCKET_WEIGHTS = Path(__file__).parent / "pocket" / "weights" / "pocket-v0.safetensors"


def build(model: ModelConfig, wan: WanConfig = AS_PUBLISHED, progress: Progress = silent) -> Pipeline[Any]:
    """Build the pipeline that the configuration names, telling the stages. Raises ConfigError, WeightsError."""
    if model.kind == "pocket":
        return _build_pocket(model, progress)
    if model.kind == "wan":
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from pipeline.wan.build import build as build_wan

        return build_wan(model, wan, progress)
    raise ConfigError(f"model.kind is {model.kind!r}; this version has: pocket, wan")


def _build_pocket(config: ModelConfig, progress: Progress) -> Pipeline[Any]:
    progress("reading pocket's weights")
    # OpenMP workers that spin between two small kernels made a layer 5 to 20 times slower beside an encoder.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from pipeline import weights
    from pipeline.causal import CausalPipeline
    from pipeline.pocket.language import EXAMPLES
    from pipeline.pocket.network import PocketConfig, PocketNetwork
    from pipeline.pocket.tokens import tokenizer

    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    # Fields that fade out pass through denormal numbers, which a CPU computes a hundred times slower.
    torch.set_flush_denormal(True)
    network = PocketNetwork(PocketConfig())
    dtype = _faster_dtype() if config.dtype == "auto" else getattr(torch, config.dtype)
    weights.load(network, Path(config.weights) if config.weights else POCKET_WEIGHTS, dtype)
    encode = tokenizer(network.config.text.length)
    return CausalPipeline(
        network,
        lambda text: torch.from_numpy(encode(text))[None],
        steps=config.steps,
        latents_per_chunk=config.latents_per_chunk,
        max_streams=config.max_streams,
        examples=EXAMPLES,
    )


def _faster_dtype() -> "torch.dtype":
    """bfloat16 where this CPU multiplies it natively, float32 elsewhere: measured, since flags alone do not tell."""
    import torch

    def seconds(dtype: torch.dtype) -> float:
        a, b = torch.ones(112, 256, dtype=dtype), torch.ones(256, 768, dtype=dtype)
        times: list[float] = []
        for _ in range(30):
            begun = time.perf_counter()
            torch.mm(a, b)
            times.append(time.perf_counter() - begun)
        return sorted(times)[10]

    return torch.bfloat16 if seconds(torch.bfloat16) < seconds(torch.float32) else torch.float32
