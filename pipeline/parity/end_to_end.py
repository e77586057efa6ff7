"""From a prompt and a picture to pixels, through every network: ``pipe_e2e_*``."""

from collections.abc import Iterator

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
    weights = _weights(given, "token_embedding.weight")
    network = umt5.network_of(weights.tensors, umt5.config_of(weights.meta["config"]))
    text = TextEncoder(network, torch.get_default_device()).encode(tensors["ids"], tensors["mask"])
    yield compare(f"{stem}/prompt_embeds", text, tensors["prompt_embeds"], BAR)
    weights = _weights(given, "encoder.conv1.weight")
    latent = vae.network_of(weights.tensors, weights.meta).encode_image(tensors["image"])
    yield compare(f"{stem}/initial_latent", latent.transpose(1, 2), tensors["initial_latent"], BAR)


def after_sampling(given: Case, latents: Tensor) -> Iterator[Result]:
    """The frames of the latents ``[B, C, T, h, w]`` that the roll-out made, by both decoders."""
    stem, tensors = given.path.stem, given.tensors
    if "video01" in tensors:
        weights = _weights(given, "decoder.conv1.weight")
        frames, _ = vae.network_of(weights.tensors, weights.meta).decode_frames(latents, None)
        yield compare(f"{stem}/video01", frames.transpose(1, 2), tensors["video01"], BAR)
    if "taehv.video01" in tensors:
        weights = _weights(given, "decoder.1.weight")
        frames, _ = taehv.network_of(weights.tensors, weights.meta).decode_frames(latents, None)
        yield compare(f"{stem}/taehv.video01", frames.transpose(1, 2), tensors["taehv.video01"], TINY_BAR)


def _weights(given: Case, key: str) -> Case:
    """The state dict that has this key, which no other network of the case has."""
    files = (case(given.path.parent / name) for name in given.meta["weights_all"])
    return next(file for file in files if key in file.tensors)
