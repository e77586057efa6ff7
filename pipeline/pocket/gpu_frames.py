"""A group of frames on a GPU, made stage by stage, each stage recorded by itself.

What a latent does not ask for is left out whole: light, flow and every kind of weather are stages of their own, over
one image that stays where it is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.pocket import gpu_told
from pipeline.pocket.crossfade import cell, mixed
from pipeline.pocket.decoder import FLOW_FADE, FLOW_PERIOD_S, between, nodes
from pipeline.pocket.gpu_layers import Planes, Seen, displaced, gain, under
from pipeline.pocket.gpu_sampling import Reader
from pipeline.pocket.gpu_weather import GpuWeather
from pipeline.pocket.grade import graded, light
from pipeline.pocket.latents import DISPLACEMENT, DISPLACEMENT_UNIT_PX, FLOW, FLOW_UNIT_PX_PER_S, GAIN
from pipeline.pocket.parallax import STEPS, Travel, moved
from pipeline.pocket.reach import KINDS
from pipeline.pocket.sampling import NODES
from pipeline.pocket.view import View
from pipeline.recorded import Recorded, may_record

LEAST_FLOW = 0.02
# In their order; "dry" keeps an image without weather, "cover" brings that back where weather may not be.
STAGES: tuple[str, ...] = ("flow", "light", "dry", "fog", "rain", "snow", "cover")
Inputs = tuple[Tensor, Tensor, Tensor]
"""Calm fields before a latent ``[3, 12, h, w]``, its own ``[12, h, w]``, and what is told of each frame ``[F, 61]``."""


class Pictures(NamedTuple):
    """What is sampled: texture and plate ``float32 [3, H, W]``, sky ``float32 [1, h, w]``.

    ``near float32 [1, 60, 104]`` and ``subject float32 [2]`` are the picture's depth, zero where it has none; of the
    subject first how near it is, then 1 if it is by itself. ``kept float32 [1, 32, 56]`` is a map of what keeps its
    size.
    """

    texture: Tensor
    plate: Tensor
    sky: Tensor
    near: Tensor
    subject: Tensor
    kept: Tensor


class Shown(NamedTuple):
    """A group of F frames in the making.

    ``image float32 [F, 3, H, W]``, which later stages change, and ``dry``, room for it without weather; ``told`` of
    each, its ``fields [F, 12, h, w]``, where its nodes look: ``seen``, and ``at [F, 2, 61, 105]`` with what moves all
    of it; ``before [F, 1, H, W]``, how much a subject covers that is by itself.
    """

    image: Tensor
    dry: Tensor
    told: Tensor
    fields: Tensor
    seen: Seen
    at: Tensor
    before: Tensor


class GpuFrames:
    """Frames of one canvas, in groups of one size, with its layers or without; holds no stream's state."""

    def __init__(self, view: View, weather: GpuWeather, pictures: Pictures, layers: Planes | None, pool: Any) -> None:
        self._view, self._reader, self._weather = view, Reader(view), weather
        self._pictures, self._layers, self._pool = pictures, layers, pool
        self._device = pictures.texture.device
        self._x, self._y = (places.contiguous().to(self._device) for places in nodes(view))
        self._recorded: dict[str, Recorded[Any]] = {}

    def of(self, inputs: Inputs, asked: set[str]) -> Tensor:
        """Make a group of frames ``uint8 [F, H, W, 3]``, which hold until the next call.

        Args:
            inputs: of the group.
            asked: what is to be seen of flow, light, rain, snow and fog.
        """
        if self._layers is not None and asked & {"rain", "snow", "fog"}:
            asked = asked | {"dry", "cover"}
        shown = self._run("moved", self._moved, inputs)
        for name in STAGES:
            if name in asked:
                self._run(name, lambda name=name: self._stage(name, shown))
        return self._run("bytes", lambda: _bytes(shown.image))

    def record(self, inputs: Inputs) -> None:
        """Record what is not recorded yet, so that nobody waits for it later."""
        if not self._recorded:
            self.of(inputs, {name for name in STAGES if self._layers is not None or name not in ("dry", "cover")})

    def _stage(self, name: str, shown: Shown) -> Tensor:
        if name == "flow":
            return self._flow(shown)
        if name == "light":
            return self._light(shown)
        if name == "dry":
            return shown.dry.copy_(shown.image)
        return self._cover(shown) if name == "cover" else self._fallen(shown, name)

    def _run(self, name: str, stage: Callable[..., Any], inputs: tuple[Tensor, ...] = ()) -> Any:
        if not may_record(self._device):
            return stage(*inputs)
        if name not in self._recorded:
            self._recorded[name] = Recorded(stage, inputs, self._pool)
        return self._recorded[name](*inputs)

    def _moved(self, recent: Tensor, latent: Tensor, told: Tensor) -> Shown:
        """Frames in which the camera and all that swings have moved."""
        pictures, reader = self._pictures, self._reader
        fields = between(recent, latent, told[:, gpu_told.SHARE, None, None, None])
        seen = Seen(*self._set_apart(told), pictures.subject[1])
        shift = fields[:, DISPLACEMENT] * DISPLACEMENT_UNIT_PX
        if self._layers is not None:
            reach = _reaches(told)[0]
            image, at, before = displaced(pictures.texture, self._layers, seen, shift, reach, reader)
        else:
            at = seen.here - reader.local(shift, seen.here)
            image = reader.sample(pictures.texture, reader.looking(at))
            before = torch.zeros_like(image[:, :1])
        return Shown(image, torch.empty_like(image), told, fields, seen, at, before)

    def _flow(self, shown: Shown) -> Tensor:
        """Let the sky flow, behind what stands before it."""
        flow = self._reader.local(shown.fields[:, FLOW], shown.seen.here)
        share = self._flowing(flow, shown.at) * (1 - shown.before)
        return shown.image.lerp_(self._drift(flow, shown.at, shown.told), share)

    def _light(self, shown: Shown) -> Tensor:
        fields, reader = shown.fields[:, GAIN], self._reader
        if self._layers is not None:
            factors = gain(self._layers, shown.seen, fields, _reaches(shown.told)[1], reader)
        else:
            factors = reader.enlarge(light(reader.local(fields, shown.seen.here)))
        return shown.image.copy_(graded(shown.image, factors))

    def _fallen(self, shown: Shown, kind: str) -> Tensor:
        columns = {"rain": gpu_told.RAIN, "snow": gpu_told.SNOW, "fog": gpu_told.FOG}[kind]
        return shown.image.copy_(self._weather.over(shown.image, kind, shown.fields, shown.told[:, columns]))

    def _cover(self, shown: Shown) -> Tensor:
        """Take the weather away from what it may not cover."""
        assert self._layers is not None
        covered = under(self._layers, shown.seen, _reaches(shown.told)[2], self._reader)
        return shown.image.copy_(torch.lerp(shown.dry, shown.image, covered))

    def _set_apart(self, told: Tensor) -> tuple[Tensor, Tensor]:
        """Where the nodes look for the picture, and for a subject that is by itself, ``[F, 2, 61, 105]`` in units."""
        pictures = self._pictures
        flat, way = self._looked(told, gpu_told.POSE, gpu_told.EASED)
        kept_flat, kept_way = self._looked(told, gpu_told.KEPT, gpu_told.KEPT_EASED)
        near, kept = (plane.expand(len(told), -1, -1, -1) for plane in (pictures.near, pictures.kept))
        still = self._deep(kept_flat, kept_way, near)
        here = torch.lerp(still, self._deep(flat, way, near), 1 - self._reader.local(kept, still))
        alone = torch.stack(moved(kept_flat[:, 0], kept_flat[:, 1], pictures.subject[0], kept_way), 1)
        return here, torch.where(pictures.subject[1] > 0, alone, here)

    def _looked(self, told: Tensor, pose: slice, eased_by: slice) -> tuple[Tensor, Travel]:
        """Where the nodes look in a flat picture, ``[F, 2, 61, 105]``, and the camera's way for its depth."""
        a, b, c, d, e, f = (n[:, None, None] for n in told[:, pose].unbind(1))
        flat = torch.stack([a * self._x + b * self._y + c, d * self._x + e * self._y + f], dim=1)
        return flat, Travel(c, f, *(n[:, None, None] for n in told[:, eased_by].unbind(1)))

    def _deep(self, flat: Tensor, travel: Travel, near: Tensor) -> Tensor:
        here = flat
        for _ in range(STEPS):
            here = torch.stack(moved(flat[:, 0], flat[:, 1], self._reader.local(near, here)[:, 0], travel), 1)
        return here

    def _drift(self, flow: Tensor, at: Tensor, told: Tensor) -> Tensor:
        reader, reach = self._reader, flow * (FLOW_UNIT_PX_PER_S * FLOW_PERIOD_S)
        first, second = (
            reader.sample(self._pictures.plate, reader.looking(at - reach * (phase - 0.5)[:, None, None, None]))
            for phase in told[:, gpu_told.PHASES].unbind(1)
        )
        return mixed(first, second, told[:, gpu_told.MIX, None, None, None], cell(self._view.scale))

    def _flowing(self, flow: Tensor, at: Tensor) -> Tensor:
        """How much of the flowing plate is seen, ``[F, 1, H, W]``: where there is sky, in the rows that flow."""
        moving = flow.abs().amax(1, keepdim=True)
        any_ = (moving > LEAST_FLOW).any(3)[:, 0]
        rows = torch.arange(NODES[0], device=flow.device).expand_as(any_)
        step = (self._view.height - 1) / (NODES[0] - 1)
        first = rows.masked_fill(~any_, 2 * NODES[0]).amin(1)
        last = rows.masked_fill(~any_, -2 * NODES[0]).amax(1)
        top, bottom = ((first - 1) * step).floor(), ((last + 1) * step).floor() + 1
        lines = torch.arange(self._view.height, device=flow.device)
        flows = (lines >= top[:, None]) & (lines < bottom[:, None])
        share = self._reader.enlarge((moving / FLOW_FADE).clamp(max=1)) * flows[:, None, :, None]
        return share * self._reader.sample(self._pictures.sky, self._reader.looking(at))


def _reaches(told: Tensor) -> tuple[Tensor, ...]:
    """What motion, light and weather reach, ``[F, 5]`` each."""
    return told[:, gpu_told.REACH].unflatten(1, (3, KINDS)).unbind(1)


def _bytes(image: Tensor) -> Tensor:
    return image.round().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
