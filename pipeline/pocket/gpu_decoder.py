"""The anchored decoder for a GPU: all frames of a latent at once, recorded as CUDA graphs.

Its pictures are those of :class:`pipeline.pocket.decoder.AnchoredDecoder` but for rounding.
"""

from typing import Any

import torch
from torch import Tensor

from pipeline.pocket.camera import glide, pose_at
from pipeline.pocket.canvas import Canvas
from pipeline.pocket.decoder import Motion, calm
from pipeline.pocket.depth import CELLS
from pipeline.pocket.drawn.draw import draw
from pipeline.pocket.drawn.eye import Eye, looking
from pipeline.pocket.drawn.shot import Shot
from pipeline.pocket.drawn.wet import wetted
from pipeline.pocket.drawn.wetness import fallen
from pipeline.pocket.gpu_frames import LEAST_FLOW, GpuFrames, Pictures
from pipeline.pocket.gpu_layers import Planes, planes
from pipeline.pocket.gpu_told import told
from pipeline.pocket.gpu_weather import KINDS, GpuWeather
from pipeline.pocket.latents import CAMERA, CHANNELS, FLOW, GAIN, GRID, LATENTS_PER_SECOND, WEATHER, fit_camera
from pipeline.pocket.moving import ALL, EVEN_GAIN
from pipeline.pocket.pose import Pose
from pipeline.pocket.view import View
from pipeline.pocket.weather import LEAST_WEATHER
from pipeline.recorded import Recorded, may_record

# Pixels rendered at once: all frames of 832x480, four of 1920x1080, which bounds the memory of a frame's parts.
AT_ONCE = 8_300_000
# What is left out where a latent has no more of it than this.
LEAST = {"flow": LEAST_FLOW, "light": 0.0, **dict.fromkeys(KINDS, LEAST_WEATHER)}


