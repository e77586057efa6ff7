import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.bench import latents
from pipeline.bench.latents import COLUMNS, STAGES, main, rows, told_apart
from tests.pocket_parts import conditioning, pipeline
from tests.pocket_parts import made_once as made_once

CONFIG = Path(__file__).parents[1] / "configs" / "pocket.yaml"

pytestmark = pytest.mark.usefixtures("made_once")


def test_every_stage_is_found_by_its_name() -> None:
    """The stages add up to the whole, and sampling, reading and decoding are among them, whatever they are named."""
    made = pipeline(steps=1)
    asked = conditioning()
    state = made.open(asked)

    def chunk() -> None:
        made.generate_chunk(state, asked)
        made.commit(state)

    begun = time.process_time()
    found = told_apart(chunk)
    whole_ms = (time.process_time() - begun) * 1000
    assert set(found) == set(COLUMNS) - {"all", "wall"}
    assert all(found[stage] > 0 for stage in ("sampling", "context", "frames"))
    assert sum(found.values()) == pytest.approx(whole_ms, rel=0.2)


def test_the_functions_that_are_stages_are_there() -> None:
    """Each is a function of its file, so that none is missed once it has another name."""
    root = Path(latents.__file__).parents[1]
    for end, name in STAGES:
        (file,) = [path for path in root.rglob("*.py") if path.as_posix().endswith(end)]
        assert f"def {name}(" in file.read_text(encoding="utf-8")


def test_a_row_tells_shares_and_ratios() -> None:
    """A latent that takes twice the first one's time has ratio 2, and its share is of the time there is."""
    told = {name: dict.fromkeys(COLUMNS, ms) for name, ms in (("still", 100.0), ("leaves", 200.0))}
    assert rows(told, 400.0)[-1].endswith("| 50 % | 2.00 |")


def test_what_was_asked_is_played_by_turns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The command plays the prompts that it is given over the picture, and says how much time there is."""
    monkeypatch.setattr("pipeline.factory.build", lambda model, wan: pipeline(steps=1))
    monkeypatch.setattr(latents, "SETTLED", 1)
    picture = tmp_path / "a.png"
    Image.fromarray(np.zeros((120, 208, 3), np.uint8)).save(picture)
    words = [str(CONFIG), "model.threads=2", "--picture", str(picture), "--latents", "1"]
    assert main([*words, "--prompt", "pan", "--prompt", "rain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "500 ms" in lines[0]
    assert [line.split("|")[1].strip() for line in lines[3:]] == ["pan", "rain"]


def test_what_cannot_be_measured_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A configuration that is not there, a model that has no such stages and no turns at all are told in a line."""
    missing = str(tmp_path / "missing.yaml")
    assert main([missing, "--picture", missing]) == 1
    assert "missing.yaml" in capsys.readouterr().err
    for wrong in (["--latents", "0"], ["model.kind=wan"]):
        with pytest.raises(SystemExit):
            main([str(CONFIG), "--picture", missing, *wrong])
