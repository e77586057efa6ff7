"""Results of trials as Markdown tables: ``python -m pipeline.pocket.tables RESULTS ... [--json OUT]`` of several runs.

RESULTS are what ``pipeline.pocket.evaluate`` wrote, whole or broken off (``*.partial.jsonl``); where two hold the same
trial the later counts. All must be of the same weights.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from pipeline.pocket.endless import verdicts as endless_verdicts
from pipeline.pocket.measure import LOOKS
from pipeline.pocket.motion import steps_earn_their_cost, verdicts
from pipeline.pocket.summary import Bar, Results, group, summary, without_towers


def read_results(file: Path) -> Results:
    """Read what an evaluation wrote, whole or broken off."""
    text = file.read_text(encoding="utf-8")
    return dict(json.loads(line) for line in text.splitlines()) if file.suffix == ".jsonl" else json.loads(text)


def joined(runs: Sequence[Results]) -> Results:
    """All results of several runs; those of the last count. Raises ValueError where they are of other weights.

    >>> joined([{"measured": {"weights": "a"}, "x": {}}, {"measured": {"weights": "a"}, "y": {}}])
    {'measured': {'weights': 'a'}, 'x': {}, 'y': {}}
    """
    if len({run["measured"]["weights"] for run in runs}) > 1:
        raise ValueError("these are results of different weights")
    return {key: result for run in runs for key, result in run.items()}


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a Markdown table.

    >>> print(table(["a", "b"], [[1, 0.5]]))
    | a | b |
    |---|---|
    | 1 | 0.5 |
    """
    lines = [heads, ["---"] * len(heads), *rows]
    text = ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]
    text[1] = text[1].replace(" ", "")
    return "\n".join(text)


def tables(results: Results) -> str:
    """All tables for which there are results."""
    parts = [
        _classes(results, "camera", "Camera moves by optical flow, 3 s after the switch"),
        _classes(results, "effect", "Effects by 3 s of frames, 1.5 s after the switch; light and fog, 6.5 s after"),
        _classes(
            results,
            "drawn",
            "Effects that are drawn, by their sixth to ninth second and the light of twenty",
        ),
        _classes(results, "phrase", "Held-out phrasings"),
        _still(results),
        _drift(results),
        _outside(results),
        _where(results, "where", "Where it acts, against hand-drawn labels"),
        _where(results, "ceiling", "The same with the labels for layers"),
        _motion(results),
        _steps(results),
        _pairs(results),
        _towers(results),
        _endless(results),
        _speed(results),
        _bars(summary(results)),
    ]
    return "\n\n".join(part for part in parts if part)


def _classes(results: Results, kind: str, title: str) -> str:
    classes = group(results, kind)
    if not classes:
        return ""
    rows: list[list[object]] = []
    for name, trials in classes.items():
        wrong = [t for t in trials if t["class"] != name]
        told = "; ".join(_wrong(t, kind) for t in wrong)
        speeds = [t["speed"] for t in trials if "speed" in t]
        right = [t for t in trials if t["class"] == name]
        half = [t["half_frames"] for t in right if t.get("half_frames") is not None]
        rows.append([
            name, f"{len(trials) - len(wrong)}/{len(trials)}", f"{median(speeds):.2f}" if speeds else "",
            f"{median(half):g} / {max(half)}" if half else "", told,
        ])  # fmt: skip
    shares = [mean(t["class"] == name for t in trials) for name, trials in classes.items()]
    count = sum(map(len, classes.values()))
    right_count = sum(t["class"] == name for name, trials in classes.items() for t in trials)
    summary = f"**{right_count}/{count} = {right_count / count:.3f}, least class {min(shares):.2f}**"
    heads = ["class", "right", "speed / nominal", "frames to half, median / most", "wrong"]
    return f"### {title}\n\n{summary}\n\n{table(heads, rows)}"


def _wrong(trial: dict[str, Any], kind: str) -> str:
    where = f"“{trial['prompt']}”" if kind == "phrase" else trial["picture"]
    return f"{where} → {trial['class']}"


def _still(results: Results) -> str:
    rows = [
        [t["picture"], f"{t['seconds']:g}", t["first"], t["first_against_lanczos"], t["end"], t["least"]]
        for trials in group(results, "still").values()
        for t in trials
    ]
    heads = ["picture", "s", "first frame dB", "first against Lanczos dB", "at the end dB", "least dB"]
    return f"### Still (99 dB: equal)\n\n{table(heads, rows)}" if rows else ""


def _drift(results: Results) -> str:
    rows: list[list[object]] = []
    for name, trials in group(results, "drift").items():
        for t in trials:
            change = [f"{late / early - 1:+.2%}" for early, late in zip(t["early"], t["late"], strict=True)]
            rows.append(
                [name, f"{t['seconds']:g}", *change, " ".join(f"{v:.3f}" for v in t["late"]), t["psnr"], t["like"]]
            )
    heads = ["prompt", "s", *LOOKS, "at the end against the picture so seen", "PSNR to it", "least like it"]
    return f"### Drift, the end against 4 to 12 s\n\n{table(heads, rows)}" if rows else ""


def _outside(results: Results) -> str:
    rows: list[list[object]] = []
    for name, trials in group(results, "outside").items():
        rows.append([name, f"{max(t['largest'] for t in trials):.1%}", f"{mean(t['mean'] for t in trials):.1%}"])
    title = "### Share of a frame outside the picture, 20 s"
    return f"{title}\n\n{table(['move', 'largest', 'mean'], rows)}" if rows else ""


