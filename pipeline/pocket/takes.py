"""Takes to be measured: the real pipeline, or the truth that it learns from, played under a script of prompts.

Both decode by the same anchored decoder, which here renders only the frames that are asked for and notes the
camera's pose at every frame; all else runs as it does live.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.causal import CausalPipeline
from pipeline.config import ModelConfig
from pipeline.factory import build
from pipeline.pocket.canvas import SCALE, Canvas, prepare, repainted, with_sky
from pipeline.pocket.data import encode_intents
from pipeline.pocket.decoder import Motion
from pipeline.pocket.drawn.drawing import wishes_of
from pipeline.pocket.drawn.marks import with_marks
from pipeline.pocket.intents import dense
from pipeline.pocket.ladder import ladder
from pipeline.pocket.language import Prompt
from pipeline.pocket.latents import CHANNELS, GRID, LATENTS_PER_SECOND
from pipeline.pocket.layers import Layer
from pipeline.pocket.masks import guess
from pipeline.pocket.network import MASKS
from pipeline.pocket.pose import Pose
from pipeline.pocket.showing import Showing
from pipeline.pocket.sparse import Notes, SparseDecoder, SparseGpuDecoder
from pipeline.pocket.towers import Towers
from pipeline.pocket.truth import Intents, advance, target
from pipeline.pocket.view import HEIGHT, WIDTH, View
from pipeline.schedule import noise
from pipeline.types import Conditioning, Pixels

FRAMES_PER_LATENT = 4
FPS = LATENTS_PER_SECOND * FRAMES_PER_LATENT


@dataclass(frozen=True, slots=True)
class Script:
    """Prompts by the latent from which they hold (the first is 0), how many latents, and which frames to render.

    With ``probe``, each of these frames is rendered once more with noise in place of the picture. ``noise`` scales all
    noise that the model draws; ``steps`` are its steps, 0 for as many as are shipped; ``without`` is a tower that is
    taken out (:mod:`pipeline.pocket.towers`), ``labels`` a picture whose hand-drawn labels are its layers.
    """

    prompts: tuple[tuple[int, Prompt], ...]
    latents: int
    frames: frozenset[int]
    seed: int = 1
    probe: bool = False
    noise: float = 1.0
    steps: int = 0
    without: str = ""
    labels: str = ""

    def prompt_at(self, latent: int) -> Prompt:
        """The prompt that holds at a latent."""
        return [prompt for start, prompt in self.prompts if start <= latent][-1]


@dataclass(slots=True, eq=False)
class Take:
    """What came of a script: the canvas, rendered frames by index at 16 a second, every frame's pose, chunk times.

    ``probed`` are the same frames of the probe, the first of them at rest; ``strengths`` how strong each latent is, as
    the decoder was shown it (:func:`strength`).
    """

    canvas: Canvas
    frames: dict[int, Pixels] = field(default_factory=dict[int, Pixels])
    probed: list[Pixels] = field(default_factory=list[Pixels])
    poses: list[Pose] = field(default_factory=list[Pose])
    strengths: list[list[float]] = field(default_factory=list[list[float]])
    chunk_ms: list[float] = field(default_factory=list[float])

    @property
    def picture(self) -> Pixels:
        """The picture as the view at rest shows it, ``uint8 [H, W, 3]``."""
        return self.canvas.rest.numpy()


class Player(Protocol):
    """Plays scripts over pictures; ``steps`` is how many are shipped, 1 where nothing is sampled."""

    steps: int

    def play(self, image: Pixels, script: Script) -> Take:
        """Play a script from rest over a picture ``uint8 [H, W, 3]``."""
        ...


class ModelPlayer:
    """The pipeline that the server runs."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = replace(config, latents_per_chunk=1, shapes=[])
        self._pipeline = pipeline = cast(CausalPipeline, build(self._config))
        self._device, self._noise, self.steps = pipeline._device, 1.0, config.steps
        view = View(*pipeline.capabilities.sizes[0])
        on_gpu = self._device.type != "cpu"
        self._decoder = SparseGpuDecoder(view, FRAMES_PER_LATENT, self._device) if on_gpu else SparseDecoder(view=view)
        pipeline._decoders.use(view, self._decoder)
        self._towers = Towers(pipeline)

    def play(self, image: Pixels, script: Script) -> Take:
        """Open, generate and commit chunk after chunk, as the server's engine does."""
        pipeline = self._pipeline
        pipeline._rungs = ladder(script.steps or self.steps, FRAMES_PER_LATENT)
        self._scale_noise(script.noise)
        self._towers.all_but(script.without)
        if script.labels:
            self._towers.tell(script.labels)
        state = pipeline.open(self._conditioning(image, script, 0))
        notes = self._decoder.notes = Notes(script.frames, probe(state.canvas) if script.probe else None)
        take = Take(on_host(state.canvas), poses=notes.poses, probed=notes.probed, strengths=notes.strengths)
        for latent in range(script.latents):
            begun = time.perf_counter()
            chunk = pipeline.generate_chunk(state, self._conditioning(image, script, latent))
            pipeline.commit(state)
            take.chunk_ms.append((time.perf_counter() - begun) * 1000)
            keep(take, chunk.frames, latent, script.frames)
        pipeline.close(state)
        return take

    def _scale_noise(self, scale: float) -> None:
        """Have all chance, of the sampler and of a motion of its own, from noise so large."""
        if scale != self._noise:
            source, pipeline, self._noise = partial(scaled_noise, scale), self._pipeline, scale
            pipeline._showing = Showing(source, self._config.variety, self._device)
            pipeline._passes.draw_from(source)

    def _conditioning(self, image: Pixels, script: Script, latent: int) -> Conditioning:
        return Conditioning("i2v", script.prompt_at(latent).text, image, script.seed)