class GpuDecoder:
    """Latents to frames of one size, at most ``frames`` of each; holds no stream's state but the canvas seen last."""

    def __init__(self, view: View, frames: int, device: torch.device, seed: int = 0) -> None:
        self._view, self._device = view, device
        self._group = min(frames, max(1, AT_ONCE // (view.width * view.height)))
        self._weather = GpuWeather(view, device, seed)
        self._pool: Any = torch.cuda.graph_pool_handle() if may_record(device) else None
        self._held: Canvas | None = None
        self._given: tuple[Tensor, ...] = ()
        self._settled: Recorded[tuple[Tensor, Tensor]] | None = None
        self._ways: dict[bool, GpuFrames] = {}
        self._made: Tensor | None = None

    def decode(
        self, motion: Motion, latent: Tensor, canvas: Canvas, frames: int, first: int = 0
    ) -> tuple[Tensor, Motion]:
        """Decode one latent; see :meth:`pipeline.pocket.decoder.AnchoredDecoder.decode`.

        The frames ``uint8 [F, H, W, 3]`` lie on the device, and hold until the next call.
        """
        self._place(canvas)
        calmed, most = self._calm(latent, motion.recent[0])
        pan, tilt, zoom, roll, uneven, least_rain, rain, *amounts = most.tolist()
        poses, camera = glide(motion.camera, (pan, tilt, zoom, roll), self._view)
        after = torch.cat([calmed[None], motion.recent[:2]])
        eyes = self._looking([pose_at(poses, frame, frames) for frame in range(frames)], motion, canvas)
        least = min(float(motion.reach.min()), float(motion.heading.min()))
        is_set_off = canvas.depth is not None and canvas.depth.subject is not None and any(eye.depth for eye in eyes)
        by_layers = canvas.layers is not None and (least <= ALL or uneven >= EVEN_GAIN or is_set_off)
        asked = {name for amount, (name, floor) in zip(amounts, LEAST.items(), strict=True) if amount > floor}
        made = self._shown(self._ways[by_layers], motion, after[0], eyes, asked)
        fall = fallen(after[0, WEATHER.start], (least_rain, rain), camera.pose, self._view)
        then = motion.after(camera, after, rain, fall)
        return self._drawn_on(made, (motion, then), eyes, canvas)[first:], then

    def _looking(self, poses: list[Pose], motion: Motion, canvas: Canvas) -> list[Eye]:
        """From where the frames of a latent are seen whose camera is at these poses."""
        return [
            looking(pose, canvas, motion.drawn.towards(motion.drawing, share), motion.depth.at(share))
            for pose, share in zip(poses, (frame / len(poses) for frame in range(len(poses))), strict=True)
        ]

    def _shown(self, way: GpuFrames, motion: Motion, latent: Tensor, eyes: list[Eye], asked: set[str]) -> Tensor:
        """Frames ``uint8 [F, H, W, 3]``, group by group; the last one is filled up, so that it is of the same size."""
        rows = torch.from_numpy(told(motion, eyes, self._view))
        rows = torch.cat([rows, rows[-1:].expand(-len(rows) % self._group, -1)]).to(self._device, non_blocking=True)
        groups = rows.split(self._group)
        self._make_ready((motion.recent, latent, groups[0]))
        if len(groups) == 1:
            return way.of((motion.recent, latent, rows), asked)[: len(eyes)]
        if self._made is None or len(self._made) < len(rows):
            self._made = torch.empty(
                len(rows), self._view.height, self._view.width, 3, dtype=torch.uint8, device=self._device
            )
        for place, group in zip(self._made.split(self._group), groups, strict=False):
            place.copy_(way.of((motion.recent, latent, group), asked))
        return self._made[: len(eyes)]

    def _make_ready(self, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
        """Record every stage of every way with the first picture, so that no prompt waits for one later."""
        if may_record(self._device):
            for way in self._ways.values():
                way.record(inputs)

    def _drawn_on(self, made: Tensor, motions: tuple[Motion, Motion], eyes: list[Eye], canvas: Canvas) -> Tensor:
        """Frames with what is drawn by rule, which is not recorded: it is seldom all of it."""
        motion, after = motions
        is_dry = not (motion.wet.is_seen or after.wet.is_seen)
        if canvas.marks is None or (motion.drawn.is_empty and motion.drawing.is_empty and is_dry):
            return made
        out, (before, now) = made.clone(), (one.recent[0, WEATHER.start] for one in motions)
        for frame, eye in enumerate(eyes):
            share = frame / len(made)
            (seed, effects), wet = motion.drawn.towards(motion.drawing, share), motion.wet.towards(after.wet, share)
            if effects or wet.is_seen:
                pixels = made[frame].permute(2, 0, 1).float().contiguous()
                shot = Shot(self._view, eye.around, canvas, canvas.marks, seed)
                rain = wet.patches and torch.lerp(before, now, share)
                pixels = wetted(pixels, shot, wet, (motion.latent + share) / LATENTS_PER_SECOND, rain)
                pixels = draw(pixels, shot, effects)
                out[frame] = pixels.round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0)
        return out

    def _place(self, canvas: Canvas) -> None:
        """Put a canvas where the graphs read it, unless it is there: what is sampled, then its layers if it has any."""
        if self._held is canvas:
            return
        kept = torch.zeros(1, *GRID, device=self._device) if canvas.marks is None else canvas.marks.kept[0]
        given = (*Pictures(canvas.texture[0], canvas.plate[0], canvas.sky[0], *_depth(canvas, self._device), kept),)
        if canvas.layers is not None:
            given = (*given, *planes(canvas, canvas.layers))
        self._held = canvas
        if not may_record(self._device):
            self._given, self._ways = given, {}
        else:
            for held, part in zip(self._given, given, strict=False):
                held.copy_(part)
            self._given = (*self._given, *(part.clone() for part in given[len(self._given) :]))
        here = len(Pictures._fields)
        pictures, layers = Pictures(*self._given[:here]), self._given[here:]
        if False not in self._ways:
            self._ways[False] = GpuFrames(self._view, self._weather, pictures, None, self._pool)
        if layers and True not in self._ways:
            self._ways[True] = GpuFrames(self._view, self._weather, pictures, Planes(*layers), self._pool)

    def _calm(self, latent: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        if not may_record(self._device):
            return settled(latent, before)
        if self._settled is None:
            self._settled = Recorded(settled, [latent, before])
        return self._settled(latent, before)


def _depth(canvas: Canvas, device: torch.device) -> tuple[Tensor, Tensor]:
    depth = canvas.depth
    near = torch.zeros(1, *CELLS, device=device) if depth is None else depth.near
    alone = (0.0, 0.0) if depth is None or depth.subject is None else (depth.subject, 1.0)
    return near, torch.tensor(alone, device=device)


def settled(latent: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Give the calm fields of a latent ``[12, h, w]``, and twelve numbers of it.

    They are the camera's velocities; and of these calm fields and of those before, how uneven the light is, and the
    most of flow, light, rain, snow and fog; the least and the most rain of these alone come before those.
    """
    assert latent.shape == (CHANNELS, *GRID)
    out = calm(latent)
    both = torch.stack([before, out])
    light, most = both[:, GAIN], both.abs().amax((0, 2, 3))
    uneven = (light.amax((2, 3)) - light.amin((2, 3))).amax()
    rain = torch.stack(out[WEATHER.start].aminmax())
    amounts = most[FLOW].amax()[None], most[GAIN].amax()[None], most[WEATHER]
    return out, torch.cat([fit_camera(out[None, CAMERA])[0], uneven[None], rain, *amounts])
