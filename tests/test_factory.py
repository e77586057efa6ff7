"""From a configuration to a pipeline that can be warmed up."""

import sys
from pathlib import Path

import pytest
import torch

from pipeline import factory
from pipeline.causal import CausalPipeline
from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import ConfigError
from pipeline.factory import build, check_pocket, find_device
from stream.config import load


def test_pocket_tells_its_start() -> None:
    """Pocket is built with nothing configured, and tells that it reads its weights."""
    told: list[str] = []
    assert build(ModelConfig(), progress=told.append).capabilities.model == "pocket"
    assert told == ["reading pocket's weights"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_pockets_weights_hold_no_file_in_memory() -> None:
    """Nothing of the model lies in the pages of its file, all of which would stay for it."""
    pipeline = build(ModelConfig())
    assert isinstance(pipeline, CausalPipeline)
    mapped = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if ".safetensors" in line]
    places = [tuple(int(end, 16) for end in parts[0].split("-")) for parts in mapped]
    for name, tensor in pipeline._network.state_dict().items():
        assert not any(first <= tensor.data_ptr() < last for first, last in places), name


def test_wan_tells_its_start() -> None:
    """Wan tells each network that it loads and each chunk of its warm-up, which fills the window and times the rest."""
    told: list[str] = []
    model = ModelConfig(kind="wan", weights="random", latents_per_chunk=1, threads=1)
    wan = WanConfig(size="tiny", device="cpu", width=64, height=64, window=4, sink=1, denoising_steps=[1000, 500])
    pipeline = build(model, wan, told.append)
    loading = list(told)
    assert len(loading) > 1
    assert all(stage.startswith("loading ") for stage in loading)
    seconds = pipeline.warm_up(told.append)
    chunks = 4 + 2 * len(pipeline.capabilities.quality)
    assert told[len(loading) :] == [f"warming up: chunk {number} of {chunks}" for number in range(1, chunks + 1)]
    assert len(seconds) == len(pipeline.capabilities.quality)
    assert min(seconds) > 0


def test_a_whole_clip_is_warmed_up_by_single_steps() -> None:
    """A Wan model that makes whole clips tells the steps of its warm-up."""
    told: list[str] = []
    model = ModelConfig(kind="wan", weights="random", threads=1)
    wan = WanConfig(size="tiny", device="cpu", width=64, height=64, sampling="clips", image_entry="none", clip_steps=3)
    assert len(build(model, wan).warm_up(told.append)) == 1
    assert told == ["warming up: step 1 of 2", "warming up: step 2 of 2"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (ModelConfig(fps=50), "model.fps: 50 is no multiple of 4, in which pocket counts; take 48"),
        (ModelConfig(height=481), "model.height: 481 is odd"),
        (ModelConfig(kind="wan", width=1920), "model.width is pocket's; set wan.width"),
        (ModelConfig(kind="wan", variety=0.5), "model.variety is pocket's$"),
        (ModelConfig(kind="wan", device="cuda"), "model.device is pocket's; set wan.device"),
    ],
)
def test_what_pocket_cannot_make_is_refused(wrong: ModelConfig, says: str) -> None:
    """A rate or size that there can't be, and pocket's settings for another model, say what would do."""
    with pytest.raises(ConfigError, match=says):
        build(wrong)


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuda without a GPU is an error that says what a CPU can make; auto takes the CPU."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"no CUDA GPU here; a CPU makes model\.device=cpu model\.width=832"):
        build(ModelConfig(device="cuda"))
    assert find_device("auto").type == find_device("cpu").type == "cpu"


def test_the_configuration_for_a_gpu_is_pockets_at_1080p60() -> None:
    """configs/pocket_1080p60.yaml is read by the server, and asks for what its name says, in one process."""
    config = load(Path(__file__).parents[1] / "configs" / "pocket_1080p60.yaml")
    model = config.model
    assert (model.device, model.width, model.height, model.fps) == ("cuda", 1920, 1080, 60)
    assert config.engine.kind == "thread"
    check_pocket(model)


def test_a_model_of_another_kind_is_refused() -> None:
    """A kind that there is not is an error that names those that there are."""
    with pytest.raises(ConfigError, match="pocket, wan"):
        build(ModelConfig(kind="other"))


def test_what_cannot_multiply_bfloat16_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without instructions for it computes in float32 at once: to time what it emulates takes a second."""

    def never() -> float:
        raise AssertionError("it was timed")

    monkeypatch.setattr("pipeline.pocket.cpu_passes.multiplies_bfloat16", lambda: False)
    monkeypatch.setattr("pipeline.factory.time.perf_counter", never)
    assert factory._faster_dtype(torch.device("cpu")) == torch.float32
    monkeypatch.setattr("pipeline.pocket.cpu_passes.multiplies_bfloat16", lambda: True)
    with pytest.raises(AssertionError, match="timed"):
        factory._faster_dtype(torch.device("cpu"))
