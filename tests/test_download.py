"""The command that fetches a model: it tells, asks once, and fetches what is agreed to."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from pipeline import download, fetch, wan_files
from tests.fake_hub import CHECKPOINT, CONTENT, SMALL, Hub, fake_hub
from tests.test_imports import MODULES, imports

TOTAL = sum(file.size_bytes for file in SMALL.files)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on loopback that has a small model, and nobody at the terminal."""
    with fake_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        monkeypatch.delenv("YES", raising=False)
        monkeypatch.delenv("VIVANT_WEIGHTS", raising=False)
        monkeypatch.setattr(fetch, "GITHUB", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setitem(wan_files.MODELS, "wan_1_3b", SMALL)
        monkeypatch.setattr(download, "describe_gpu", lambda: "a GPU")
        yield hub


class Terminal:
    """Somebody at the keyboard, and the questions they were asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
        self.questions: list[str] = []
        self._answers = iter(answers)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr("builtins.input", self._answer)

    def _answer(self, question: str) -> str:
        self.questions.append(question)
        try:
            return next(self._answers)
        except StopIteration:
            raise EOFError from None


def run(folder: Path, *arguments: str) -> int:
    return download.main(["--folder", str(folder), *arguments])


def fetched(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")}


def test_a_model_is_told_asked_for_and_fetched(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What, where, how much and under which licences comes first, then one question, then every file."""
    terminal = Terminal(monkeypatch, "y")
    assert run(tmp_path) == 0
    assert len(terminal.questions) == 1
    assert "[y/N]" in terminal.questions[0]
    shown = capsys.readouterr().out
    for told in (
        f"{hub.url}/some/weights, CC BY-NC-SA 4.0\n    10.24 kB  checkpoints/model.pt\n",
        "https://github.com/some/tiny, MIT",
        "CC BY-NC-SA 4.0: NOT for commercial use",
        "Apache-2.0: free for every use",
        f"{TOTAL:,} bytes",
        f"{tmp_path}, ",
        " free\n",
        "a GPU",
        f"4 files are complete in {tmp_path}",
    ):
        assert told in shown
    for file in SMALL.files:
        assert (tmp_path / file.path).read_bytes() == CONTENT[file.name]


@pytest.mark.parametrize("answers", [("n",), ("",), ("maybe",), ()])
def test_anything_but_yes_is_no(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: tuple[str, ...]
) -> None:
    """No, nothing, something else and the end of input all mean no: the hub is not asked for anything."""
    Terminal(monkeypatch, *answers)
    assert run(tmp_path) == 1
    assert not hub.requests
    assert not fetched(tmp_path)


@pytest.mark.parametrize("how", ["--yes", "YES"])
def test_agreed_beforehand(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """--yes and YES=1 stand for the answer."""
    terminal = Terminal(monkeypatch)
    monkeypatch.setenv("YES", "1" if how == "YES" else "0")
    assert run(tmp_path, *(["--yes"] if how == "--yes" else [])) == 0
    assert not terminal.questions
    assert fetched(tmp_path) == {name.rpartition("/")[2] for name in CONTENT}


@pytest.mark.parametrize("yes", ["", "0", "no"])
def test_nobody_to_ask(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], yes: str
) -> None:
    """Without a terminal and without an agreement nothing is fetched, and the line that agrees is told."""
    monkeypatch.setenv("YES", yes)
    assert run(tmp_path, "--vae", "wan") == 1
    line = f"python -m pipeline.download --model wan_1_3b --folder {tmp_path} --vae wan --yes (or YES=1 in the env"
    assert line in capsys.readouterr().err
    assert not hub.requests


def test_a_dry_run_only_tells(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--dry-run shows the total and reaches nobody."""
    assert run(tmp_path, "--dry-run") == 0
    assert f"{TOTAL:,} bytes" in capsys.readouterr().out
    assert not hub.requests
    assert not list(tmp_path.iterdir())


def test_no_room(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A disk without room is told, with the numbers, before the question and the first byte."""
    terminal = Terminal(monkeypatch, "y")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=TOTAL - 1000))
    assert run(tmp_path / "not" / "yet") == 1
    told = capsys.readouterr().err
    assert f"{TOTAL / 1000:.2f} kB are to be fetched and {(TOTAL - 1000) / 1000:.2f} kB are free" in told
    assert "make room for 1.00 kB more" in told
    assert not terminal.questions
    assert not hub.requests


