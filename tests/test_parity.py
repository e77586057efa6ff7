"""The reference's own cases, through our networks."""

import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.parity.__main__ import attempt, cases, main, run, verdict
from pipeline.parity.result import Result, compare, exact, metadata

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[1]
FOLDER = ROOT.parent / "shared/reference/parity"
DOCUMENTED = {"vae_decode_demo_zero_cache.safetensors", "taehv_demo_windowed.safetensors"}
CASES = cases(FOLDER)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], int]]:
    """The program over a folder, in this process, which is left as it was: a process of its own imports torch anew."""

    def run_over(folder: Path) -> int:
        monkeypatch.setattr(sys, "argv", ["parity", str(folder)])
        return main()

    tf32 = torch.backends.cudnn.allow_tf32
    yield run_over
    torch.set_grad_enabled(True)
    torch.set_default_device(None)
    torch.backends.cudnn.allow_tf32 = tf32


@pytest.mark.skipif(not CASES, reason="the reference's cases are not beside this checkout: parity was NOT checked")
@pytest.mark.parametrize("path", CASES or [FOLDER], ids=lambda path: path.name)
def test_every_case_of_the_reference_passes(path: Path) -> None:
    """What the reference makes of a case's inputs, ours makes within the bar; the demo's mistakes differ as told."""
    results = list(run(path))
    assert results
    assert [result for result in results if not result.documented and not result.passed] == []
    documented = [result for result in results if result.documented]
    assert bool(documented) == (path.name in DOCUMENTED)
    assert all(not result.passed for result in documented)


def test_a_wrong_value_fails_the_run(
    tmp_path: Path, program: Callable[[Path], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """One case that is off makes the exit status 1, and the last line counts it."""
    sigmas = torch.linspace(1.0, 0.0, 1001)[:-1]
    rows = {name: torch.ones(2, 3, 1, 1) for name in ("add_noise.noise", "add_noise.x0", "add_noise.xt", "x0.flow")}
    rows["add_noise.t"] = torch.full((2,), 500.0)
    for off, status in ((0.0, 0), (0.1, 1)):
        save_file(rows | {"shift1.sigmas": sigmas + off}, tmp_path / "scheduler.safetensors")
        assert program(tmp_path) == status
        assert capsys.readouterr().out.strip().splitlines()[-1].endswith(f"{status} failed")
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "pipeline/parity/__main__.py"), run_name="__main__")
    assert ended.value.code == 1


def test_an_unknown_case_is_not_passed_over(tmp_path: Path) -> None:
    """A file that no family knows fails."""
    (result,) = run(tmp_path / "other.safetensors")
    assert not result.passed
    assert verdict(result) == "FAIL"


def test_a_case_that_cannot_be_run_fails_and_the_others_go_on(tmp_path: Path) -> None:
    """A damaged file is counted as a failure, told with its cause."""
    (tmp_path / "dit_broken.safetensors").write_bytes(b"nothing")
    (result,) = attempt(tmp_path / "dit_broken.safetensors")
    assert not result.passed
    assert "dit_broken" in result.name
    assert "Error" in result.name


def test_state_dicts_are_no_cases_whatever_their_names(tmp_path: Path) -> None:
    """A file that a case names as its weights is not run; a damaged one is left to be told of."""
    for name, meta in (("umt5.safetensors", {"weights": "own.safetensors"}), ("own.safetensors", {"config": "{}"})):
        save_file({"x": torch.zeros(1)}, tmp_path / name, meta)
    (tmp_path / "vae_broken.safetensors").write_bytes(b"nothing")
    assert [path.stem for path in cases(tmp_path)] == ["umt5", "vae_broken"]


def test_metadata_means_the_same_however_it_is_spelled(tmp_path: Path) -> None:
    """Numbers and truth values may be texts; sizes that a case leaves out are its weights'."""
    save_file({"x": torch.zeros(1)}, tmp_path / "own.safetensors", {"config": '{"dim": "8", "note": "a b"}'})
    told = {"weights": "own.safetensors", "sink": '"2"', "eps": "1e-06", "first": "False", "shapes": '["None", [1]]'}
    save_file({"x": torch.zeros(1)}, tmp_path / "case.safetensors", told)
    expected = {"sink": 2, "eps": 1e-6, "first": False, "shapes": [None, [1]], "config": {"dim": 8, "note": "a b"}}
    assert metadata(tmp_path / "case.safetensors") == expected | {"weights": "own.safetensors"}


def test_an_empty_folder_is_no_success(tmp_path: Path, program: Callable[[Path], int]) -> None:
    """Where nothing was compared the status is 2."""
    assert program(tmp_path) == 2


def test_errors_are_over_the_expected_rms() -> None:
    """The largest difference counts, in units of the expected values; a wrong shape and NaN never pass."""
    expected = torch.tensor([3.0, -3.0])
    assert compare("x", torch.tensor([3.0, -2.7]), expected, 1.0).error == pytest.approx(0.1)
    assert not compare("x", torch.ones(3), expected, 1e9).passed
    assert not compare("x", torch.tensor([float("nan"), 0.0]), expected, 1e9).passed
    assert exact("x", torch.tensor([1]), torch.tensor([1])).passed
    assert exact("x", torch.tensor([1], dtype=torch.int32), torch.tensor([1])).passed
    assert not exact("x", torch.tensor([1]), torch.tensor([1, 1])).passed
    assert not exact("x", {"a": 1}, {"a": 2}).passed


def test_what_differs_as_documented_is_said_so() -> None:
    """A recorded mistake of the demo is neither passed nor failed."""
    assert verdict(Result("x", 1.0, 0.1, documented=True)) == "differs as documented"
    assert verdict(Result("x", 1.0, 0.1)) == "FAIL"
    assert verdict(Result("x", 0.0, 0.1)) == "pass"
