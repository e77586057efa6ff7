"""Checkpoint files: names, shapes and dtypes of their tensors without the data, then the tensors one by one.

Read are ``.safetensors``, in shards too, and what ``torch.save`` wrote, as far as that holds nothing but tensors.
Matrices in twelve bits with a scale for each row (:mod:`pipeline.row_scales`) are listed, and read, as float32.
"""

import json
import logging
import pickle
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile, ZipFile

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipeline.errors import WeightsError
from pipeline.row_scales import LOW, SCALE, unpacked

WRAPPERS = frozenset({"_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod"})
"""Names that a training run wraps modules in, anywhere in a key."""
PREFIXES = ("module.", "model.", "diffusion_model.", "net.", "visual.")
"""What stands before every key when the network was a part of something larger as it was saved."""
EMA_FIRST = ("generator_ema", "ema", "generator", "model", "state_dict", "module")
RAW_FIRST = ("generator", "model", "state_dict", "module", "generator_ema", "ema")
INDEX_SUFFIX = ".safetensors.index.json"
SHARD = re.compile(r"(.*)-\d{5}-of-(\d{5})\.safetensors")

_FOREIGN = {
    b"version https://git-lfs": "a Git LFS pointer, not the weights themselves: git lfs pull fetches them",
    b"GGUF": "a GGUF file, which is not read here: use a .safetensors or .pth file in F32, BF16 or F16",
    b"<!DOCTYPE": "a web page, not the weights: download it again",
    b"<html": "a web page, not the weights: download it again",
}
"""How files begin that are mistaken for weights."""

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file; ``read`` gives it, in the file's dtype, on the CPU."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file, or a set of shards, holds, under plain names (:func:`plain_names`)."""

    path: Path
    entries: Mapping[str, Entry]

    def without(self, ignored: Sequence[str]) -> "Checkpoint":
        """Leave out the tensors whose names begin with one of ``ignored``; what is left gets plain names."""
        kept = {name: entry for name, entry in self.entries.items() if not name.startswith(tuple(ignored))}
        return _named(self.path, kept)

    def fitted(self, fit: Callable[[str, Tensor], Tensor]) -> "Checkpoint":
        """Have every tensor, by name, pass through ``fit`` as it is read; it must take tensors on meta too."""
        return Checkpoint(self.path, {name: _fitted(name, entry, fit) for name, entry in self.entries.items()})


def open_checkpoint(path: Path, ema: bool = True) -> Checkpoint:
    """Open a checkpoint and read what it lists.

    Args:
        path: a ``.safetensors`` file (of shards any one, or their ``.safetensors.index.json``), a folder that holds
            one such checkpoint, or a file of ``torch.save`` (any other suffix), which is mapped into memory.
        ema: which weights to take where there are both, averaged over training or the last ones.

    Raises:
        WeightsError: the file cannot be read, a shard is missing or is not as the index says, or reading the
            file would run code that it brings along.
    """
    if path.is_dir():
        return open_checkpoint(_only_checkpoint(path))
    try:
        if path.name.endswith(INDEX_SUFFIX):
            return _named(path, _indexed(path))
        if (shard := SHARD.fullmatch(path.name)) is not None:
            index = path.with_name(f"{shard[1]}{INDEX_SUFFIX}")
            return _named(path, _indexed(index) if index.is_file() else _shards(path, shard[1], int(shard[2])))
        if path.suffix == ".safetensors":
            return _named(path, _safetensors(path))
        return _named(path, _saved(path, EMA_FIRST if ema else RAW_FIRST))
    except OSError as error:
        raise WeightsError(f"cannot read weights from {path}: {error.strerror or error}") from error


def opened(source: Path | Checkpoint, ema: bool = True) -> Checkpoint:
    """Open a checkpoint that is not open yet, as :func:`open_checkpoint` does. Raises WeightsError."""
    return open_checkpoint(source, ema) if isinstance(source, Path) else source


