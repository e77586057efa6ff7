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
import torch

from pipeline.wan_files import choose
from tests.conftest import find_chromium, own_arithmetic, without_browser
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
# What runs with an extra alone. It imports the extra's packages where they are used, so that others need them not.
OF_EXTRAS = {
    "wan": {"pipeline.fetch", "pipeline.networks.text_umt5", "pipeline.prompts", "pipeline.standins"},
    "ray": {"stream.engine_ray", "stream.ray_cluster"},
}
NEEDED = {
    name: declared(PROJECT["optional-dependencies"][extra]) for extra, names in OF_EXTRAS.items() for name in names
}


# Reads the metadata of all that is installed, which takes a tenth of a second.
HOMES = packages_distributions()


def homes(package: str) -> set[str]:
    """The distributions that a package comes with."""
    return {canonical(home) for home in HOMES.get(package, [package])}


@pytest.mark.parametrize("name", list(MODULES))
def test_what_is_imported_is_declared(name: str) -> None:
    """What a module imports stands in pyproject.toml; what the server needs, among what all install."""
    allowed = CORE | EXTRAS if name.startswith(WORKSHOP) else CORE | NEEDED.get(name, set())
    for package in top(imports(name)) - OWN - sys.stdlib_module_names:
        assert homes(package) & allowed, f"{name} imports {package}, which pyproject.toml does not name"


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_an_extra_is_imported_where_it_is_used(name: str) -> None:
    """A module that runs with an extra alone can be imported without it."""
    for package in top(imports(name, everywhere=False)) - OWN - sys.stdlib_module_names:
        assert homes(package) & CORE, f"{name} imports {package} when it is imported"


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


def test_what_a_pipeline_takes_ends_with_its_test() -> None:
    """The next test computes on as many threads as before, and has denormals."""
    threads = torch.get_num_threads()
    with own_arithmetic():
        torch.set_num_threads(threads + 1)
        torch.set_flush_denormal(True)
    assert torch.get_num_threads() == threads
    assert float(torch.tensor(1e-310, dtype=torch.float64) * 1) > 0


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
    return make_target("chromium", path, **environ)


