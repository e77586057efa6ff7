"""A Wan model's networks, from their published files or with random weights, each put where it is to be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from pipeline import weights
from pipeline.checkpoint import open_checkpoint
from pipeline.networks import image_clip, text_umt5, vae_tiny
from pipeline.networks.image_clip import ImageTower
from pipeline.networks.text_umt5 import UMT5, TextEncoder
from pipeline.networks.transformer import CausalTransformer
from pipeline.networks.vae_tiny import TinyVAE
from pipeline.networks.vae_wan import WanVAE
from pipeline.prompts import Tokenize, tokenizer
from pipeline.quantize import store_in_fp8
from pipeline.wan.memory import Placement
from pipeline.wan.random_weights import randomise, word_tokenizer
from pipeline.wan.sizes import PartSizes
from pipeline.wan_files import Part

NetworkT = TypeVar("NetworkT", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Loader:
    """Where weights come from and go to; without ``files`` they are random.

    ``dtype`` is the transformer's and the text encoder's; pictures are encoded and decoded in ``pixel_dtype``.
    """

    sizes: PartSizes
    files: Mapping[Part, Path] | None
    device: torch.device
    dtype: torch.dtype
    pixel_dtype: torch.dtype
    placement: Placement

    def transformer(self) -> CausalTransformer:
        """The transformer on the device, its large weights in eight bits if so placed."""
        network = _on_meta(lambda: CausalTransformer(self.sizes.transformer))
        in_fp8 = self.placement.storage == "fp8"
        # In eight bits it goes to the device block by block: the whole in two bytes may not fit there.
        home = torch.device("cpu") if in_fp8 else self.device
        if self.files is None:
            randomise(network, self.dtype, home)
        else:
            weights.load(network, self.files["transformer"], self.dtype, home)
        for block in network.blocks if in_fp8 else ():
            store_in_fp8(block.to(self.device))
        return network.to(self.device)

    def text(self) -> Callable[[str], Tensor]:
        """The text encoder with its tokenizer: a prompt to ``[1, S, text_dim]`` on the device."""
        network = _on_meta(lambda: UMT5(self.sizes.text))
        home = self.device if self.placement.text == "device" else torch.device("cpu")
        tokenize = self._tokenizer()
        if self.files is None:
            randomise(network, self.dtype, home)
        else:
            names = text_umt5.key_map(self.sizes.text)
            weights.load(network, self.files["text_encoder"], self.dtype, home, names)
        encoder = TextEncoder(network, self.device, self.placement.text)
        return lambda prompt: encoder.encode(*tokenize([prompt]))

    def wan_vae(self, *, decoder: bool) -> WanVAE:
        """The Wan VAE's encoder, and its decoder if wanted."""
        network = _on_meta(lambda: WanVAE(self.sizes.vae, decoder=decoder))
        if self.files is None:
            randomise(network, self.pixel_dtype, self.device)
        else:
            ignored = () if decoder else ("decoder.", "conv2.")
            weights.load(network, self.files["vae"], self.pixel_dtype, self.device, ignore=ignored)
        return network

    def tiny_vae(self) -> TinyVAE:
        """The small decoder."""
        network = _on_meta(lambda: TinyVAE(self.sizes.tiny_vae))
        if self.files is None:
            randomise(network, self.pixel_dtype, self.device)
        else:
            checkpoint = open_checkpoint(self.files["taehv"]).fitted(
                lambda name, value: vae_tiny.fit_state_dict({name: value}, self.sizes.tiny_vae)[name]
            )
            weights.load(network, checkpoint, self.pixel_dtype, self.device)
        return network

    def image_encoder(self) -> Callable[[Tensor], Tensor]:
        """CLIP's image tower: a picture to its features."""
        config = self.sizes.image
        assert config is not None
        network = _on_meta(lambda: ImageTower(config))
        if self.files is None:
            randomise(network, self.pixel_dtype, self.device)
        else:
            whole = open_checkpoint(self.files["image_encoder"])
            tower = whole.without(tuple(image_clip.other_half(whole.entries)))
            names = image_clip.key_map(config, image_clip.prefix_of(tower.entries))
            fitted = tower.fitted(lambda name, value: image_clip.fit(config, names.get(name, name), value))
            weights.load(network, fitted, self.pixel_dtype, self.device, names)
        return network.features

    def _tokenizer(self) -> Tokenize:
        if self.files is None:
            return word_tokenizer(self.sizes.text.vocabulary)
        return tokenizer(self.files["tokenizer"])


def _on_meta(build: Callable[[], NetworkT]) -> NetworkT:
    with torch.device("meta"):
        return build().eval().requires_grad_(False)
