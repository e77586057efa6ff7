"""Small stand-ins for pocket's parts: random weights of few layers, a drawn picture, made once."""

from copy import deepcopy
from functools import cache
from typing import cast

import numpy as np
import pytest
import torch

from pipeline.causal import CausalPipeline
from pipeline.networks.text_words import TextConfig
from pipeline.pocket.camera import Camera, glide
from pipeline.pocket.canvas import CPU, Canvas, prepare
from pipeline.pocket.decoder import AnchoredDecoder
from pipeline.pocket.intents import EFFECTS, LOGITS, NAMED, SPLIT
from pipeline.pocket.latents import CAMERA, CHANNELS, GRID, fit_camera
from pipeline.pocket.network import PocketConfig, PocketNetwork
from pipeline.pocket.painter.canvas import painted_canvas
from pipeline.pocket.reach import everything
from pipeline.pocket.view import View
from pipeline.session import picture_sha256
from pipeline.state import StreamState
from pipeline.types import Conditioning, Pixels

TEXT = TextConfig(vocabulary=300, table_dim=8, dim=32, num_layers=1, num_heads=2, length=12, outputs=LOGITS)
SMALL = PocketConfig(dim=32, ffn_dim=48, num_heads=2, num_layers=2, text=TEXT)
# A sixteenth of the frame: the same motion in fewer pixels.
VIEW = View(208, 120)

CANVASES: dict[tuple[object, ...], Canvas] = {}


@pytest.fixture
def made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Canvases and the decoder are made once: each takes longer than three chunks, and none changes."""
    monkeypatch.setattr("pipeline.pocket.sight.prepare", canvas_of)
    monkeypatch.setattr("pipeline.pocket.sight.painted_canvas", painted_once)
    monkeypatch.setattr("pipeline.pocket.decoders.AnchoredDecoder", decoder_of)


def canvas_of(image: Pixels, width: int, height: int, device: torch.device = CPU) -> Canvas:
    """A picture's canvas, of which nothing is looked at."""
    key = picture_sha256(image), width, height, device
    if key not in CANVASES:
        CANVASES[key] = prepare(image, width, height, device)
    return CANVASES[key]


decoder_of = cache(AnchoredDecoder)
painted_once = cache(painted_canvas)


@cache
def network() -> PocketNetwork:
    """A tiny network whose outputs are far from rest, so that nothing hides behind a dead zone."""
    torch.manual_seed(7)
    made = PocketNetwork(SMALL).eval().requires_grad_(False)
    made.text.table.copy_(torch.randint(-127, 127, made.text.table.shape, dtype=torch.int8))
    made.text.table_scale.fill_(0.02)
    torch.nn.init.normal_(made.transformer.head.head.weight, std=0.15)
    torch.nn.init.normal_(made.text.get_parameter("head.2.weight"), std=2.0)
    # Weather and flow cost most of a frame's time and have tests of their own: their channels stay zero.
    costly = [4, 5, 9, 10, 11]
    made.transformer.head.head.weight.view(-1, 12, SMALL.dim)[:, costly] = 0
    made.transformer.head.head.bias.view(-1, 12)[:, costly] = 0
    # What is drawn is never asked for, as its frames are more than what a latent decodes to; it has tests of its own.
    drawn = slice(SPLIT[0] + SPLIT[1] + len(EFFECTS), SPLIT[0] + SPLIT[1] + len(NAMED))
    made.text.get_parameter("head.2.weight")[drawn] = 0
    made.text.get_parameter("head.2.bias")[drawn] = -99
    # Where nothing flows nobody sees the plate behind a sky, which is half of the time that a stream takes to open.
    made.mask_head.weight.zero_()
    made.mask_head.bias.fill_(-9)
    return made


def ids(text: str) -> torch.Tensor:
    """Bytes of a text as token ids ``int64 [1, 12]``."""
    row = np.frombuffer(text.encode()[:12].ljust(12, b"\0"), np.uint8).astype(np.int64)
    return torch.from_numpy(row)[None]


def pipeline(latents_per_chunk: int = 1, max_streams: int = 2, steps: int = 2, variety: float = 0.0) -> CausalPipeline:
    """A pipeline around :func:`network`."""
    return CausalPipeline(
        network(),
        ids,
        steps=steps,
        latents_per_chunk=latents_per_chunk,
        max_streams=max_streams,
        examples=("pan",),
        variety=variety,
        views=(VIEW,),
    )


@cache
def picture(seed: int = 0, height: int = 500, width: int = 900) -> Pixels:
    """A smooth picture ``uint8 [H, W, 3]``, which nobody may paint on."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 60
    waves = [np.sin(x * a + b) * np.cos(y * c) for a, b, c in rng.random((3, 3)) * 2 + 0.5]
    made = (np.stack(waves, axis=-1) * 100 + 127).astype(np.uint8)
    made.setflags(write=False)
    return made


def conditioning(prompt: str = "pan left", seed: int = 3, quality: int = 0, picture_seed: int = 0) -> Conditioning:
    """A conditioning in i2v."""
    return Conditioning("i2v", prompt, picture(picture_seed), seed, quality=quality)


def copied(model: CausalPipeline, state: StreamState) -> StreamState:
    """Another stream at the same moment: weights hold nothing of it, so a copy of its state is as good as it."""
    model._open += 1
    return deepcopy(state, {id(state.canvas): state.canvas})


def beginning(model: CausalPipeline, state: StreamState) -> np.ndarray:
    """The picture from where a take began whose first latent was made last: where that latent's move has room."""
    pan, tilt, zoom, roll = fit_camera(state.now.motion.recent[:1, CAMERA])[0].tolist()
    pose = glide(Camera(), (pan, tilt, zoom, roll), state.canvas.view)[0][0]
    decoder = cast(AnchoredDecoder, model._decoders.of(state.canvas.view))
    return decoder._frame(torch.zeros(CHANNELS, *GRID), pose, state.canvas, 0.0, everything()).numpy()
