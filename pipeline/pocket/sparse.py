"""Decoders that render only what a measurement wants, and note what passes through them; all else is as it is live."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.pocket.camera import QUICKER, soften
from pipeline.pocket.canvas import Canvas
from pipeline.pocket.decoder import AnchoredDecoder, Motion, calm
from pipeline.pocket.drawn.drawing import NOTHING, Drawn
from pipeline.pocket.drawn.eye import Eye
from pipeline.pocket.drawn.wetness import Wetness
from pipeline.pocket.gpu_decoder import GpuDecoder
from pipeline.pocket.gpu_frames import GpuFrames
from pipeline.pocket.latents import CAMERA, DISPLACEMENT, FLOW, GAIN, WEATHER, fit_camera
from pipeline.pocket.pose import Pose
from pipeline.types import Pixels

STRENGTHS = ("camera", "displacement", "flow", "gain", "weather")
PARTS = (DISPLACEMENT, FLOW, GAIN, WEATHER)


@dataclass(slots=True, eq=False)
class Notes:
    """What a take wants of a decoder, and what was noted of it.

    Frames are counted from the take's first; of those in ``wanted`` there is one in ``probed`` if there is a ``probe``,
    after the probe at rest. ``strengths`` are of each latent, ``poses`` of each frame.
    """

    wanted: frozenset[int] = frozenset()
    probe: Canvas | None = None
    poses: list[Pose] = field(default_factory=list[Pose])
    strengths: list[list[float]] = field(default_factory=list[list[float]])
    probed: list[Pixels] = field(default_factory=list[Pixels])

    def __post_init__(self) -> None:
        if self.probe is not None:
            self.probed.append(self.probe.rest.cpu().numpy())


class SparseDecoder(AnchoredDecoder):
    """The decoder, but a frame that nobody wants is the picture at rest."""

    notes = Notes()

    def decode(
        self, motion: Motion, latent: Tensor, canvas: Canvas, frames: int, first: int = 0
    ) -> tuple[Tensor, Motion]:
        """Decode one latent, and note how strong it is."""
        self.notes.strengths.append(strength(latent))
        return super().decode(motion, latent, canvas, frames, first)

    def _make_each(self, make: Callable[[int], None], frames: range) -> None:
        # In their order, by which they are noted.
        for frame in frames:
            make(frame)

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
        notes = self.notes
        notes.poses.append(pose)
        if len(notes.poses) - 1 not in notes.wanted:
            return canvas.rest
        if notes.probe is not None:
            notes.probed.append(super()._frame(fields, pose, notes.probe, time_s, reach, drawn, depth).numpy())
        return super()._frame(fields, pose, canvas, time_s, reach, drawn, depth)


class SparseGpuDecoder(GpuDecoder):
    """The decoder for a GPU, but of a latent of which nobody wants a frame all are the picture at rest."""

    notes = Notes()

    def decode(
        self, motion: Motion, latent: Tensor, canvas: Canvas, frames: int, first: int = 0
    ) -> tuple[Tensor, Motion]:
        """Decode one latent, and note how strong it is."""
        notes = self.notes
        notes.strengths.append(strength(latent))
        wanted = [n for n in range(first, frames) if len(notes.poses) + n in notes.wanted]
        if notes.probe is not None and wanted:
            probed = super().decode(motion, latent, notes.probe, frames)[0].cpu().numpy()
            notes.probed += [probed[n] for n in wanted]
            del notes.poses[-frames:]
        return super().decode(motion, latent, canvas, frames, first)

    def _looking(self, poses: list[Pose], motion: Motion, canvas: Canvas) -> list[Eye]:
        self.notes.poses += poses
        return super()._looking(poses, motion, canvas)

    def _shown(self, way: GpuFrames, motion: Motion, latent: Tensor, eyes: list[Eye], asked: set[str]) -> Tensor:
        if self._is_wanted(len(eyes)):
            return super()._shown(way, motion, latent, eyes, asked)
        assert self._held is not None
        return self._held.rest.expand(len(eyes), -1, -1, -1)

    def _drawn_on(self, made: Tensor, motions: tuple[Motion, Motion], eyes: list[Eye], canvas: Canvas) -> Tensor:
        return super()._drawn_on(made, motions, eyes, canvas) if self._is_wanted(len(eyes)) else made

    def _is_wanted(self, frames: int) -> bool:
        """Whether any of the frames noted last is."""
        count = len(self.notes.poses)
        return not self.notes.wanted.isdisjoint(range(count - frames, count))


def strength(latent: Tensor) -> list[float]:
    """How strong a latent ``[12, h, w]`` is, by STRENGTHS, each in its unit, what is too small to be meant left out.

    Of the camera the velocity's norm, of the others the root mean square over the picture.
    """
    shown = calm(latent)
    parts = torch.stack([shown[part].square().mean().sqrt() for part in PARTS])
    # A GPU is waited for once.
    *velocity, displacement, flow, gain, weather = torch.cat([fit_camera(latent[None, CAMERA])[0], parts]).tolist()
    camera = [soften(v, quicker) for v, quicker in zip(velocity, QUICKER, strict=True)]
    return [math.hypot(*camera), displacement, flow, gain, weather]
