"""The anchored decoder: a latent says how the picture moves and changes, the picture supplies every detail.

Sharpness and identity cannot drift, since each frame is made from the picture itself. A latent is a quarter of a
second whatever the frame rate: frames are taken from the continuous motion between its two boundaries.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.camera import REST, Camera, Pose, glide, pose_at
from pipeline.pocket.canvas import SCALE, Canvas
from pipeline.pocket.latents import (
    CAMERA,
    CHANNELS,
    DISPLACEMENT,
    DISPLACEMENT_UNIT_PX,
    FLOW,
    FLOW_UNIT_PX_PER_S,
    GAIN,
    GRID,
    LATENTS_PER_SECOND,
    WEATHER,
    fit_camera,
)
from pipeline.pocket.view import NOMINAL, View
from pipeline.pocket.weather import Weather

# Nodes of the coarse map; linear between them.
NODES = (61, 105)
WHOLE = slice(None)
FLOW_PERIOD_S = 2.4
# Flow from which the plate alone is seen; below, it fades in, so that a slow start has no jump.
FLOW_FADE = 0.25
DEAD_ZONES = ((DISPLACEMENT, 0.02), (FLOW, 0.05), (GAIN, 0.012), (WEATHER, 0.025))


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Decoder state at a latent boundary: the camera and the last three latents, newest first, ``[3, 12, h, w]``."""

    camera: Camera
    recent: Tensor
    latent: int

    @classmethod
    def at_rest(cls, device: torch.device | None = None) -> "Motion":
        """The beginning of every take."""
        return cls(Camera(), torch.zeros(3, CHANNELS, *GRID, device=device), 0)


class AnchoredDecoder:
    """Latents to frames of one size; holds no stream's state."""

    def __init__(self, seed: int = 0, view: View = NOMINAL) -> None:
        self._view = view
        self._weather = Weather(seed, view)
        self._x, self._y = nodes(view)

    def take_in(self, canvas: Canvas) -> Canvas:
        """Give the canvas as it is kept for :meth:`decode`."""
        return canvas

    def decode(self, motion: Motion, latent: Tensor, canvas: Canvas, frames: int) -> tuple[Tensor, Motion]:
        """Decode one latent.

        Args:
            motion: state at its beginning.
            latent: ``float32 [12, h, w]`` at its end.
            canvas: the picture.
            frames: F, evenly spread from the beginning on.

        Returns:
            ``uint8 [F, H, W, 3]`` and the state at its end.
        """
        latent = calm(latent)
        velocity = fit_camera(latent[None, CAMERA])[0].tolist()
        poses, camera = glide(motion.camera, (velocity[0], velocity[1], velocity[2], velocity[3]), self._view)
        after = Motion(camera, torch.stack([latent, motion.recent[0], motion.recent[1]]), motion.latent + 1)
        out = torch.empty(frames, self._view.height, self._view.width, 3, dtype=torch.uint8)
        for frame in range(frames):
            share = frame / frames
            fields = between(motion.recent, latent, share)
            time_s = (motion.latent + share) / LATENTS_PER_SECOND
            out[frame] = self._frame(fields, pose_at(poses, frame, frames), canvas, time_s)
        return out, after

    def _frame(self, fields: Tensor, pose: Pose, canvas: Canvas, time_s: float) -> Tensor:
        moved, lit, weather = (bool(fields[c].any()) for c in (slice(2, 6), GAIN, WEATHER))
        if pose == REST and not (moved or lit or weather):
            return canvas.rest
        (a, b, c), (d, e, f) = pose.affine()
        x, y = a * self._x + b * self._y + c, d * self._x + e * self._y + f
        width, height = self._view.extent
        place = torch.stack([x / (width / 2), y / (height / 2)], dim=-1)[None]
        # Fields live in picture places, but the camera's and the weather's, which live on the screen.
        local = F.grid_sample(fields[None, 2:9], place, padding_mode="border", align_corners=False)[0]
        shift = local[:2] * DISPLACEMENT_UNIT_PX
        image = self._warp(canvas, x - shift[0], y - shift[1], local[2:4], time_s)
        if lit:
            image = image * _enlarge(local[4:7].exp(), self._view)
        if weather:
            image = self._weather.over(image, fields[WEATHER], time_s)
        return image.round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0)

    def _warp(self, canvas: Canvas, x: Tensor, y: Tensor, flow: Tensor, time_s: float) -> Tensor:
        """Sample the canvas at picture places; the sky behind it flows.

        Two half-periods cross-fade, so that the flow never ends. They are taken from the plate, so that what
        stands before the sky neither moves nor leaves a ghost.
        """
        image = _sample(self._view, canvas, canvas.texture, x, y)
        moving = flow.abs().amax(0)
        if float(moving.max()) <= 0.02:
            return image
        rows = (moving > 0.02).any(1).nonzero()[:, 0]
        # Only the rows that flow are sampled again: a sky is a third of the frame.
        step = (self._view.height - 1) / (NODES[0] - 1)
        top, bottom = max(0, int((rows.min() - 1) * step)), int((rows.max() + 1) * step) + 1
        band = slice(top, min(self._view.height, bottom))
        reach = flow * FLOW_UNIT_PX_PER_S * FLOW_PERIOD_S
        layers: list[Tensor] = []
        phase = (time_s / FLOW_PERIOD_S) % 1
        for part in (phase, (phase + 0.5) % 1):
            shift = reach * (part - 0.5)
            layers.append(_sample(self._view, canvas, canvas.plate, x - shift[0], y - shift[1], band))
        sky = _sample(self._view, canvas, canvas.sky, x, y, band)
        share = sky * _enlarge((moving[None] / FLOW_FADE).clamp(max=1), self._view, band)
        drifting = torch.lerp(layers[0], layers[1], abs(2 * phase - 1))
        image[:, band] = torch.lerp(image[:, band], drifting, share)
        return image


