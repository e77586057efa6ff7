import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.bench import ceilings
from pipeline.bench.__main__ import main, take_turns
from tests.fakes import FakePipeline
from tests.test_imports import TORCH, loaded

ROOT = Path(__file__).parents[1]
TINY = [
    *(str(ROOT / "configs/wan_1_3b.yaml"), "--no-start", "--chunks", "2", "model.latents_per_chunk=2"),
    *("model.threads=1", "wan.size=tiny", "wan.device=cpu", "wan.width=64", "wan.height=64"),
    *("wan.window=4", "wan.sink=1", "wan.denoising_steps=1000,500"),
]
NUMBER = {"type": "number", "minimum": 0}
SUMMARY = {
    "type": "object",
    "required": ["context", "passes"],
    "additionalProperties": {
        "type": "object",
        "required": ["median", "min", "p95"],
        "additionalProperties": NUMBER,
    },
}
SETTING = {
    "type": "object",
    "required": ["name", "words", "facts", "ms", "samples_ms", "frames", "frames_per_s", "times_real_time", "peak_gib"],
    "properties": {
        "words": {"type": "array", "items": {"type": "string"}},
        "ms": SUMMARY,
        "samples_ms": {"type": "object", "additionalProperties": {"type": "array", "items": NUMBER, "minItems": 2}},
        "frames": {"type": "integer", "minimum": 1},
        "frames_per_s": NUMBER,
        "times_real_time": NUMBER,
        "peak_gib": {"type": "number", "exclusiveMinimum": 0},
        "start_s": {"type": ["object", "null"], "additionalProperties": NUMBER},
        "tflop": NUMBER,
        "share_of_ceiling": {"type": "object", "additionalProperties": NUMBER, "minProperties": 1},
        "ceilings": {
            "type": "array",
            "items": {"type": "object", "required": ["operation", "how", "tflops"], "additionalProperties": True},
        },
        "ratios": {"type": "object", "additionalProperties": NUMBER, "minProperties": 5},
        "baseline": {
            "type": "object",
            "required": ["ms", "times_as_fast"],
            "properties": {"ms": SUMMARY, "times_as_fast": {"type": "number", "exclusiveMinimum": 0}},
        },
    },
}
SCHEMA = {
    "type": "object",
    "required": ["config", "chunks", "device", "torch", "cuda", "settings"],
    "properties": {"chunks": {"type": "integer"}, "settings": {"type": "array", "items": SETTING, "minItems": 1}},
}


@pytest.fixture(autouse=True)
def _small_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Squares that a test has time for."""
    monkeypatch.setattr(ceilings, "SQUARE_CPU", 64)
    monkeypatch.setattr(ceilings, "BATCH_MS", 0.1)


def told_by(words: list[str], path: Path) -> dict[str, Any]:
    assert main([*words, "--json", str(path)]) == 0
    told = json.loads(path.read_text())
    jsonschema.validate(told, SCHEMA)
    return told


def test_settings_are_run_in_turn_and_held_against_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row for each setting, the ratio between them and to the baseline, in Markdown and as JSON."""
    told = told_by([*TINY, "--baseline", "--compare", "wan.denoising_steps=1000"], tmp_path / "out.json")
    one, other = told["settings"]
    assert [setting["facts"]["steps"] for setting in (one, other)] == [2, 1]
    for setting in (one, other):
        ms, facts = setting["ms"], setting["facts"]
        assert ms["chunk"]["median"] >= ms["denoise"]["median"]
        assert (facts["window"], facts["sink"]) == (4, 1)
        assert not facts["compiled"]
        assert setting["frames"] == 8
        assert setting["frames_per_s"] == pytest.approx(8000 / ms["chunk"]["median"], rel=1e-3)
        assert setting["times_real_time"] == pytest.approx(setting["frames_per_s"] / 16, rel=0.01)
        theirs = setting["baseline"]["ms"]["passes"]["median"]
        assert setting["baseline"]["times_as_fast"] == pytest.approx(theirs / ms["passes"]["median"], rel=1e-2)
    # Three passes of the same work against two.
    assert one["tflop"] == pytest.approx(other["tflop"] * 3 / 2, rel=0.2)
    assert other["ratios"]["chunk"] == pytest.approx(
        one["ms"]["chunk"]["median"] / other["ms"]["chunk"]["median"], rel=1e-2
    )
    printed = capsys.readouterr().out.splitlines()
    assert [line.count("|") for line in printed[:4]] == [14] * 4
    assert "the same, wan.denoising_steps=1000 |" in printed[3]
    assert sum("times as fast as the eager baseline" in line for line in printed) == 2


def test_any_model_behind_the_interface_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Wan configuration there are rates and memory, and no ceiling; the calls are those of the server."""
    fake = FakePipeline()
    monkeypatch.setattr("pipeline.factory.build", lambda model, wan, progress: fake)
    words = [str(ROOT / "configs/pocket.yaml"), "--no-start", "--chunks", "2"]
    (setting,) = told_by(words, tmp_path / "out.json")["settings"]
    assert "share_of_ceiling" not in setting
    assert setting["frames"] == 4
    names = [name for name, _ in fake.calls]
    assert names[:2] == ["warm_up", "open"]
    assert names[2:] == ["generate", "commit"] * (len(names) // 2 - 1)
    # The last ones under prompts that were new.
    assert [argument for name, argument in fake.calls if name == "generate"][-4:] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([str(ROOT / "configs/wan_i2v_14b.yaml")], "wan.sampling: clips is for files"),
        ([*TINY, "wan.windo=3"], "unknown key 'wan.windo'"),
        ([*TINY, "--chunks", "0"], "--chunks begins at 1"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Misuse is told before anything is built."""
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert not capsys.readouterr().out


def test_threads_can_still_be_told_how_to_wait() -> None:
    """The command loads no torch before it has set what torch's threads read when it is loaded."""
    assert not loaded("import pipeline.bench.__main__") & TORCH


def test_settings_take_turns() -> None:
    """What changes with time or heat changes for all of them."""
    made: list[str] = []

    @dataclass
    class Named:
        name: str

        def chunk(self) -> None:
            made.append(self.name)

    take_turns([Named("a"), Named("b")], 2)
    assert made == ["a", "b", "a", "b"]
