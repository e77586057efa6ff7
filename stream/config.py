"""What may be set, with defaults and bounds; ``configs/pocket.yaml`` is the manual for people.

The file and the ``key=value`` arguments are merged over these classes by OmegaConf, so a key that is not
here, or a value of another type, is an error that names the key.
"""

import difflib
import math
from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError, safe_load

from pipeline.config import PipelineConfig


class ConfigError(Exception):
    """The configuration can't be used; the message is one line that names the key and what fits it."""


def ranged(default: float, low: float, high: float) -> Any:
    """Make a dataclass field whose number must lie in ``low`` to ``high``, both ends included."""
    return field(default=default, metadata={"range": (low, high)})


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the HTTP server listens and who may talk to it."""

    host: str = "127.0.0.1"
    port: int = ranged(8080, 0, 65_535)
    access_token: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    allow_insecure: bool = False
    allowed_hosts: list[str] = field(default_factory=list[str])
    allowed_origins: list[str] = field(default_factory=list[str])
    ice_servers: list[str] = field(default_factory=list[str])
    advertise_loopback: bool = True


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """Limits and timing of each stream; seconds, bytes, kilobits per second."""

    max_streams: int = ranged(8, 1, 1000)
    max_viewers: int = ranged(100, 0, 10_000)
    bitrate_kbps: int = ranged(2500, 100, 50_000)
    min_bitrate_kbps: int = ranged(300, 100, 50_000)
    max_bitrate_kbps: int = ranged(4000, 100, 50_000)
    viewers_min_bitrate_kbps: int = ranged(1000, 100, 50_000)
    latency: Literal["low", "smooth"] = "low"
    low_buffer_s: float = ranged(0.12, 0.0, 5.0)
    smooth_buffer_s: float = ranged(1.0, 0.0, 10.0)
    director_grace_s: float = ranged(30.0, 0.0, 86_400.0)
    unwatched_s: float = ranged(600.0, 0.0, 31_536_000.0)
    handshake_timeout_s: float = ranged(10.0, 1.0, 120.0)
    prompt_chars: int = ranged(2000, 1, 16_000)
    image_bytes: int = ranged(10_485_760, 1024, 104_857_600)
    image_pixels: int = ranged(40_000_000, 4096, 400_000_000)
    upload_timeout_s: float = ranged(10.0, 0.1, 600.0)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Where generation runs: a process of its own, or a thread of the server's."""

    kind: Literal["process", "thread"] = "process"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that may be set, by section."""

    server: ServerConfig = field(default_factory=ServerConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)


def keys() -> dict[str, Field[Any]]:
    """Give every key that may be set, dotted, with the dataclass field behind it.

    >>> [key for key in keys() if key.startswith("engine.")]
    ['engine.kind']
    """
    return {
        f"{section.name}.{item.name}": item
        for section in fields(Config)
        if isinstance(section.type, type) and is_dataclass(section.type)
        for item in fields(section.type)
    }


def load(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """Merge the defaults, the file and the ``section.key=value`` overrides, later ones winning.

    A text value is taken as it stands; a list is ``a,b`` or ``[a, b]``. Raises ConfigError for a file that
    can't be read, an unknown key (naming the nearest known one), and a value of the wrong type or out of
    bounds.
    """
    merged = OmegaConf.structured(Config)
    try:
        if path is not None:
            merged = OmegaConf.merge(merged, _read(path))
        for override in overrides:
            merged = OmegaConf.merge(merged, _parse_override(override))
        config = cast(Config, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        key, what = str(error.full_key or error.key or ""), str(error).splitlines()[0]
        raise ConfigError(f"{key}: {what}" if key else what) from error
    _check_bounds(config)
    _check_together(config)
    return config


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        loaded = OmegaConf.load(path)
    except OSError as error:
        raise ConfigError(f"can't read the configuration file {path}: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    tree: Any = OmegaConf.to_container(loaded, resolve=False)
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold sections: {', '.join(_sections())}")
    known = keys()
    # A section with every key commented out is null in YAML, and means the defaults.
    sections = {str(name): {} if values is None else values for name, values in tree.items()}
    for section, values in sections.items():
        if section not in _sections():
            raise ConfigError(f"{path}: {_unknown(section)}")
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: '{section}' is a section; write its keys below it")
        for name, value in values.items():
            key = f"{section}.{name}"
            if key not in known:
                raise ConfigError(f"{path}: {_unknown(key)}")
            if known[key].type is str and not isinstance(value, str):
                # YAML has made a number of a token such as 0123 already: what was meant is lost.
                raise ConfigError(f"{path}: {key} is text: write its value in quotes")
    return sections


def _parse_override(override: str) -> dict[str, dict[str, Any]]:
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"'{override}' is not key=value; for example server.port=8080")
    known = keys()
    if key not in known:
        raise ConfigError(_unknown(key))
    value: Any = text
    is_list = known[key].default_factory is not MISSING
    if is_list and not text.startswith("["):
        value = [part.strip() for part in text.split(",") if part.strip()]
    elif known[key].type is not str:
        try:
            value = safe_load(text)
        except YAMLError as error:
            raise ConfigError(f"can't read '{override}': {' '.join(str(error).split())}") from error
    section, _, name = key.partition(".")
    return {section: {name: value}}


def _sections() -> list[str]:
    return [item.name for item in fields(Config)]


def _unknown(key: str) -> str:
    section, dot, leaf = key.rpartition(".")
    if key in _sections():
        return f"{key} is a section: write {key}.KEY=value"
    known = list(keys()) if dot else [*_sections(), *keys()]
    nearest = [name for name in known if name.rpartition(".")[2] == leaf]
    nearest = nearest or difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {' or '.join(nearest)}? " if nearest else ""
    siblings = [name.rpartition(".")[2] for name in known if section and name.startswith(f"{section}.")]
    place = f"the keys of {section} are" if siblings else "the sections are"
    return f"unknown key '{key}': {hint}{place} {', '.join(siblings or _sections())}"


def _check_bounds(config: Config) -> None:
    for key, item in keys().items():
        section, _, name = key.partition(".")
        value = getattr(getattr(config, section), name)
        choices = item.metadata.get("choices", (value,))
        if value not in choices:
            raise ConfigError(f"{key}: {value!r} is not one of {', '.join(choices)}")
        low, high = item.metadata.get("range", (-math.inf, math.inf))
        # Written so that NaN, which compares false with everything, is refused.
        if isinstance(value, int | float) and not low <= value <= high:
            raise ConfigError(f"{key}: {value} is out of bounds, {low} to {high}")


def _check_together(config: Config) -> None:
    stream, server = config.stream, config.server
    if not stream.min_bitrate_kbps <= stream.bitrate_kbps <= stream.max_bitrate_kbps:
        raise ConfigError(
            f"stream.bitrate_kbps: {stream.bitrate_kbps} must lie between stream.min_bitrate_kbps "
            f"({stream.min_bitrate_kbps}) and stream.max_bitrate_kbps ({stream.max_bitrate_kbps})"
        )
    if bool(server.tls_cert) != bool(server.tls_key):
        raise ConfigError("server.tls_cert and server.tls_key go together: set both, or neither")
    for key, name in (("tls_cert", server.tls_cert), ("tls_key", server.tls_key)):
        if name and not Path(name).is_file():
            raise ConfigError(f"server.{key}: there is no file {name}")
    if not server.host:
        raise ConfigError("server.host: empty; 127.0.0.1 for this machine alone, 0.0.0.0 for every interface")
