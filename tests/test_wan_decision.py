from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import ConfigError
from pipeline.wan.decision import Machine, check, decide, find_machine, fit_to
from pipeline.wan.memory import GIB
from stream.config import load

CPU = Machine(torch.device("cpu"), 1 << 62)
GPU = Machine(torch.device("cuda"), 80 * GIB)
RANDOM = ModelConfig(kind="wan", weights="random", latents_per_chunk=2)
CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("wan_*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_shipped_configurations_hold_together(path: Path) -> None:
    """Each names a model that has its files listed, and settings that fit it, on a GPU."""
    config = load(path)
    assert config.model.kind == "wan"
    assert config.wan.model == path.stem
    check(config.model, fit_to(GPU, config.model, config.wan))


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told() -> None:
    """Asking for CUDA without it says what runs instead."""
    with pytest.raises(ConfigError, match=r"model\.kind=pocket"):
        find_machine(WanConfig(device="cuda"))
    with pytest.raises(ConfigError, match="fa3 needs a Hopper GPU"):
        decide(RANDOM, WanConfig(size="tiny", device="cpu", attention="fa3"))


def test_files_get_the_fine_decoder_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """With memory for it clips are decoded by the Wan VAE, with less by the small one; live video always by that."""
    monkeypatch.setattr("pipeline.wan.decision.available_kernels", lambda: ("sdpa",))
    clips = WanConfig(size="i2v-14b", image_entry="clip", sampling="clips")
    for wan, gib, expected in ((clips, 48, "wan"), (clips, 25, "taehv"), (WanConfig(), 48, "taehv")):
        machine = Machine(GPU.device, gib * GIB)
        monkeypatch.setattr("pipeline.wan.decision.find_machine", lambda _wan, machine=machine: machine)
        assert decide(RANDOM, wan).wan.vae == expected
    monkeypatch.setattr("pipeline.wan.decision.find_machine", lambda _wan: Machine(GPU.device, 25 * GIB))
    with pytest.raises(ConfigError, match="in its smallest form"):
        decide(RANDOM, replace(clips, vae="wan"))
