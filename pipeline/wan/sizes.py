"""The published sizes of Wan2.1's transformers, and one that runs anywhere (arXiv 2503.20314)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import WeightsError
from pipeline.networks.image_clip import VIT_H_14, TowerConfig
from pipeline.networks.text_umt5 import UMT5Config
from pipeline.networks.transformer import TransformerConfig
from pipeline.networks.vae_tiny import TinyVAEConfig
from pipeline.networks.vae_wan_config import WanVAEConfig

CLIP_DIM = 1280
TEXT_DIM = 4096
TEXT_LEN = 512
LATENT_CHANNELS = 16
PIXELS_PER_LATENT = 8
TRAINED_LATENTS = 21
"""Latents of the clips that Wan2.1 was trained on: places beyond that it has not seen."""

SIZES: Mapping[str, TransformerConfig] = {
    "1.3b": TransformerConfig(1536, 8960, 12, 30, 16, 16, TEXT_DIM, text_len=TEXT_LEN),
    "14b": TransformerConfig(5120, 13824, 40, 40, 16, 16, TEXT_DIM, text_len=TEXT_LEN),
    "i2v-14b": TransformerConfig(5120, 13824, 40, 40, 36, 16, TEXT_DIM, text_len=TEXT_LEN, image_dim=CLIP_DIM),
    "tiny": TransformerConfig(96, 192, 4, 2, 16, 16, 64, freq_dim=64, text_len=32),
    "tiny-i2v": TransformerConfig(96, 192, 4, 2, 36, 16, 64, freq_dim=64, text_len=32, image_dim=64),
}
"""By the name that the configuration uses; those called tiny have no published weights."""


def from_published(config: Mapping[str, Any]) -> TransformerConfig:
    """Read the sizes from a checkpoint's ``config.json``; what it leaves out is as in every published one.

    Raises WeightsError when a size is missing.

    >>> from_published({"dim": 1536, "ffn_dim": 8960, "num_heads": 12, "num_layers": 30}) == SIZES["1.3b"]
    True
    """
    try:
        sees_image = config.get("model_type", "t2v") == "i2v"
        return TransformerConfig(
            dim=config["dim"],
            ffn_dim=config["ffn_dim"],
            num_heads=config["num_heads"],
            num_layers=config["num_layers"],
            in_channels=config.get("in_dim", 36 if sees_image else LATENT_CHANNELS),
            out_channels=config.get("out_dim", LATENT_CHANNELS),
            text_dim=config.get("text_dim", TEXT_DIM),
            patch=tuple(config.get("patch_size", (1, 2, 2))),
            freq_dim=config.get("freq_dim", 256),
            eps=config.get("eps", 1e-6),
            text_len=config.get("text_len", TEXT_LEN),
            image_dim=config.get("clip_dim", CLIP_DIM) if sees_image else None,
        )
    except KeyError as error:
        raise WeightsError(f"this is not the config.json of a Wan2.1 transformer: no {error.args[0]}") from error


@dataclass(frozen=True, slots=True)
class PartSizes:
    """The sizes of every network that a model is made of; ``image`` is None where no features of a picture are used."""

    transformer: TransformerConfig
    text: UMT5Config
    vae: WanVAEConfig
    tiny_vae: TinyVAEConfig
    image: TowerConfig | None


def part_sizes(name: str) -> PartSizes:
    """Give the sizes that go with a transformer of this name, a key of :data:`SIZES`."""
    transformer = SIZES[name]
    if not name.startswith("tiny"):
        image = VIT_H_14 if transformer.image_dim is not None else None
        return PartSizes(transformer, UMT5Config(), WanVAEConfig(), TinyVAEConfig(), image)
    return PartSizes(
        transformer,
        UMT5Config(512, dim=64, dim_attn=64, dim_ffn=128, num_heads=4, num_layers=2),
        WanVAEConfig(dim=8),
        TinyVAEConfig(encoder_width=8, decoder_widths=(32, 16, 8, 8)),
        TowerConfig(42, 14, 64, 3, 4, 40, names="wan") if transformer.image_dim is not None else None,
    )
