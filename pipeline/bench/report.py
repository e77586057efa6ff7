"""What was measured, as plain values and as a row of Markdown."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.bench.ceilings import Rate, measure, shares
from pipeline.bench.runs import BaselineRun, Run, Samples, facts
from pipeline.bench.work import Operation, Work, flops, large, one_pass, sight
from pipeline.wan.build import dtype_of
from pipeline.wan.decision import Decision

COLUMNS = (
    *("setting", "what runs", "window / sink / steps", "denoise, ms", "context, ms", "decode, ms", "new text, ms"),
    *("chunk, ms (min to p95)", "frames/s", "x real time", "share of ceiling", "peak, GiB", "start cold / warm, s"),
)
COMPARED = ("denoise", "context", "passes", "decode", "new_text", "chunk")
SWITCHED = {"compiled": "compiled", "graph": "CUDA graph"}
Ceilings = dict[frozenset[Operation], list[Rate]]
"""Rates by the operations that they are of, so that two settings of one shape share a measurement."""


def machine(device: torch.device) -> dict[str, Any]:
    """Tell what ran all this."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda}
    name = f"{processor()}, {torch.get_num_threads()} threads"
    return {"device": name, "torch": torch.__version__, "cuda": None}


def processor() -> str:
    """The processor's name, as Linux tells it, or its architecture."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def summary(samples: Samples) -> dict[str, dict[str, float]]:
    """Give median, least and 95th percentile of every stage.

    >>> summary({"denoise": [1.0, 2.0, 4.0]})
    {'denoise': {'median': 2.0, 'min': 1.0, 'p95': 3.8}}
    """
    return {
        stage: {
            "median": round(float(np.median(values)), 3),
            "min": round(min(values), 3),
            "p95": round(float(np.percentile(values, 95)), 3),
        }
        for stage, values in samples.items()
    }


def of_run(run: Run, start_s: Mapping[str, float] | None, ceilings: Ceilings) -> dict[str, Any]:
    """Tell all about one setting."""
    ms = summary(run.samples)
    rate = run.frames / (ms["chunk"]["median"] / 1000)
    told: dict[str, Any] = {
        "name": run.setting.name,
        "words": list(run.setting.words),
        "facts": facts(run),
        "ms": ms,
        "samples_ms": {stage: [round(value, 3) for value in values] for stage, values in run.samples.items()},
        "frames": run.frames,
        "frames_per_s": round(rate, 2),
        "times_real_time": round(rate / float(run.pipeline.format.fps), 3),
        "peak_gib": round(run.peak_gib, 2),
        "start_s": start_s and {kind: round(value, 1) for kind, value in start_s.items()},
    }
    return told | (against_ceiling(run, run.decision, ceilings) if run.decision is not None else {})


def against_ceiling(run: Run, decision: Decision, ceilings: Ceilings) -> dict[str, Any]:
    """Hold the passes of a chunk against what this device does of their operations."""
    work = chunk_work(decision)
    key = frozenset(large(work))
    if key not in ceilings:
        ceilings[key] = measure(work, decision.machine.device, dtype_of(decision.model, decision.machine))
    seconds = float(np.median(run.samples["passes"])) / 1000
    rates = [{"operation": str(one.operation), "how": one.how, "tflops": round(one.tflops, 3)} for one in ceilings[key]]
    reached = shares(work, seconds, ceilings[key])
    return {
        "tflop": round(flops(work) / 1e12, 6),
        "ceilings": rates,
        "share_of_ceiling": {how: round(share, 4) for how, share in reached.items()},
    }


def chunk_work(decision: Decision) -> Work:
    """Count all passes of a chunk: one a step, and the one that reads it, whole.

    Of the last layer nobody reads more than keys and values then; what may be left out is under 1 % of a chunk.
    """
    each = one_pass(decision.sizes.transformer, sight(decision))
    passes = len(decision.wan.denoising_steps) + 1
    return Work({operation: count * passes for operation, count in each.items()})


def of_baseline(run: BaselineRun, beside: Run) -> dict[str, Any]:
    """Tell what the baseline took, and how many times as fast the setting's own passes are."""
    ms = summary(run.samples)
    ours = float(np.median(beside.samples["passes"]))
    return {"ms": ms, "times_as_fast": round(ms["passes"]["median"] / ours, 3)}


