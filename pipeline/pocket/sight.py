"""What a stream is made from as the transformer and the decoder see it: a picture, or a scene that is painted."""

import hashlib
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.free_memory import give_back
from pipeline.networks.transformer import KeyValue
from pipeline.pocket.alike import alike
from pipeline.pocket.canvas import Canvas, prepare, with_sky
from pipeline.pocket.depth import with_depth
from pipeline.pocket.drawn.marks import with_marks
from pipeline.pocket.latents import LATENT_SHAPE
from pipeline.pocket.layers import drawing, with_layers
from pipeline.pocket.looking import Finder, looked_for, with_nearness
from pipeline.pocket.network import MASKS, PICTURE_SIZE, PocketNetwork, Scene, Text
from pipeline.pocket.painter.canvas import painted_canvas
from pipeline.pocket.painter.scenery import Scenery
from pipeline.pocket.view import View
from pipeline.types import Conditioning, Pixels

Subject = Pixels | tuple[Scenery, int]
"""A whole upright picture ``uint8 [H, W, 3]``, or a scene to be painted and the seed of it."""


def subject_of(asked: Conditioning, scenery: Scenery | None) -> Subject:
    """What is to be seen: what is painted under a seed, or a picture."""
    return (scenery or Scenery(), asked.seed) if scenery or asked.image is None else asked.image


class Sight(NamedTuple):
    """What was seen: for the decoder, for the transformer, and the context of having always been at rest there."""

    canvas: Canvas
    scene: Scene
    rest: list[KeyValue]


class Eye:
    """Sees pictures and scenes, and remembers the one that it saw last."""

    def __init__(
        self,
        network: PocketNetwork,
        silence: Text,
        finder: Finder | None,
        parallax: float,
    ) -> None:
        self._network, self._silence = network, silence
        self._finder, self._parallax = finder and finder.at_rest(), parallax
        self._device, self._dtype = network.position.device, network.position.dtype
        # One: a picture's canvas takes 100 MB. Its stream shares it, and a reset then opens at once. It goes before
        # the next one is made.
        self._last: tuple[object, Sight] | None = None

    def see(self, subject: Subject, view: View) -> Sight:
        """See a picture, or what is painted, as a frame of this size shows it."""
        if isinstance(subject, tuple):
            key: object = (view, *subject)
        else:
            key = view, subject.shape, hashlib.sha256(subject.tobytes()).digest()
        if self._last is None or self._last[0] != key:
            self._last = None
            self._last = key, self._look(self._canvas(subject, view))
            give_back()
        return self._last[1]

    def forget(self) -> None:
        """Free what was seen last, unless a stream still shows it."""
        self._last = None
        give_back()

    def _canvas(self, subject: Subject, view: View) -> Canvas:
        if isinstance(subject, tuple):
            return painted_canvas(*subject, view, self._device, self._parallax)
        canvas = prepare(subject, view.width, view.height, self._device)
        if self._finder is None:
            return canvas
        found, near = with_nearness(self._finder, canvas)
        return with_depth(with_layers(canvas, alike(looked_for(found), canvas)), found, self._parallax, near)

    def _look(self, canvas: Canvas) -> Sight:
        scene = self._network.encode_picture(self._picture(canvas))
        if canvas.layers is None:
            canvas = with_sky(canvas, scene.masks[:, MASKS.index("sky")][:, None].float().sigmoid())
        canvas = with_marks(canvas)
        still = torch.zeros(LATENT_SHAPE, dtype=self._dtype, device=self._device)
        rest = self._network.encode_context(still, scene, self._silence)
        return Sight(canvas, scene, rest)

    def _picture(self, canvas: Canvas) -> Tensor:
        """What the network sees, ``[1, 3, 128, 224]`` in -1..1: a drawing of the layers, or the view at rest."""
        if canvas.layers is not None:
            return drawing(canvas.layers.coarse, PICTURE_SIZE).to(self._dtype)
        pixels = canvas.rest.permute(2, 0, 1)[None].float() / 127.5 - 1
        small = torch.nn.functional.interpolate(pixels, PICTURE_SIZE, mode="bilinear", antialias=True)
        return small.to(self._dtype)
