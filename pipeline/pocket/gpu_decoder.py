"""The anchored decoder for a GPU: all frames of a latent at once, recorded as CUDA graphs.

Its pictures are those of :class:`pipeline.pocket.decoder.AnchoredDecoder` but for rounding. What that leaves out where
it would change nothing is computed here and changes nothing, since asking the GPU costs more.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.pocket.camera import glide, pose_at
from pipeline.pocket.canvas import Canvas
from pipeline.pocket.crossfade import cell, mixed
from pipeline.pocket.decoder import FLOW_FADE, FLOW_PERIOD_S, Motion, between, calm, nodes
from pipeline.pocket.depth import CELLS
from pipeline.pocket.drawn.draw import draw
from pipeline.pocket.drawn.eye import Eye, looking
from pipeline.pocket.drawn.shot import Shot
from pipeline.pocket.drawn.wet import wetted
from pipeline.pocket.flakes import slots
from pipeline.pocket.gpu_layers import Planes, Seen, displaced, gain, planes, under
from pipeline.pocket.gpu_sampling import Reader
from pipeline.pocket.gpu_weather import LEAST_WEATHER, Fallen, GpuWeather
from pipeline.pocket.grade import graded, light
from pipeline.pocket.latents import (
    CAMERA,
    CHANNELS,
    DISPLACEMENT,
    DISPLACEMENT_UNIT_PX,
    FLOW_UNIT_PX_PER_S,
    GAIN,
    GRID,
    LATENTS_PER_SECOND,
    WEATHER,
    fit_camera,
)
from pipeline.pocket.moving import ALL, EVEN_GAIN
from pipeline.pocket.parallax import STEPS, Travel, eased, moved
from pipeline.pocket.reach import KINDS
from pipeline.pocket.sampling import NODES
from pipeline.pocket.view import View
from pipeline.pocket.weather import fog_shifts, rain_shifts
from pipeline.recorded import Recorded, may_record

Floats = npt.NDArray[np.float32]
LEAST_FLOW = 0.02
# Of a latent's channels.
SNOW = WEATHER.start + 1
# Pixels rendered at once: all frames of 832x480, four of 1920x1080, which bounds the memory of a frame's parts.
AT_ONCE = 8_300_000
# Columns of a frame's numbers: its share of the latent, the camera's six, the flow's two phases and their mix; then how
# far each sheet has moved, in pixels right and down, and the cosine and sine of the roll; then the reach; then the
# part of the camera's way that counts for depth.
SHARE, POSE, PHASES, MIX = 0, slice(1, 7), slice(7, 9), 9
RAIN, FOG, TURN, REACH = slice(10, 16), slice(16, 20), slice(20, 22), slice(22, 22 + 3 * KINDS)
EASED = slice(REACH.stop, REACH.stop + 3)
# The camera's six and the part that counts for depth once more, for what keeps its size while all else zooms.
KEPT, KEPT_EASED = slice(EASED.stop, EASED.stop + 6), slice(EASED.stop + 6, EASED.stop + 9)


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


class GpuDecoder:
    """Latents to frames of one size, at most ``frames`` of each; holds no stream's state but the canvas seen last."""

    def __init__(self, view: View, frames: int, device: torch.device, seed: int = 0) -> None:
        self._view, self._frames, self._device = view, frames, device
        self._reader, self._weather = Reader(view), GpuWeather(view, device, seed)
        self._x, self._y = (places.contiguous().to(device) for places in nodes(view))
        self._no_flakes = torch.from_numpy(np.stack([slots([])] * frames)).to(device)
        self._held: Canvas | None = None
        self._given: tuple[Tensor, ...] = ()
        self._settled: Recorded[tuple[Tensor, Tensor]] | None = None
        self._recorded: dict[bool, Recorded[Tensor]] = {}
        self._knows_layers = False

    def decode(self, motion: Motion, latent: Tensor, canvas: Canvas, frames: int) -> tuple[Tensor, Motion]:
        """Decode one latent; see :meth:`pipeline.pocket.decoder.AnchoredDecoder.decode`.

        The frames ``uint8 [F, H, W, 3]`` lie on the device, and hold until the next call.
        """
        given = self._place(canvas)
        calmed, velocity = self._calm(latent, motion.recent[0])
        pan, tilt, zoom, roll, uneven, snow, rain = velocity.tolist()
        poses, camera = glide(motion.camera, (pan, tilt, zoom, roll), self._view)
        after = torch.cat([calmed[None], motion.recent[:2]])
        eyes = [
            looking(pose_at(poses, frame, frames), canvas, motion.drawn.towards(motion.drawing, frame / frames))
            for frame in range(frames)
        ]
        told = torch.from_numpy(self._numbers(motion, eyes)).to(self._device, non_blocking=True)
        inputs = (motion.recent, after[0], told, self._flakes(motion, eyes, snow > LEAST_WEATHER))
        if canvas.layers is not None and not self._knows_layers:
            # Both ways are made ready with the first picture, so that no prompt waits for one later.
            self._shown(inputs, given, by_layers=True)
            self._knows_layers = True
        least = min(float(motion.reach.min()), float(motion.heading.min()))
        is_set_off = canvas.depth is not None and canvas.depth.subject is not None
        by_layers = canvas.layers is not None and (least <= ALL or uneven >= EVEN_GAIN or is_set_off)
        made = self._shown(inputs, given, by_layers)
        then = motion.after(camera, after, rain)
        return self._drawn_on(made[:frames], (motion, then), eyes, canvas), then

    def _flakes(self, motion: Motion, eyes: list[Eye], snows: bool) -> Tensor:
        """Where flakes are, ``[F, N, 4]``, in as many frames as the graph has; found on the host, as on a CPU."""
        if not snows:
            return self._no_flakes
        times = [(motion.latent + frame / len(eyes)) / LATENTS_PER_SECOND for frame in range(len(eyes))]
        rows = [slots(self._weather.snow.seen(t, eye.around)) for t, eye in zip(times, eyes, strict=True)]
        rows += [rows[-1]] * (self._frames - len(rows))
        return torch.from_numpy(np.stack(rows)).to(self._device, non_blocking=True)

    def _drawn_on(self, made: Tensor, motions: tuple[Motion, Motion], eyes: list[Eye], canvas: Canvas) -> Tensor:
        """Frames with what is drawn by rule, which is not recorded: it is seldom all of it."""
        motion, after = motions
        is_dry = not (motion.wet.ground or after.wet.ground)
        if canvas.marks is None or (motion.drawn.is_empty and motion.drawing.is_empty and is_dry):
            return made
        out = made.clone()
        for frame, eye in enumerate(eyes):
            share = frame / len(made)
            (seed, effects), wet = motion.drawn.towards(motion.drawing, share), motion.wet.towards(after.wet, share)
            if effects or wet.ground:
                pixels = made[frame].permute(2, 0, 1).float().contiguous()
                shot = Shot(self._view, eye.around, canvas, canvas.marks, seed)
                pixels = wetted(pixels, shot, wet, (motion.latent + share) / LATENTS_PER_SECOND)
                pixels = draw(pixels, shot, effects)
                out[frame] = pixels.round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0)
        return out

    def _place(self, canvas: Canvas) -> tuple[Tensor, ...]:
        """Put a canvas where the graphs read it, unless it is there: what is sampled, then its layers if it has any."""
        if self._held is canvas:
            return self._given
        kept = torch.zeros(1, *GRID, device=self._device) if canvas.marks is None else canvas.marks.kept[0]
        given = (*Pictures(canvas.texture[0], canvas.plate[0], canvas.sky[0], *_depth(canvas, self._device), kept),)
        if canvas.layers is not None:
            given = (*given, *planes(canvas, canvas.layers))
        self._held = canvas
        if not may_record(self._device):
            self._given = given
            return given
        kept = [part.clone() for part in given[len(self._given) :]]
        for held, part in zip(self._given, given, strict=False):
            held.copy_(part)
        self._given = (*self._given, *kept)
        return self._given

    def _calm(self, latent: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        if not may_record(self._device):
            return settled(latent, before)
        if self._settled is None:
            self._settled = Recorded(settled, [latent, before])
        return self._settled(latent, before)

    def _shown(
        self, inputs: tuple[Tensor, Tensor, Tensor, Tensor], given: tuple[Tensor, ...], by_layers: bool
    ) -> Tensor:
        seen = given if by_layers else given[: len(Pictures._fields)]
        if not may_record(self._device):
            return self._rendered(*inputs, *seen)
        if by_layers not in self._recorded:

            def render(recent: Tensor, latent: Tensor, told: Tensor, flakes: Tensor) -> Tensor:
                return self._rendered(recent, latent, told, flakes, *seen)

            self._recorded[by_layers] = Recorded(render, inputs)
        return self._recorded[by_layers](*inputs)

    def _numbers(self, motion: Motion, eyes: list[Eye]) -> Floats:
        """Tell of each frame what the host knows; as many rows as the graph has, so that one serves every rate."""
        rows: list[list[float]] = []
        scale, frames = self._view.scale, len(eyes)
        shares = torch.arange(frames)[:, None, None] / frames
        reaches = torch.lerp(motion.reach, motion.heading, shares).flatten(1).tolist()
        for frame, eye in enumerate(eyes):
            share = frame / frames
            time_s = (motion.latent + share) / LATENTS_PER_SECOND
            phase = (time_s / FLOW_PERIOD_S) % 1
            row = [share, *sum(eye.around.affine(), ()), phase, (phase + 0.5) % 1, abs(2 * phase - 1)]
            pose = eye.around
            for right, down in (*rain_shifts(time_s, scale, pose), *fog_shifts(time_s, scale, pose)):
                row += [-right % self._view.width, -down % self._view.height]
            row += [math.cos(pose.roll), math.sin(pose.roll)]
            rows.append([*row, *reaches[frame], *eased(eye.around), *sum(eye.kept.affine(), ()), *eased(eye.kept)])
        # Of nested lists NumPy makes an array in a fifth of PyTorch's time.
        return np.array(rows + [rows[-1]] * (self._frames - frames), np.float32)

    def _rendered(self, recent: Tensor, latent: Tensor, told: Tensor, flakes: Tensor, *given: Tensor) -> Tensor:
        """Frames ``uint8 [F, H, W, 3]`` of calm fields, of each frame's numbers and flakes; by layers, where given."""
        at_once = max(1, AT_ONCE // (self._view.width * self._view.height))
        each = zip(told.split(at_once), flakes.split(at_once), strict=True)
        parts = [self._some((recent, latent), some, snow, given) for some, snow in each]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _some(self, latents: tuple[Tensor, Tensor], told: Tensor, flakes: Tensor, given: tuple[Tensor, ...]) -> Tensor:
        pictures, reader = Pictures(*given[: len(Pictures._fields)]), self._reader
        fields = between(*latents, told[:, SHARE, None, None, None])
        here, ahead = self._set_apart(told, pictures)
        near = reader.local(fields[:, 2:9], here)
        if len(given) > len(pictures):
            layers = Planes(*given[len(pictures) :])
            motion, lit, cover = told[:, REACH].unflatten(1, (3, KINDS)).unbind(1)
            shift, places = fields[:, DISPLACEMENT] * DISPLACEMENT_UNIT_PX, Seen(here, ahead, pictures.subject[1])
            image, at, before = displaced(pictures.texture, layers, places, shift, motion, reader)
            factors = gain(layers, places, fields[:, GAIN], lit, reader)
            covered = under(layers, places, cover, reader)
        else:
            at = here - near[:, :2] * DISPLACEMENT_UNIT_PX
            image, factors = reader.sample(pictures.texture, reader.looking(at)), reader.enlarge(light(near[:, 4:7]))
            before, covered = torch.zeros_like(image[:, :1]), None
        drifting, share = self._drift(near[:, 2:4], at, told, pictures), self._flowing(near[:, 2:4], at, pictures)
        image = graded(torch.lerp(image, drifting, share * (1 - before)), factors)
        fallen = Fallen(told[:, RAIN], told[:, FOG], told[:, TURN], flakes)
        shown = self._weather.over(image, fields[:, WEATHER], fallen, covered)
        return shown.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def _set_apart(self, told: Tensor, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """Where the nodes look for the picture, and for a subject that is by itself, ``[F, 2, 61, 105]`` in units."""
        (flat, way), (kept_flat, kept_way) = self._looked(told, POSE, EASED), self._looked(told, KEPT, KEPT_EASED)
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

    def _drift(self, flow: Tensor, at: Tensor, told: Tensor, pictures: Pictures) -> Tensor:
        reach = flow * (FLOW_UNIT_PX_PER_S * FLOW_PERIOD_S)
        first, second = (
            self._reader.sample(pictures.plate, self._reader.looking(at - reach * (phase - 0.5)[:, None, None, None]))
            for phase in told[:, PHASES].unbind(1)
        )
        return mixed(first, second, told[:, MIX, None, None, None], cell(self._view.scale))

    def _flowing(self, flow: Tensor, at: Tensor, pictures: Pictures) -> Tensor:
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
        return share * self._reader.sample(pictures.sky, self._reader.looking(at))


def _depth(canvas: Canvas, device: torch.device) -> tuple[Tensor, Tensor]:
    depth = canvas.depth
    near = torch.zeros(1, *CELLS, device=device) if depth is None else depth.near
    alone = (0.0, 0.0) if depth is None or depth.subject is None else (depth.subject, 1.0)
    return near, torch.tensor(alone, device=device)


def settled(latent: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Give the calm fields of a latent ``[12, h, w]``; and the camera's velocities in them, how uneven the light is in
    them and in the calm fields before, the most snow in either, and the most rain in them, ``[7]``."""
    assert latent.shape == (CHANNELS, *GRID)
    out = calm(latent)
    light = torch.stack([before[GAIN], out[GAIN]])
    uneven = (light.amax((2, 3)) - light.amin((2, 3))).amax()
    snow = torch.maximum(before[SNOW], out[SNOW]).amax()
    return out, torch.cat([fit_camera(out[None, CAMERA])[0], uneven[None], snow[None], out[WEATHER.start].amax()[None]])
