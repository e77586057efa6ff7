"""Wan2.1 as published, not causal: whole clips of 21 latents by many steps; for files, not for a live prompt.

Every latent of a clip sees every other, so nothing shows before all of it is made. An I2V model goes on from a clip's
last frame, a T2V model begins anew. Source: arXiv 2503.20314; classifier-free guidance: arXiv 2207.12598.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import CapacityError, ConditioningError, TruncationError
from pipeline.interface import Progress, silent
from pipeline.networks.rope import rotations
from pipeline.preprocess import FRAMES_PER_LATENT, cover
from pipeline.schedule import FlowSchedule
from pipeline.stages import Stages
from pipeline.types import Capabilities, Chunk, Conditioning, Pixels, QualityLevel, VideoFormat
from pipeline.wan.examples import EXAMPLES
from pipeline.wan.frames import to_host
from pipeline.wan.given import Given, show
from pipeline.wan.parts import Parts
from pipeline.wan.sampler import Guide, Sampler, draw
from pipeline.wan.sizes import PIXELS_PER_LATENT
from pipeline.wan.texts import Texts
from pipeline.wan.window import Seen

DECODED_TOGETHER = 3


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """How clips are made; see ``configs/wan_i2v_14b.yaml``. ``guidance`` 1 asks the network once a step, else twice."""

    name: str
    needs: str
    width: int
    height: int
    fps: Fraction
    latents: int
    steps: int
    shift: float
    guidance: float
    negative_prompt: str


@dataclass(frozen=True, slots=True, eq=False)
class ClipBoundary:
    """Where a clip begins: what was counted, and the picture that it goes on from."""

    made: int
    frames: int
    clips: int
    picture: Pixels | None


@dataclass(slots=True, eq=False)
class ClipState:
    """One stream: where its next clip begins, and where the last one did."""

    seed: int
    now: ClipBoundary
    before: ClipBoundary | None = None
    closed: bool = False


class ClipPipeline:
    """A published Wan model behind the interface of :class:`pipeline.interface.Pipeline`; a chunk is a clip."""

    def __init__(self, parts: Parts, plan: ClipPlan) -> None:
        self._parts, self._plan = parts, plan
        schedule = FlowSchedule(plan.shift, plan.steps)
        self._sampler = Sampler(parts.transformer, schedule, tuple(schedule.timesteps.tolist()))
        self._texts = Texts(parts.text)
        self._like = (plan.height // PIXELS_PER_LATENT, plan.width // PIXELS_PER_LATENT), parts.device
        self._open = 0
        sees_picture = parts.image_encoder is not None
        self.format = VideoFormat(plan.width, plan.height, plan.fps, plan.latents, FRAMES_PER_LATENT)
        self.capabilities = Capabilities(
            model=plan.name,
            modes=("i2v",) if sees_picture else ("t2v",),
            image_entry="clip" if sees_picture else "none",
            policies=("auto",),
            sizes=((plan.width, plan.height),),
            quality=(QualityLevel(f"{plan.steps} steps", plan.fps),),
            max_streams=1,
            truncatable_latents=plan.latents,
            examples=EXAMPLES["clip" if sees_picture else "none"],
            needs=plan.needs,
        )

    def warm_up(self, progress: Progress = silent) -> tuple[float, ...]:
        """Ask the network for one step; return the seconds that all steps of a clip would take at that pace."""
        picture = np.zeros((self._plan.height, self._plan.width, 3), np.uint8)
        mode = self.capabilities.modes[0]
        asked = Conditioning(mode, "warming up", picture if mode == "i2v" else None, 0)
        seconds = 0.0
        with torch.inference_mode():
            guides = self._guides(self.open(asked), asked)
            noisy = draw(0, range(self._plan.latents), 0, self._like)
            for number in (1, 2):
                progress(f"warming up: step {number} of 2")
                stages = Stages(self._parts.device)
                self._flow(noisy, 1000.0, guides)
                stages.lap("step")
                seconds = stages.ms["step"] / 1000
        self._open = 0
        return (seconds * self._plan.steps,)

    def open(self, conditioning: Conditioning) -> ClipState:
        """Begin a take. Raises ConditioningError for a mode it lacks or a missing picture, CapacityError when full."""
        self._admit(conditioning)
        if self._open:
            raise CapacityError("this model makes one stream at a time")
        self._open = 1
        return ClipState(conditioning.seed, ClipBoundary(0, 0, 0, conditioning.image))

    @torch.inference_mode()
    def generate_chunk(self, state: ClipState, conditioning: Conditioning) -> Chunk:
        """Make the next clip; the state moves only if this returns. Raises ConditioningError."""
        self._admit(conditioning)
        stages = Stages(self._parts.device)
        begin = state.now
        guides = self._guides(state, conditioning)
        stages.lap("text")
        latents = range(begin.made, begin.made + self._plan.latents)
        noisy = draw(state.seed, latents, 0, self._like)
        for timestep in self._sampler.timesteps:
            at = torch.full((1, 1), timestep, device=noisy.device)
            noisy = self._sampler.schedule.step(self._flow(noisy, timestep, guides), noisy, at)
        stages.lap("denoise")
        frames = self._decode(noisy)
        # A clip that goes on from a frame begins with it, and that was shown.
        shown = frames[:, :, 1:] if begin.clips and conditioning.mode == "i2v" else frames
        pixels = to_host(shown)
        stages.lap("decode")
        state.before = begin
        picture = pixels[-1] if conditioning.mode == "i2v" else None
        state.now = ClipBoundary(begin.made + self._plan.latents, begin.frames + len(pixels), begin.clips + 1, picture)
        return Chunk(
            index=begin.clips,
            first_frame=begin.frames,
            first_latent=begin.made,
            latents=self._plan.latents,
            frames=pixels,
            fps=self._plan.fps,
            revision=conditioning.revision,
            quality=0,
            timings_ms=stages.ms,
        )

    def commit(self, state: ClipState) -> None:
        """Do nothing: a clip remembers its last frame alone."""

    def truncate(self, state: ClipState, latent: int) -> None:
        """Go back to the last clip's beginning. Raises TruncationError for any other place."""
        if latent == state.now.made:
            return
        if state.before is None or state.before.made != latent:
            raise TruncationError(f"latent {latent} is not where the last clip began")
        state.now, state.before = state.before, None

    def close(self, state: ClipState) -> None:
        """Give the stream's place back; closing twice is closing once."""
        if not state.closed:
            state.closed = True
            self._open = 0

    def _admit(self, conditioning: Conditioning) -> None:
        if conditioning.mode not in self.capabilities.modes:
            raise ConditioningError(f"this model does {self.capabilities.modes[0]}, not {conditioning.mode}")
        if conditioning.mode == "i2v" and conditioning.image is None:
            raise ConditioningError("a picture is needed to begin: upload one first")
        if conditioning.quality:
            raise ConditioningError(f"quality {conditioning.quality} is not 0, the only one of this model")

    def _guides(self, state: ClipState, conditioning: Conditioning) -> list[Guide]:
        """What to follow, and with guidance what to keep away from."""
        given, picture = Given(), state.now.picture
        if conditioning.mode == "i2v" and picture is not None:
            shown = cover(picture, self._plan.width, self._plan.height).to(self._parts.device)
            given = show(shown, self._parts, self._plan.latents)
        prompts = (
            [conditioning.prompt] if self._plan.guidance == 1 else [conditioning.prompt, self._plan.negative_prompt]
        )
        texts = [self._texts(prompt).to(self._parts.dtype) for prompt in prompts]
        network = self._parts.transformer
        return [Guide(network.cross_keys_values(text, given.features), given.beside) for text in texts]

    def _decode(self, latents: Tensor) -> Tensor:
        """Decode a few latents at a time: all 81 frames at once take gigabytes at every layer."""
        memory, frames = None, list[Tensor]()
        for part in latents.split(DECODED_TOGETHER, dim=2):
            made, memory = self._parts.decoder.decode_frames(part, memory)
            frames.append(made)
        return torch.cat(frames, dim=2)

    def _flow(self, noisy: Tensor, timestep: float, guides: list[Guide]) -> Tensor:
        config = self._parts.transformer.config
        rows, columns = (size // patch for size, patch in zip(self._like[0], config.patch[1:], strict=True))
        places = torch.arange(noisy.shape[2], device=noisy.device)
        seen = Seen(None, rotations(places, rows, columns, config.head_dim))
        at = torch.full((1, 1), timestep, device=noisy.device)
        wanted, *unwanted = (self._sampler.flow(noisy, at, guide, seen, keep=False)[0] for guide in guides)
        return wanted if not unwanted else unwanted[0] + self._plan.guidance * (wanted - unwanted[0])
