from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import ConfigError, WeightsError
from pipeline.types import Conditioning
from pipeline.wan.build import GIB, Machine, check, decide, find_machine, fit_to, ladder, room
from pipeline.wan.build import build as build_wan
from pipeline.wan.clips import ClipPipeline
from pipeline.wan.memory import Placement, another, can_recache, demand, size
from pipeline.wan.pipeline import WanPipeline
from pipeline.wan.sizes import SIZES
from stream.config import load
from tests.wan_parts import picture

CPU = Machine(torch.device("cpu"), 1 << 62)
GPU = Machine(torch.device("cuda"), 80 * GIB)
RANDOM = ModelConfig(kind="wan", weights="random", latents_per_chunk=2, threads=1)
SMALL = WanConfig(size="tiny", width=64, height=64, window=5, sink=1, denoising_steps=[1000, 500], device="cpu")
CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("wan_*.yaml"))


def silent(stage: str) -> None:
    """Tell nobody."""


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_shipped_configurations_hold_together(path: Path) -> None:
    """Each names a model that has its files listed, and settings that fit it, on a GPU."""
    config = load(path)
    assert config.model.kind == "wan"
    assert config.wan.model == path.stem
    check(config.model, fit_to(GPU, config.model, config.wan))


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


def test_without_a_gpu_random_weights_run_as_a_toy_and_others_say_what_would() -> None:
    """A CPU gets the form of the model at a size that it can make; the real one only by name."""
    reduced = fit_to(CPU, RANDOM, WanConfig())
    assert (reduced.size, reduced.width, reduced.height) == ("tiny", 208, 112)
    assert fit_to(CPU, RANDOM, WanConfig(size="i2v-14b")).size == "tiny-i2v"
    with pytest.raises(ConfigError, match=r"model\.kind=pocket runs on a CPU"):
        fit_to(CPU, ModelConfig(kind="wan"), WanConfig())
    assert fit_to(CPU, ModelConfig(kind="wan"), WanConfig(device="cpu")).size == "1.3b"
    assert fit_to(GPU, ModelConfig(kind="wan"), WanConfig()).size == "1.3b"


@pytest.mark.parametrize(
    ("model", "wan", "told"),
    [
        ({}, {"width": 830}, "wan.width: 830 is not a multiple of 16; 832 is"),
        ({}, {"image_entry": "clip"}, "first_latent or none does"),
        ({}, {"size": "i2v-14b"}, "clip does"),
        ({"latents_per_chunk": 3}, {"window": 5, "sink": 3}, "3; 6 do"),
        ({}, {"denoising_steps": [500, 1000]}, "must fall"),
        ({}, {"denoising_steps": []}, "must fall"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    model: dict[str, object], wan: dict[str, object], told: str
) -> None:
    """The message says what would go."""
    with pytest.raises(ConfigError, match=told):
        check(replace(RANDOM, **model), replace(WanConfig(), **wan))


def test_missing_files_are_named_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    """Nothing is loaded, and nothing downloaded, where a file is missing."""
    wan = replace(SMALL, folder=str(tmp_path))
    with pytest.raises(WeightsError, match=r"python -m pipeline\.download --model wan_1_3b"):
        build_wan(replace(RANDOM, weights=""), wan, silent)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told() -> None:
    """Asking for CUDA without it says what runs instead."""
    with pytest.raises(ConfigError, match=r"model\.kind=pocket"):
        find_machine(WanConfig(device="cuda"))
    with pytest.raises(ConfigError, match="fa3 needs a Hopper GPU"):
        decide(RANDOM, replace(SMALL, attention="fa3"))


def test_the_ladder_drops_steps_and_keeps_their_spacing() -> None:
    """Every rung begins at full noise; the shift is applied where the configuration says so."""
    warped, plain = ladder(WanConfig()), ladder(WanConfig(warp_steps=False))
    assert [steps[0] for steps in warped] == [1000.0] * 3
    assert plain == ((1000.0, 750.0, 500.0, 250.0), (1000.0, 667.0, 333.0), (1000.0, 500.0))
    assert warped[2][1] == pytest.approx(833.333, abs=1e-3)


def test_files_get_the_fine_decoder_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """With memory for it clips are decoded by the Wan VAE, with less by the small one; live video always by that."""
    monkeypatch.setattr("pipeline.wan.build.available_kernels", lambda: ("sdpa",))
    clips = WanConfig(size="i2v-14b", image_entry="clip", sampling="clips")
    for wan, gib, expected in ((clips, 48, "wan"), (clips, 25, "taehv"), (WanConfig(), 48, "taehv")):
        machine = Machine(GPU.device, gib * GIB)
        monkeypatch.setattr("pipeline.wan.build.find_machine", lambda _wan, machine=machine: machine)
        assert decide(RANDOM, wan).wan.vae == expected
    monkeypatch.setattr("pipeline.wan.build.find_machine", lambda _wan: Machine(GPU.device, 25 * GIB))
    with pytest.raises(ConfigError, match="in its smallest form"):
        decide(RANDOM, replace(clips, vae="wan"))


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
