"""How far a video has drifted from what it was, and bringing its latents gently back.

A model that sees only what it made itself can grow darker, flatter or coarser by a little with every chunk. What was
asked for may do that too, so all is measured from a time after the last change of prompt or picture.
"""

from dataclasses import astuple, dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from pipeline.types import Conditioning, Drift, Pixels

# What a change of the prompt does, it does in this time; what comes after that is drift.
SETTLE_S = 2.0
ANCHOR_S = 1.5
# A gust or a bird is no drift.
MEAN_S = 2.0
# Pixels between those that are looked at, 6,240 of a frame of 832x480.
STEP = 8
PULL = 0.1
"""The share of the way back that one chunk goes: a colour that jumps would be seen more than one that has drifted."""


@dataclass(frozen=True, slots=True)
class Look:
    """A frame in four figures, in grey levels: mean and spread of the luma, mean of the colourfulness, of the edges."""

    luma: float
    contrast: float
    saturation: float
    sharpness: float

    @classmethod
    def of(cls, frame: Pixels) -> Self:
        """Look at a frame ``uint8 [H, W, 3]``.

        >>> Look.of(np.full((16, 16, 3), 100, np.uint8))
        Look(luma=100.0, contrast=0.0, saturation=0.0, sharpness=0.0)
        """
        rows = np.ascontiguousarray(frame[::STEP])
        red, green, blue = (rows[:, ::STEP, channel].astype(np.float32) for channel in range(3))
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        colourfulness = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
        # Beside one another, not a step apart: what is lost first is the finest.
        near = rows[:, 1::STEP, 1].astype(np.float32)
        edges = np.abs(near - green[:, : near.shape[1]])
        figures = luma.mean(), luma.std(), colourfulness.mean(), edges.mean()
        return cls(*(round(float(figure), 4) for figure in figures))

    def moved(self, to: Self, share: float) -> Self:
        """Give what lies between, ``share`` of the way to another.

        >>> Look(0, 0, 0, 0).moved(Look(1, 2, 3, 4), 0.5)
        Look(luma=0.5, contrast=1.0, saturation=1.5, sharpness=2.0)
        """
        return type(self)(*(a + (b - a) * share for a, b in zip(astuple(self), astuple(to), strict=True)))


@dataclass(frozen=True, slots=True, eq=False)
class Anchor:
    """What a video is held against: its look, each latent channel's mean and spread ``[2, C]``, CLIP's features."""

    look: Look
    channels: Tensor | None
    features: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """What is known of a stream's drift after a chunk; a value, so that going back to a chunk goes back to it.

    ``asked`` is what the anchor was made under, ``seconds`` how long that has stood.
    """

    asked: Conditioning
    seconds: float = 0.0
    anchor: Anchor | None = None
    look: Look | None = None
    features: Tensor | None = None
    is_reanchoring: bool = False

    def drift(self) -> Drift | None:
        """Tell how far it is; None before there is an anchor."""
        if self.anchor is None or self.look is None:
            return None
        before, now = astuple(self.anchor.look), astuple(self.look)
        shares = (round((b - a) / max(a, 1.0), 4) for a, b in zip(before, now, strict=True))
        return Drift(*shares, similarity=self._similarity(), is_reanchoring=self.is_reanchoring)

    def _similarity(self) -> float | None:
        if self.features is None or self.anchor is None or self.anchor.features is None:
            return None
        return round(torch.cosine_similarity(self.features, self.anchor.features, dim=-1).item(), 4)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a chunk gives to look at: its last frame, its seconds, its latents ``[1, C, T, h, w]``, CLIP's features."""

    frame: Pixels
    seconds: float
    latents: Tensor | None = None
    features: Tensor | None = None


def follow(watch: Watch | None, asked: Conditioning, seen: Seen, threshold: float) -> Watch:
    """Look at one chunk more; ``threshold`` is the share past which the video is brought back, 0 for never."""
    if watch is None or not _is_same_scene(watch.asked, asked):
        watch = Watch(asked)
    seconds, look = watch.seconds + seen.seconds, Look.of(seen.frame)
    watch = replace(watch, seconds=seconds, features=seen.features)
    if seconds <= SETTLE_S:
        return watch
    if seconds <= SETTLE_S + ANCHOR_S or watch.anchor is None:
        return replace(watch, anchor=_anchored(watch.anchor, look, seen, seconds), look=look)
    before = watch.look or look
    watch = replace(watch, look=before.moved(look, min(1.0, seen.seconds / MEAN_S)))
    return replace(watch, is_reanchoring=_is_past(watch, threshold))


def pulled(watch: Watch | None, latents: Tensor) -> Tensor:
    """Bring latents ``[1, C, T, h, w]`` a little back to the anchor's colours where the video is past its threshold.

    Each channel's mean and spread go :data:`PULL` of the way; what is seen where stays.
    """
    if watch is None or not watch.is_reanchoring or watch.anchor is None or watch.anchor.channels is None:
        return latents
    mean, spread = channels_of(latents).view(2, 1, -1, 1, 1, 1)
    wanted_mean, wanted_spread = watch.anchor.channels.to(latents).view(2, 1, -1, 1, 1, 1)
    back = (latents - mean) / spread.clamp(min=1e-4) * wanted_spread + wanted_mean
    return torch.lerp(latents, back, PULL)


def channels_of(latents: Tensor) -> Tensor:
    """Give each channel's mean and spread over a chunk ``[1, C, T, h, w]``, as ``[2, C]``."""
    return torch.stack([latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4))])


def _is_same_scene(one: Conditioning, other: Conditioning) -> bool:
    if (one.mode, one.prompt) != (other.mode, other.prompt):
        return False
    return one.image is other.image or (
        one.image is not None and other.image is not None and np.array_equal(one.image, other.image)
    )


def _anchored(anchor: Anchor | None, look: Look, seen: Seen, seconds: float) -> Anchor:
    """Take a chunk into the mean that becomes the anchor."""
    channels = None if seen.latents is None else channels_of(seen.latents)
    if anchor is None:
        return Anchor(look, channels, seen.features)
    share = min(1.0, seen.seconds / max(seen.seconds, seconds - SETTLE_S))
    if channels is not None and anchor.channels is not None:
        channels = torch.lerp(anchor.channels, channels, share)
    return Anchor(anchor.look.moved(look, share), channels, anchor.features)


def _is_past(watch: Watch, threshold: float) -> bool:
    """Whether to bring back: from the threshold on, until half of it."""
    drift = watch.drift()
    if drift is None or threshold <= 0:
        return False
    return drift.largest > (threshold / 2 if watch.is_reanchoring else threshold)