def test_what_is_there_counts(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files and parts that are there are shown as such, and take neither room nor bytes again."""
    path = tmp_path / CHECKPOINT.path
    path.parent.mkdir(parents=True)
    fetch.partial(path).write_bytes(CONTENT[CHECKPOINT.name][:5000])
    encoder = tmp_path / SMALL.files[1].path
    encoder.parent.mkdir(parents=True)
    encoder.write_bytes(CONTENT["encoder.pth"])
    (tmp_path / SMALL.files[2].path).write_bytes(b"an old one")
    left = TOTAL - 5000 - len(CONTENT["encoder.pth"])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=left))
    assert run(tmp_path, "--yes") == 0
    shown = capsys.readouterr().out
    for told in ("model.pt  (5.00 kB here)", "encoder.pth  (here)", "vae.pth  (the one here is of", f"{left:,} bytes"):
        assert told in shown
    assert not any("encoder" in request.path for request in hub.requests)


def test_complete_is_not_asked_about(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once all is there, the command asks nobody and reaches nobody; a file put there by hand is checked."""
    assert run(tmp_path, "--yes") == 0
    hub.requests.clear()
    capsys.readouterr()
    assert run(tmp_path) == 0
    assert capsys.readouterr().out == f"wan_1_3b: 4 files are complete in {tmp_path}\n"
    (tmp_path / CHECKPOINT.path).write_bytes(bytes(CHECKPOINT.size_bytes))
    assert run(tmp_path) == 1
    assert "checkpoints/model.pt is not what was published" in capsys.readouterr().err
    assert not hub.requests


@pytest.mark.parametrize(("vae", "without"), [("wan", "tiny.safetensors"), ("taehv", "vae.pth")])
def test_one_vae_will_do(hub: Hub, tmp_path: Path, vae: str, without: str) -> None:
    """The VAE that is not asked for is not fetched."""
    assert run(tmp_path, "--yes", "--vae", vae) == 0
    assert fetched(tmp_path) == {name.rpartition("/")[2] for name in CONTENT} - {without}


def test_a_failure_is_one_line(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the hub refuses ends the command with status 1, a line, and what came before it kept."""
    hub.refusals["vae.pth"] = (404, "EntryNotFound")
    assert run(tmp_path, "--yes") == 1
    assert f"{hub.url}/some/text no longer has vae.pth" in capsys.readouterr().err
    assert fetched(tmp_path) == {"model.pt", "encoder.pth"}


def test_unconfirmed_facts_are_marked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What one source only states about a file is shown as that."""
    monkeypatch.setattr(download, "describe_gpu", lambda: "a GPU")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert download.main(["--model", "wan_1_3b_framewise", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "huggingface.co/zhuhz22/Causal-Forcing, Apache-2.0\n     5.68 GB  framewise/causal_forcing.pt *\n" in shown
    assert "* stated by one source only" in shown


def test_an_unknown_model_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is none gives status 2 and the known names."""
    with pytest.raises(SystemExit, match="2"):
        download.main(["--model", "vvan"])
    assert "wan_i2v_14b" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("available", "built", "told"),
    [
        (True, True, "Some GPU, 20.00 GB of 24.00 GB free"),
        (False, True, "none was found; this model needs one to be live. Without one, pocket is: make run"),
        (False, False, "the installed torch is built without CUDA; this model needs one"),
    ],
)
def test_the_gpu_is_told(monkeypatch: pytest.MonkeyPatch, available: bool, built: bool, told: str) -> None:
    """A GPU is named with its memory; without one it is said what runs nevertheless."""
    cuda = SimpleNamespace(
        is_available=lambda: available,
        mem_get_info=lambda: (20_000_000_000, 24_000_000_000),
        get_device_name=lambda: "Some GPU",
    )
    backends = SimpleNamespace(cuda=SimpleNamespace(is_built=lambda: built))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda, backends=backends))
    assert download.describe_gpu().startswith(told)


def test_nothing_else_downloads() -> None:
    """One module alone can reach for files on other machines, and only the command that asks first uses it."""
    reaching = {"huggingface_hub", "requests", "httpx", "urllib.request", "http.client", "pipeline.fetch"}
    able = {name for name in MODULES if any(found.startswith(tuple(reaching)) for found in imports(name))}
    assert able == {"pipeline.fetch", "pipeline.download"}
