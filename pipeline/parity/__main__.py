"""Run every case of a folder: ``python -m pipeline.parity FOLDER [--verbose] [--only PREFIX]``."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError

from pipeline.errors import PipelineError
from pipeline.parity import clip, image_io, sampler, taehv, transformer, umt5, vae
from pipeline.parity.result import Result, metadata

Run = Callable[[Path], Iterator[Result]]
FAMILIES: Mapping[str, Run] = {
    "dit_": transformer.run,
    "scheduler": sampler.run,
    "pipe_": sampler.run,
    "vae_": vae.run,
    "taehv": taehv.run,
    "umt5": umt5.run,
    "prompt_cleaning": umt5.run,
    "clip_": clip.run,
    "image_io": image_io.run,
}
"""By the beginning of a case's file name."""
# What the reference measured of its own noise and of typical mistakes: for people, nothing to compare.
NOT_CASES = ("tolerances", "sensitivity")

FAILURES = (
    *(PipelineError, SafetensorError, OSError, LookupError, ValueError, RuntimeError),
    *(TypeError, AttributeError, AssertionError),
)
"""What a case that is not as we read it may end in."""


def cases(folder: Path) -> list[Path]:
    """Give the files that are cases, in order; state dicts are read by the cases that name them."""
    found = sorted((*folder.glob("*.safetensors"), *folder.glob("*.json")))
    weights = {name for path in found for name in _weights_of(path)}
    others = (path for path in found if not path.name.startswith(NOT_CASES))
    return [path for path in others if path.name not in weights and not path.name.endswith(".weights.safetensors")]


def _weights_of(path: Path) -> list[str]:
    try:
        meta = metadata(path) if path.suffix == ".safetensors" else {}
    except (OSError, SafetensorError):
        # Running it will tell.
        return []
    return [*([meta["weights"]] if "weights" in meta else []), *meta.get("weights_all", [])]


def run(path: Path) -> Iterator[Result]:
    """Run one case; a file that no family knows fails, so that none is passed over in silence."""
    for prefix, family in FAMILIES.items():
        if path.name.startswith(prefix):
            yield from family(path)
            return
    yield Result(f"{path.name}: no such case is known", float("inf"), 0.0)


def verdict(result: Result) -> str:
    """Say how a comparison came out."""
    if result.documented:
        return "differs as documented"
    return "pass" if result.passed else "FAIL"


def attempt(path: Path) -> list[Result]:
    """Run one case; what it cannot be run for is a failure of its own, told and counted, and the others go on."""
    results: list[Result] = []
    try:
        results.extend(run(path))
    except FAILURES as error:
        told = f"{path.name}: {type(error).__name__}: {error}".splitlines()[0]
        results.append(Result(told, float("inf"), 0.0))
    return results


def report(path: Path, verbose: bool) -> tuple[int, int]:
    """Print a case's comparisons, all or the worst; give how many passed and how many failed."""
    begun = time.perf_counter()
    results = attempt(path)
    seconds = time.perf_counter() - begun
    counted = [result for result in results if not result.documented]
    failed = [result for result in counted if not result.passed]
    worst = max(counted, key=lambda result: result.error / (result.bar or 1e-300), default=None)
    documented = [result for result in results if result.documented]
    for result in results if verbose else [*failed, *documented]:
        print(f"  {result.name:<60} {result.error:10.2e} {result.bar:8.0e}  {verdict(result)}")
    if worst is not None:
        told = f"{'FAIL' if failed else 'pass'}  {len(counted)} values, {seconds:.1f} s"
        print(f"{path.name:<62} {worst.error:10.2e} {worst.bar:8.0e}  {told}")
    return len(counted) - len(failed), len(failed)


def main() -> int:
    """Run the folder; 0 only if every case passed, 1 if one did not, 2 where there is none."""
    parser = argparse.ArgumentParser(description="Compare our networks with the reference's inputs and outputs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", metavar="PREFIX", help="cases whose file name begins so")
    parser.add_argument("--verbose", action="store_true", help="print every comparison, not each case's worst")
    parser.add_argument("--device", default="cpu", help="where to run; on a GPU float32 is kept from becoming TF32")
    args = parser.parse_args()
    paths = [path for path in cases(args.folder) if path.name.startswith(args.only)]
    if not paths:
        print(f"no parity cases in {args.folder}", file=sys.stderr)
        return 2
    torch.set_grad_enabled(False)
    torch.set_default_device(args.device)
    torch.backends.cudnn.allow_tf32 = False
    print(f"{'case (its worst value)':<62} {'error':>10} {'bar':>8}")
    passed, failed = (sum(counts) for counts in zip(*(report(path, args.verbose) for path in paths), strict=True))
    print(f"{len(paths)} cases, {passed + failed} values compared: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