class TruthPlayer:
    """What the network is trained towards: the prompts' meanings rolled out in closed form."""

    def __init__(self) -> None:
        self._decoder = SparseDecoder()
        self.steps = 1

    @torch.inference_mode()
    def play(self, image: Pixels, script: Script) -> Take:
        """Roll the truth out under the prompts' meanings; their words play no part."""
        canvas = prepare(image, WIDTH, HEIGHT)
        masks = picture_masks(canvas.rest.numpy())
        canvas = with_marks(with_sky(canvas, masks[:, MASKS.index("sky")][:, None]))
        notes = self._decoder.notes = Notes(script.frames, probe(canvas) if script.probe else None)
        take = Take(canvas, poses=notes.poses, probed=notes.probed, strengths=notes.strengths)
        now = before = torch.zeros(1, CHANNELS, *GRID)
        motion = Motion.at_rest()
        for latent in range(script.latents):
            told = meaning(script.prompt_at(latent))
            now, before = advance(now, before, target(told, masks)), now
            motion = motion.wishing(wishes_of(dense(told)), script.seed)
            pixels, motion = self._decoder.decode(motion, now[0], canvas, FRAMES_PER_LATENT)
            keep(take, pixels.numpy(), latent, script.frames)
        return take


def scaled_noise(scale: float, seed: int, latent: int, step: int, shape: tuple[int, ...]) -> Tensor:
    """The pipeline's noise, larger or smaller."""
    return scale * noise(seed, latent, step, shape)


def picture_masks(picture: Pixels) -> Tensor:
    """Guessed masks of a view, ``float32 [1, 4, 32, 56]``."""
    small = [cv2.resize(m, GRID[::-1], interpolation=cv2.INTER_AREA) for m in guess(picture)]
    return torch.from_numpy(np.stack(small)).float()[None] / 255


def meaning(prompt: Prompt) -> Intents:
    """A prompt's meaning as a batch of one."""
    columns = {key: torch.from_numpy(value) for key, value in encode_intents([prompt]).items()}
    return Intents(**{k: v.float() if v.is_floating_point() else v.long() for k, v in columns.items()})


def probe(canvas: Canvas) -> Canvas:
    """The canvas with noise for a picture: same layers, nothing to be seen but what is done to it."""
    height, width = canvas.size
    generator = torch.Generator().manual_seed(0)
    # Grains of about 8 px of the frame: a swing of 6 px still changes more the farther it goes.
    grains = torch.rand(1, 1, height // (8 * SCALE), width // (8 * SCALE), generator=generator)
    noise = 64 + 128 * F.interpolate(grains, size=(height, width), mode="bicubic", align_corners=False)
    return repainted(canvas, noise.clamp(0, 255).expand(-1, 3, -1, -1).to(canvas.texture.device).contiguous())


def on_host(canvas: Canvas) -> Canvas:
    """What a take is read by of a canvas that may be a GPU's: picture, sky, subject and depth, on the host."""
    depth, layers = canvas.depth, canvas.layers
    subject = None if layers is None or layers.subject is None else layers.subject
    if layers is not None and subject is not None:
        subject = Layer(subject.cut.cpu(), subject.hole.cpu(), subject.behind.cpu())
        layers = replace(layers, subject=subject)
    return replace(
        canvas,
        texture=canvas.texture.cpu(),
        rest=canvas.rest.cpu(),
        sky=canvas.sky.cpu(),
        layers=layers,
        depth=depth and replace(depth, near=depth.near.cpu()),
    )


def keep(take: Take, frames: Pixels, latent: int, wanted: frozenset[int]) -> None:
    """Put a latent's wanted frames into the take."""
    first = latent * FRAMES_PER_LATENT
    take.frames.update((first + n, frame) for n, frame in enumerate(frames) if first + n in wanted)


def script(
    *prompts: tuple[float, Prompt], seconds: float, frames: Sequence[int] = (), every: int = 0, seed: int = 1
) -> Script:
    """Make a script from prompts by their second; ``every`` renders each so many frames, ``frames`` more of them."""
    latents = round(seconds * LATENTS_PER_SECOND)
    regular = range(0, latents * FRAMES_PER_LATENT, every) if every else ()
    starts = tuple((round(at * LATENTS_PER_SECOND), prompt) for at, prompt in prompts)
    return Script(starts, latents, frozenset([*frames, *regular]), seed)
