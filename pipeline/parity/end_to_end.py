"""From a prompt and a picture to pixels, through every network: ``pipe_e2e_*``."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from pipeline.networks.text_umt5 import TextEncoder
from pipeline.parity import taehv, umt5, vae
from pipeline.parity.result import Case, Result, case, compare

BAR = 5e-5
TINY_BAR = 1e-4


def before_sampling(given: Case) -> Iterator[Result]:
    """What the roll-out is made under: the prompt's embedding and the picture's latent."""
    stem, tensors = given.path.stem, given.tensors
    weights = _weights(given, "umt5")
    network = umt5.network_of(weights.tensors, umt5.config_of(weights.meta["config"]))
    text = TextEncoder(network, torch.get_default_device()).encode(tensors["ids"], tensors["mask"])
    yield compare(f"{stem}/prompt_embeds", text, tensors["prompt_embeds"], BAR)
    weights = _weights(given, "vae_encoder")
    latent = vae.network_of(weights.tensors, weights.meta).encode_image(tensors["image"])
    yield compare(f"{stem}/initial_latent", latent.transpose(1, 2), tensors["initial_latent"], BAR)


def after_sampling(given: Case, latents: Tensor) -> Iterator[Result]:
    """The frames of the latents ``[B, C, T, h, w]`` that the roll-out made, by both decoders."""
    weights = _weights(given, "vae_decoder")
    frames, _ = vae.network_of(weights.tensors, weights.meta).decode_frames(latents, None)
    yield compare(f"{given.path.stem}/video01", frames.transpose(1, 2), given.tensors["video01"], BAR)
    weights = _weights(given, "taehv")
    frames, _ = taehv.network_of(weights.tensors, weights.meta).decode_frames(latents, None)
    yield compare(f"{given.path.stem}/taehv.video01", frames.transpose(1, 2), given.tensors["taehv.video01"], TINY_BAR)


def _weights(given: Case, prefix: str) -> Case:
    name = next(name for name in given.meta["weights_all"] if Path(name).name.startswith(prefix))
    return case(given.path.parent / name)
