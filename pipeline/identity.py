"""Which model and which settings made a video: hashes to hold against others. No torch."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import wan_files
from pipeline.config import ModelConfig, WanConfig
from pipeline.factory import POCKET_WEIGHTS

WHOLE_BYTES = 64 << 20
SAMPLES, SAMPLE_BYTES = 64, 1 << 16

Settings = dict[str, dict[str, Any]]


def settings_of(model: ModelConfig, wan: WanConfig) -> Settings:
    """Give the settings of a model by section; those of Wan where it is Wan."""
    return {"model": asdict(model)} | ({} if model.kind == "pocket" else {"wan": asdict(wan)})


def settings_sha256(settings: Mapping[str, Any]) -> str:
    """Hash settings, whatever their order.

    >>> settings_sha256({"a": 1, "b": 2}) == settings_sha256({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def as_overrides(settings: Settings) -> list[str]:
    """Write settings as ``section.key=value``, for :func:`pipeline.settings.load`.

    >>> as_overrides({"model": {"kind": "wan", "steps": 2}, "wan": {"denoising_steps": [1000, 500]}})
    ['model.kind=wan', 'model.steps=2', 'wan.denoising_steps=[1000, 500]']
    """
    return [
        f"{section}.{key}={value if isinstance(value, str) else json.dumps(value)}"
        for section, values in settings.items()
        for key, value in values.items()
    ]


def weight_files(model: ModelConfig, wan: WanConfig) -> dict[str, list[Path]]:
    """Name the files that a model is made of, by part; none for random weights. They need not be there.

    Raises ConfigError for a model that is not known.
    """
    if model.kind == "pocket":
        return {"pocket": [Path(model.weights) if model.weights else POCKET_WEIGHTS]}
    if model.weights == "random":
        return {}
    folder = wan_files.weights_folder(wan.folder)
    parts: dict[str, list[Path]] = {}
    for file in wan_files.files(wan.model):
        parts.setdefault(file.part, []).append(folder / file.path)
    if model.weights:
        parts["transformer"] = wan_files.shards(Path(model.weights))
    return parts


def fingerprints(model: ModelConfig, wan: WanConfig) -> dict[str, str]:
    """Hash a model's weights, by part; what is not on this machine is left out. Raises ConfigError.

    Files of up to 64 MiB are hashed whole (SHA-256), of larger ones the size and 64 evenly spread pieces of 64 KiB: a
    checkpoint of 5.7 GB takes milliseconds, and another training differs everywhere.
    """
    found = {part: [path for path in paths if path.is_file()] for part, paths in weight_files(model, wan).items()}
    return {part: _fingerprint(paths) for part, paths in found.items() if paths}


def _fingerprint(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        with path.open("rb") as file:
            if size <= WHOLE_BYTES:
                digest.update(file.read())
                continue
            digest.update(str(size).encode())
            for sample in range(SAMPLES):
                file.seek((size - SAMPLE_BYTES) * sample // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()
