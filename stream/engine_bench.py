"""What an engine adds to a chunk, for each kind, one Markdown row each: ``python -m stream.engine_bench``.

Overhead is the time from asking to having, less the time that the model itself took: queue, transport, waking up. The
engines run in one process and take turns, round by round, so that a slow moment of the machine meets all of them.
"""

import argparse
import asyncio
import pkgutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from pipeline.interface import Pipeline, Progress, silent
from pipeline.types import Capabilities, Chunk, Conditioning, Pixels, QualityLevel, VideoFormat
from stream.config import load
from stream.engine import Engine, ThreadEngine
from stream.engine_host import Build
from stream.engine_process import ProcessEngine
from stream.engine_ray import RayEngine, RaySettings

CHUNKS_A_ROUND = 5
KINDS: dict[str, Callable[[Build], Engine]] = {
    "thread": ThreadEngine,
    "process": ProcessEngine,
    "ray": lambda build: RayEngine(build, RaySettings(replicas=1)),
}
_FORMAT = VideoFormat(832, 480, Fraction(16), 1, 4)


class Timed:
    """A pipeline whose chunks tell in ``timings_ms["model"]`` how long they took it, whatever stages it tells."""

    def __init__(self, pipeline: Pipeline[Any]) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def generate_chunk(self, state: Any, conditioning: Conditioning) -> Chunk:
        """Make a chunk, and time that."""
        began = time.perf_counter()
        chunk = self._pipeline.generate_chunk(state, conditioning)
        chunk.timings_ms["model"] = (time.perf_counter() - began) * 1000
        return chunk


class Ready:
    """A pipeline that costs nothing: each chunk is the same frames of 832x480, copied as a decoder would write them."""

    format = _FORMAT
    capabilities = Capabilities(
        "ready", ("t2v",), "none", ("auto",), ((832, 480),), (QualityLevel("full", Fraction(16)),), 8, 8, ()
    )

    def __init__(self) -> None:
        self._frames: Pixels = np.full((4, 480, 832, 3), 127, np.uint8)

    def warm_up(self, progress: Progress = silent) -> tuple[float, ...]:
        """Tell a time that is not zero."""
        return (0.001,)

    def open(self, conditioning: Conditioning) -> list[int]:
        """Begin a count of chunks."""
        return [0]

    def generate_chunk(self, state: list[int], conditioning: Conditioning) -> Chunk:
        """Copy the frames."""
        index, state[0] = state[0], state[0] + 1
        return Chunk(index, index * 4, index, 1, self._frames.copy(), _FORMAT.fps, conditioning.revision, 0)

    def commit(self, state: list[int]) -> None:
        """Do nothing."""

    def truncate(self, state: list[int], latent: int) -> None:
        """Go back."""
        state[0] = latent

    def close(self, state: list[int]) -> None:
        """Do nothing."""


def build_ready(progress: Progress) -> Any:
    """Build the pipeline that costs nothing."""
    return Timed(Ready())


def build_named(name: str, overrides: list[str], progress: Progress) -> Any:
    """Build a model by what ``module:function`` names, which is given the sections ``model`` and ``wan``."""
    config = load(None, overrides)
    return Timed(pkgutil.resolve_name(name)(config.model, config.wan, progress))


@dataclass(slots=True)
class Times:
    """What was measured of one engine, milliseconds: chunks from asking to having, the model's part, commits."""

    chunk: list[float] = field(default_factory=list[float])
    model: list[float] = field(default_factory=list[float])
    commit: list[float] = field(default_factory=list[float])

    @property
    def overhead(self) -> list[float]:
        """What the engine added to each chunk, sorted."""
        return sorted(whole - model for whole, model in zip(self.chunk, self.model, strict=True))


def row(model: str, kind: str, times: Times, baseline: Times) -> str:
    """Give one engine's row; ratios are to the thread engine.

    >>> thread = Times([10.0, 12.0], [9.0, 11.0], [1.0, 1.0])
    >>> row("ready", "process", Times([13.0, 15.0], [9.0, 11.0], [2.0, 2.0]), thread)
    '| ready | process | 4.00 | 4.00 | 14.0 | 1.27 | 2.00 |'
    """
    overhead = times.overhead
    p95 = overhead[min(len(overhead) - 1, len(overhead) * 19 // 20)]
    whole = statistics.median(times.chunk)
    ratio = whole / statistics.median(baseline.chunk)
    added, commit = statistics.median(overhead), statistics.fmean(times.commit)
    return f"| {model} | {kind} | {added:.2f} | {p95:.2f} | {whole:.1f} | {ratio:.2f} | {commit:.2f} |"


async def run_round(engine: Engine, conditioning: Conditioning, times: Times, chunks: int) -> None:
    """Make some chunks of a stream that is open, and enter what they took."""
    for _ in range(chunks):
        began = time.perf_counter()
        chunk = await engine.generate("bench", conditioning, 0.0)
        had = time.perf_counter()
        await engine.commit("bench")
        times.commit.append((time.perf_counter() - had) * 1000)
        times.chunk.append((had - began) * 1000)
        times.model.append(chunk.timings_ms["model"])


async def measure(build: Build, kinds: list[str], chunks: int) -> dict[str, Times]:
    """Run the engines in turns on a model of the same make."""
    engines = {kind: KINDS[kind](build) for kind in kinds}
    measured = {kind: Times() for kind in kinds}
    picture = np.random.default_rng(0).integers(0, 256, (480, 832, 3), dtype=np.uint8)
    wishes: dict[str, Conditioning] = {}
    try:
        for kind, engine in engines.items():
            await engine.start()
            mode = engine.capabilities.modes[0]
            wishes[kind] = Conditioning(mode, "the camera pans left", picture if mode == "i2v" else None, 0)
            await engine.open("bench", wishes[kind])
            await run_round(engine, wishes[kind], Times(), CHUNKS_A_ROUND)
        for _ in range(max(1, chunks // CHUNKS_A_ROUND)):
            for kind, engine in engines.items():
                await run_round(engine, wishes[kind], measured[kind], CHUNKS_A_ROUND)
    finally:
        for engine in engines.values():
            await engine.close()
    return measured


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="settings of the model: model.threads=1")
    parser.add_argument("--chunks", type=int, default=100, help="chunks of each engine and model")
    parser.add_argument("--engines", default=",".join(KINDS), help="of %(default)s; the first is the baseline")
    parser.add_argument("--build", default="pipeline.factory:build", help="module:function that makes the model")
    arguments = parser.parse_args()
    kinds = arguments.engines.split(",")
    builds: dict[str, Build] = {
        "ready": build_ready,
        load(None, arguments.overrides).model.kind: partial(build_named, arguments.build, arguments.overrides),
    }
    print(f"| model | engine | added to a chunk, ms | p95 | whole chunk, ms | ratio to {kinds[0]} | commit, mean, ms |")
    print("|---|---|---|---|---|---|---|")
    for name, build in builds.items():
        measured = asyncio.run(measure(build, kinds, arguments.chunks))
        for kind in kinds:
            print(row(name, kind, measured[kind], measured[kinds[0]]), flush=True)


if __name__ == "__main__":
    main()
