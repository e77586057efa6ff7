"""Pocket's pipeline around its parts for a GPU: any size and rate, the stream's state as on a CPU."""

import logging
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch

from pipeline.causal import CausalPipeline, ladder
from pipeline.config import ModelConfig
from pipeline.factory import build
from pipeline.pocket.gpu_decoder import GpuDecoder
from pipeline.pocket.gpu_passes import GpuPasses
from pipeline.pocket.language import Intents, Prompt
from pipeline.pocket.takes import ModelPlayer, Script
from pipeline.pocket.view import View
from pipeline.pocket.warming import warn_if_slow
from pipeline.types import Chunk, Conditioning, Pixels
from tests import pocket_parts
from tests.pocket_parts import conditioning
from tests.pocket_parts import made_once as made_once

VIEW, FRAMES = View(208, 120), 5


@pytest.fixture(autouse=True)
def shared(made_once: None) -> None:
    """Every test takes the same pictures."""


@cache
def gpu_decoder() -> GpuDecoder:
    return GpuDecoder(VIEW, FRAMES, torch.device("cpu"))


def plain(latents_per_chunk: int = 1, frames: int = FRAMES) -> CausalPipeline:
    return CausalPipeline(
        pocket_parts.network(),
        pocket_parts.ids,
        steps=2,
        latents_per_chunk=latents_per_chunk,
        max_streams=3,
        views=(VIEW,),
        frames_per_latent=frames,
    )


def fast(latents_per_chunk: int = 1) -> CausalPipeline:
    """The pipeline with the parts that a GPU gets, on the CPU."""
    made = plain(latents_per_chunk)
    made._passes = GpuPasses(pocket_parts.network())
    made._decoders.use(VIEW, gpu_decoder())
    return made


def run(model: CausalPipeline, asked: Sequence[Conditioning]) -> list[Chunk]:
    state = model.open(asked[0])
    return [model.generate_chunk(state, each) for each in asked]


def frames(chunks: list[Chunk]) -> np.ndarray:
    return np.concatenate([chunk.frames for chunk in chunks]).astype(int)


def test_any_size_and_rate_is_made() -> None:
    """60 frames/s are 15 of each latent; the format, the first frame and the ladder say so."""
    model = plain(frames=15)
    assert (model.format.width, model.format.height, model.format.fps) == (208, 120, 60)
    assert [level.fps for level in model.capabilities.quality] == [60, 60, 44, 32]
    assert all(rung.frames > 0 for count in range(1, 16) for rung in ladder(2, count))
    state = model.open(conditioning())
    chunk = model.generate_chunk(state, conditioning())
    assert chunk.frames.shape == (15, 120, 208, 3)
    assert chunk.fps * model.format.chunk_seconds == 15
    assert np.array_equal(chunk.frames[0], pocket_parts.beginning(model, state))


def test_a_gpus_parts_make_the_same_video() -> None:
    """Under prompts and qualities that change, frames are the plain ones to a grey level."""
    asked = [conditioning("pan left"), conditioning("zoom in", quality=2), conditioning("pan left", quality=1)]
    ours, theirs = frames(run(fast(), asked)), frames(run(plain(), asked))
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1


def test_chunks_of_two_latents_hold_both() -> None:
    """The second latent's frames do not overwrite the first's."""
    assert np.array_equal(frames(run(fast(2), [conditioning()])), frames(run(fast(), [conditioning()] * 2)))


def test_going_back_and_elsewhere_leaves_no_trace() -> None:
    """Truncated, beside another stream, or restored from bytes: the frames are the same, to the bit."""
    model, asked = fast(), conditioning()
    wanted = frames(run(model, [asked] * 4))
    state, other = model.open(asked), model.open(conditioning("night", seed=9, picture_seed=1))
    made = [model.generate_chunk(state, asked) for _ in range(2)]
    model.generate_chunk(state, conditioning("snow"))
    model.generate_chunk(other, asked)
    model.truncate(state, 2)
    saved = model.save(state)
    model.close(other)
    again = model.open(asked)
    model.restore(again, saved)
    assert np.array_equal(frames([*made, *(model.generate_chunk(again, asked) for _ in range(2))]), wanted)


def test_a_machine_too_slow_says_what_would_do(caplog: pytest.LogCaptureFixture) -> None:
    """When even the least quality takes longer than it plays, the log names the settings."""
    with caplog.at_level(logging.WARNING):
        warn_if_slow(plain().format, 0.2)
        assert not caplog.messages
        warn_if_slow(plain().format, 0.4)
    assert "0.25 s of 208x120 video take 0.40 s to make here" in caplog.text
    assert "model.device=cuda" in caplog.text


def drawn() -> Pixels:
    return pocket_parts.picture(height=300, width=500)


@pytest.mark.gpu
def test_pocket_on_a_gpu_makes_the_cpus_video() -> None:
    """The model itself, in float32 at 1080p60 and elsewhere: a GPU's frames are the CPU's but for rounding."""
    for size in ({"width": 832, "height": 480, "fps": 16}, {"width": 1920, "height": 1080, "fps": 60}):
        asked = [Conditioning("i2v", "the camera pans left, snow falls", drawn(), 3)] * 3
        made = [
            frames(run(build(ModelConfig(device=device, dtype="float32", **size)), asked))  # type: ignore[arg-type]
            for device in ("cpu", "cuda")
        ]
        apart = np.abs(made[0] - made[1])
        assert apart[0].max() <= 2
        assert apart.mean() < 0.5
        assert np.percentile(apart[-1], 99) < 12


@pytest.mark.gpu
def test_a_stream_goes_on_from_bytes_on_a_gpu() -> None:
    """Saved and restored, truncated and made again: bit-equal, as on a CPU."""
    model = build(ModelConfig(device="cuda", width=416, height=240, fps=60))
    assert isinstance(model, CausalPipeline)
    asked = Conditioning("i2v", "clouds drift, the camera zooms in", drawn(), 3)
    state = model.open(asked)
    made = [model.generate_chunk(state, asked) for _ in range(4)]
    model.truncate(state, 2)
    other = model.open(asked)
    model.restore(other, model.save(state))
    for stream in (state, other):
        assert np.array_equal(frames([model.generate_chunk(stream, asked) for _ in range(2)]), frames(made[2:]))


@pytest.mark.gpu
def test_what_is_measured_on_a_gpu_is_the_cpus() -> None:
    """Of a take of which some frames are wanted, each with the probe: the CPU's, but for rounding."""
    asked = Script(((0, Prompt("the leaves sway, rain", Intents("none"))),), 12, frozenset({17, 40, 41}), probe=True)
    takes = [ModelPlayer(ModelConfig(device=name, dtype="float32")).play(drawn(), asked) for name in ("cpu", "cuda")]
    for one, other in zip(*([*take.frames.values(), *take.probed] for take in takes), strict=True):
        assert np.abs(one.astype(int) - other).mean() < 0.5
    np.testing.assert_allclose(takes[0].strengths, takes[1].strengths, atol=1e-2)