def calm(latent: Tensor) -> Tensor:
    """Take out what is too small to be meant, smoothly: the network's rest is not exactly zero."""
    out = latent.clone()
    for channels, zone in DEAD_ZONES:
        out[channels] = torch.sign(out[channels]) * (out[channels].abs() - zone).clamp(min=0)
    out[WEATHER] = out[WEATHER].clamp(min=0)
    return out


def between(recent: Tensor, latent: Tensor, share: float | Tensor) -> Tensor:
    """Fields ``[12, h, w]`` at ``share`` of the way from ``recent[0]`` to ``latent``; ``[F, 12, h, w]`` at F shares.

    Linear, but displacement follows a cubic whose slopes come from the past alone, so that a swing has no corners
    and nothing waits for the future.
    """
    out = torch.lerp(recent[0], latent, share)
    u0, u1, u2, u3 = (z[DISPLACEMENT] for z in (latent, recent[0], recent[1], recent[2]))
    slope0, slope1 = (3 * u1 - 4 * u2 + u3) / 2, (3 * u0 - 4 * u1 + u2) / 2
    s = share
    out[..., DISPLACEMENT, :, :] = (
        (2 * s**3 - 3 * s**2 + 1) * u1
        + (s**3 - 2 * s**2 + s) * slope0
        + (3 * s**2 - 2 * s**3) * u0
        + (s**3 - s**2) * slope1
    )
    return out


def nodes(view: View) -> tuple[Tensor, Tensor]:
    """Places of the coarse map's nodes on the screen, x and y in units from its middle, each ``float32 [61, 105]``."""
    rows, columns = NODES
    y = (torch.linspace(0, view.height - 1, rows) - (view.height - 1) / 2) / view.scale
    x = (torch.linspace(0, view.width - 1, columns) - (view.width - 1) / 2) / view.scale
    return x.expand(rows, columns), y[:, None].expand(rows, columns)


def _enlarge(coarse: Tensor, view: View, rows: slice = WHOLE) -> Tensor:
    """Node values ``[C, 61, 105]`` to pixels ``[C, H, W]``, exact for what is linear."""
    size = (view.height, view.width)
    return F.interpolate(coarse[None], size=size, mode="bilinear", align_corners=True)[0, :, rows]


def _sample(view: View, canvas: Canvas, plane: Tensor, x: Tensor, y: Tensor, rows: slice = WHOLE) -> Tensor:
    """Values ``[C, rows, W]`` of one of the canvas's planes at picture places given at the nodes."""
    height, width = canvas.size
    gx = ((x * view.scale + view.width / 2) * SCALE + SCALE * view.room[1]) * (2 / width) - 1
    gy = ((y * view.scale + view.height / 2) * SCALE + SCALE * view.room[0]) * (2 / height) - 1
    grid = _enlarge(torch.stack([gx, gy]), view, rows).permute(1, 2, 0)[None]
    return F.grid_sample(plane, grid, padding_mode="border", align_corners=False)[0]
