"""The anchored decoder: a latent says how the picture moves and changes, the picture supplies every detail.

Sharpness and identity cannot drift, since each frame is made from the picture itself. A latent is a quarter of a
second whatever the frame rate: frames are taken from the continuous motion between its two boundaries.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import torch
from torch import Tensor

from pipeline.pocket.camera import Camera, glide, pose_at
from pipeline.pocket.canvas import Canvas
from pipeline.pocket.crossfade import cell, mixed
from pipeline.pocket.depth_strength import Strength
from pipeline.pocket.drawn.draw import draw
from pipeline.pocket.drawn.drawing import NOTHING, Drawing, Drawn, Wish
from pipeline.pocket.drawn.eye import Eye, looking
from pipeline.pocket.drawn.shot import Shot
from pipeline.pocket.drawn.wet import wetted
from pipeline.pocket.drawn.wetness import Fall, Wetness, fallen
from pipeline.pocket.grade import is_seen, relit
from pipeline.pocket.lanes import each
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
from pipeline.pocket.moving import ALL, displaced, gain, set_off, under
from pipeline.pocket.parallax import seen
from pipeline.pocket.pose import REST, Pose
from pipeline.pocket.reach import LIGHT, MOTION, RATE, everything
from pipeline.pocket.reach import WEATHER as COVER
from pipeline.pocket.sampling import NODES, Place, pixels
from pipeline.pocket.view import NOMINAL, View
from pipeline.pocket.weather import LEAST_WEATHER, Weather

FLOW_PERIOD_S = 2.4
# Flow from which the plate alone is seen; below, it fades in, so that a slow start has no jump.
FLOW_FADE = 0.25
DEAD_ZONES = ((DISPLACEMENT, 0.02), (FLOW, 0.05), (GAIN, 0.012), (WEATHER, 0.025))


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Decoder state at a latent boundary.

    The camera, the last three latents, newest first, ``[3, 12, h, w]``, the latent's number; and what motion, light and
    weather reach, ``[3, 5]`` (:mod:`pipeline.pocket.reach`), and what is drawn by rule, now and at the end of the next
    latent; how wet it is; and how much of depth is seen.
    """

    camera: Camera
    recent: Tensor
    latent: int
    reach: Tensor = field(default_factory=everything)
    heading: Tensor = field(default_factory=everything)
    drawn: Drawing = field(default_factory=Drawing)
    drawing: Drawing = field(default_factory=Drawing)
    wet: Wetness = field(default_factory=Wetness)
    depth: Strength = field(default_factory=Strength)

    @classmethod
    def at_rest(cls, device: torch.device | None = None) -> "Motion":
        """The beginning of every take."""
        return cls(Camera(), torch.zeros(3, CHANNELS, *GRID, device=device), 0)

    def aimed(self, goal: Tensor) -> "Motion":
        """The state from which the next latent goes a part of the way to a reach ``[3, 5]``."""
        return replace(self, heading=torch.lerp(self.reach, goal, RATE))

    def wishing(self, wishes: dict[str, Wish] | None, seed: int) -> "Motion":
        """The state from which the next latent goes a part of the way to what is to be drawn; None changes nothing."""
        return replace(self, drawing=self.drawn.after(wishes, seed))

    def deepened(self, is_wanted: bool) -> "Motion":
        """The state from which the next latent goes a step towards all of depth, or towards none."""
        is_at_home = self.camera.pose == REST and self.drawn.is_empty and self.drawing.is_empty
        return replace(self, depth=self.depth.towards(is_wanted, is_at_home))

    def after(self, camera: Camera, recent: Tensor, rain: float = 0.0, fall: Fall | None = None) -> "Motion":
        """The state a latent later, at whose end so much rain falls, and where; None for everywhere."""
        here, there, wet = self.heading, self.drawing, self.wet.after(rain, fall)
        return Motion(camera, recent, self.latent + 1, here, here, there, there, wet, self.depth.after())


