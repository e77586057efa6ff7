from dataclasses import dataclass

import pytest
import torch

from pipeline.stages import Stages

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_laps_of_one_name_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that comes twice in a chunk has the time of both, and they are all told in their order."""
    clock = iter([1_000_000, 1_250_000, 2_000_000, 2_500_000])
    monkeypatch.setattr("pipeline.stages.time.perf_counter_ns", lambda: next(clock))
    stages = Stages(CPU)
    for name in ("denoise", "decode", "denoise"):
        stages.lap(name)
    assert stages.ms == {"denoise": 0.75, "decode": 0.75}
    assert list(stages.ms) == ["denoise", "decode"]


def test_without_a_lap_there_is_no_stage() -> None:
    """What was not begun has no time."""
    assert Stages(CPU).ms == {}


@dataclass(eq=False)
class Stream:
    """A GPU's stream whose work takes so many milliseconds; the host never waits for it by itself."""

    ms: float = 0.0
    waits: int = 0


def test_a_gpu_is_waited_for_once_and_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Laps cost the host nothing; stages are told by the GPU's clock after one wait."""
    stream = Stream()

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing
            self.at = -1.0

        def record(self, on: Stream) -> None:
            self.at = on.ms

        def synchronize(self) -> None:
            stream.waits += 1

        def elapsed_time(self, other: "Event") -> float:
            return other.at - self.at

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    stages = Stages(GPU)
    for name, ms in (("text", 1.0), ("denoise", 200.0), ("decode", 10.0)):
        stream.ms += ms
        stages.lap(name)
    assert stream.waits == 0
    assert stages.ms == {"text": 1.0, "denoise": 200.0, "decode": 10.0}
    assert stream.waits == 1
