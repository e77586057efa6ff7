"""What runs in how much GPU memory: ``python -m pipeline.wan.fits CONFIG [--caps 8,12,16,24,80] [key=value ...]``.

Each cap is tried in a process of its own, under PyTorch's memory fraction, with random weights: their values change
neither time nor memory. ``--each KEY=A,B`` tries each value of a setting at every cap, and several of them in every
combination. Prints a row of Markdown for each.
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import settings
from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import PipelineError
from pipeline.interface import silent
from pipeline.wan.memory import GIB

HEADER = (
    "| cap, GiB | asked | placed as | peak, GiB | a chunk, s | video in it, s | loaded in, s |",
    "|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True, slots=True)
class Sections:
    """The part of a configuration that a pipeline is built from."""

    model: ModelConfig = field(default_factory=ModelConfig)
    wan: WanConfig = field(default_factory=WanConfig)


def measure(config: Sections) -> dict[str, Any]:
    """Build and warm up a pipeline; tell what it took. Raises PipelineError, and OutOfMemoryError past a cap."""
    import torch

    from pipeline.types import Conditioning
    from pipeline.wan.build import assemble
    from pipeline.wan.decision import decide

    begun = time.perf_counter()
    decision = decide(config.model, config.wan)
    pipeline = assemble(decision, silent)
    loaded = time.perf_counter() - begun
    seconds = pipeline.warm_up()
    # A prompt that comes while the window is full: the text encoder runs beside everything else.
    mode = pipeline.capabilities.modes[0]
    if mode == "t2v":
        asked = Conditioning(mode, "a prompt that is new", None, 1)
        state = pipeline.open(asked)
        pipeline.generate_chunk(state, asked)
        pipeline.close(state)
    peak = torch.cuda.max_memory_reserved() / GIB if torch.cuda.is_available() else 0.0
    return {
        "placed": f"{decision.placement}, {decision.sizes.transformer.kernel}",
        "peak_gib": round(peak, 2),
        "chunk_s": round(seconds[0], 3),
        "video_s": round(float(pipeline.format.chunk_seconds), 3),
        "loaded_s": round(loaded, 1),
    }


def run(file: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Measure in a fresh process, so that one cap leaves nothing to the next."""
    command = [sys.executable, "-m", "pipeline.wan.fits", str(file), "--one", *overrides]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["it died"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def combinations(each: Sequence[str]) -> list[list[str]]:
    """Give every combination of the values of some settings.

    >>> combinations(["wan.storage=dtype,fp8", "wan.attention=sdpa"])
    [['wan.storage=dtype', 'wan.attention=sdpa'], ['wan.storage=fp8', 'wan.attention=sdpa']]
    """
    split = [(key, values.split(",")) for key, _, values in (one.partition("=") for one in each)]
    return list(map(list, itertools.product(*([f"{key}={value}" for value in values] for key, values in split))))


def row(cap: float, asked: Sequence[str], told: dict[str, Any]) -> str:
    """Write a row of the table."""
    begun = f"| {cap:g} | {' '.join(asked) or 'as configured'} |"
    if "error" in told:
        return f"{begun} does not run: {told['error']} | | | | |"
    cells = (told["placed"], told["peak_gib"], told["chunk_s"], told["video_s"], told["loaded_s"])
    return f"{begun} {' | '.join(map(str, cells))} |"


def main() -> int:
    """Print the table, or with ``--one`` a single measurement as JSON."""
    parser = argparse.ArgumentParser(description="What runs in how much GPU memory.")
    parser.add_argument("config", type=Path)
    parser.add_argument("--caps", default="8,12,16,24,80", help="GiB of GPU memory, separated by commas")
    parser.add_argument("--each", action="append", default=[], metavar="KEY=A,B", help="values to try at every cap")
    parser.add_argument("--one", action="store_true", help="measure once, here, without a cap of its own")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_intermixed_args()
    overrides = ["model.weights=random", *args.overrides]
    if args.one:
        try:
            config = settings.load(Sections, args.config, overrides, ignored=("server", "stream", "engine"))
            print(json.dumps(measure(config)))
        except PipelineError as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    print("\n".join(HEADER))
    for cap, asked in itertools.product(map(float, args.caps.split(",")), combinations(args.each)):
        told = run(args.config, [*overrides, *asked, f"wan.memory_gb={cap}"])
        print(row(cap, asked, told), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
