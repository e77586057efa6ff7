"""Whether pocket holds its frame rate on a CPU: ``python -m pipeline.bench.latents CONFIG [key=value ...]``.

Prints CPU milliseconds of a latent by stage for one prompt after another, and what share they are of the CPU time that
there is while the latent is shown: its seconds, on as many cores as the model has threads. Prompts take turns, latent
by latent, and are also told as ratios to the first, so that a busy machine changes them little. CPU time is that of
all threads, without what they wait for, stages those of chunks made on one thread; an encoder and the rest of a server
need their part of it, too. ``wall`` is what a viewer waits for: on a machine that does nothing else, the rate is held
where it is under the latent's time.
"""

import argparse
import cProfile
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from pipeline.bench.setting import read
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.interface import Pipeline
    from pipeline.types import Pixels

PROMPTS = (
    "nothing moves",
    "the camera pans left",
    "the trees sway in the wind",
    "snow falls",
    "the fire flickers",
    "leaves are falling",
)
LATENTS, SETTLED = 8, 8
# Functions by the file's end and their name, and the stage that all below them count to.
STAGES = {
    ("pipeline/causal.py", "_sample"): "sampling",
    ("pocket/cpu_passes.py", "read"): "context",
    ("pocket/moving.py", "displaced"): "layers",
    ("pocket/moving.py", "gain"): "gain",
    ("pocket/moving.py", "under"): "weather",
    ("pocket/weather.py", "over"): "weather",
    ("drawn/draw.py", "draw"): "drawn",
    ("pocket/fade.py", "decode"): "decoding",
}
WITHIN_DECODING = ("layers", "gain", "weather", "drawn")
COLUMNS: tuple[str, ...] = ("sampling", "context", *WITHIN_DECODING, "frames", "rest", "all", "wall")


class Take:
    """One prompt's stream, and CPU milliseconds of its latents, by stage and in all."""

    def __init__(self, pipeline: "Pipeline[Any]", prompt: str, picture: "Pixels") -> None:
        from pipeline.types import Conditioning

        self._pipeline, self.prompt = pipeline, prompt
        self._asked = Conditioning("i2v", prompt, picture, seed=1)
        self._state = pipeline.open(self._asked)
        self.wholes: list[float] = []
        self.walls: list[float] = []
        self.stages: list[dict[str, float]] = []
        for _ in range(SETTLED):
            self._make()

    def measure(self) -> None:
        """Make a chunk that counts as a whole, and one that is told apart, which takes a little longer itself."""
        latents = self._pipeline.format.latents_per_chunk
        begun, since = time.process_time(), time.perf_counter()
        self._make()
        self.wholes.append((time.process_time() - begun) * 1000 / latents)
        self.walls.append((time.perf_counter() - since) * 1000 / latents)
        self.stages.append({stage: ms / latents for stage, ms in told_apart(self._make).items()})

    def _make(self) -> None:
        self._pipeline.generate_chunk(self._state, self._asked)
        self._pipeline.commit(self._state)

    def told(self) -> dict[str, float]:
        """Medians of each of COLUMNS; ``all`` and ``wall`` are of the chunks that were not told apart."""
        stages = {name: median(one[name] for one in self.stages) for name in COLUMNS[:-2]}
        return stages | {"all": median(self.wholes), "wall": median(self.walls)}


def told_apart(work: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of some work by stage; one thread does all of it, since a profile sees no other."""
    import torch

    # Functions of C are part of what calls them.
    profile, threads = cProfile.Profile(time.process_time, builtins=False), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        profile.runcall(work)
    finally:
        torch.set_num_threads(threads)
    return by_stage(profile)


def by_stage(profile: cProfile.Profile) -> dict[str, float]:
    """Add up the milliseconds of a profile by stage; ``frames`` are the rest of decoding, ``rest`` is of all."""
    found = dict.fromkeys(STAGES.values(), 0.0)
    total = 0.0
    for entry in profile.getstats():
        if isinstance(entry.code, str):
            continue
        total += entry.inlinetime * 1000
        for (end, name), stage in STAGES.items():
            if entry.code.co_name == name and Path(entry.code.co_filename).as_posix().endswith(end):
                found[stage] += entry.totaltime * 1000
    decoding = found.pop("decoding")
    rest = total - decoding - found["sampling"] - found["context"]
    return {**found, "frames": decoding - sum(found[name] for name in WITHIN_DECODING), "rest": rest}


def rows(told: Mapping[str, Mapping[str, float]], budget_ms: float) -> list[str]:
    """Write the table: a prompt's milliseconds by stage, its share of the budget, its ratio to the first prompt's.

    >>> rows({"still": dict.fromkeys(COLUMNS, 100.0)}, 500.0)[-1]
    '| still | 100 | 100 | 100 | 100 | 100 | 100 | 100 | 100 | 100 | 100 | 20 % | 1.00 |'
    """
    head = ["prompt", *COLUMNS, "of the time", "ratio"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    first = next(iter(told.values()))["all"]
    for prompt, one in told.items():
        numbers = [f"{one[name]:.0f}" for name in COLUMNS]
        lines.append(f"| {' | '.join([prompt, *numbers])} | {one['all'] / budget_ms:.0%} | {one['all'] / first:.2f} |")
    return [line.replace("%", " %") for line in lines]


def measured(
    pipeline: "Pipeline[Any]", picture: "Pixels", args: argparse.Namespace, tell: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """Play all prompts over a picture by turns."""
    takes: list[Take] = []
    for prompt in args.prompt or PROMPTS:
        tell(prompt)
        takes.append(Take(pipeline, prompt, picture))
    tell(f"{args.latents} turns")
    for _ in range(args.latents):
        for take in takes:
            take.measure()
    return {take.prompt: take.told() for take in takes}


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print, or say in one line what is wrong; give the exit status."""
    parser = argparse.ArgumentParser("pipeline.bench.latents", description="Whether pocket holds its rate on a CPU.")
    parser.add_argument("config", type=Path, metavar="CONFIG")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--picture", type=Path, required=True, help="what the prompts are played over")
    parser.add_argument("--prompt", action="append", help="one prompt instead of the usual; may be given again")
    parser.add_argument("--latents", type=int, default=LATENTS, metavar="N", help=f"turns that count ({LATENTS})")
    args = parser.parse_intermixed_args(words)
    if args.latents < 1:
        parser.error(f"--latents begins at 1, got {args.latents}")
    # As in a server: threads that spin while they wait take time from the rest.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from pipeline import factory
    from pipeline.picture import read_picture

    try:
        setting = read(args.config, ["model.max_streams=64", *args.overrides])
        if setting.config.model.kind != "pocket":
            parser.error("this is for pocket on a CPU; python -m pipeline.bench measures other models")
        pipeline = factory.build(setting.config.model, setting.config.wan)
        told = measured(pipeline, read_picture(args.picture), args, lambda one: print(one, file=sys.stderr, flush=True))
    except (PipelineError, OSError) as error:
        print(f"pipeline.bench.latents: {error}", file=sys.stderr)
        return 1
    made, threads = pipeline.format, setting.config.model.threads or os.cpu_count() or 1
    budget_ms = 1000 * threads * made.frames_per_latent / float(made.fps)
    size = f"{made.width}x{made.height} at {made.fps} frames/s"
    print(f"pocket, {size}: {budget_ms:.0f} ms of CPU for each latent, of {threads} threads")
    print("\n".join(rows(told, budget_ms)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
