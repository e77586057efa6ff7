"""What a parity case is and how near it came."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

PYTHON_NAMES = {"True": True, "False": False, "None": None}


@dataclass(frozen=True, slots=True)
class Result:
    """One comparison: its error (largest difference over the expected values' rms) and the bar for it.

    ``documented`` marks a value that records a known mistake of the reference's demo: it is to differ.
    """

    name: str
    error: float
    bar: float
    documented: bool = False

    @property
    def passed(self) -> bool:
        """Whether the error is under the bar; not a number is not.

        >>> Result("x", 0.0, 0.0).passed, Result("x", float("nan"), 1.0).passed
        (True, False)
        """
        return self.error <= self.bar


@dataclass(frozen=True, slots=True)
class Case:
    """One file of a parity folder: tensors by name, and metadata with its JSON values decoded."""

    path: Path
    tensors: dict[str, Tensor]
    meta: dict[str, Any]

    def weights(self) -> dict[str, Tensor]:
        """Read the state dict that the case was made with, from the file that its metadata names."""
        return case(self.path.parent / self.meta["weights"]).tensors


def case(path: Path) -> Case:
    """Read a ``.safetensors`` case onto PyTorch's default device. Raises OSError and SafetensorError as they come."""
    with safe_open(path, framework="pt", device=str(torch.get_default_device())) as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  not a mapping
    return Case(path, tensors, metadata(path))


def metadata(path: Path) -> dict[str, Any]:
    """Read a ``.safetensors`` file's metadata; the sizes, where a case leaves them out, are those of its weights."""
    with safe_open(path, framework="pt") as file:
        meta = {key: _decode(value) for key, value in (file.metadata() or {}).items()}
    if "weights" in meta and "config" not in meta:
        return metadata(path.parent / meta["weights"]) | meta
    return meta


def numbers(names: Iterable[str], prefix: str) -> list[int]:
    """Give the numbers that follow a prefix, in order.

    >>> numbers(["chunk10.x", "chunk2.x", "chunk2.t", "chunks"], "chunk")
    [2, 10]
    """
    rest = (name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix))
    return sorted({int(number) for number in rest if number.isdigit()})


def compare(name: str, ours: Tensor, expected: Tensor, bar: float) -> Result:
    """Compare in float64: largest difference over rms; another shape is infinitely far.

    >>> compare("x", torch.tensor([1.0, 1.5]), torch.tensor([1.0, 1.0]), 0.1).error
    0.5
    """
    if ours.shape != expected.shape:
        return Result(name, float("inf"), bar)
    if not expected.numel():
        return Result(name, 0.0, bar)
    a, b = ours.detach().double().cpu(), expected.double().cpu()
    rms = b.square().mean().sqrt().item()
    return Result(name, (a - b).abs().max().item() / (rms or 1.0), bar)


def exact(name: str, ours: object, expected: object) -> Result:
    """Compare what is to be the same: texts, lists, indices; tensors by value.

    >>> exact("x", [1, 2], [1, 2]).passed, exact("x", "a", "b").passed
    (True, False)
    """
    if isinstance(ours, Tensor) and isinstance(expected, Tensor):
        # Dtypes may differ: indices are stored as whatever made them.
        same = ours.shape == expected.shape and bool((ours.cpu() == expected.cpu()).all())
    else:
        same = ours == expected
    return Result(name, 0.0 if same else float("inf"), 0.0)


def _decode(value: Any) -> Any:
    """Decode JSON, and what is spelled as a text inside it: ``"4"``, and Python's ``"True"`` and ``"None"``."""
    if isinstance(value, dict):
        return {key: _decode(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_decode(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if value in PYTHON_NAMES:
        return PYTHON_NAMES[value]
    try:
        return _decode(json.loads(value))
    except json.JSONDecodeError:
        return value
