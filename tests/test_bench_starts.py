import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pipeline.bench import starts
from pipeline.errors import PipelineError
from tests.test_bench import TINY

PRINTS_ITS_CLOCK = "import json, time; print('noise'); print(json.dumps({'first_chunk_at': time.monotonic()}))"


def test_a_start_is_timed_from_outside_by_one_clock() -> None:
    """The time runs from before the process is there to the moment that it names."""
    begun = time.monotonic()
    told = starts.seconds([sys.executable, "-c", PRINTS_ITS_CLOCK], {})
    assert 0 < told < time.monotonic() - begun


@pytest.mark.parametrize(
    ("program", "said"), [("raise SystemExit('no weights')", "no weights"), ("import os; os._exit(3)", "it died")]
)
def test_a_start_that_fails_says_why(program: str, said: str) -> None:
    """The last line of what it wrote, or that it wrote nothing."""
    with pytest.raises(PipelineError, match=said):
        starts.seconds([sys.executable, "-c", program], {})


def test_warm_finds_what_cold_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both starts have the same folders, which nobody used before and which are gone afterwards."""
    seen: list[tuple[str, ...]] = []

    def start(command: Sequence[str], environ: Mapping[str, str]) -> float:
        assert list(command[1:]) == ["-m", "pipeline.bench.starts", "a.yaml", "model.steps=1"]
        folder = Path(environ["TORCHINDUCTOR_CACHE_DIR"])
        assert folder.exists() == bool(seen)
        folder.mkdir(exist_ok=True)
        seen.append(tuple(environ.values()))
        return 2.0 - len(seen)

    monkeypatch.setattr(starts, "seconds", start)
    assert starts.cold_and_warm(Path("a.yaml"), ["model.steps=1"]) == {"cold": 1.0, "warm": 0.0}
    assert seen[0] == seen[1]
    assert not Path(seen[0][0]).parent.exists()


def test_a_process_of_its_own_makes_a_chunk(capsys: pytest.CaptureFixture[str]) -> None:
    """What it prints is the clock after its first chunk; the environment's switches are as they were."""
    begun = time.monotonic()
    words = [word for word in TINY if not word.startswith("--") and word != "2"]
    assert starts.main([*words, "NO_CUDA_GRAPH=1"]) == 0
    assert begun < json.loads(capsys.readouterr().out)["first_chunk_at"] < time.monotonic()
    assert "NO_CUDA_GRAPH" not in os.environ
