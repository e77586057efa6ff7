"""Files of random weights in the formats, and to the byte the sizes, that published ones have."""

import json
import math
import mmap
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.serialization import set_default_mmap_options, skip_data

from pipeline.errors import WeightsError
from pipeline.wan.file_layouts import Layout, Spec

BLOCK_VALUES = 4_194_301
"""A prime, so that the rows of no matrix come out alike."""
SPREAD = 0.02
COMMENT_BYTES = 65_535
"""What a zip archive can be lengthened by."""
_STORED = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


class Noise:
    """Normal values, as many as wanted, of one block that is drawn once and then repeated out of step."""

    def __init__(self, seed: int = 0) -> None:
        self._block = torch.randn(BLOCK_VALUES, generator=torch.Generator().manual_seed(seed))

    def pieces(self, name: str, spec: Spec) -> Iterator[Tensor]:
        """Give a tensor's values in flat pieces, of a mean and deviation under which activations keep their size."""
        mean, deviation = scale_of(name, spec.shape)
        left, at = math.prod(spec.shape), zlib.crc32(name.encode()) % BLOCK_VALUES
        while left:
            piece = self._block[at : at + left]
            yield (piece * deviation + mean).to(spec.dtype)
            left, at = left - len(piece), 0


def scale_of(name: str, shape: Sequence[int]) -> tuple[float, float]:
    """Give mean and deviation for a parameter: 1 for a gain, little for a bias or a table, else by what it sums up.

    >>> scale_of("norm3.weight", (1536,)), scale_of("ffn.0.weight", (8, 1024)), scale_of("head.modulation", (1, 2, 8))
    ((1.0, 0.02), (0.0, 0.03125), (0.0, 0.02))
    """
    leaf = name.rpartition(".")[2]
    if leaf == "gamma" or (leaf == "weight" and len(shape) < 2):
        return 1.0, SPREAD
    if len(shape) < 2 or leaf in ("modulation", "cls_embedding", "pos_embedding") or "pos_embedding." in name:
        return 0.0, SPREAD
    return 0.0, math.prod(shape[1:]) ** -0.5


def write(folder: Path, layout: Layout, noise: Noise) -> Path:
    """Write one file, in its published size where that is to be kept; it appears when it is whole.

    Raises WeightsError when the size does not come out.
    """
    path = folder / layout.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=".standin-") as temporary:
        if path.suffix == ".safetensors":
            made = _write_safetensors(Path(temporary) / path.name, layout, noise)
        elif layout.legacy:
            made = _write_legacy(Path(temporary) / path.name, layout, noise)
        else:
            made = _write_archive(Path(temporary), layout, noise)
        size = made.stat().st_size
        if layout.size_bytes not in (None, size):
            raise WeightsError(f"{layout.path} came out with {size} bytes, published are {layout.size_bytes}")
        made.replace(path)
    return path


def header(layout: Layout) -> bytes:
    """Give the beginning of a ``.safetensors`` file, before the data."""
    entries: dict[str, object] = {} if layout.metadata is None else {"__metadata__": dict(layout.metadata)}
    at = 0
    for name in sorted(layout.tensors):
        spec = layout.tensors[name]
        offsets = [at, at := at + spec.size_bytes]
        entries[name] = {"dtype": _STORED[spec.dtype], "shape": list(spec.shape), "data_offsets": offsets}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def hollow_archive(folder: Path, layout: Layout) -> Path:
    """Write an archive of ``torch.save`` with holes for the data; it is never longer than the published file."""
    # Memory that is never touched takes none.
    hollow = {name: torch.empty(spec.shape, dtype=spec.dtype) for name, spec in layout.tensors.items()}
    # The archive repeats its file's name with every tensor. Some were saved under a shorter one.
    for name in (layout.path.name, f"a{layout.path.suffix}"):
        path = folder / name
        with skip_data():
            torch.save({layout.under: hollow} if layout.under else hollow, path)
        if layout.size_bytes is None or path.stat().st_size <= layout.size_bytes:
            break
    _lengthen(path, layout.size_bytes)
    return path


def _write_safetensors(path: Path, layout: Layout, noise: Noise) -> Path:
    with path.open("wb") as file:
        file.write(header(layout))
        for name in sorted(layout.tensors):
            for piece in noise.pieces(name, layout.tensors[name]):
                file.write(piece.view(torch.uint8).numpy().data)
    return path


def _write_legacy(path: Path, layout: Layout, noise: Noise) -> Path:
    tensors = {name: torch.empty(spec.shape, dtype=spec.dtype) for name, spec in layout.tensors.items()}
    _fill(tensors, layout, noise)
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    # The pickle names storages by their addresses, so its length differs from run to run. What follows the last
    # storage is not read.
    with path.open("r+b") as file:
        file.truncate(max(layout.size_bytes or 0, path.stat().st_size))
    return path


def _write_archive(folder: Path, layout: Layout, noise: Noise) -> Path:
    path = hollow_archive(folder, layout)
    with set_default_mmap_options(mmap.MAP_SHARED):
        mapped = torch.load(path, mmap=True, weights_only=True)
    _fill(mapped[layout.under] if layout.under else mapped, layout, noise)
    return path


def _fill(tensors: Mapping[str, Tensor], layout: Layout, noise: Noise) -> None:
    for name, spec in layout.tensors.items():
        flat, at = tensors[name].view(-1), 0
        for piece in noise.pieces(name, spec):
            flat[at : at + len(piece)] = piece
            at += len(piece)


def _lengthen(path: Path, size_bytes: int | None) -> None:
    """Bring an archive to a size by a comment at its end; the two bytes before a comment are its length."""
    missing = (size_bytes or 0) - path.stat().st_size
    if 0 < missing <= COMMENT_BYTES:
        with path.open("r+b") as file:
            file.seek(-2, 2)
            file.write(struct.pack("<H", missing) + bytes(missing))
