"""A Wan model of toy size with random weights, small enough for every test."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from pipeline.networks.transformer import CausalTransformer, TransformerConfig
from pipeline.networks.vae_tiny import TinyVAE, TinyVAEConfig
from pipeline.networks.vae_wan import WanVAE, WanVAEConfig
from pipeline.types import Chunk, Conditioning, Mode, Pixels
from pipeline.wan.parts import Parts
from pipeline.wan.pipeline import Plan, WanPipeline
from pipeline.wan.random_weights import randomise
from pipeline.wan.state import WanState

NetworkT = TypeVar("NetworkT", bound=torch.nn.Module)
CPU = torch.device("cpu")
CONFIG = TransformerConfig(32, 64, 2, 2, 16, 16, 8, freq_dim=32, text_len=6)
WIDTH, HEIGHT = 64, 32
PLAN = Plan(
    name="toy",
    needs="",
    width=WIDTH,
    height=HEIGHT,
    fps=Fraction(16),
    latents_per_chunk=2,
    steps=((1000.0, 625.0), (1000.0,)),
    shift=5.0,
    context_noise=0.0,
    window=6,
    sink=1,
    positions="relative",
    first_alone=False,
    image_entry="first_latent",
    max_streams=3,
    keep_rotated=True,
)


def on_meta(build: Callable[[], NetworkT]) -> NetworkT:
    with torch.device("meta"):
        network = build().eval().requires_grad_(False)
    randomise(network, torch.float32, CPU)
    return network


def embed(prompt: str) -> Tensor:
    """A text encoder by checksum: as many rows as words."""
    rows = [torch.randn(8, generator=torch.Generator().manual_seed(sum(map(ord, word)))) for word in prompt.split()]
    return torch.stack([torch.ones(8), *rows])[None]


def see(image: Tensor) -> Tensor:
    """Features of a picture: five tokens of its mean colours."""
    return image.mean((2, 3)).repeat(1, 2)[:, None, :5].expand(-1, 4, -1)


@cache
def parts(image_entry: str = "first_latent", decoder: str = "tiny") -> Parts:
    sees = image_entry == "clip"
    config = replace(CONFIG, in_channels=36, image_dim=5) if sees else CONFIG
    vae = on_meta(lambda: WanVAE(WanVAEConfig(dim=4)))
    tiny = TinyVAEConfig(encoder_width=4, decoder_widths=(16, 8, 4, 4))
    return Parts(
        transformer=on_meta(lambda: CausalTransformer(config)),
        text=embed,
        decoder=vae if decoder == "wan" else on_meta(lambda: TinyVAE(tiny)),
        encoder=vae,
        image_encoder=see if sees else None,
        device=CPU,
        dtype=torch.float32,
    )


def pipeline(plan: Plan = PLAN, decoder: str = "tiny") -> WanPipeline:
    return WanPipeline(parts(plan.image_entry, decoder), plan)


def picture(seed: int = 0) -> Pixels:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (40, 70, 3), generator=generator, dtype=torch.uint8).numpy()


def asked(mode: Mode = "i2v", prompt: str = "the leaves sway", seed: int = 3, quality: int = 0) -> Conditioning:
    return Conditioning(mode, prompt, picture() if mode == "i2v" else None, seed, quality=quality)


def go_on(model: WanPipeline, state: WanState, count: int, conditioning: Conditioning) -> list[Chunk]:
    """Make so many chunks under a conditioning, each committed."""
    chunks: list[Chunk] = []
    for _ in range(count):
        chunks.append(model.generate_chunk(state, conditioning))
        model.commit(state)
    return chunks
