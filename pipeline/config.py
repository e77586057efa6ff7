"""What may be set about a pipeline; plain data, no torch."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """Which model makes the video, and how.

    In a field's metadata, ``range`` bounds a number, both ends included, and ``choices`` names all that fits.
    """

    kind: str = field(default="pocket", metadata={"choices": ("pocket",)})
    weights: str = ""
    dtype: str = field(default="auto", metadata={"choices": ("auto", "float32", "bfloat16")})
    steps: int = field(default=2, metadata={"range": (1, 8)})
    latents_per_chunk: int = field(default=1, metadata={"range": (1, 8)})
    max_streams: int = field(default=8, metadata={"range": (1, 64)})
    threads: int = field(default=0, metadata={"range": (0, 256)})