def _where(results: Results, kind: str, title: str) -> str:
    rows: list[list[object]] = []
    for name, trials in group(results, kind).items():
        least = min(trials, key=lambda t: t["correlation"])
        ghosts = [t["ghost"] for t in trials if "ghost" in t]
        means = [f"{mean(t[key] for t in trials):.3f}" for key in ("correlation", "strength", "prior")]
        rows.append([name, len(trials), *means, f"{least['correlation']:.2f}", least["picture"]])
        rows[-1].append(f"{mean(ghosts):.2f}" if ghosts else "")
    heads = ["wish", "pictures", "correlation with the label", "of the change's strength", "of the prior"]
    heads += ["least", "of", "ghost, grey levels"]
    return f"### {title}\n\n{table(heads, rows)}" if rows else ""


def _motion(results: Results) -> str:
    rows: list[list[object]] = []
    every: list[dict[str, Any]] = []
    for name, trials in group(results, "motion").items():
        every += trials
        parts = ("correlation", "strength", "spread", "modes", "db", "silent_strength", "silent_modes", "silent_db")
        row: list[object] = [f"{mean(t[part] for t in trials):.2f}" for part in parts]
        rows.append([name, len(trials), *row])
    if not rows:
        return ""
    heads = ["wish", "pictures", "correlation of seeds", "px/s", "spread", "modes", "dB from the truth's spectrum"]
    heads += ["without noise px/s", "modes", "dB"]
    told = ", ".join(f"{bar}: {'yes' if met else 'no'}" for bar, met in verdicts(every).items())
    return f"### Motion of its own: one prompt, one picture, eight seeds\n\n**{told}**\n\n{table(heads, rows)}"


def _steps(results: Results) -> str:
    rows: list[list[object]] = []
    every: list[dict[str, Any]] = []
    for name, trials in group(results, "steps").items():
        every += trials
        rows.append([name, len(trials), *(f"{mean(t[part] for t in trials):.2f}" for part in ("one_db", "more_db"))])
    if not rows:
        return ""
    told = f"{every[0]['shipped']} shipped, which earns its cost: {'yes' if steps_earn_their_cost(every) else 'no'}"
    heads = ["wish", "pictures", "one step, dB from the truth's spectrum", "more"]
    return f"### Steps\n\n**{told}**\n\n{table(heads, rows)}"


def _pairs(results: Results) -> str:
    rows: list[list[object]] = []
    for name, trials in group(results, "pair").items():
        both = sum(not t["missing"] for t in trials)
        missed = "; ".join(f"{t['picture']} lacks {' and '.join(t['missing'])}" for t in trials if t["missing"])
        rows.append([name.replace("+", " and "), f"{both}/{len(trials)}", missed])
    title = "### Two effects at once, both seen in the frames"
    return f"{title}\n\n{table(['pair', 'both', 'missed'], rows)}" if rows else ""


def _towers(results: Results) -> str:
    rows = [
        [f"without {tower}", *("" if pair is None else f"{pair[0]:.3f} (with it {pair[1]:.3f})" for pair in row)]
        for tower, row in without_towers(results).items()
    ]
    heads = ["", "camera read right", "effects read right", "where, correlation"]
    return f"### Without a tower, in the same trials\n\n{table(heads, rows)}" if rows else ""


def _endless(results: Results) -> str:
    rows: list[list[object]] = []
    for name, trials in group(results, "endless").items():
        for t in trials:
            looks = ["" if t[w] is None else f"{max(map(abs, t[w])):.2%}" for w in ("soon", "late")]
            speeds = ["; ".join(f"{part} {p[i]:+.1%}" for part, p in t["speed"].items()) for i in (1, 2, 3)]
            most, settled, average = t["outside"]
            missed = ", ".join(bar for bar, met in endless_verdicts(t).items() if not met)
            rows.append([
                name, t["picture"], f"{t['seconds']:g}", *looks, *speeds, t["jump"], t["block_jump"], t["hitch_px"],
                t["pulse"], f"{most:.1%}, {settled:.1%}, {average:.1%}", t.get("like", ""),
                " to ".join(f"{v:.2f}" for v in t.get("sharp", ())), missed,
            ])  # fmt: skip
    heads = ["wish", "picture", "s", "look at 5 min", "at the end", "strength at 5 min", "at the end", "waver"]
    heads += ["jump", "of a block", "hitch px", "pulse", "outside: most, once settled, mean", "least like the picture"]
    heads += ["sharpness against it", "bars missed"]
    return f"### Endless\n\n{table(heads, rows)}" if rows else ""


def _speed(results: Results) -> str:
    rows = [[name, *times] for name, times in results.get("speed", {}).items()]
    title = "### Milliseconds a chunk (0.25 s)"
    return f"{title}\n\n{table(['prompt, quality', 'median', 'p95'], rows)}" if rows else ""


def _bars(bars: Sequence[Bar]) -> str:
    rows = [
        [bar.name, bar.bar, bar.found, "not run" if bar.met is None else "met" if bar.met else "**missed**"]
        for bar in bars
    ]
    return f"### All bars\n\n{table(['what', 'bar', 'found', ''], rows)}"


def main() -> None:
    """Print the tables of several runs together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = joined([read_results(file) for file in args.results])
    if args.json:
        args.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(tables(results))


if __name__ == "__main__":
    main()
