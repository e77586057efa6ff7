"""Evaluate pocket on held-out pictures, through the pipeline that the server runs; print Markdown tables.

``python -m pipeline.pocket.evaluate PICTURES --json OUT [key=value ...] [--quick] [--truth]`` needs the ``dev`` extra.
PICTURES holds ``held/*.jpg``; ``model.device=cuda`` plays on a GPU. A run that is broken off goes on where it was when
started again. ``--truth`` plays what the network is trained towards instead, which says how well the meter itself
reads. ``--only where`` asks where prompts act, against hand-drawn labels, ``--only ceiling``, which is else left out,
the same with these for layers; ``--only endless`` plays hours, each a third of an hour of a core; with ``--wish pan``
one of them, with ``--seconds 600`` shorter ones; ``--only drawn`` tries
the effects that are drawn by rule, ``--only towers`` what is left without each of the networks that see. What several
runs found is put together by ``python -m pipeline.pocket.tables RESULTS ...``.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pipeline import settings
from pipeline.bench.setting import Sections
from pipeline.config import ModelConfig
from pipeline.factory import LAYERS_WEIGHTS, POCKET_WEIGHTS, SALIENT_WEIGHTS
from pipeline.picture import read_picture
from pipeline.pocket.costs import costs
from pipeline.pocket.judge_text import shares
from pipeline.pocket.labels import drawing, drawn
from pipeline.pocket.tables import Results, read_results, tables
from pipeline.pocket.trial_plan import QUICK, Scope, plan, rank
from pipeline.pocket.trials import Result, Trial, run
from pipeline.pocket.workers import pool, this_worker

# What is measured besides trials.
BESIDE = ("text", "costs")


def work(trial: Trial) -> tuple[str, Result]:
    """Run one trial in a worker process."""
    player, folder = this_worker()
    image = (
        drawing(trial.picture) if trial.picture in drawn() else read_picture(folder / "held" / f"{trial.picture}.jpg")
    )
    return trial.key, run(player, image, trial)


def evaluate(trials: list[Trial], config: ModelConfig | None, folder: Path, partial: Path, workers: int) -> Results:
    """Run the trials that ``partial`` does not hold yet, side by side; every result is written at once."""
    mark = {"measured": measured(config)}
    done = read_results(partial) if partial.exists() else {}
    if done.get("measured") != mark["measured"]:
        done = dict(mark)
        partial.write_text(json.dumps(["measured", mark["measured"]]) + "\n", encoding="utf-8")
    wanted = [trial for trial in trials if trial.key not in done]
    begun = time.monotonic()
    with pool(workers, config, folder) as players, partial.open("a", encoding="utf-8") as log:
        for count, future in enumerate(as_completed([players.submit(work, trial) for trial in wanted]), 1):
            key, result = future.result()
            done[key] = result
            print(json.dumps([key, result]), file=log, flush=True)
            print(f"{time.monotonic() - begun:5.0f} s {count}/{len(wanted)} {key}", file=sys.stderr)
    return mark | {trial.key: done[trial.key] for trial in trials}


def measured(config: ModelConfig | None) -> dict[str, Any]:
    """What is measured: the hash of the weights, and the settings that are not the default; None is the truth."""
    if config is None:
        return {"weights": "truth", "settings": {}}
    files = (Path(config.weights) if config.weights else POCKET_WEIGHTS, LAYERS_WEIGHTS, SALIENT_WEIGHTS)
    plain = asdict(ModelConfig(weights=config.weights, threads=config.threads))
    told = {key: value for key, value in asdict(config).items() if value != plain[key]}
    return {"weights": hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest(), "settings": told}


def chosen(trials: list[Trial], only: str | None, wish: str | None) -> list[Trial]:
    """Of all trials those of some kinds, in the order of these, and of some classes; ``towers`` are without one."""
    kinds = only.split(",") if only else []

    def kind(trial: Trial) -> str:
        return "towers" if trial.without else trial.kind

    plain = [trial for trial in trials if trial.kind != "ceiling"]
    some = sorted((t for t in trials if kind(t) in kinds), key=lambda t: kinds.index(kind(t))) if kinds else plain
    return [trial for trial in some if not wish or trial.name in wish.split(",")]


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("settings", nargs="*", metavar="key=value", help="as model.device=cuda")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--truth", action="store_true")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", help="kinds of trials in their order, as camera,effect; text and costs are two more")
    parser.add_argument("--wish", help="classes of trials, as pan,clouds")
    parser.add_argument("--seconds", type=float, help="of each trial of endless")
    args = parser.parse_intermixed_args()
    scope = QUICK if args.quick else Scope()
    scope = replace(scope, endless=(scope.endless[0], args.seconds or scope.endless[1]))
    trials = chosen(plan(rank(args.pictures), scope, args.truth), args.only, args.wish)
    config = replace(settings.load(Sections, None, args.settings).model, threads=1)
    partial = args.json.with_suffix(".partial.jsonl")
    results = evaluate(trials, None if args.truth else config, args.pictures, partial, args.workers)
    beside = [] if args.truth else [name for name in BESIDE if not args.only or name in args.only.split(",")]
    if "text" in beside:
        results["text"] = shares(Path(config.weights) if config.weights else POCKET_WEIGHTS)
    if "costs" in beside:
        first = read_picture(min((args.pictures / "held").glob("*.jpg")))
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            results |= alone.submit(costs, ModelConfig(weights=config.weights), first).result()
    args.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    partial.unlink()
    print(tables(results))


if __name__ == "__main__":
    main()
