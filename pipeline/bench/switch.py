"""What a prompt costs by each switch policy: ``python -m pipeline.bench.switch CONFIG [--rounds N] [key=value ...]``.

A policy's chunk is the first one under a prompt that was read before, as a page has it read while one types; beside it
stands the chunk before, under a prompt that had settled. The difference is the policy's cost. Policies take turns. On a
CPU it is the processor's time of all threads that counts, which other programs do not lengthen.
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from pipeline.bench.setting import read
from pipeline.errors import PipelineError
from pipeline.interface import Preparing
from pipeline.types import Policy

if TYPE_CHECKING:
    from pipeline.bench.runs import Run

ROUNDS = 7
OTHER = "night, the camera pans right"
HEADER = ("| policy | chunk, ms | the one before, ms | cost, ms |", "|---|---|---|---|")
Costs = Mapping[Policy, Sequence[tuple[float, float]]]
"""By policy, milliseconds of the chunk that a prompt came in with and of the chunk before, for each round."""


def measured(run: "Run", rounds: int) -> Costs:
    """Change the prompt by every policy that the model has, in turn, with the window full each time."""
    from pipeline.bench.runs import fills

    prompts = (run.asked.prompt, OTHER)
    if isinstance(run.pipeline, Preparing):
        for prompt in prompts:
            run.pipeline.prepare(replace(run.asked, prompt=prompt, image=None))
    policies: tuple[Policy, ...] = run.pipeline.capabilities.policies
    costs: dict[Policy, list[tuple[float, float]]] = {policy: [] for policy in policies}
    turns: list[Policy] = [policy for _ in range(rounds) for policy in policies]
    for number, policy in enumerate(turns):
        for _ in range(fills(run.decision) - 1):
            run.step()
        before = chunk_ms(run)
        run.asked = replace(run.asked, prompt=prompts[(number + 1) % 2], policy=policy, revision=number + 1)
        costs[policy].append((chunk_ms(run), before))
    return costs


def chunk_ms(run: "Run") -> float:
    """Make a chunk; give its milliseconds from call to call, on a CPU those of the processor."""
    begun = time.process_time()
    whole = run.step()["chunk"]
    return (time.process_time() - begun) * 1000 if run.device.type == "cpu" else whole


def row(policy: str, pairs: Sequence[tuple[float, float]]) -> str:
    """Write a row of medians; the cost is that of the differences.

    >>> row("flush", [(12.0, 10.0), (13.0, 10.0), (15.0, 11.0)])
    '| flush | 13.0 | 10.0 | +3.0 |'
    """
    chunks, before = zip(*pairs, strict=True)
    cost = median([chunk - other for chunk, other in pairs])
    return f"| {policy} | {median(chunks):.1f} | {median(before):.1f} | {cost:+.1f} |"


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print, or say in one line what is wrong; give the exit status."""
    parser = argparse.ArgumentParser("pipeline.bench.switch", description="What a prompt costs by each switch policy.")
    parser.add_argument("config", type=Path, metavar="CONFIG")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"switches by each policy ({ROUNDS})")
    args = parser.parse_intermixed_args(words)
    if args.rounds < 1:
        parser.error(f"--rounds begins at 1, got {args.rounds}")
    # As in a server: threads that spin while they wait take time from the rest.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from pipeline.bench.runs import prepare

    try:
        run = prepare(read(args.config, args.overrides), lambda stage: print(stage, file=sys.stderr, flush=True))
        rows = [row(policy, pairs) for policy, pairs in measured(run, args.rounds).items()]
    except (PipelineError, OSError) as error:
        print(f"pipeline.bench.switch: {error}", file=sys.stderr)
        return 1
    made = run.pipeline.format
    print(f"{run.pipeline.capabilities.model}, {made.width}x{made.height}, {run.device}:", *HEADER, *rows, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
