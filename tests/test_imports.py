"""Imports go one way: server -> stream -> pipeline; torch stays below, aiohttp and aiortc above."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Set
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TORCH = {"torch", "torchvision", "open_clip", "timm", "transformers", "safetensors"}
NETWORK = {"aiohttp", "aiortc", "aioice"}
PLAIN_PIPELINE = {
    "pipeline.types",
    "pipeline.errors",
    "pipeline.interface",
    "pipeline.geometry",
    "pipeline.settings",
    "pipeline.picture",
    "pipeline.session",
}


# The doctor looks where the weights lie; neither loads torch when it is imported.
EXCEPTIONS = {
    "stream.config": {"pipeline.config"},
    "stream.doctor_video": {"pipeline.factory", "pipeline.wan_files"},
}


def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    found = {}
    for path in [ROOT / "server.py", *(ROOT / "stream").rglob("*.py"), *(ROOT / "pipeline").rglob("*.py")]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def statements(node: ast.AST, everywhere: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Give the import statements: all of them, or those that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from statements(ast.Module(child.orelse, []), everywhere)
        elif everywhere or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(child, everywhere)


@cache
def imports(name: str, everywhere: bool = True) -> frozenset[str]:
    """Name what a module imports, as modules of this project where they are, else as written."""
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set[str]()
    for statement in statements(ast.parse(path.read_text(encoding="utf-8")), everywhere):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
            continue
        parents = package[: len(package) - statement.level + 1] if statement.level else []
        base = ".".join([*parents, *filter(None, [statement.module])])
        for alias in statement.names:
            full = f"{base}.{alias.name}"
            found.add(full if full in MODULES else base)
    return frozenset(found)


def top(names: Set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def loaded(program: str) -> set[str]:
    """Run a program in a fresh process and give the top-level packages that it loaded."""
    program += "\nimport sys; print('\\n'.join(sys.modules))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return top(set(done.stdout.split()))


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("stream")])
def test_stream_knows_of_a_model_only_its_interface(name: str) -> None:
    """A module of stream imports neither torch nor server, and of pipeline only the plain modules."""
    found = imports(name)
    assert not top(found) & (TORCH | {"server", "tests"})
    of_pipeline = {module for module in found if module.startswith("pipeline")}
    assert of_pipeline <= PLAIN_PIPELINE | EXCEPTIONS.get(name, set())


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("pipeline")])
def test_pipeline_knows_nothing_above_it(name: str) -> None:
    """A module of pipeline imports no network library, and neither stream nor server."""
    assert not top(imports(name)) & (NETWORK | {"stream", "server", "tests"})


def test_nothing_imports_in_a_circle() -> None:
    """What modules import when they are imported has an order."""
    graph = {name: imports(name, everywhere=False) & set(MODULES) for name in MODULES}
    TopologicalSorter(graph).prepare()


def test_stream_starts_without_torch() -> None:
    """Importing the whole of stream, the client with it, loads no torch."""
    names = [name for name in MODULES if name.startswith("stream")]
    assert "stream.client" in names
    assert not loaded(f"import {', '.join(names)}") & TORCH


def test_the_engine_process_can_import_the_server_file_cheaply() -> None:
    """Importing server.py, as a spawned process does again, loads neither torch nor the network."""
    assert not loaded("import server") & (TORCH | NETWORK)


def test_the_interface_of_pipeline_is_plain() -> None:
    """What stream may import of pipeline loads no torch."""
    assert not loaded(f"import pipeline, pipeline.config, {', '.join(sorted(PLAIN_PIPELINE))}") & TORCH


def test_the_checks_see_every_form_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports in functions and branches, relative ones and aliases are seen, those for types are not."""
    path = tmp_path / "sample.py"
    path.write_text(
        "import torch.nn as nn\nfrom . import errors\nfrom .clock import FrameClock\n"
        "if TYPE_CHECKING:\n    import timm\nelse:\n    import av\n"
        "def f():\n    try:\n        import server\n    finally:\n        from pipeline import types\n"
    )
    for module in ("stream.errors", "stream.clock", "pipeline.types"):
        monkeypatch.setitem(MODULES, module, path)
    monkeypatch.setitem(MODULES, "stream.sample", path)
    at_once = {"torch.nn", "av", "stream.errors", "stream.clock"}
    assert imports("stream.sample", everywhere=False) == at_once
    assert imports("stream.sample") == at_once | {"server", "pipeline.types"}
