"""Evaluate pocket on held-out pictures, through the pipeline that the server runs; print Markdown tables.

``python -m pipeline.pocket.evaluate PICTURES --json OUT [--weights FILE] [--quick] [--truth]`` needs the ``dev`` extra.
PICTURES holds ``held/*.jpg``. A run that is broken off goes on where it was when started again. ``--truth`` plays what
the network is trained towards instead, which says how well the meter itself reads. ``--only where`` asks where prompts
act, against hand-drawn labels; ``--only endless`` plays hours, each half an hour of a core; with ``--wish pan`` one of
them, with ``--seconds 600`` shorter ones. ``--only drawn`` tries the effects that are drawn by rule.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from pipeline.config import ModelConfig
from pipeline.factory import LAYERS_WEIGHTS, POCKET_WEIGHTS, build
from pipeline.picture import read_picture
from pipeline.pocket.endless import plan as endless_plan
from pipeline.pocket.labels import drawing, drawn, label, labelled
from pipeline.pocket.language import held_out_prompts
from pipeline.pocket.measure import reduced_grey, texture
from pipeline.pocket.motion import plan as motion_plan
from pipeline.pocket.tables import Results, tables
from pipeline.pocket.trials import (
    CAMERA_PHRASES,
    DRAWN_PHRASES,
    EFFECT_PHRASES,
    Result,
    Trial,
    camera_prompt,
    effect_prompt,
    lanczos,
    run,
)
from pipeline.pocket.truth import WHERE
from pipeline.pocket.view import HEIGHT, WIDTH
from pipeline.pocket.where import plan as where_plan
from pipeline.pocket.workers import pool, this_worker
from pipeline.types import Conditioning, Pixels

# What is drawn on water, or in a sky, is tried where the learned effect is that lives there.
LIKE = {"stream": "ripple", "waves": "ripple", "aurora": "clouds"}
MOVES = tuple(name for name in CAMERA_PHRASES if name != "still")


@dataclass(frozen=True, slots=True)
class Scope:
    """How much is tried: pictures a class, phrasings a class, seconds and prompts of the long trials, rungs timed,
    and of how many pairs of a wish and a picture one is taken, for where, for motion and, with seconds, for endless."""

    camera: int = 8
    effect: int = 8
    phrases: int = 99
    still: tuple[int, float] = (3, 60.0)
    drift: float = 300.0
    drifts: tuple[str, ...] = ("still", "pan_left")
    outside: tuple[str, ...] = MOVES
    rungs: int = 9
    where: int = 1
    motion: int = 1
    drawn: int = 4
    endless: tuple[int, float] = (1, 3600.0)


QUICK = Scope(
    camera=2, effect=1, phrases=1, still=(1, 10.0), drift=15.0,
    drifts=("pan_left",), outside=("pan_left", "zoom_out", "roll_cw"), rungs=1, where=8, motion=13,
    endless=(9, 15.0), drawn=1,
)  # fmt: skip


def rank(folder: Path) -> dict[str, list[str]]:
    """Order the held-out pictures for each effect: those first that show most of what it moves, by the labels.

    An effect that lives anywhere takes them in an order that only their names decide.
    """
    files = sorted((folder / "held").glob("*.jpg"), key=lambda f: hashlib.sha256(f.name.encode()).digest())
    visible = {effect: {file.stem: 0.0 for file in files} for effect in WHERE}
    for file in files:
        if file.stem in labelled():
            seen = cv2.resize(texture(reduced_grey(lanczos(read_picture(file)))), (WIDTH, HEIGHT))
            for effect, matter in WHERE.items():
                visible[effect][file.stem] = float((label(file.stem).layer(matter) * seen).mean())
    order = {effect: sorted(shares, key=lambda s: -shares[s]) for effect, shares in visible.items()}
    return order | {"any": [file.stem for file in files]}


def plan(order: dict[str, list[str]], scope: Scope, truth: bool) -> list[Trial]:
    """All trials, the longest first, so that no worker is left with one at the end."""
    anywhere = order["any"]
    trials = [] if truth else list(_long(anywhere, scope))
    trials += [Trial("motion", *pair) for pair in motion_plan()[:: scope.motion]]
    for row, name in enumerate(CAMERA_PHRASES):
        # Each class begins at another picture, so that few pictures still means many.
        pictures = (anywhere[row:] + anywhere[:row])[: scope.camera]
        trials += [Trial("camera", name, picture, variant) for variant, picture in enumerate(pictures)]
    for row, name in enumerate(EFFECT_PHRASES):
        pictures = order.get(name, anywhere[row:] + anywhere[:row])[: scope.effect]
        trials += [Trial("effect", name, picture, variant) for variant, picture in enumerate(pictures)]
    for row, (name, prompts) in enumerate(held_out_prompts().items()):
        pictures = order.get(name, anywhere[row:] + anywhere[:row])[:8]
        for variant in range(min(len(prompts), scope.phrases)):
            trials.append(Trial("phrase", name, pictures[variant % len(pictures)], variant))
    for row, name in enumerate(DRAWN_PHRASES):
        pictures = order.get(LIKE.get(name, ""), anywhere[row:] + anywhere[:row])[: scope.drawn]
        trials += [Trial("drawn", name, picture) for picture in pictures]
    if not truth:
        # A quick look takes every eighth.
        trials += [Trial("where", *pair) for pair in where_plan()[:: scope.where]]
    return trials


def _long(pictures: list[str], scope: Scope) -> Iterator[Trial]:
    every, seconds = scope.endless
    yield from (Trial("endless", *pair, seconds=seconds) for pair in endless_plan()[::every])
    yield from (Trial("drift", name, pictures[0], seconds=scope.drift) for name in scope.drifts)
    yield from (Trial("still", "still", picture, seconds=scope.still[1]) for picture in pictures[: scope.still[0]])
    yield from (
        Trial("outside", name, pictures[row % len(pictures)], seconds=20.0) for row, name in enumerate(scope.outside)
    )


def work(trial: Trial) -> tuple[str, Result]:
    """Run one trial in a worker process."""
    player, folder = this_worker()
    image = (
        drawing(trial.picture) if trial.picture in drawn() else read_picture(folder / "held" / f"{trial.picture}.jpg")
    )
    return trial.key, run(player, image, trial)


def chunk_times(config: ModelConfig, image: Pixels, rungs: int) -> Result:
    """Milliseconds a chunk, commit included, with all threads and nothing else running: median, 95th percentile."""
    pipeline = build(replace(config, shapes=[]))
    rows: Result = {}
    for name, prompt in (("pan", camera_prompt("pan_left")), ("clouds", effect_prompt("clouds"))):
        for quality, rung in enumerate(pipeline.capabilities.quality[:rungs]):
            wanted = Conditioning("i2v", prompt.text, image, 1, quality=quality)
            state = pipeline.open(wanted)
            times: list[float] = []
            for _ in range(24):
                begun = time.perf_counter()
                pipeline.generate_chunk(state, wanted)
                pipeline.commit(state)
                times.append((time.perf_counter() - begun) * 1000)
            pipeline.close(state)
            middle, slow = np.quantile(times[4:], (0.5, 0.95))
            rows[f"{name}, {rung.name}"] = [round(float(middle), 1), round(float(slow), 1)]
    return rows


def evaluate(trials: list[Trial], config: ModelConfig | None, folder: Path, partial: Path, workers: int) -> Results:
    """Run the trials that ``partial`` does not hold yet, side by side; every result is written at once."""
    mark = json.dumps({"measured": "truth" if config is None else _digest(config)})
    done: Results = {}
    if partial.exists():
        head, *lines = partial.read_text(encoding="utf-8").splitlines()
        if head == mark:
            done = dict(json.loads(line) for line in lines)
    if not done:
        partial.write_text(mark + "\n", encoding="utf-8")
    wanted = [trial for trial in trials if trial.key not in done]
    begun = time.monotonic()
    with pool(workers, config, folder) as players, partial.open("a", encoding="utf-8") as log:
        for count, future in enumerate(as_completed([players.submit(work, trial) for trial in wanted]), 1):
            key, result = future.result()
            done[key] = result
            print(json.dumps([key, result]), file=log, flush=True)
            print(f"{time.monotonic() - begun:5.0f} s {count}/{len(wanted)} {key}", file=sys.stderr)
    return {trial.key: done[trial.key] for trial in trials}


def _digest(config: ModelConfig) -> str:
    files = (Path(config.weights) if config.weights else POCKET_WEIGHTS, LAYERS_WEIGHTS)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--truth", action="store_true")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", help="kinds of trials, as camera,effect")
    parser.add_argument("--wish", help="classes of trials, as pan,clouds")
    parser.add_argument("--seconds", type=float, help="of each trial of endless")
    args = parser.parse_args()
    scope = QUICK if args.quick else Scope()
    scope = replace(scope, endless=(scope.endless[0], args.seconds or scope.endless[1]))
    trials = plan(rank(args.pictures), scope, args.truth)
    if args.only:
        trials = [trial for trial in trials if trial.kind in args.only.split(",")]
    if args.wish:
        trials = [trial for trial in trials if trial.name in args.wish.split(",")]
    config = ModelConfig(weights=str(args.weights or ""), threads=1)
    partial = args.json.with_suffix(".partial.jsonl")
    results = evaluate(trials, None if args.truth else config, args.pictures, partial, args.workers)
    if not args.truth and not args.only:
        first = read_picture(min((args.pictures / "held").glob("*.jpg")))
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            plain = ModelConfig(weights=config.weights)
            results["speed"] = alone.submit(chunk_times, plain, first, scope.rungs).result()
    args.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    partial.unlink()
    print(tables(results))


if __name__ == "__main__":
    main()
