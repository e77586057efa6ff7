from itertools import pairwise
from pathlib import Path

import pytest
import torch

from pipeline.bench import switch
from pipeline.bench.runs import Run, prepare, wanted
from pipeline.bench.setting import read
from pipeline.interface import silent
from pipeline.types import Policy
from tests.fakes import FakePipeline

CONFIG = Path(__file__).parents[1] / "configs" / "pocket.yaml"


def test_each_policy_is_measured_against_the_chunk_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change brings another prompt by the policy that it is counted for, once what came before has settled."""
    fake = FakePipeline()
    monkeypatch.setattr("pipeline.factory.build", lambda model, wan, progress: fake)
    run = prepare(read(CONFIG, []), silent)
    made: list[tuple[str, Policy]] = []
    took: dict[Policy, float] = {"auto": 10.0, "blend": 11.0, "recache": 30.0}

    def step(run: Run) -> dict[str, float]:
        is_switch = bool(made) and made[-1][0] != run.asked.prompt
        made.append((run.asked.prompt, run.asked.policy))
        return {"chunk": took[run.asked.policy] if is_switch else 7.0}

    monkeypatch.setattr(Run, "step", step)
    monkeypatch.setattr(switch, "chunk_ms", lambda run: run.step()["chunk"])
    costs = switch.measured(run, 3)
    assert costs == {policy: [(ms, 7.0)] * 3 for policy, ms in took.items()}
    changes = [number for number, (one, other) in enumerate(pairwise(made)) if one[0] != other[0]]
    assert len(changes) == 9
    assert min(b - a for a, b in pairwise(changes)) > 4


def test_it_prints_a_row_for_each_policy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command runs a model's own policies, and tells on what."""
    monkeypatch.setattr("pipeline.factory.build", lambda model, wan, progress: FakePipeline())
    assert switch.main([str(CONFIG), "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("fake, ")
    assert [line.split("|")[1].strip() for line in lines[3:]] == ["auto", "blend", "recache"]


def test_what_cannot_be_measured_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration that is not there is told in a line."""
    assert switch.main(["missing.yaml"]) == 1
    assert "missing.yaml" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        switch.main([str(CONFIG), "--rounds", "0"])


def test_a_cpus_time_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process waits for is not counted on a CPU, and a GPU's chunk is timed from call to call."""
    run = Run(read(CONFIG, []), None, fake := FakePipeline(), torch.device("cpu"), wanted(fake), None)
    monkeypatch.setattr(Run, "step", lambda self: {"chunk": 1e6})
    assert switch.chunk_ms(run) < 1e5
    run.device = torch.device("cuda")
    assert switch.chunk_ms(run) == 1e6
