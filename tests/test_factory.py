"""From a configuration to a pipeline that can be warmed up."""

import pytest

from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import ConfigError
from pipeline.factory import build


def test_pocket_tells_its_start() -> None:
    """Pocket is built with nothing configured, and tells that it reads its weights."""
    told: list[str] = []
    assert build(ModelConfig(), progress=told.append).capabilities.model == "pocket"
    assert told == ["reading pocket's weights"]


def test_wan_tells_its_start() -> None:
    """Wan tells each network that it loads and each chunk of its warm-up, which fills the window and times the rest."""
    told: list[str] = []
    model = ModelConfig(kind="wan", weights="random", latents_per_chunk=1)
    wan = WanConfig(size="tiny", device="cpu", width=64, height=64, window=4, sink=1, denoising_steps=[1000, 500])
    pipeline = build(model, wan, told.append)
    loading = list(told)
    assert len(loading) > 1
    assert all(stage.startswith("loading ") for stage in loading)
    seconds = pipeline.warm_up(told.append)
    chunks = 5 + 2 * len(pipeline.capabilities.quality)
    assert told[len(loading) :] == [f"warming up: chunk {number} of {chunks}" for number in range(1, chunks + 1)]
    assert len(seconds) == len(pipeline.capabilities.quality)
    assert min(seconds) > 0


def test_a_whole_clip_is_warmed_up_by_single_steps() -> None:
    """A Wan model that makes whole clips tells the steps of its warm-up."""
    told: list[str] = []
    model = ModelConfig(kind="wan", weights="random")
    wan = WanConfig(size="tiny", device="cpu", width=64, height=64, sampling="clips", image_entry="none", clip_steps=3)
    assert len(build(model, wan).warm_up(told.append)) == 1
    assert told == ["warming up: step 1 of 2", "warming up: step 2 of 2"]


def test_a_model_of_another_kind_is_refused() -> None:
    """A kind that there is not is an error that names those that there are."""
    with pytest.raises(ConfigError, match="pocket, wan"):
        build(ModelConfig(kind="other"))
