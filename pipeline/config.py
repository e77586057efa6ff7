"""What may be set about a pipeline; plain data, no torch."""

from dataclasses import dataclass, field
from typing import Any

from pipeline.settings import ranged


def one_of(*choices: str) -> Any:
    """Make a dataclass field that takes one of these texts, the first being the default."""
    return field(default=choices[0], metadata={"choices": choices})


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which model makes the video, and how; what only Wan has is in :class:`WanConfig`.

    ``device``, ``width``, ``height``, ``shapes``, ``fps``, ``variety`` and ``parallax`` are pocket's; Wan has its own.

    In a field's metadata, ``range`` bounds a number, both ends included, and ``choices`` names all that fits.
    """

    kind: str = one_of("pocket", "wan")
    weights: str = ""
    dtype: str = one_of("auto", "float32", "bfloat16")
    steps: int = ranged(1, 1, 8)
    latents_per_chunk: int = ranged(1, 1, 21)
    max_streams: int = ranged(8, 1, 64)
    threads: int = ranged(0, 0, 256)
    device: str = one_of("cpu", "cuda", "auto")
    width: int = ranged(832, 64, 1920)
    height: int = ranged(480, 64, 1920)
    shapes: list[str] = field(default_factory=lambda: ["turned", "square"], metadata={"choices": ("turned", "square")})
    fps: int = ranged(16, 4, 60)
    variety: float = ranged(1.0, 0.0, 1.0)
    parallax: float = ranged(1.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class WanConfig:
    """How a Wan2.1 model is run; ``configs/wan_1_3b.yaml`` is the manual."""

    model: str = "wan_1_3b"
    folder: str = ""
    size: str = one_of("1.3b", "14b", "i2v-14b", "tiny", "tiny-i2v")
    sampling: str = one_of("few_steps", "clips")
    image_entry: str = one_of("first_latent", "none", "clip")
    device: str = one_of("auto", "cuda", "cpu")
    width: int = ranged(832, 64, 1920)
    height: int = ranged(480, 64, 1920)
    fps: int = ranged(16, 1, 60)
    denoising_steps: list[int] = field(default_factory=lambda: [1000, 750, 500, 250], metadata={"range": (1, 1000)})
    warp_steps: bool = True
    timestep_shift: float = ranged(5.0, 0.1, 20.0)
    context_noise: float = ranged(0.0, 0.0, 1000.0)
    window: int = ranged(12, 1, 1024)
    sink: int = ranged(3, 0, 1023)
    positions: str = one_of("relative", "absolute")
    first_latent_alone: bool = False
    reanchor: float = ranged(0.5, 0.0, 10.0)
    vae: str = one_of("auto", "taehv", "wan")
    text_encoder: str = one_of("auto", "device", "streamed", "cpu")
    storage: str = one_of("auto", "dtype", "fp8")
    attention: str = one_of("auto", "sdpa", "fa3", "fa3_fp8")
    memory_gb: float = ranged(0.0, 0.0, 1024.0)
    clip_steps: int = ranged(40, 1, 1000)
    guidance: float = ranged(5.0, 1.0, 20.0)
    negative_prompt: str = ""