class AnchoredDecoder:
    """Latents to frames of one size; holds no stream's state."""

    def __init__(self, seed: int = 0, view: View = NOMINAL) -> None:
        self.before_frame: Callable[[], None] = lambda: None
        """Called before each frame; raises to give up the latent."""
        self._view = view
        self._weather = Weather(seed, view)
        self._x, self._y = nodes(view)

    def decode(
        self, motion: Motion, latent: Tensor, canvas: Canvas, frames: int, first: int = 0
    ) -> tuple[Tensor, Motion]:
        """Decode one latent.

        Args:
            motion: state at its beginning.
            latent: ``float32 [12, h, w]`` at its end.
            canvas: the picture.
            frames: F, evenly spread from the beginning on.
            first: the first that is wanted.

        Returns:
            ``uint8 [F - first, H, W, 3]`` and the state at its end.
        """
        latent = calm(latent)
        velocity = fit_camera(latent[None, CAMERA])[0].tolist()
        poses, camera = glide(motion.camera, (velocity[0], velocity[1], velocity[2], velocity[3]), self._view)
        recent = torch.stack([latent, motion.recent[0], motion.recent[1]])
        least, most = (float(bound) for bound in latent[WEATHER.start].aminmax())
        fall = fallen(latent[WEATHER.start], (least, most), camera.pose, self._view)
        after = motion.after(camera, recent, most, fall)
        out = torch.empty(frames - first, self._view.height, self._view.width, 3, dtype=torch.uint8)

        def make(frame: int) -> None:
            self.before_frame()
            share = frame / frames
            fields = between(motion.recent, latent, share)
            time_s = (motion.latent + share) / LATENTS_PER_SECOND
            reach = torch.lerp(motion.reach, motion.heading, share)
            drawn = *motion.drawn.towards(motion.drawing, share), motion.wet.towards(after.wet, share)
            pose, depth = pose_at(poses, frame, frames), motion.depth.at(share)
            out[frame - first] = self._frame(fields, pose, canvas, time_s, reach, drawn, depth)

        self._make_each(make, range(first, frames))
        return out, after

    def _make_each(self, make: Callable[[int], None], frames: range) -> None:
        each(make, frames)

    def _frame(
        self,
        fields: Tensor,
        pose: Pose,
        canvas: Canvas,
        time_s: float,
        reach: Tensor,
        drawn: tuple[int, dict[str, Drawn], Wetness] = (*NOTHING, Wetness()),
        depth: float = 1.0,
    ) -> Tensor:
        moved, lit = bool(fields[DISPLACEMENT.start : FLOW.stop].any()), is_seen(fields[GAIN])
        weather = float(fields[WEATHER].max()) > LEAST_WEATHER
        seed, effects, wet = drawn
        if pose == REST and not (moved or lit or weather or effects or wet.is_seen):
            return canvas.rest
        eye, layers = looking(pose, canvas, (seed, effects), depth), canvas.layers
        # Fields live in picture places, but the camera's and the weather's, which live on the screen.
        place, ahead = self._places(eye, canvas)
        image = self._warp(canvas, (place, ahead), fields, time_s, reach[MOTION])
        if lit:
            image = relit(image, *gain(canvas, layers, place, ahead, fields[GAIN], reach[LIGHT]))
        if weather:
            covered = None if layers is None else under(canvas, layers, place, ahead, reach[COVER])
            veiled = self._weather.over(image, fields, time_s, eye.around)
            image = veiled if covered is None else torch.lerp(image, veiled, covered)
        if canvas.marks is not None and (effects or wet.is_seen):
            shot = Shot(self._view, eye.around, canvas, canvas.marks, seed)
            image = draw(wetted(image, shot, wet, time_s, fields[WEATHER.start]), shot, effects)
        return pixels(image)

    def _places(self, eye: Eye, canvas: Canvas) -> tuple[Place, Place | None]:
        """Where the nodes of a frame look for the picture, and for a subject that is seen from elsewhere."""
        place, ahead = self._seen(eye.around, canvas, eye.depth)
        if eye.around == eye.kept or canvas.marks is None:
            return place, ahead
        still, ahead = self._seen(eye.kept, canvas, eye.depth)
        share = 1 - still.local(canvas.marks.kept[0])[0]
        return Place(torch.lerp(still.x, place.x, share), torch.lerp(still.y, place.y, share), self._view), ahead

    def _seen(self, pose: Pose, canvas: Canvas, depth: float = 1.0) -> tuple[Place, Place | None]:
        affine = (a, b, c), (d, e, f) = pose.affine()
        x, y = a * self._x + b * self._y + c, d * self._x + e * self._y + f
        place = Place(x, y, self._view, pose == REST, affine)
        return (place, None) if canvas.depth is None else seen(place, pose, canvas.depth, depth)

    def _warp(
        self, canvas: Canvas, places: tuple[Place, Place | None], fields: Tensor, time_s: float, reach: Tensor
    ) -> Tensor:
        """Sample the canvas at picture places, a subject that is by itself at its own; the sky behind it flows.

        Two half-periods cross-fade, so that the flow never ends. They are taken from the plate, so that what
        stands before the sky neither moves nor leaves a ghost.
        """
        (place, ahead), layers = places, canvas.layers
        shift, flow = fields[DISPLACEMENT] * DISPLACEMENT_UNIT_PX, place.local(fields[FLOW])
        if bool(shift.any()) and layers is not None and float(reach.min()) <= ALL:
            image = displaced(canvas, layers, place, ahead, shift, reach)
        else:
            if bool(shift.any()):
                place = place.moved(place.local(shift))
                ahead = ahead and ahead.moved(ahead.local(shift))
            image = place.sample(canvas, canvas.texture)
            image = image if ahead is None else set_off(image, canvas, ahead, place)
        moving = flow.abs().amax(0)
        if float(moving.max()) <= 0.02:
            return image
        # Only the rows that flow are sampled again: a sky is a third of the frame.
        band = _whole_cells(place.band((moving > 0.02).any(1), 1), self._view)
        reached = flow * FLOW_UNIT_PX_PER_S * FLOW_PERIOD_S
        phase = (time_s / FLOW_PERIOD_S) % 1
        first, second = (
            place.moved(reached * (part - 0.5)).sample(canvas, canvas.plate, band)
            for part in (phase, (phase + 0.5) % 1)
        )
        share = place.sample(canvas, canvas.sky, band) * place.enlarge((moving[None] / FLOW_FADE).clamp(max=1), band)
        if ahead is not None and layers is not None and layers.subject is not None:
            share = share * (1 - ahead.sample(canvas, layers.subject.cut, band))
        flowing = mixed(first, second, abs(2 * phase - 1), cell(self._view.scale))
        image[:, band] = torch.lerp(image[:, band], flowing, share)
        return image


def _whole_cells(band: slice, view: View) -> slice:
    """Rows that begin and end where cells of the cross-fade do, so that what is mixed there is as in a whole frame."""
    side = cell(view.scale)
    return slice(band.start // side * side, min(view.height, -(-band.stop // side) * side))


def calm(latent: Tensor) -> Tensor:
    """Take out what is too small to be meant, smoothly: the network's rest is not exactly zero."""
    out = latent.sign() * (latent.abs() - zones(latent.device)).clamp_(min=0)
    out[WEATHER].clamp_(min=0)
    return out


@cache
def zones(device: torch.device) -> Tensor:
    """The dead zone of each channel, ``[12, 1, 1]``; 0 of the camera's, whose own is taken out of its velocity."""
    zones = torch.zeros(CHANNELS, 1, 1)
    for channels, zone in DEAD_ZONES:
        zones[channels] = zone
    return zones.to(device)


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
