"""The picture of a take, as the network is shown it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.preprocess import FRAMES_PER_LATENT, cover, given_frame
from pipeline.types import Pixels
from pipeline.wan.parts import Parts
from pipeline.wan.plan import Plan
from pipeline.wan.sizes import LATENT_CHANNELS


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What a take has of its picture.

    ``frame`` is the picture as the decoder shows it, ``uint8 [1, H, W, 3]``, where it is the take's first frame.
    ``features`` are CLIP's; ``beside`` is ``[1, 20, T, h, w]``, mask and latents for the take's first latents, the last
    one standing for all that follow. None where the network sees neither.
    """

    frame: Tensor | None = None
    features: Tensor | None = None
    beside: Tensor | None = None


def shown(image: Pixels | None, parts: Parts, plan: Plan) -> tuple[Given, Tensor]:
    """What a take has of its picture ``uint8 [H, W, 3]`` by the way that pictures enter, and the picture's latent."""
    assert image is not None
    assert parts.encoder is not None
    picture = cover(image, plan.width, plan.height).to(parts.device)
    if plan.image_entry == "clip":
        given = show(picture, parts, plan.window)
        assert given.beside is not None
        return given, given.beside[:, -LATENT_CHANNELS:, :1]
    return Given(), parts.encoder.encode_image(picture, parts.tile)


def show(picture: Tensor, parts: Parts, latents: int) -> Given:
    """Show a picture ``[1, 3, 1, H, W]`` in -1..1 to an I2V network, for a take of so many latents.

    What stands beside the noise is the picture followed by grey, encoded: behind the encoder's reach it stays the
    same, so the last latent serves for ever (arXiv 2503.20314).
    """
    assert parts.encoder is not None
    assert parts.image_encoder is not None
    grey = torch.zeros_like(picture).expand(-1, -1, FRAMES_PER_LATENT * (latents - 1), -1, -1)
    encoded, _ = parts.encoder.encode(torch.cat([picture, grey], dim=2))
    features = parts.image_encoder(picture[:, :, 0]).to(parts.dtype)
    return Given(features=features, beside=given_frame(encoded))


def beside(given: Given, first: int, count: int) -> Tensor | None:
    """Give what stands beside the latents from ``first`` on, ``[1, 20, count, h, w]``, or None."""
    if given.beside is None:
        return None
    places = torch.arange(first, first + count, device=given.beside.device)
    return given.beside[:, :, places.clamp(max=given.beside.shape[2] - 1)]
