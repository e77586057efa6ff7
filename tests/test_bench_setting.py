import os
from pathlib import Path

import pytest

from pipeline.bench.setting import read, switched
from pipeline.errors import ConfigError

CONFIGS = Path(__file__).parents[1] / "configs"
WAN = CONFIGS / "wan_1_3b.yaml"


def test_wan_has_random_weights_unless_others_are_named() -> None:
    """Nothing must be downloaded to measure; a checkpoint that is named is taken, and pocket keeps its own."""
    assert read(WAN, []).config.model.weights == "random"
    assert read(WAN, ["model.weights=mine.safetensors"]).config.model.weights == "mine.safetensors"
    assert read(CONFIGS / "pocket.yaml", []).config.model.weights == ""


def test_switches_stand_among_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in the environment while their setting runs, and never after, whatever happened."""
    monkeypatch.setenv("NO_CUDA_GRAPH", "0")
    monkeypatch.delenv("NO_TORCH_COMPILE", raising=False)
    setting = read(WAN, ["NO_CUDA_GRAPH=1", "wan.window=21", "NO_TORCH_COMPILE=1"])
    assert setting.config.wan.window == 21

    def fails() -> None:
        with switched(setting):
            assert (os.environ["NO_CUDA_GRAPH"], os.environ["NO_TORCH_COMPILE"]) == ("1", "1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert os.environ["NO_CUDA_GRAPH"] == "0"
    assert "NO_TORCH_COMPILE" not in os.environ


def test_a_setting_is_named_for_people() -> None:
    """By what was said over the configuration, or as it is told."""
    named = [read(WAN, words, name).name for words, name in (([], ""), (["wan.sink=1"], ""), ([], "the same"))]
    assert named == ["as configured", "wan.sink=1", "the same"]


def test_what_is_not_live_is_refused() -> None:
    """Clips are made for files; there is no chunk that somebody waits for."""
    with pytest.raises(ConfigError, match=r"wan\.sampling: clips is for files"):
        read(WAN, ["wan.sampling=clips"])
