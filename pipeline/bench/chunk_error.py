"""How far a chunk's latents are from float32 by each attention kernel: ``python -m pipeline.bench.chunk_error``.

Weights are random, but for the gain of the queries' norms, which makes attention's scores spread as asked. The same
latents are read as the past, and the same noise is denoised: in float32, and in bfloat16 by each kernel that runs here.
Prints Markdown, the rms of the difference over the rms.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pipeline.bench.precision import table
from pipeline.networks.attention import Kernel, available_kernels
from pipeline.networks.transformer import CausalTransformer, TransformerConfig
from pipeline.schedule import FlowSchedule
from pipeline.wan.passes import Passes
from pipeline.wan.random_weights import randomise
from pipeline.wan.sampler import Guide, Sampler
from pipeline.wan.sizes import LATENT_CHANNELS, SIZES
from pipeline.wan.window import WindowCache, WindowShape

SPREADS = (1.0, 2.0, 3.0)
TIMESTEPS = (1000.0, 750.0, 500.0, 250.0)
CHUNK, TEXT_TOKENS = 3, 32
FULL, TOY = WindowShape(12, 3, (30, 52)), WindowShape(12, 3, (2, 3))


@torch.inference_mode()
def errors(
    config: TransformerConfig, shape: WindowShape, spread: float, kernels: Sequence[Kernel], device: torch.device
) -> dict[str, float]:
    """Denoise a chunk by each kernel, and compare with float32."""
    wanted = chunk(network(config, spread, torch.float32, device), shape, has_passes=False)
    found: dict[str, float] = {}
    for kernel in kernels:
        made = chunk(network(replace(config, kernel=kernel), spread, torch.bfloat16, device), shape, has_passes=True)
        found[kernel] = ((made - wanted).norm() / wanted.norm()).item()
    return found


def network(config: TransformerConfig, spread: float, dtype: torch.dtype, device: torch.device) -> CausalTransformer:
    """Make a network of random weights that bfloat16 holds exactly, whose self-attention's scores spread so far."""
    with torch.device("meta"):
        made = CausalTransformer(config).eval().requires_grad_(False)
    randomise(made, torch.bfloat16, device)
    made.to(dtype)
    for block in made.blocks:
        block.get_parameter("self_attn.norm_q.weight").fill_(spread)
    return made


def chunk(network: CausalTransformer, shape: WindowShape, has_passes: bool) -> Tensor:
    """Read a window's past, and denoise the chunk after it: ``float32 [1, C, T, h, w]``."""
    weight, config = network.patch_embedding.weight, network.config
    passes = Passes(network, shape, CHUNK) if has_passes else None
    sampler = Sampler(network, FlowSchedule(5.0), TIMESTEPS, passes=passes)
    cache = WindowCache(config, shape, weight.dtype, weight.device, keep_rotated=True)
    text = drawn(-1, (1, TEXT_TOKENS, config.text_dim), weight.device).to(weight.dtype)
    guide = Guide(network.cross_keys_values(text))
    size = (1, LATENT_CHANNELS, CHUNK, 2 * shape.grid[0], 2 * shape.grid[1])
    for number in range((shape.window - CHUNK) // CHUNK):
        latents = drawn(number, size, weight.device)
        cache.append(sampler.read(latents, guide, cache.see(CHUNK, "relative")), CHUNK)
    steps = [drawn(100 + step, size, weight.device) for step in range(len(TIMESTEPS))]
    return sampler.sample(steps[0], lambda step: steps[step], guide, cache.see(CHUNK, "relative")).float()


def drawn(seed: int, size: tuple[int, ...], device: torch.device) -> Tensor:
    """Draw the same numbers on every device."""
    return torch.randn(size, generator=torch.Generator().manual_seed(1000 + seed)).to(device)


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.bench.chunk_error", description=__doc__)
    parser.parse_args(words)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size, shape = ("1.3b", FULL) if device.type == "cuda" else ("tiny", TOY)
    if device.type == "cpu":
        print("No GPU here: a toy.")
    rows = [(spread, errors(SIZES[size], shape, spread, available_kernels(), device)) for spread in SPREADS]
    print("\n".join(table(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
