"""One way to run a model, as the command line words it."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline import settings
from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import ConfigError

SWITCHES = ("NO_TORCH_COMPILE", "NO_CUDA_GRAPH")
"""Read from the environment by what runs; here they stand among the settings."""
OF_THE_SERVER = ("server", "stream", "engine")


@dataclass(frozen=True, slots=True)
class Sections:
    """The sections of a configuration file that matter here."""

    model: ModelConfig = field(default_factory=ModelConfig)
    wan: WanConfig = field(default_factory=WanConfig)


@dataclass(frozen=True, slots=True)
class Setting:
    """A configuration and what was said over it; ``name`` is for people, where others stand beside it."""

    name: str
    words: tuple[str, ...]
    config: Sections
    switches: Mapping[str, str]


def read(path: Path, words: Sequence[str], name: str = "") -> Setting:
    """Read a configuration and ``key=value`` over it; a Wan model that names no weights gets random ones.

    Their values change neither time nor memory. Raises ConfigError.
    """
    switches = dict(word.split("=", 1) for word in words if word.split("=")[0] in SWITCHES)
    overrides = [word for word in words if word.split("=")[0] not in SWITCHES]
    config = settings.load(Sections, path, overrides, ignored=OF_THE_SERVER)
    if config.model.kind == "wan":
        if config.wan.sampling != "few_steps":
            raise ConfigError(f"wan.sampling: {config.wan.sampling} is for files; what is measured here is few_steps")
        config = Sections(replace(config.model, weights=config.model.weights or "random"), config.wan)
    return Setting(name or " ".join(words) or "as configured", tuple(words), config, switches)


@contextlib.contextmanager
def switched(setting: Setting) -> Iterator[None]:
    """Put the setting's switches into the environment, and what was there back afterwards."""
    before = {name: os.environ.get(name) for name in setting.switches}
    os.environ.update(setting.switches)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
