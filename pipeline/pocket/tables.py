"""Results of trials as Markdown tables."""

from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from pipeline.pocket.endless import verdicts as endless_verdicts
from pipeline.pocket.motion import verdicts

Results = dict[str, dict[str, Any]]
LOOKS = ("luma", "contrast", "saturation", "sharpness")


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


def group(results: Results, kind: str) -> dict[str, list[dict[str, Any]]]:
    """Results of a kind by class; each knows its ``picture``."""
    found: dict[str, list[dict[str, Any]]] = {}
    for key, result in results.items():
        parts = key.split("/")
        if parts[0] == kind:
            found.setdefault(parts[1], []).append(result | {"picture": parts[2], "seconds": float(parts[4])})
    return found


def tables(results: Results) -> str:
    """All tables for which there are results."""
    parts = [
        _classes(results, "camera", "Camera moves by optical flow, 3 s after the switch"),
        _classes(results, "effect", "Effects by 3 s of frames, 1.5 s after the switch; light and fog, 6.5 s after"),
        _classes(results, "drawn", "Effects that are drawn, by statistics of frames, 2 s to 5 s after the beginning"),
        _classes(results, "phrase", "Held-out phrasings"),
        _still(results),
        _drift(results),
        _outside(results),
        _where(results),
        _motion(results),
        _endless(results),
        _speed(results),
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
            rows.append([name, f"{t['seconds']:g}", *change, " ".join(f"{v:.3f}" for v in t["late"]), t["psnr"]])
    heads = ["prompt", "s", *LOOKS, "at the end against the picture so seen", "PSNR to it"]
    return f"### Drift, the end against 4 to 12 s\n\n{table(heads, rows)}" if rows else ""


def _outside(results: Results) -> str:
    rows: list[list[object]] = []
    for name, trials in group(results, "outside").items():
        rows.append([name, f"{max(t['largest'] for t in trials):.1%}", f"{mean(t['mean'] for t in trials):.1%}"])
    title = "### Share of a frame outside the picture, 20 s"
    return f"{title}\n\n{table(['move', 'largest', 'mean'], rows)}" if rows else ""


def _where(results: Results) -> str:
    rows: list[list[object]] = []
    for name, trials in group(results, "where").items():
        least = min(trials, key=lambda t: t["correlation"])
        ghosts = [t["ghost"] for t in trials if "ghost" in t]
        found, guessed = (mean(t[key] for t in trials) for key in ("correlation", "prior"))
        told = f"{mean(ghosts):.2f}" if ghosts else ""
        rows.append([name, len(trials), f"{found:.3f}", f"{guessed:.3f}", f"{least['correlation']:.2f}"])
        rows[-1] += [least["picture"], told]
    heads = ["wish", "pictures", "correlation with the label", "of the prior", "least", "of", "ghost, grey levels"]
    return f"### Where it acts, against hand-drawn labels\n\n{table(heads, rows)}" if rows else ""


def _motion(results: Results) -> str:
    rows: list[list[object]] = []
    every: list[dict[str, Any]] = []
    for name, trials in group(results, "motion").items():
        every += trials
        parts = ("correlation", "strength", "spread", "modes", "db", "silent_strength", "silent_modes", "silent_db")
        row: list[object] = [f"{mean(t[part] for t in trials):.2f}" for part in parts]
        single = [t["one_step_db"] - t["same_seeds_db"] for t in trials if "one_step_db" in t]
        rows.append([name, len(trials), *row, f"{mean(single):+.2f}" if single else ""])
    if not rows:
        return ""
    heads = ["wish", "pictures", "correlation of seeds", "px/s", "spread", "modes", "dB from the truth's spectrum"]
    heads += ["without noise px/s", "modes", "dB", "one step, dB more"]
    steps = 2 if any("one_step_db" in t for t in every) else 1
    told = ", ".join(f"{bar}: {'yes' if met else 'no'}" for bar, met in verdicts(every, steps).items())
    return f"### Motion of its own: one prompt, one picture, eight seeds\n\n**{told}**\n\n{table(heads, rows)}"


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
                t["pulse"], f"{most:.1%}, {settled:.1%}, {average:.1%}", missed,
            ])  # fmt: skip
    heads = ["wish", "picture", "s", "look at 5 min", "at the end", "strength at 5 min", "at the end", "waver"]
    heads += ["jump", "of a block", "hitch px", "pulse", "outside: most, once settled, mean", "bars missed"]
    return f"### Endless\n\n{table(heads, rows)}" if rows else ""


def _speed(results: Results) -> str:
    rows = [[name, *times] for name, times in results.get("speed", {}).items()]
    title = "### Milliseconds a chunk (0.25 s)"
    return f"{title}\n\n{table(['prompt, quality', 'median', 'p95'], rows)}" if rows else ""