def make_target(target: str, path: Path, *variables: str, **environ: str) -> str:
    make = shutil.which("make")
    assert make is not None
    done = subprocess.run(
        [make, "-s", target, *variables],
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


@pytest.mark.skipif(os.name != "posix" or shutil.which("make") is None, reason="needs make")
class TestMakeClients:
    """``make clients`` never fails: the tests say themselves what they miss."""

    def test_installed_once(self, tmp_path: Path) -> None:
        """What the lock file names is installed by npm, after saying so; the second time nothing is done."""
        (tmp_path / "package-lock.json").write_text("{}")
        installed = tmp_path / "node_modules" / ".package-lock.json"
        stub(tmp_path, "npm", f'echo "$@" >> {tmp_path}/calls; mkdir {installed.parent}; : > {installed}')
        os.utime(tmp_path / "package-lock.json", (0, 0))
        tools = f"{tmp_path}:{SHELL_TOOLS}"
        assert make_target("clients", Path(tools), f"CLIENTS={tmp_path}").startswith("Installing two WebRTC stacks")
        assert calls(tmp_path) == [f"ci --prefix {tmp_path} --silent --no-audit --no-fund"]
        assert make_target("clients", Path(tools), f"CLIENTS={tmp_path}") == ""
        assert len(calls(tmp_path)) == 1

    def test_install_fails(self, tmp_path: Path) -> None:
        """An installation that fails is told, and the tests go on."""
        stub(tmp_path, "npm", "exit 1")
        assert "could not be installed" in make_target("clients", tmp_path, f"CLIENTS={tmp_path}")

    def test_no_npm(self, tmp_path: Path) -> None:
        """Without npm it is said what to install."""
        assert "install Node.js with npm" in make_target("clients", tmp_path, f"CLIENTS={tmp_path}")


SHELL_TOOLS = "/usr/bin:/bin"


def make_run(folder: Path, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """``make run`` with a Python that notes how it is called in ``calls``, and no GPU but the stub's."""
    make = shutil.which("make")
    assert make is not None
    (folder / "venv" / "bin").mkdir(parents=True, exist_ok=True)
    stub(
        folder / "venv" / "bin",
        "python",
        f'echo "$@" >> {folder}/calls; echo "$YES" > {folder}/yes; [ "$2" != "${{REFUSED:--}}" ]',
    )
    if not (folder / "nvidia-smi").exists():
        stub(folder, "nvidia-smi", "echo 'no devices were found' >&2; exit 9")
    return subprocess.run(
        [make, "-s", "run", f"VENV={folder}/venv", *arguments],
        cwd=ROOT,
        env={"PATH": f"{folder}:{SHELL_TOOLS}", **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def calls(folder: Path) -> list[str]:
    noted = folder / "calls"
    return noted.read_text().splitlines() if noted.exists() else []


@pytest.mark.skipif(os.name != "posix" or shutil.which("make") is None, reason="needs make")
class TestMakeRun:
    """``make run`` serves the embedded model, ``MODEL=`` another one, whose files it fetches first."""

    def test_pocket(self, tmp_path: Path) -> None:
        """Without MODEL it is the embedded model, and a machine without a GPU hears nothing of one."""
        done = make_run(tmp_path, "ARGS=server.port=9000")
        assert (done.returncode, done.stderr) == (0, "")
        assert "MODEL=wan" not in done.stdout
        assert [call for call in calls(tmp_path) if not call.startswith("-c")] == [
            "-m pip install -qq -e .",
            "server.py server.port=9000",
        ]

    @pytest.mark.parametrize(("mib", "told"), [("81559", True), ("12282", True), ("11264", False), ("[N/A]", False)])
    def test_a_gpu_is_pointed_at(self, tmp_path: Path, mib: str, told: bool) -> None:
        """Where a GPU has the memory for it, one line says how to run the real model on it."""
        stub(tmp_path, "nvidia-smi", f"echo 'Small GPU, 4096'; echo 'NVIDIA Some GPU, {mib}'")
        done = make_run(tmp_path)
        line = "NVIDIA Some GPU: 'make run MODEL=wan' would run the real model, Wan2.1, on this GPU."
        assert [text for text in done.stdout.splitlines() if "MODEL=" in text] == ([line] if told else [])
        assert (done.returncode, done.stderr, calls(tmp_path)[-1]) == (0, "", "server.py")

    @pytest.mark.parametrize(
        ("model", "config"),
        [("wan", "wan_1_3b"), ("wan_1_3b", "wan_1_3b"), ("wan_1_3b_framewise",) * 2, ("wan_i2v_14b",) * 2],
    )
    def test_wan(self, tmp_path: Path, model: str, config: str) -> None:
        """The extra is installed, the model fetched and served by its configuration; the second time no install."""
        for installs in (["-m pip install -qq -e .[wan]"], []):
            (tmp_path / "calls").unlink(missing_ok=True)
            done = make_run(tmp_path, f"MODEL={model}", "ARGS=server.port=9000")
            assert (done.returncode, done.stderr) == (0, "")
            assert [call for call in calls(tmp_path) if not call.startswith("-c")] == [
                *installs,
                f"-m pipeline.download --model {config}",
                f"server.py configs/{config}.yaml server.port=9000",
            ]

    def test_no_download_no_server(self, tmp_path: Path) -> None:
        """Where the download is turned down nothing is served."""
        done = make_run(tmp_path, "MODEL=wan", REFUSED="pipeline.download")
        assert done.returncode != 0
        assert calls(tmp_path)[-1] == "-m pipeline.download --model wan_1_3b"

    def test_yes_reaches_the_download(self, tmp_path: Path) -> None:
        """YES=1 on make's own command line is in the environment of what make runs."""
        assert make_run(tmp_path, "MODEL=wan", "YES=1").returncode == 0
        assert (tmp_path / "yes").read_text() == "1\n"

    def test_an_unknown_model(self, tmp_path: Path) -> None:
        """A name that is none is refused with the known ones, before anything is installed."""
        done = make_run(tmp_path, "MODEL=vvan")
        assert done.returncode != 0
        known = "pocket wan wan_1_3b wan_1_3b_framewise wan_i2v_14b"
        assert f"There is no MODEL=vvan; the models are: {known}" in done.stderr
        assert not calls(tmp_path)

    def test_the_names_are_those_of_the_download(self) -> None:
        """What make knows as a model, the download knows too."""
        listed = re.search(r"^MODELS := pocket (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert listed is not None
        for name in listed[1].split():
            choose(name)


@pytest.mark.skipif(os.name != "posix" or shutil.which("make") is None, reason="needs make")
class TestMakeTest:
    """``make test`` runs all tests in two passes side by side, or with ARGS what these say in one process."""

    @pytest.mark.parametrize("fails", ["", "--ignore", "-n 2"])
    def test_all(self, tmp_path: Path, fails: str) -> None:
        """Who keeps real time goes before who computes; a failure of either is one of make, and all is told."""
        done, passes = make_test(tmp_path, fails)
        computed, in_time = sorted(passes, key=lambda line: "--ignore" not in line)
        assert computed.startswith("niced -n 19 ")
        assert computed.endswith("--ignore tests/e2e")
        assert in_time.startswith("-n 2 ")
        assert in_time.endswith(" tests/e2e")
        assert {*passes} <= {*done.stdout.splitlines()}
        assert (done.returncode == 0) == (not fails), done.stderr

    @pytest.mark.parametrize("fails", ["", "--ignore", "-n 2"])
    def test_slow_ones_too(self, tmp_path: Path, fails: str) -> None:
        """One pass after the other, of any mark; a failure of either is one of make, and both run."""
        done, passes = make_test(tmp_path, fails, target="test-all")
        assert [line.split(" ")[-1] for line in passes] == ["tests/e2e", "tests/e2e"]
        assert ["--ignore" in line for line in passes] == [True, False]
        assert all(line.startswith("-m  -n ") for line in passes)
        assert (done.returncode == 0) == (not fails), done.stderr

    def test_arguments(self, tmp_path: Path) -> None:
        """ARGS are pytest's own, and nothing else is."""
        done, passes = make_test(tmp_path, "", "ARGS=-k config")
        assert (done.returncode, passes) == (0, ["-k config"])


def make_test(
    folder: Path, fails: str, *arguments: str, target: str = "test"
) -> "tuple[subprocess.CompletedProcess[str], list[str]]":
    """``make test``, or another target, with a pytest that fails at these words; gives how it was called too."""
    make = shutil.which("make")
    assert make is not None
    binaries = folder / "venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("python", "ruff"):
        stub(binaries, name, "exit 0")
    stub(folder, "npm", "exit 0")
    # The tests that run this may themselves be nice, and more than that is none.
    stub(folder, "nice", 'CALLED="niced $1 $2 "; export CALLED; shift 2; exec "$@"')
    noted = f'echo "$CALLED$*" | tee -a {folder}/calls'
    # Each of two passes waits for the other one to have begun, unless one is to follow the other.
    other = (
        f'case "{target} $*" in test\\ *e2e) until [ "$(wc -l < {folder}/calls)" -ge 2 ]; do sleep 0.02; done;; esac'
    )
    stub(binaries, "pytest", f'{noted}; {other}; case "$*" in *"{fails or "nothing"}"*) exit 1;; esac')
    done = subprocess.run(
        [make, "-s", target, f"VENV={folder}/venv", *arguments],
        cwd=ROOT,
        env={"PATH": f"{folder}:{SHELL_TOOLS}", "CHROMIUM": "/opt/browser"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, calls(folder)
