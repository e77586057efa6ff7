"""What of a Wan model goes where, by the memory there is: arithmetic, no GPU asked.

The sizes are exact where they follow from shapes (weights, window). ``WORK`` and the VAE's shares were measured at
480x832; README has the table of what ran under which cap.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.errors import ConfigError
from pipeline.networks.text_umt5 import Residence
from pipeline.networks.transformer import TransformerConfig

Storage = Literal["dtype", "fp8"]
"""How the transformer's large weights are kept: as they are multiplied, or in eight bits."""

GIB = 1 << 30
TILE_PX = 256


@dataclass(frozen=True, slots=True)
class Demand:
    """Bytes that each part takes: weights in two bytes a number, one stream's window, the decoder with its memory.

    ``work`` is what a call of the transformer takes beside, ``encoding`` what the VAE takes for a whole picture.
    """

    transformer: int
    window: int
    text: int
    image: int
    decoder: int
    unpacked: int
    work: int
    encoding: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Where things go, and in which form."""

    text: Residence
    storage: Storage
    keep_rotated: bool
    tile: int | None

    def __str__(self) -> str:
        rotated = "" if self.keep_rotated else ", window rotated at each use"
        tiled = f", pictures encoded in squares of {self.tile}" if self.tile else ""
        stored = "weights as they are" if self.storage == "dtype" else "weights in fp8"
        return f"{stored}, text encoder {self.text}{rotated}{tiled}"


def demand(
    config: TransformerConfig, parameters: int, latents: tuple[int, int], pixels: tuple[int, int], wan_vae: bool
) -> Demand:
    """Work out what a model of so many parameters needs.

    ``latents`` are those of a window (0 where none is kept) and those of one call, ``pixels`` width and height.
    """
    tokens = pixels[0] * pixels[1] // 256
    area = pixels[0] * pixels[1] / (832 * 480)
    # A call holds its tokens a dozen times over, some of them in four bytes, and the feed-forward's twice.
    call = latents[1] * tokens * (24 * config.dim + 4 * config.ffn_dim)
    return Demand(
        transformer=2 * parameters,
        window=latents[0] * config.num_layers * 2 * tokens * config.dim * 2,
        text=11_361_920_418,
        image=1_264_153_600 if config.image_dim is not None else 0,
        # Weights; live, the memory of a stream three times over (now, before, in the making), and convolutions at full
        # size of a whole chunk in a graph of their own, beside everything else. A clip is decoded when its sampling is
        # over.
        decoder=int((0.25 + area * ((3 * 1.9 + 12 if latents[0] else 1.9) if wan_vae else 0.6)) * GIB),
        # The largest weight of fp8 storage on its way: in four bytes, and in two.
        unpacked=6 * config.dim * config.ffn_dim,
        work=GIB // 2 + max(call, int(area * GIB)),
        encoding=int(area * 2.5 * GIB),
    )


def place(needed: Demand, available: int, text: str = "auto", storage: str = "auto") -> Placement:
    """Choose for ``available`` bytes: the best that fits, giving up first what costs least.

    ``text`` and ``storage`` are the configuration's wishes, ``auto`` for none. Raises ConfigError when not even the
    smallest form fits, with what would.
    """
    choices = [
        Placement(residence, stored, keep_rotated, tile)
        for stored in get_args(Storage)
        if storage in ("auto", stored)
        for residence in get_args(Residence)
        # The host's processor takes seconds for a prompt: only by wish.
        if text == residence or (text == "auto" and residence != "cpu")
        for keep_rotated, tile in ((True, None), (False, None), (False, TILE_PX))
    ]
    # fp8 costs quality, a streamed text encoder some tenths of a second a prompt.
    for choice in choices:
        if size(needed, choice) <= available:
            return choice
    least = min(size(needed, choice) for choice in choices)
    raise ConfigError(
        f"this model needs {least / GIB:.1f} GiB of GPU memory in its smallest form and {available / GIB:.1f} GiB are "
        "free; a smaller wan.window, wan.width and wan.height, or wan.vae=taehv take less"
    )


def size(needed: Demand, placement: Placement) -> int:
    """Bytes on the GPU under a placement, with one stream."""
    # Two layers of 24 are there at a time: the one that computes and the one that is being copied.
    text = {"device": needed.text, "streamed": needed.text // 12, "cpu": 0}[placement.text]
    is_packed = placement.storage == "fp8"
    transformer = needed.transformer // 2 + needed.unpacked if is_packed else needed.transformer
    window = needed.window * (2 if placement.keep_rotated else 1)
    # A picture is encoded before a window is read, with work of its own unless it is cut into squares.
    encoding = 0 if placement.tile else needed.encoding
    return transformer + window + text + needed.image + needed.decoder + max(needed.work, encoding)


def another(needed: Demand, placement: Placement) -> int:
    """Bytes that each stream takes on the GPU but the first."""
    return needed.window * (2 if placement.keep_rotated else 1) + needed.decoder


def can_recache(needed: Demand, placement: Placement, available: int, streams: int) -> bool:
    """Whether each of so many streams can have a window more, while a prompt comes in by ``recache``."""
    taken = size(needed, placement) + (streams - 1) * another(needed, placement)
    return available - taken >= streams * needed.window
