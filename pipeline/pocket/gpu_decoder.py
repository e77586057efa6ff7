"""The anchored decoder for a GPU: all frames of a latent at once, compiled and recorded.

Its pictures are those of :class:`pipeline.pocket.decoder.AnchoredDecoder` but for rounding. What that leaves out where
it would change nothing is computed here and changes nothing, since asking the GPU costs more.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.camera import Pose, glide, pose_at
from pipeline.pocket.canvas import SCALE, Canvas
from pipeline.pocket.decoder import FLOW_FADE, FLOW_PERIOD_S, NODES, Motion, between, calm, nodes
from pipeline.pocket.latents import (
    CAMERA,
    CHANNELS,
    DISPLACEMENT_UNIT_PX,
    FLOW_UNIT_PX_PER_S,
    GRID,
    LATENTS_PER_SECOND,
    WEATHER,
    fit_camera,
)
from pipeline.pocket.view import View
from pipeline.pocket.weather import (
    FOG_COLOUR,
    RAIN_COLOUR,
    SNOW_COLOUR,
    Weather,
    fog_shift,
    rain_shifts,
    snow_shifts,
)
from pipeline.recorded import Recorded, compiled, may_record

LEAST_FLOW, LEAST_WEATHER = 0.02, 0.01
# Columns of a frame's numbers: its share of the latent, the camera's six, the flow's two phases and their mix; then how
# far each sheet has moved, in pixels right and down.
SHARE, POSE, PHASES, MIX = 0, slice(1, 7), slice(7, 9), 9
RAIN, SNOW, FOG = slice(10, 16), slice(16, 24), slice(24, 26)


class Pictures(NamedTuple):
    """What is sampled: texture and plate ``float16 [3, H, W]``, sky ``float32 [1, h, w]``."""

    texture: Tensor
    plate: Tensor
    sky: Tensor


class GpuDecoder:
    """Latents to frames of one size, at most ``frames`` of each; holds no stream's state but the canvas seen last."""

    def __init__(self, view: View, frames: int, device: torch.device, seed: int = 0) -> None:
        self._view, self._frames, self._device = view, frames, device
        weather = Weather(seed, view)
        size = (slice(view.height), slice(view.width))
        self._rain, self._snow = (
            torch.stack([sheet[size] for sheet in sheets]).to(device) for sheets in (weather.rain, weather.snow)
        )
        self._fog = weather.fog[size].contiguous().to(device)
        self._x, self._y = (places.contiguous().to(device) for places in nodes(view))
        self._render, self._settle = compiled(self._rendered, device), compiled(settled, device)
        self._held: Canvas | None = None
        self._pictures: Pictures | None = None
        self._recorded: tuple[Recorded[tuple[Tensor, Tensor]], Recorded[Tensor]] | None = None

    def take_in(self, canvas: Canvas) -> Canvas:
        """Give the canvas as it is kept for :meth:`decode`: in half precision, to which a grey level is exact."""
        texture = canvas.texture.half()
        plate = texture if canvas.plate is canvas.texture else canvas.plate.half()
        return replace(canvas, texture=texture, plate=plate)

    def decode(self, motion: Motion, latent: Tensor, canvas: Canvas, frames: int) -> tuple[Tensor, Motion]:
        """Decode one latent; see :meth:`pipeline.pocket.decoder.AnchoredDecoder.decode`.

        The frames ``uint8 [F, H, W, 3]`` lie on the device, and hold until the next call.
        """
        pictures = self._place(canvas)
        graphs = self._graphs(motion.recent, latent, pictures) if may_record(self._device) else None
        calmed, velocity = graphs[0](latent) if graphs else self._settle(latent)
        pan, tilt, zoom, roll = velocity.tolist()
        poses, camera = glide(motion.camera, (pan, tilt, zoom, roll), self._view)
        after = torch.cat([calmed[None], motion.recent[:2]])
        told = torch.tensor(self._numbers(motion.latent, poses, frames)).to(self._device, non_blocking=True)
        inputs = (motion.recent, after[0], told)
        made = graphs[1](*inputs) if graphs else self._render(*inputs, *pictures)
        return made[:frames], Motion(camera, after, motion.latent + 1)

    def _place(self, canvas: Canvas) -> Pictures:
        """Put a canvas where the graph reads it, unless it is there."""
        given = Pictures(canvas.texture[0], canvas.plate[0], canvas.sky[0])
        if not may_record(self._device):
            return given
        if self._pictures is None:
            self._pictures = Pictures(*(part.clone() for part in given))
        elif self._held is not canvas:
            for held, part in zip(self._pictures, given, strict=True):
                held.copy_(part)
        self._held = canvas
        return self._pictures

    def _graphs(
        self, recent: Tensor, latent: Tensor, pictures: Pictures
    ) -> tuple[Recorded[tuple[Tensor, Tensor]], Recorded[Tensor]]:
        if self._recorded is None:
            told = torch.zeros(self._frames, FOG.stop, device=self._device)

            def render(recent: Tensor, latent: Tensor, told: Tensor) -> Tensor:
                return self._render(recent, latent, told, *pictures)

            self._recorded = Recorded(self._settle, [latent]), Recorded(render, [recent, latent, told])
        return self._recorded

    def _numbers(self, latent: int, poses: list[Pose], frames: int) -> list[list[float]]:
        """Tell of each frame what the host knows; as many rows as the graph has, so that one serves every rate."""
        rows: list[list[float]] = []
        scale = self._view.scale
        for frame in range(frames):
            share = frame / frames
            time_s = (latent + share) / LATENTS_PER_SECOND
            (a, b, c), (d, e, f) = pose_at(poses, frame, frames).affine()
            phase = (time_s / FLOW_PERIOD_S) % 1
            row = [share, a, b, c, d, e, f, phase, (phase + 0.5) % 1, abs(2 * phase - 1)]
            for right, down in (*rain_shifts(time_s, scale), *snow_shifts(time_s, scale), fog_shift(time_s, scale)):
                row += [-right % self._view.width, -down % self._view.height]
            rows.append(row)
        return rows + [rows[-1]] * (self._frames - frames)

    def _rendered(
        self, recent: Tensor, latent: Tensor, told: Tensor, texture: Tensor, plate: Tensor, sky: Tensor
    ) -> Tensor:
        """Frames ``uint8 [F, H, W, 3]`` of calm fields and of each frame's numbers."""
        fields = between(recent, latent, told[:, SHARE, None, None, None])
        a, b, c, d, e, f = (n[:, None, None] for n in told[:, POSE].unbind(1))
        x, y = a * self._x + b * self._y + c, d * self._x + e * self._y + f
        width, height = self._view.extent
        place = torch.stack([x / (width / 2), y / (height / 2)], dim=-1)
        local = F.grid_sample(fields[:, 2:9], place, padding_mode="border", align_corners=False)
        moved = torch.stack([x, y], dim=1) - local[:, :2] * DISPLACEMENT_UNIT_PX
        at = self._enlarge(moved)
        image = self._sample(texture, at)
        drifting, share = self._drift(local[:, 2:4], at, told, plate), self._flowing(local[:, 2:4], at, sky)
        image = torch.lerp(image, drifting, share) * self._enlarge(local[:, 4:7].exp())
        image = self._under_weather(image, fields[:, WEATHER], told)
        return image.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def _drift(self, flow: Tensor, at: Tensor, told: Tensor, plate: Tensor) -> Tensor:
        reach = self._enlarge(flow * (FLOW_UNIT_PX_PER_S * FLOW_PERIOD_S))
        first, second = (
            self._sample(plate, at - reach * (phase - 0.5)[:, None, None, None]) for phase in told[:, PHASES].unbind(1)
        )
        return torch.lerp(first, second, told[:, MIX, None, None, None])

    def _flowing(self, flow: Tensor, at: Tensor, sky: Tensor) -> Tensor:
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
        share = self._enlarge((moving / FLOW_FADE).clamp(max=1)) * flows[:, None, :, None]
        return share * self._sample(sky, at)

    def _under_weather(self, image: Tensor, amounts: Tensor, told: Tensor) -> Tensor:
        amounts = amounts * (amounts.amax((2, 3), keepdim=True) > LEAST_WEATHER)
        size = (self._view.height, self._view.width)
        rain, snow, fog = F.interpolate(amounts, size=size, mode="bilinear", align_corners=False).split(1, 1)
        veil = (0.62 + 0.5 * (self._slide(self._fog, told[:, FOG]) - 0.5)) * fog.clamp(0, 1.35)
        image = _lay(image, FOG_COLOUR, veil.clamp(0, 0.92))
        streaks = self._falling(self._rain, told[:, RAIN])
        image = _lay(image, RAIN_COLOUR, streaks * rain.clamp(0, 1.5))
        flakes = self._falling(self._snow, told[:, SNOW])
        return _lay(image, SNOW_COLOUR, flakes * snow.clamp(0, 1.5))

    def _falling(self, sheets: Tensor, shifts: Tensor) -> Tensor:
        pairs = shifts.split(2, 1)
        total = self._slide(sheets[0], pairs[0])
        for sheet, pair in zip(sheets[1:], pairs[1:], strict=True):
            total = total + self._slide(sheet, pair)
        return total.clamp(0, 0.95)

    def _slide(self, sheet: Tensor, shift: Tensor) -> Tensor:
        """A sheet ``[H, W]`` that repeats, from ``shift float [F, 2]`` on, x before y; ``[F, 1, H, W]``."""
        height, width = sheet.shape
        begin = shift.floor()
        right, down = (shift - begin)[:, :, None, None, None].unbind(1)
        x0, y0 = begin.long().unbind(1)
        columns = [(x0[:, None] + torch.arange(dx, width + dx, device=sheet.device)) % width for dx in (0, 1)]
        rows = [(y0[:, None] + torch.arange(dy, height + dy, device=sheet.device)) % height for dy in (0, 1)]
        taps = [[sheet[row[:, :, None], column[:, None]][:, None] for column in columns] for row in rows]
        top, bottom = (torch.lerp(left, beside, right) for left, beside in taps)
        return torch.lerp(top, bottom, down)

    def _enlarge(self, coarse: Tensor) -> Tensor:
        size = (self._view.height, self._view.width)
        return F.interpolate(coarse, size=size, mode="bilinear", align_corners=True)

    def _sample(self, plane: Tensor, at: Tensor) -> Tensor:
        """Values ``float32 [F, C, H, W]`` of a plane ``[C, h, w]``, at places ``[F, 2, H, W]`` in units."""
        view, (rows, columns) = self._view, plane.shape[1:]
        x, y = (at[:, axis] * view.scale for axis in (0, 1))
        full_x, full_y = SCALE * (view.width + 2 * view.room[1]), SCALE * (view.height + 2 * view.room[0])
        x = ((x + view.width / 2) * SCALE + SCALE * view.room[1]) * (columns / full_x) - 0.5
        y = ((y + view.height / 2) * SCALE + SCALE * view.room[0]) * (rows / full_y) - 0.5
        x, y = x.clamp(0, columns - 1), y.clamp(0, rows - 1)
        x0, y0 = x.floor(), y.floor()
        right, down = (x - x0)[None], (y - y0)[None]
        left, above = x0.long(), y0.long()
        beside, below = (left + 1).clamp(max=columns - 1), (above + 1).clamp(max=rows - 1)
        flat = plane.flatten(1)

        def tap(row: Tensor, column: Tensor) -> Tensor:
            return flat[:, row * columns + column].float()

        top = torch.lerp(tap(above, left), tap(above, beside), right)
        bottom = torch.lerp(tap(below, left), tap(below, beside), right)
        return torch.lerp(top, bottom, down).transpose(0, 1)


def settled(latent: Tensor) -> tuple[Tensor, Tensor]:
    """Give the calm fields of a latent ``[12, h, w]``, and the camera's velocities ``[4]`` in them."""
    assert latent.shape == (CHANNELS, *GRID)
    out = calm(latent)
    return out, fit_camera(out[None, CAMERA])[0]


def _lay(image: Tensor, colour: tuple[float, float, float], opacity: Tensor) -> Tensor:
    red, green, blue = image.unbind(1)
    veil = opacity[:, 0]
    return torch.stack([part + veil * (one - part) for part, one in zip((red, green, blue), colour, strict=True)], 1)
