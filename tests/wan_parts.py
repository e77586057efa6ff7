"""A Wan model of toy size with random weights, small enough for every test."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from pipeline.networks.frame_decoder import VAEMemory
from pipeline.networks.transformer import CausalTransformer, TransformerConfig
from pipeline.networks.vae_tiny import TinyVAE, TinyVAEConfig
from pipeline.networks.vae_wan import WanVAE
from pipeline.networks.vae_wan_config import WanVAEConfig
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


class RememberingVAE(WanVAE):
    """A VAE that encodes the same picture once: that takes as long as five chunks, and many takes begin with it."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__(config)
        self._encoded: dict[tuple[tuple[int, ...], bytes], Tensor] = {}

    def encode(self, video: Tensor, memory: VAEMemory | None = None) -> tuple[Tensor, VAEMemory]:
        assert memory is None
        return self._once(video, lambda: super(RememberingVAE, self).encode(video)[0]), VAEMemory()

    def encode_image(self, image: Tensor, tile: int | None = None) -> Tensor:
        return self._once(image, lambda: super(RememberingVAE, self).encode_image(image, tile))

    def _once(self, video: Tensor, encode: Callable[[], Tensor]) -> Tensor:
        key = tuple(video.shape), video.numpy().tobytes()
        if key not in self._encoded:
            self._encoded[key] = encode()
        return self._encoded[key].clone()


@cache
def parts(image_entry: str = "first_latent", decoder: str = "tiny") -> Parts:
    sees = image_entry == "clip"
    config = replace(CONFIG, in_channels=36, image_dim=5) if sees else CONFIG
    vae = on_meta(lambda: RememberingVAE(WanVAEConfig(dim=4)))
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


def running(model: WanPipeline, chunks: int, mode: Mode = "i2v", prompt: str = "the leaves sway") -> WanState:
    """A stream of so many chunks, each committed: made once for a plan, and a copy of its state is as good."""
    state = deepcopy(_ran(model._plan, chunks, mode, prompt))
    model._open += 1
    return state


@cache
def _ran(plan: Plan, chunks: int, mode: Mode, prompt: str) -> WanState:
    model = pipeline(plan)
    state = model.open(asked(mode, prompt))
    go_on(model, state, chunks, asked(mode, prompt))
    return state
