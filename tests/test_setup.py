"""Setting up: what is declared is what is used, and a machine without a browser is dealt with."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.conftest import find_chromium, without_browser
from tests.test_imports import MODULES, imports, top

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    return {canonical(re.split(r"[<>=!~ \[]", requirement)[0]) for requirement in requirements}


CORE = declared(PROJECT["dependencies"])
EXTRAS = set[str]().union(*map(declared, PROJECT["optional-dependencies"].values()))
OWN = {"server", "stream", "pipeline", "tests"}
# How the model was made, which whoever runs the server needs not.
WORKSHOP = "pipeline.pocket."


@pytest.mark.parametrize("name", list(MODULES))
def test_what_is_imported_is_declared(name: str) -> None:
    """What a module imports stands in pyproject.toml; what the server needs, among what all install."""
    distributions = packages_distributions()
    allowed = CORE | EXTRAS if name.startswith(WORKSHOP) else CORE
    for package in top(imports(name)) - OWN - sys.stdlib_module_names:
        homes = {canonical(home) for home in distributions.get(package, [package])}
        assert homes & allowed, f"{name} imports {package}, which pyproject.toml does not name"


def test_torch_and_torchvision_are_bound_together() -> None:
    """torch and torchvision both have an upper bound: without one, pip leaves the CPU builds behind."""
    bounded = {canonical(re.split("[<>]", text)[0]) for text in PROJECT["dependencies"] if "<" in text}
    assert {"torch", "torchvision"} <= bounded
    assert bounded == CORE


@pytest.mark.parametrize("ci", ["true", "1"])
def test_a_missing_browser_fails_in_ci(ci: str) -> None:
    """In CI a browser test without a browser fails, since nobody reads skips there."""
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        without_browser({"CI": ci})


@pytest.mark.parametrize("environ", [{}, {"CI": ""}, {"CI": "false"}])
def test_a_missing_browser_skips_elsewhere(environ: dict[str, str]) -> None:
    """On a developer's machine it is skipped, with the way to have it run."""
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        without_browser(environ)


def test_the_browser_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$CHROMIUM names the browser, else the first on the PATH is taken, else there is none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    assert find_chromium() is None
    stub(tmp_path, "chromium-browser", "exit 0")
    assert find_chromium() == str(tmp_path / "chromium-browser")
    monkeypatch.setenv("CHROMIUM", "/opt/browser")
    assert find_chromium() == "/opt/browser"


def stub(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def make_chromium(path: Path, **environ: str) -> str:
    make = shutil.which("make")
    assert make is not None
    done = subprocess.run(
        [make, "-s", "chromium"],
        cwd=ROOT,
        env={"PATH": str(path), **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(os.name != "posix" or shutil.which("make") is None, reason="needs make")
class TestMakeChromium:
    """``make chromium`` never fails: the browser tests say themselves what they miss."""

    def test_found(self, tmp_path: Path) -> None:
        """With a browser there, or named, nothing is done and nothing said."""
        stub(tmp_path, "id", "echo 0")
        stub(tmp_path, "apt-get", "echo called")
        assert make_chromium(tmp_path, CHROMIUM="/opt/browser") == ""
        stub(tmp_path, "google-chrome", "exit 0")
        assert make_chromium(tmp_path) == ""

    def test_installed_as_root(self, tmp_path: Path) -> None:
        """As root on Debian it is installed, after saying so."""
        stub(tmp_path, "id", "echo 0")
        stub(tmp_path, "apt-get", f'echo "$@" >> {tmp_path}/calls')
        assert make_chromium(tmp_path).startswith("Installing Chromium")
        assert (tmp_path / "calls").read_text().splitlines()[-1].endswith("--no-install-recommends chromium")

    def test_install_fails(self, tmp_path: Path) -> None:
        """An installation that fails is told, and the tests go on."""
        stub(tmp_path, "id", "echo 0")
        stub(tmp_path, "apt-get", "exit 100")
        assert "could not be installed" in make_chromium(tmp_path)

    def test_not_root(self, tmp_path: Path) -> None:
        """Without the right to install, the command is printed."""
        stub(tmp_path, "id", "echo 1000")
        assert "apt-get install chromium" in make_chromium(tmp_path)