def ratios(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """Give how many times as fast another setting is, by stage.

    >>> ratios({"ms": {"decode": {"median": 3.0}}}, {"ms": {"decode": {"median": 2.0}}})
    {'decode': 1.5}
    """
    both = [stage for stage in COMPARED if other["ms"].get(stage, {}).get("median") and stage in first["ms"]]
    return {stage: round(first["ms"][stage]["median"] / other["ms"][stage]["median"], 3) for stage in both}


def table(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write the table: its head, and a row for each setting."""
    head = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    return [*head, *(row(one) for one in settings)]


def row(told: Mapping[str, Any]) -> str:
    """Write one row of Markdown."""
    known, ms = told["facts"], told["ms"]
    chunk, start = ms["chunk"], told["start_s"]
    window = f"{known['window']} / {known['sink']} / {known['steps']}" if "window" in known else f"{known['steps']}"
    share = [f"{how} {reached:.0%}" for how, reached in told.get("share_of_ceiling", {}).items()]
    cells = (
        told["name"],
        what_runs(known),
        window,
        *(number(ms.get(stage)) for stage in ("denoise", "context", "decode", "new_text")),
        f"{chunk['median']:.1f} ({chunk['min']:.1f} to {chunk['p95']:.1f})",
        f"{told['frames_per_s']:.1f}",
        f"{told['times_real_time']:.2f}",
        ", ".join(share) or "-",
        f"{told['peak_gib']:.1f}",
        f"{start['cold']:.1f} / {start['warm']:.1f}" if start else "-",
    )
    return f"| {' | '.join(cells)} |"


def what_runs(known: Mapping[str, Any]) -> str:
    """Put a setting's facts into words.

    >>> what_runs({"model": "pocket", "size": "832x480", "dtype": "auto"})
    'pocket, 832x480, auto'
    """
    words = [known[name] for name in ("model", "size", "dtype", "attention") if name in known]
    words += [f"linears {known['linears']}"] if "linears" in known else []
    words += [word for name, word in SWITCHED.items() if known.get(name)]
    return ", ".join([*words, *([known["decoder"]] if "decoder" in known else [])])


def number(stage: Mapping[str, float] | None) -> str:
    """Write a stage's median.

    >>> number({"median": 12.345}), number(None)
    ('12.3', '-')
    """
    return f"{stage['median']:.1f}" if stage else "-"


def remarks(told: Mapping[str, Any]) -> list[str]:
    """Say in lines what a row has no place for: the machine, the ceilings, the ratios."""
    settings: list[Mapping[str, Any]] = told["settings"]
    lines = [f"{told['device']}, torch {told['torch']}, CUDA {told['cuda']}, medians of {told['chunks']} chunks"]
    seen: list[Any] = []
    for one in settings:
        if one.get("ceilings") and one["ceilings"] not in seen:
            seen.append(one["ceilings"])
            rates = [f"{rate['operation']} {rate['how']} {rate['tflops']:.4g}" for rate in one["ceilings"]]
            lines.append(f"ceilings, TFLOP/s, of {one['tflop']:.4g} TFLOP: {'; '.join(rates)}")
    for one in settings:
        name = one["name"]
        if one.get("ratios"):
            by_stage = ", ".join(f"{stage} {ratio:.2f}" for stage, ratio in one["ratios"].items())
            lines.append(f"{name}: times as fast as the first: {by_stage}")
        if one.get("baseline"):
            passes, ratio = one["baseline"]["ms"]["passes"], one["baseline"]["times_as_fast"]
            lines.append(f"{name}: {ratio:.2f} times as fast as the eager baseline, {passes['median']:.1f} ms a chunk")
    return lines
