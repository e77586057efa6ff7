"""How fast a model makes video here: ``python -m pipeline.bench CONFIG [key=value ...]``.

Prints a row of Markdown for each setting. Stages of a chunk are medians, by the GPU's own clock where there is one;
settings are run in turn, chunk by chunk, so that what changes with time or heat changes for all of them.
"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.bench.setting import Setting, read
from pipeline.bench.starts import cold_and_warm
from pipeline.errors import ConfigError, PipelineError

EXAMPLES = """\
examples:
  python -m pipeline.bench configs/wan_1_3b.yaml --baseline --json bench.json
  python -m pipeline.bench configs/wan_1_3b.yaml --no-start --compare NO_CUDA_GRAPH=1 --compare "wan.attention=sdpa"
  python -m pipeline.bench configs/pocket.yaml

A Wan model that names no weights gets random ones: their values change neither time nor memory.
Exit status: 0 measured, 1 something failed, 2 misused.
"""
DONE, FAILED, MISUSED = 0, 1, 2
CHUNKS, NEW_PROMPTS = 20, 3


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        "pipeline.bench",
        description=__doc__,
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("config", type=Path, metavar="CONFIG", help="YAML, as the server reads it")
    add("overrides", nargs="*", metavar="key=value", help="settings over the file's; NO_CUDA_GRAPH=1 is one, too")
    add("--compare", action="append", default=[], metavar='"key=value ..."', help="run this beside it, in turn")
    add("--baseline", action="store_true", help="run the usual eager way beside each setting, in turn")
    add("--chunks", type=int, default=CHUNKS, metavar="N", help=f"chunks of each that count ({CHUNKS})")
    add("--json", type=Path, metavar="FILE", help="write all that was measured")
    add("--no-start", action="store_true", help="leave out the starts, cold and warm, of a process of its own")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print, or say in one line what is wrong; give the exit status."""
    args = arguments().parse_intermixed_args(words)
    # As in a server: threads that spin while they wait take time from the rest.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        if args.chunks < 1:
            raise ConfigError(f"--chunks begins at 1, got {args.chunks}")
        settings = [read(args.config, args.overrides)]
        for more in args.compare:
            settings.append(read(args.config, [*args.overrides, *shlex.split(more)], f"the same, {more}"))
        # Before this process takes memory of the GPU.
        starts = [start(args.config, one) if not args.no_start else None for one in settings]
        told = {"config": str(args.config), "chunks": args.chunks} | measured(settings, starts, args)
        print_and_write(told, args.json)
    except ConfigError as error:
        return fail(str(error), MISUSED)
    except (PipelineError, OSError) as error:
        return fail(str(error), FAILED)
    return DONE


def start(path: Path, setting: Setting) -> dict[str, float]:
    """Measure the starts of a setting. Raises PipelineError."""
    tell(f"{setting.name}: starting cold, then warm")
    return cold_and_warm(path, setting.words)


def measured(
    settings: Sequence[Setting], starts: Sequence[Mapping[str, float] | None], args: argparse.Namespace
) -> dict[str, Any]:
    """Run all settings in turn and tell what came of it. Raises PipelineError."""
    from pipeline.bench import report, runs

    prepared = [runs.prepare(setting, lambda stage, one=setting: tell(f"{one.name}: {stage}")) for setting in settings]
    baselines = [runs.baseline(run, args.chunks) for run in prepared] if args.baseline else []
    tell(f"{args.chunks} chunks of each")
    take_turns([*prepared, *baselines], args.chunks)
    for number in range(NEW_PROMPTS):
        for run in prepared:
            run.change_prompt(number)
    tell("measuring what this device could do")
    ceilings: report.Ceilings = {}
    reports = [report.of_run(run, start_s, ceilings) for run, start_s in zip(prepared, starts, strict=True)]
    for one in reports[1:]:
        one["ratios"] = report.ratios(reports[0], one)
    if args.baseline:
        for one, baseline, run in zip(reports, baselines, prepared, strict=True):
            one["baseline"] = report.of_baseline(baseline, run)
    return {**report.machine(prepared[0].device), "settings": reports}


class MakesChunks(Protocol):
    """What is run beside others."""

    def chunk(self) -> None:
        """Make a chunk that counts."""
        ...


def take_turns(all_of_them: Sequence[MakesChunks], chunks: int) -> None:
    """Make a chunk of each, then the next of each."""
    for _ in range(chunks):
        for one in all_of_them:
            one.chunk()


def print_and_write(told: Mapping[str, Any], path: Path | None) -> None:
    """Print the table and what belongs to it; write everything, if a file is named. Raises OSError."""
    from pipeline.bench.report import remarks, table

    print("\n".join([*table(told["settings"]), "", *remarks(told)]))
    if path is not None:
        path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def tell(stage: str) -> None:
    """Say what is being done."""
    print(stage, file=sys.stderr, flush=True)


def fail(message: str, status: int) -> int:
    """Say in one line what is wrong; give the status back."""
    print(f"pipeline.bench: {message}", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
