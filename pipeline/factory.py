"""From a configuration to a pipeline that can be warmed up."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import ConfigError
from pipeline.interface import Pipeline, Progress, silent

if TYPE_CHECKING:
    import torch

AS_PUBLISHED = WanConfig()
DEFAULTS = ModelConfig()
OF_POCKET = ("device", "width", "height", "shapes", "fps", "variety", "parallax")
LATENTS_PER_SECOND = 4
POCKET_WEIGHTS = Path(__file__).parent / "pocket" / "weights" / "pocket-v0.safetensors"
LAYERS_WEIGHTS = POCKET_WEIGHTS.with_name("layers-v6.safetensors")
SALIENT_WEIGHTS = POCKET_WEIGHTS.with_name("salient-v1.safetensors")


def build(model: ModelConfig, wan: WanConfig = AS_PUBLISHED, progress: Progress = silent) -> Pipeline[Any]:
    """Build the pipeline that the configuration names, telling the stages. Raises ConfigError, WeightsError."""
    if model.kind == "pocket":
        return _build_pocket(model, progress)
    if model.kind == "wan":
        check_is_pockets(model)
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from pipeline.wan.build import build as build_wan

        return build_wan(model, wan, progress)
    raise ConfigError(f"model.kind is {model.kind!r}; this version has: pocket, wan")


def check_is_pockets(model: ModelConfig) -> None:
    """Raise ConfigError for settings of pocket's that are made for another model."""
    for key in OF_POCKET:
        if getattr(model, key) != getattr(DEFAULTS, key):
            instead = f"; set wan.{key} for model.kind={model.kind}" if hasattr(AS_PUBLISHED, key) else ""
            raise ConfigError(f"model.{key} is pocket's{instead}")


def check_pocket(config: ModelConfig) -> None:
    """Raise ConfigError for a frame that pocket can't make; the message names what would do."""
    if config.fps % LATENTS_PER_SECOND:
        near = config.fps // LATENTS_PER_SECOND * LATENTS_PER_SECOND
        raise ConfigError(
            f"model.fps: {config.fps} is no multiple of {LATENTS_PER_SECOND}, in which pocket counts; take {near}"
        )
    for side in ("width", "height"):
        if getattr(config, side) % 2:
            raise ConfigError(f"model.{side}: {getattr(config, side)} is odd, which video codecs don't take")


def find_device(wanted: str) -> "torch.device":
    """Find the device for ``cpu``, ``cuda`` or ``auto``. Raises ConfigError for a GPU where there is none."""
    import torch

    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if wanted == "cuda":
        raise ConfigError(
            "model.device is cuda, and PyTorch sees no CUDA GPU here; a CPU makes model.device=cpu model.width=832 "
            "model.height=480 model.fps=16"
        )
    return torch.device("cpu")


def _build_pocket(config: ModelConfig, progress: Progress) -> Pipeline[Any]:
    check_pocket(config)
    progress("reading pocket's weights")
    # OpenMP workers that spin between two small kernels made a layer 5 to 20 times slower beside an encoder.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from pipeline import weights
    from pipeline.causal import CausalPipeline
    from pipeline.pocket.examples import EXAMPLES
    from pipeline.pocket.layers_weights import read_finder
    from pipeline.pocket.network import PocketConfig, PocketNetwork
    from pipeline.pocket.tokens import tokenizer
    from pipeline.pocket.view import views

    device = find_device(config.device)
    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    # Fields that fade out pass through denormal numbers, which a CPU computes a hundred times slower.
    torch.set_flush_denormal(True)
    network = PocketNetwork(PocketConfig())
    dtype = _faster_dtype(device) if config.dtype == "auto" else getattr(torch, config.dtype)
    weights.load(network, Path(config.weights) if config.weights else POCKET_WEIGHTS, dtype, device)
    # Words stay as they are stored, and in the file's pages they would keep all of it in memory.
    network.text.table = network.text.table.clone()
    encode = tokenizer(network.config.text.length)
    pipeline = CausalPipeline(
        network,
        lambda text: torch.from_numpy(encode(text))[None],
        steps=config.steps,
        latents_per_chunk=config.latents_per_chunk,
        max_streams=config.max_streams,
        examples=EXAMPLES,
        views=views(config.width, config.height, config.shapes),
        frames_per_latent=config.fps // LATENTS_PER_SECOND,
        finder=read_finder(LAYERS_WEIGHTS, SALIENT_WEIGHTS, device),
        variety=config.variety,
        parallax=config.parallax,
    )
    settled = (
        f"model.dtype={str(dtype).removeprefix('torch.')}",
        f"model.threads={torch.get_num_threads()}",
        f"model.device={device.type}",
    )
    pipeline.capabilities = replace(pipeline.capabilities, settled=settled)
    return pipeline


def _faster_dtype(device: "torch.device") -> "torch.dtype":
    """bfloat16 on a GPU and where this CPU multiplies it natively, float32 elsewhere.

    It is measured, since flags alone do not tell, but where there are no instructions for it: that would take a second.
    """
    import torch

    from pipeline.pocket.cpu_passes import multiplies_bfloat16

    if device.type == "cuda":
        return torch.bfloat16
    if not multiplies_bfloat16():
        return torch.float32

    def seconds(dtype: torch.dtype) -> float:
        a, b = torch.ones(112, 256, dtype=dtype), torch.ones(256, 768, dtype=dtype)
        times: list[float] = []
        for _ in range(30):
            begun = time.perf_counter()
            torch.mm(a, b)
            times.append(time.perf_counter() - begun)
        return sorted(times)[10]

    return torch.bfloat16 if seconds(torch.bfloat16) < seconds(torch.float32) else torch.float32
