"""Checkpoints into networks: every key accounted for, or one error that says what does not fit."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from pipeline.errors import WeightsError


def load(network: nn.Module, path: Path, dtype: torch.dtype) -> None:
    """Fill a network from a ``.safetensors`` file; floating-point values are cast, integers kept.

    Raises WeightsError when the file cannot be read, or when keys or shapes differ.
    """
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read weights from {path}: {error}") from error
    wanted = network.state_dict()
    missing, extra = sorted(wanted.keys() - stored.keys()), sorted(stored.keys() - wanted.keys())
    shapes = [k for k in wanted.keys() & stored.keys() if wanted[k].shape != stored[k].shape]
    if missing or extra or shapes:
        faults = {"missing": missing, "unknown": extra, "of another shape": sorted(shapes)}
        told = "; ".join(f"{len(keys)} {what}, as {keys[0]}" for what, keys in faults.items() if keys)
        raise WeightsError(f"{path} is not a checkpoint of this network: {told}")
    cast = {k: v.to(dtype) if v.is_floating_point() else v for k, v in stored.items()}
    network.to(dtype)
    network.load_state_dict(cast)
