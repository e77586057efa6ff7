"""Renders the scenes: by a tree's pipeline in processes of their own, or by the script of warps."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pipeline.pocket.film_test.drawing import Scene, scenes, written
from pipeline.pocket.film_test.play import picture_of
from pipeline.types import Pixels

FPS, SECONDS = 8, 10
FRAMES = FPS * SECONDS
HERE = Path(__file__).parent
TREE = HERE.parents[2]
# What a film depends on in a tree.
SUFFIXES = (".py", ".toml", ".txt", ".safetensors")


@dataclass(frozen=True, slots=True)
class Film:
    """Who makes the films: a tree with settings, or the script for None."""

    tree: Path | None = TREE
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


def render(wanted: Sequence[Scene], pictures: Path, out: Path, film: Film, workers: int) -> int:
    """Make what is not there yet under ``out``, a folder of frames a scene; give how many were made.

    Raises ValueError when ``out`` holds films of another make, and RuntimeError when a process fails.
    """
    out.mkdir(parents=True, exist_ok=True)
    about, made_by = out / "about.json", describe(film)
    before = json.loads(about.read_text(encoding="utf-8")) if about.exists() else made_by
    if before | {"revision": ""} != made_by | {"revision": ""}:
        raise ValueError(f"{out} holds films of another state, see {about}; choose another name or take it away")
    about.write_text(json.dumps(made_by, indent=1), encoding="utf-8")
    missing = [scene for scene in wanted if not (out / scene.name).is_dir()]
    jobs = [
        {
            "folder": str((out / scene.name).resolve()),
            "text": scene.text,
            "picture": str((pictures / "held" / f"{scene.picture}.jpg").resolve()),
            "seed": scene.seed,
        }
        for scene in missing
    ]
    if film.tree is None:
        _by_script(jobs, workers)
    else:
        _by_tree(jobs, film, workers)
    return len(jobs)


def frame(folder: Path, number: int) -> Pixels:
    """A frame of a film, ``uint8 [480, 832, 3]``; raises OSError where there is none."""
    return picture_of(folder / f"{number:03}.jpg")


def describe(film: Film) -> dict[str, Any]:
    """What a folder of films was made by: digests of the code and weights and of the scenes, and the settings."""
    if film.tree is None:
        files = sorted(HERE.glob("warp_*.py"))
    else:
        root = film.tree / "pipeline"
        inside = (file for file in root.rglob("*") if file.suffix in SUFFIXES and "film_test" not in file.parts)
        files = sorted(file for file in inside if "wan" not in file.relative_to(root).parts)
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + file.read_bytes())
    return {
        "made_by": "script of warps" if film.tree is None else "pipeline",
        "revision": "" if film.tree is None else _revision(film.tree),
        "digest": digest.hexdigest()[:16],
        "settings": dict(film.settings),
        "scenes": hashlib.sha256(written(scenes()).encode()).hexdigest()[:16],
    }


def _revision(tree: Path) -> str:
    asked = ["git", "-C", str(tree), "describe", "--always", "--abbrev=7"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return told.stdout.strip()


def _by_tree(jobs: Sequence[Mapping[str, Any]], film: Film, workers: int) -> None:
    assert film.tree is not None
    tree = film.tree.resolve()
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    running: list[subprocess.Popen[str]] = []
    for worker in range(min(workers, len(jobs))):
        process = subprocess.Popen(
            [sys.executable, "-P", str(HERE / "play.py")], env=environment, stdin=subprocess.PIPE, text=True
        )
        order = {"tree": str(tree), "settings": dict(film.settings), "jobs": jobs[worker::workers]}
        assert process.stdin is not None
        json.dump(order | {"fps": FPS, "seconds": SECONDS}, process.stdin)
        process.stdin.close()
        running.append(process)
    # Every one is waited for before a failure is told.
    failed = [process.args for process in running if process.wait()]
    if failed:
        raise RuntimeError(
            f"{len(failed)} of {len(running)} processes failed, as they say above; run it again to go on"
        )


def _by_script(jobs: Sequence[Mapping[str, Any]], workers: int) -> None:
    from pipeline.pocket.film_test.warp_script import write_film

    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for done in [pool.submit(write_film, job, FPS, SECONDS) for job in jobs]:
            done.result()
