"""The networks of the Wan models from their published files; each is built without memory and filled in place."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from pipeline import weights
from pipeline.checkpoint import Checkpoint, opened
from pipeline.networks import image_clip, text_umt5
from pipeline.networks.image_clip import VIT_H_14, ImageTower, TowerConfig
from pipeline.networks.text_umt5 import UMT5, UMT5Config
from pipeline.networks.transformer import CausalTransformer, TransformerConfig
from pipeline.networks.vae_tiny import TinyVAE, TinyVAEConfig, fit_state_dict
from pipeline.networks.vae_wan import WanVAE, WanVAEConfig

Source = Path | Checkpoint
NetworkT = TypeVar("NetworkT", bound=nn.Module)

ENCODER = ("encoder.", "conv1.")
DECODER = ("decoder.", "conv2.")
"""The Wan VAE's halves, by what their keys begin with."""


def load_transformer(
    source: Source, config: TransformerConfig, dtype: torch.dtype, device: torch.device, ema: bool = True
) -> CausalTransformer:
    """Load a transformer: shards of the published ones, or a checkpoint of Self-Forcing's or Causal-Forcing's making.

    ``ema`` takes the weights averaged over training where a file holds both. Raises WeightsError.
    """
    network = _on_meta(lambda: CausalTransformer(config))
    weights.load(network, opened(source, ema), dtype, device)
    return network


def load_wan_vae(
    source: Source, dtype: torch.dtype, device: torch.device, config: WanVAEConfig | None = None, encoder: bool = True
) -> WanVAE:
    """Load the Wan VAE, its decoding half alone where there is nothing to encode. Raises WeightsError."""
    network = _on_meta(lambda: WanVAE(config, encoder=encoder))
    weights.load(network, source, dtype, device, ignore=() if encoder else ENCODER)
    return network


def load_wan_encoder(
    source: Source, dtype: torch.dtype, device: torch.device, config: WanVAEConfig | None = None
) -> WanVAE:
    """Load the Wan VAE's encoding half, for where another network decodes. Raises WeightsError."""
    network = _on_meta(lambda: WanVAE(config, decoder=False))
    weights.load(network, source, dtype, device, ignore=DECODER)
    return network


def load_tiny_vae(
    source: Source, dtype: torch.dtype, device: torch.device, config: TinyVAEConfig | None = None
) -> TinyVAE:
    """Load TAEHV; kernels with the rows of more frames than are made are cut. Raises WeightsError."""
    config = config or TinyVAEConfig()
    network = _on_meta(lambda: TinyVAE(config))
    checkpoint = opened(source).fitted(lambda name, stored: fit_state_dict({name: stored}, config)[name])
    weights.load(network, checkpoint, dtype, device)
    return network


def load_text_encoder(
    source: Source, dtype: torch.dtype, device: torch.device, config: UMT5Config | None = None
) -> UMT5:
    """Load UMT5's encoder. Raises WeightsError.

    On the CPU in the file's own dtype the weights are pages of the file: nothing is read before it is used, and
    nothing is lost when the system drops pages.
    """
    config = config or UMT5Config()
    network = _on_meta(lambda: UMT5(config))
    weights.load(network, source, dtype, device, text_umt5.key_map(config))
    return network


def load_image_encoder(
    source: Source, dtype: torch.dtype, device: torch.device, config: TowerConfig = VIT_H_14
) -> ImageTower:
    """Load a CLIP's image tower from a file of the whole CLIP, or of the tower alone. Raises WeightsError."""
    network = _on_meta(lambda: ImageTower(config))
    checkpoint = opened(source)
    names = image_clip.key_map(config, image_clip.prefix_of(checkpoint.entries))
    ours = {name.removeprefix(image_clip.TOWER): key for name, key in names.items()}

    def fit(name: str, stored: Tensor) -> Tensor:
        return image_clip.fit(config, ours.get(name.removeprefix(image_clip.TOWER), ""), stored)

    ignored = sorted(image_clip.other_half(checkpoint.entries))
    weights.load(network, checkpoint.fitted(fit), dtype, device, names, ignored)
    return network


def _on_meta(build: Callable[[], NetworkT]) -> NetworkT:
    with torch.device("meta"):
        network = build()
    return network.eval().requires_grad_(False)
