"""Another picture out of the one before: both move alike, and one fades into the other."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pipeline.pocket.canvas import Canvas
from pipeline.pocket.decoder import Motion
from pipeline.pocket.latents import LATENTS_PER_SECOND
from pipeline.pocket.layers import Layers


class Decodes(Protocol):
    """A decoder of pocket's, for a CPU or a GPU."""

    def decode(
        self, motion: Motion, latent: Tensor, canvas: Canvas, frames: int, first: int = 0
    ) -> tuple[Tensor, Motion]:
        """Decode one latent, from a frame on."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Fade:
    """The picture that fades out, the latent at which that begins, and its length in latents, 0 for at once."""

    before: Canvas
    begins: int
    latents: float

    def share(self, latent: float) -> float:
        """Give the new picture's share at a place in the stream, 0..1, with no corner at either end.

        >>> fade = Fade(Canvas(*[torch.empty(0)] * 4), 4, 2.0)
        >>> [fade.share(latent) for latent in (4, 5, 6, 9)]
        [0.0, 0.5, 1.0, 1.0]
        """
        if not self.latents:
            return float(latent > self.begins)
        x = min(1.0, max(0.0, (latent - self.begins) / self.latents))
        return x * x * (3 - 2 * x)

    def is_over(self, latent: int) -> bool:
        """Whether only the new picture is seen from this latent on."""
        return latent >= self.begins + self.latents


Seen = tuple[Canvas, Fade | None]
"""A stream's picture, and what it comes out of."""


def fade_from(before: Canvas, running: Fade | None, begins: int, seconds: float) -> Fade:
    """Make the fade out of what is seen at a latent, which may be the beginning or middle of another fade."""
    seen = before if running is None else _mixed(running.before, before, running.share(begins))
    return Fade(seen, begins, seconds * LATENTS_PER_SECOND)


def decode(
    decoder: Decodes, here: tuple[Motion, int], clean: Tensor, seen: Seen, frames: tuple[int, int]
) -> tuple[Tensor, Motion]:
    """Decode a latent as ``decoder`` does, ``here`` being the motion at its beginning and its number.

    ``frames`` are the first that is wanted, and how many the whole latent has.
    While a fade goes on that is done for both pictures, which takes twice as long.
    """
    (motion, latent), (canvas, fade), (first, count) = here, seen, frames
    if fade is None or fade.is_over(latent):
        return decoder.decode(motion, clean, canvas, count, first)
    # A GPU makes the next ones in the same place.
    old = decoder.decode(motion, clean, fade.before, count, first)[0].clone()
    new, after = decoder.decode(motion, clean, canvas, count, first)
    shares = torch.tensor(
        [fade.share(latent + (frame + 1) / count) for frame in range(first, count)], device=new.device
    )
    mixed = torch.lerp(old.float(), new.float(), shares[:, None, None, None])
    return mixed.round_().to(torch.uint8), after


def _mixed(one: Canvas, other: Canvas, share: float) -> Canvas:
    rest = torch.lerp(one.rest.float(), other.rest.float(), share).round_().to(torch.uint8)
    return Canvas(
        torch.lerp(one.texture, other.texture, share),
        rest,
        torch.lerp(one.sky, other.sky, share),
        torch.lerp(one.plate, other.plate, share),
        _mixed_layers(one, other, share),
        (other if share >= 0.5 else one).depth,
        (other if share >= 0.5 else one).marks,
    )


def _mixed_layers(one: Canvas, other: Canvas, share: float) -> Layers | None:
    """Layers of the picture that is seen more; what is behind them is mixed as the pictures are."""
    if share < 0.5:
        one, other, share = other, one, 1 - share
    return other.layers and other.layers.mixed(one.texture, share)
