"""Make torchvision importable beside a CPU-only torch; import this before torchvision, timm or open_clip.

The Linux wheels of torchvision on PyPI link their native library against CUDA. Beside a CPU build of torch
it does not load, and ``import torchvision`` then fails, because it registers fake kernels for two operators
that nobody has defined. Declaring those two, with no kernel behind them, is enough for the transforms and the
models; ``torchvision.ops.nms`` and ``torchvision.io`` stay without their native half. Where the library
loads, nothing is changed. Remove this when PyPI has a torchvision that loads without CUDA.
"""

import importlib.util
from pathlib import Path

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _declare_missing_operators() -> "torch.library.Library | None":
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    for library in sorted(Path(spec.origin).parent.glob("_C*.so")):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            continue
        return None
    if hasattr(torch.ops.torchvision, "nms"):
        return None
    declared = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        declared.define(f"{operator}{_SCHEMA}")
    return declared


# The declarations live as long as this object does.
_LIBRARY = _declare_missing_operators()
