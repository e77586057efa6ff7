"""Fetch what a Wan model is made of: says what, how much and under which licences, asks once, then downloads.

``python -m pipeline.download [--model wan_1_3b] [--folder DIR] [--vae wan|taehv|both] [--yes] [--dry-run]``

Nothing else in Vivant downloads anything, and this module only when it is run.
"""

import argparse
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

from pipeline.errors import WeightsError
from pipeline.fetch import fetch, fetched_bytes, site, verify
from pipeline.wan_files import (
    ALIASES,
    MODELS,
    File,
    Model,
    Vae,
    choose,
    command,
    files,
    missing,
    readable,
    weights_folder,
)

DONE, FAILED, INTERRUPTED = 0, 1, 130
WIDTH = 110


@dataclass(frozen=True, slots=True)
class Order:
    """A model, the folder of all weights, and which of the two VAEs is wanted."""

    model: Model
    folder: Path
    vae: Vae

    @property
    def files(self) -> tuple[File, ...]:
        """All files of the model."""
        return files(self.model.name, self.vae)

    @property
    def missing(self) -> list[File]:
        """Those of them that are not there in full size."""
        return missing(self.model.name, self.folder, self.vae)

    @property
    def bytes_to_fetch(self) -> int:
        """What is left to download, after what earlier tries have brought."""
        return sum(file.size_bytes - fetched_bytes(file, self.folder) for file in self.missing)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give the exit status: 0 all files are there and right, 1 they are not, 130 interrupted."""
    options = _parse(arguments)
    order = Order(choose(options.model), weights_folder(options.folder), options.vae)
    # Otherwise the hub's library asks the hub for a list, by which it then tells the hub what is running it.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        if options.dry_run:
            print(plan(order), "Nothing was downloaded: --dry-run.", sep="\n\n")
            return DONE
        return _run(order, options.yes or os.environ.get("YES", "").lower() not in ("", "0", "false", "no"))
    except WeightsError as error:
        print(error, file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.", file=sys.stderr)
        return INTERRUPTED


def plan(order: Order) -> str:
    """Write down what would be fetched from where, under which licences, and whether there is room for it."""
    lines = [f"{order.model.name}: {order.model.title}", ""]
    lacking = order.missing
    for repo in dict.fromkeys(file.repo for file in order.files):
        of_repo = [file for file in order.files if file.repo == repo]
        lines.append(f"{site(of_repo[0])}/{repo.name}, {repo.licence.name}")
        lines += [f"  {readable(file.size_bytes):>10}  {file.name}{_note(file, lacking, order)}" for file in of_repo]
    if any(not file.confirmed for file in order.files):
        lines.append("  * stated by one source only: the hub's own size and hash are what counts")
    lines.append("")
    for licence in dict.fromkeys(file.repo.licence for file in order.files):
        lines += textwrap.wrap(f"{licence.name}: {licence.meaning}", WIDTH, subsequent_indent="  ")
    total = sum(file.size_bytes for file in order.files)
    left = order.bytes_to_fetch
    lines += [
        "",
        f"Download: {readable(left)} of {readable(total)} in all, {left:,} bytes",
        f"Folder:   {order.folder}, {readable(_free_bytes(order.folder))} free",
        f"GPU:      {describe_gpu()}",
    ]
    return "\n".join(lines)


def describe_gpu() -> str:
    """Name the GPU with its memory; where there is none, say what runs without."""
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return f"{torch.cuda.get_device_name()}, {readable(free)} of {readable(total)} free"
    why = "none was found" if torch.backends.cuda.is_built() else "the installed torch is built without CUDA"
    return f"{why}; this model needs one to be live. Without one, pocket is: make run"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.download", description="Fetch a Wan model's files.")
    parser.add_argument("--model", choices=[*ALIASES, *MODELS], default="wan_1_3b", help="which one (wan_1_3b)")
    parser.add_argument("--folder", default="", help="where to ($VIVANT_WEIGHTS, else ~/.cache/vivant/weights)")
    parser.add_argument("--vae", choices=get_args(Vae), default="both", help="Wan's VAE, the tiny one, or both (both)")
    parser.add_argument("--yes", action="store_true", help="do not ask (as YES=1 in the environment)")
    parser.add_argument("--dry-run", action="store_true", help="show it all and fetch nothing")
    return parser.parse_args(arguments)


def _run(order: Order, agreed: bool) -> int:
    if find_spec("huggingface_hub") is None:
        raise WeightsError("huggingface_hub is not installed: pip install -e '.[wan]'")
    if order.missing:
        print(plan(order), flush=True)
        _check_room(order)
        if not agreed and not _ask(order):
            print("Nothing was downloaded.")
            return FAILED
    for file in order.missing:
        fetch(file, order.folder)
    for file in order.files:
        verify(file, order.folder)
    print(f"{order.model.name}: {len(order.files)} files are complete in {order.folder}", flush=True)
    return DONE


def _check_room(order: Order) -> None:
    needed, free = order.bytes_to_fetch, _free_bytes(order.folder)
    if needed > free:
        raise WeightsError(
            f"{readable(needed)} are to be fetched and {readable(free)} are free in {order.folder}: make room for "
            f"{readable(needed - free)} more, or name another place with --folder or $VIVANT_WEIGHTS"
        )


def _ask(order: Order) -> bool:
    if not sys.stdin.isatty():
        agree = f"{command(order.model.name, order.folder, order.vae)} --yes (or YES=1 in the environment)"
        raise WeightsError(f"nobody is here to be asked, so nothing was downloaded; to agree beforehand: {agree}")
    question = f"\nDownload {readable(order.bytes_to_fetch)} under these licences? [y/N] "
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _note(file: File, lacking: Sequence[File], order: Order) -> str:
    mark = "" if file.confirmed else " *"
    if file not in lacking:
        return f"{mark}  (here)"
    if (order.folder / file.path).exists():
        return f"{mark}  (the one here is of another size, and will be replaced)"
    begun = fetched_bytes(file, order.folder)
    return f"{mark}  ({readable(begun)} here)" if begun else mark


def _free_bytes(folder: Path) -> int:
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(there).free


if __name__ == "__main__":
    sys.exit(main())
