"""What of a Wan model goes where, by the memory there is: arithmetic, no GPU asked.

The sizes are exact where they follow from shapes (weights, window). ``WORK`` and the VAE's shares were measured at
480x832; README has the table of what ran under which cap.
"""

from dataclasses import dataclass, replace
from typing import Literal

from pipeline.errors import ConfigError
from pipeline.networks.text_umt5 import Residence
from pipeline.networks.transformer import TransformerConfig

GIB = 1 << 30
TILE_PX = 256


@dataclass(frozen=True, slots=True)
class Demand:
    """Bytes that each part takes: weights in two bytes, one stream's window, the text encoder, the decoder, the rest."""

    transformer: int
    window: int
    text: int
    decoder: int
    work: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Where things go, and in which form."""

    text: Residence
    storage: Literal["dtype", "fp8"]
    keep_rotated: bool
    tile: int | None


def demand(config: TransformerConfig, parameters: int, window: int, pixels: tuple[int, int], wan_vae: bool) -> Demand:
    """Work out what a model needs at a size ``(width, height)`` in pixels."""
    tokens = pixels[0] * pixels[1] // 256
    latent = config.num_layers * 2 * tokens * config.dim * 2
    area = pixels[0] * pixels[1] / (832 * 480)
    return Demand(
        transformer=2 * parameters,
        window=window * latent,
        text=11_361_920_418,
        # Weights; the memory of a stream three times over (now, before, in the making); convolutions at full size.
        decoder=int((0.25 + area * (3 * 1.9 + 1.5 if wan_vae else 0.6)) * GIB),
        work=int(area * config.dim / 1536 * 1.0 * GIB) + GIB // 2,
    )


def place(needed: Demand, available: int, wanted: Placement | None = None, text: str = "auto", storage: str = "auto") -> Placement:
    """Choose for ``available`` bytes: the best that fits, giving up first what costs least.

    Raises ConfigError when not even the smallest form fits, with what would.
    """
    choices = [
        Placement("device", "dtype", True, None),
        Placement("device", "dtype", False, None),
        Placement("streamed", "dtype", True, None),
        Placement("streamed", "dtype", False, None),
        Placement("streamed", "dtype", False, TILE_PX),
        Placement("streamed", "fp8", False, TILE_PX),
    ]
    for choice in choices:
        asked = choice
        if text != "auto":
            asked = replace(asked, text=text)  # type: ignore[arg-type]  # the configuration allows these alone
        if storage != "auto":
            asked = replace(asked, storage=storage)  # type: ignore[arg-type]
        if size(needed, asked) <= available:
            return asked
    least = size(needed, choices[-1])
    raise ConfigError(
        f"this model needs {least / GIB:.1f} GiB of GPU memory in its smallest form, {available / GIB:.1f} GiB are free; "
        "a smaller wan.window, wan.width and wan.height, or wan.vae=taehv take less"
    )


def size(needed: Demand, placement: Placement) -> int:
    """Bytes on the GPU under a placement, with one stream."""
    text = needed.text if placement.text == "device" else needed.text // 24 if placement.text == "streamed" else 0
    transformer = needed.transformer if placement.storage == "dtype" else needed.transformer // 2
    window = needed.window * (2 if placement.keep_rotated else 1)
    return transformer + window + max(text, 0) + needed.decoder + needed.work
