from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import WeightsError
from pipeline.types import Conditioning
from pipeline.wan.build import build as build_wan
from pipeline.wan.build import ladder, room
from pipeline.wan.clips import ClipPipeline
from pipeline.wan.decision import Machine
from pipeline.wan.memory import GIB, Placement, another, can_recache, demand, size
from pipeline.wan.pipeline import WanPipeline
from pipeline.wan.sizes import SIZES
from tests.wan_parts import picture

CPU = Machine(torch.device("cpu"), 1 << 62)
GPU = Machine(torch.device("cuda"), 80 * GIB)
RANDOM = ModelConfig(kind="wan", weights="random", latents_per_chunk=2, threads=1)
SMALL = WanConfig(size="tiny", width=64, height=64, window=5, sink=1, denoising_steps=[1000, 500], device="cpu")


def silent(stage: str) -> None:
    """Tell nobody."""


@pytest.mark.parametrize("vae", ["taehv", "wan"])
@pytest.mark.parametrize(
    ("size_name", "entry", "sampling", "made"),
    [
        ("tiny", "first_latent", "few_steps", WanPipeline),
        ("tiny", "none", "clips", ClipPipeline),
        ("tiny-i2v", "clip", "few_steps", WanPipeline),
    ],
)
def test_every_form_is_built_and_makes_frames(size_name: str, entry: str, sampling: str, made: type, vae: str) -> None:
    """With random weights each way of sampling, of taking a picture and of decoding gives a chunk of the right size."""
    wan = replace(SMALL, size=size_name, image_entry=entry, sampling=sampling, vae=vae, clip_steps=1)
    if sampling == "clips":
        pytest.importorskip("transformers")
    told: list[str] = []
    pipeline = build_wan(RANDOM, wan, told.append)
    assert isinstance(pipeline, made)
    assert told[:2] == ["loading the text encoder", "loading the transformer"]
    assert pipeline.capabilities.image_entry == entry
    mode = pipeline.capabilities.modes[-1]
    asked = Conditioning(mode, "snow falls", picture() if mode == "i2v" else None, 1)
    if sampling == "few_steps":
        chunk = pipeline.generate_chunk(pipeline.open(asked), asked)
        assert chunk.frames.shape[1:] == (64, 64, 3)
        assert chunk.frames.std() > 1


def test_missing_files_are_named_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    """Nothing is loaded, and nothing downloaded, where a file is missing."""
    wan = replace(SMALL, folder=str(tmp_path))
    with pytest.raises(WeightsError, match=r"python -m pipeline\.download --model wan_1_3b"):
        build_wan(replace(RANDOM, weights=""), wan, silent)


def test_the_ladder_drops_steps_and_keeps_their_spacing() -> None:
    """Every rung begins at full noise; the shift is applied where the configuration says so."""
    warped, plain = ladder(WanConfig()), ladder(WanConfig(warp_steps=False))
    assert [steps[0] for steps in warped] == [1000.0] * 3
    assert plain == ((1000.0, 750.0, 500.0, 250.0), (1000.0, 667.0, 333.0), (1000.0, 500.0))
    assert warped[2][1] == pytest.approx(833.333, abs=1e-3)


def test_as_many_streams_as_fit() -> None:
    """The first is counted with the weights; each further needs a window and a decoder's memory."""
    needed = demand(SIZES["1.3b"], 1_418_996_800, (12, 3), (832, 480), wan_vae=False)
    placement = Placement("device", "dtype", True, None)
    counts = [room(Machine(GPU.device, gib * GIB), needed, placement, 8) for gib in (24, 32, 80)]
    assert counts == [1, 2, 8]
    assert room(CPU, needed, placement, 5) == 5


def test_a_recache_is_told_where_every_stream_has_room_for_it() -> None:
    """A second window of 3.2 GiB for each of them, beside all else; a CPU always has it."""
    needed = demand(SIZES["1.3b"], 1_418_996_800, (12, 3), (832, 480), wan_vae=False)
    placement = Placement("device", "dtype", True, None)
    alone = size(needed, placement)
    for streams in (1, 3):
        enough = alone + (streams - 1) * another(needed, placement) + streams * needed.window
        told = [can_recache(needed, placement, bytes, streams) for bytes in (enough - 1, enough, CPU.available)]
        assert told == [False, True, True]
