from pathlib import Path

import pytest
import torch

from pipeline.bench import runs
from pipeline.bench.runs import Run, baseline, facts, prepare, wanted
from pipeline.bench.setting import read
from pipeline.errors import ConfigError
from pipeline.interface import silent
from tests.fakes import FakePipeline

CONFIGS = Path(__file__).parents[1] / "configs"
CPU = torch.device("cpu")


def run_of(pipeline: FakePipeline) -> Run:
    asked = wanted(pipeline)
    return Run(read(CONFIGS / "pocket.yaml", []), None, pipeline, CPU, asked, pipeline.open(asked))


def test_a_chunk_is_timed_from_call_to_call_with_its_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pipeline tells of its stages, the reading of what was made, and the whole."""
    pipeline = FakePipeline(seconds=(0.004, 0.0, 0.0))
    run = run_of(pipeline)
    monkeypatch.setattr(FakePipeline, "commit", lambda self, state: torch.ones(10).sum())
    run.chunk()
    run.chunk()
    assert {stage: len(values) for stage, values in run.samples.items()} == dict.fromkeys(
        ("total", "context", "chunk", "passes"), 2
    )
    told = {stage: values[0] for stage, values in run.samples.items()}
    assert told["context"] > 0
    assert told["chunk"] >= told["total"] + told["context"] > 4
    assert told["passes"] == told["context"]


def test_only_a_new_prompts_text_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other stages of such a chunk are left out: they are not what a chunk is like."""
    run = run_of(FakePipeline())
    told = iter([{"text": 7.0, "denoise": 1.0}, {"text": 9.0}, {"denoise": 1.0}])
    monkeypatch.setattr(Run, "step", lambda self: next(told))
    prompts = []
    for number in range(3):
        run.change_prompt(number)
        prompts.append(run.asked.prompt)
    assert run.samples == {"new_text": [7.0, 9.0]}
    assert len(set(prompts)) == 3


def test_what_counts_begins_when_the_window_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prepared run has made chunks, and none of them is a sample."""
    fake = FakePipeline()
    monkeypatch.setattr("pipeline.factory.build", lambda model, wan, progress: fake)
    run = prepare(read(CONFIGS / "pocket.yaml", []), silent)
    assert len(run.state.latents) == runs.FILLS_POCKET
    assert run.samples == {}
    assert run.peak_gib > 0.05
    assert facts(run)["model"] == "fake"


def test_the_baseline_is_refused_where_it_cannot_run() -> None:
    """Pocket was never run that way."""
    with pytest.raises(ConfigError, match="--baseline is for Wan models"):
        baseline(run_of(FakePipeline()), 1)