def read_state(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a checkpoint by their plain names. Raises WeightsError."""
    return {name: entry.read() for name, entry in open_checkpoint(path).entries.items()}


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Give for each name the one without training wrappers, and without a prefix that all names share.

    >>> plain_names(["model._fsdp_wrapped_module.head.weight", "model._orig_mod.head.bias"])
    {'model._fsdp_wrapped_module.head.weight': 'head.weight', 'model._orig_mod.head.bias': 'head.bias'}
    >>> plain_names(["visual.proj", "log_scale"])
    {'visual.proj': 'visual.proj', 'log_scale': 'log_scale'}
    """
    plain = {name: ".".join(part for part in name.split(".") if part not in WRAPPERS) for name in names}
    while plain and (shared := next((p for p in PREFIXES if all(x.startswith(p) for x in plain.values())), "")):
        plain = {name: short.removeprefix(shared) for name, short in plain.items()}
    return plain


def _named(path: Path, entries: Mapping[str, Entry]) -> Checkpoint:
    plain = plain_names(entries)
    renamed = {plain[name]: entry for name, entry in entries.items()}
    if len(renamed) < len(entries):
        twice = next(short for short in renamed if list(plain.values()).count(short) > 1)
        raise WeightsError(f"{path} holds {twice} twice, under different wrappers")
    return Checkpoint(path, renamed)


def _fitted(name: str, entry: Entry, fit: Callable[[str, Tensor], Tensor]) -> Entry:
    shape = fit(name, torch.empty(entry.shape, dtype=entry.dtype, device="meta")).shape
    return Entry(tuple(shape), entry.dtype, lambda: fit(name, entry.read()))


def _only_checkpoint(folder: Path) -> Path:
    for pattern in (f"*{INDEX_SUFFIX}", "*.safetensors"):
        found = sorted(folder.glob(pattern))
        # All shards of one checkpoint count as one.
        if len({shard.groups() if (shard := SHARD.fullmatch(path.name)) else path.name for path in found}) > 1:
            raise WeightsError(f"{folder} holds several checkpoints, as {found[0].name}: name the file")
        if found:
            return found[0]
    raise WeightsError(f"{folder} holds no .safetensors file and no index of one")


def _safetensors(path: Path) -> dict[str, Entry]:
    _refuse_foreign(path)
    try:
        file = safe_open(path, framework="pt")
    except SafetensorError as error:
        raise WeightsError(f"cannot read weights from {path}: {error}; download it again") from error
    entries: dict[str, Entry] = {}
    for name in file.keys():  # noqa: SIM118  it is no mapping
        part = file.get_slice(name)
        if (stored := part.get_dtype()) not in _DTYPES:
            raise WeightsError(f"{path} holds {name} as {stored}, which is not read here; use an F32, BF16 or F16 file")
        entries[name] = Entry(tuple(part.get_shape()), _DTYPES[stored], _reader(file, name))
    for name in [name for name in entries if {name + LOW, name + SCALE} <= entries.keys()]:
        entries[name] = _packed(entries[name], entries.pop(name + LOW), entries.pop(name + SCALE))
    return entries


def _packed(high: Entry, low: Entry, scale: Entry) -> Entry:
    return Entry(high.shape, torch.float32, lambda: unpacked(high.read(), low.read(), scale.read()))


def _reader(file: Any, name: str) -> Callable[[], Tensor]:
    return lambda: file.get_tensor(name)


def _shards(path: Path, stem: str, count: int) -> dict[str, Entry]:
    files = [f"{stem}-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    _refuse_missing(path, files)
    entries: dict[str, Entry] = {}
    for name in files:
        shard = _safetensors(path.with_name(name))
        if twice := sorted(shard.keys() & entries.keys()):
            raise WeightsError(f"{path.with_name(name)} holds {twice[0]}, which an earlier shard holds too")
        entries |= shard
    return entries


def _indexed(index: Path) -> dict[str, Entry]:
    where = _weight_map(index)
    files = sorted(set(where.values()))
    _refuse_missing(index, files)
    entries: dict[str, Entry] = {}
    for name in files:
        shard = _safetensors(index.with_name(name))
        listed = {key for key, file in where.items() if file == name}
        if odd := sorted(listed ^ shard.keys()):
            raise WeightsError(
                f"{index.with_name(name)} is not as {index.name} says: {len(odd)} tensors are in one and not in the"
                f" other, as {odd[0]}; download both again"
            )
        entries |= shard
    return entries


def _refuse_missing(path: Path, files: Sequence[str]) -> None:
    missing = [name for name in files if not path.with_name(name).is_file()]
    if missing:
        raise WeightsError(f"{path}: {len(missing)} of {len(files)} shards are missing, as {missing[0]}")


def _weight_map(index: Path) -> dict[str, str]:
    try:
        where = json.loads(index.read_text())["weight_map"]
        if all(isinstance(name, str) and name == Path(name).name for name in where.values()):
            return where
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is not an index of shards: {error}") from error
    raise WeightsError(f"{index} is not an index of shards: it names files elsewhere")


def _saved(path: Path, order: Sequence[str]) -> dict[str, Entry]:
    _refuse_foreign(path)
    loaded, taken = _unpickled(path), "its top level"
    while isinstance(loaded, Mapping):
        name = next((name for name in order if isinstance(loaded.get(name), Mapping)), None)
        if name is None:
            break
        loaded, taken = loaded[name], name
    content = cast("Mapping[Any, Any]", loaded) if isinstance(loaded, Mapping) else {}
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"{path} holds no weights: {taken} has {', '.join(map(str, content)) or 'nothing'}")
    log.info("%s: %d tensors of %s", path.name, len(tensors), taken)
    return {name: Entry(tuple(value.shape), value.dtype, value.detach) for name, value in tensors.items()}


def _unpickled(path: Path) -> object:
    with path.open("rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    if not is_archive:
        log.info("%s is of torch's old format, which cannot be mapped: it is read whole", path.name)
    try:
        if is_archive and any(name.endswith("/constants.pkl") for name in ZipFile(path).namelist()):
            raise WeightsError(_refusal(path, "it is a TorchScript archive"))
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except (pickle.UnpicklingError, BadZipFile, RuntimeError, EOFError, LookupError, ValueError) as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked:
            raise WeightsError(_refusal(path, f"it asks for {asked[1]}")) from error
        why = "it is cut short" if is_archive else "it is not what torch.save writes"
        raise WeightsError(f"cannot read weights from {path}: {why}; download it again") from error


def _refusal(path: Path, why: str) -> str:
    return (
        f"{path} is refused: {why}, so opening it would run code that the file brings along; "
        "use a .safetensors, or a file of tensors alone"
    )


def _refuse_foreign(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(max(map(len, _FOREIGN)))
    for magic, what in _FOREIGN.items():
        if start.startswith(magic):
            raise WeightsError(f"{path} is {what}")
