"""Settings: sections of dataclasses, filled from a YAML file and ``section.key=value`` arguments.

The file and the arguments are merged over the dataclasses by OmegaConf, so a key that is not there, or a value
of another type, is an error that names the key. In a field's metadata, ``range`` bounds a number, both ends
included, and ``choices`` names all that fits.
"""

import difflib
import math
from collections.abc import Collection, Sequence
from dataclasses import MISSING, Field, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError, safe_load

from pipeline.errors import ConfigError

RootT = TypeVar("RootT")


def ranged(default: float, low: float, high: float) -> Any:
    """Make a dataclass field whose number must lie in ``low`` to ``high``, both ends included."""
    return field(default=default, metadata={"range": (low, high)})


def keys(root: type) -> dict[str, Field[Any]]:
    """Give every key of a dataclass of sections, dotted, with the dataclass field behind it."""
    return {
        f"{section.name}.{item.name}": item
        for section in fields(root)
        if isinstance(section.type, type) and is_dataclass(section.type)
        for item in fields(section.type)
    }


def load(root: type[RootT], path: Path | None, overrides: Sequence[str] = (), ignored: Collection[str] = ()) -> RootT:
    """Merge the defaults, the file and the ``section.key=value`` overrides, later ones winning.

    ``root`` is a dataclass of sections, ``ignored`` names sections of the file that another program reads. A text
    value is taken as it stands; a list is ``a,b`` or ``[a, b]``. Raises ConfigError for a file that can't be
    read, an unknown key (naming the nearest known one), and a value of the wrong type or out of bounds.
    """
    merged = OmegaConf.structured(root)
    try:
        if path is not None:
            merged = OmegaConf.merge(merged, _read(root, path, ignored))
        for override in overrides:
            merged = OmegaConf.merge(merged, _parse_override(root, override))
        config = cast(RootT, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        key, what = str(error.full_key or error.key or ""), str(error).splitlines()[0]
        raise ConfigError(f"{key}: {what}" if key else what) from error
    _check_bounds(root, config)
    return config


def _read(root: type, path: Path, ignored: Collection[str]) -> dict[str, dict[str, Any]]:
    try:
        loaded = OmegaConf.load(path)
    except OSError as error:
        raise ConfigError(f"can't read the configuration file {path}: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    tree: Any = OmegaConf.to_container(loaded, resolve=False)
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold sections: {', '.join(_sections(root))}")
    known = keys(root)
    # A section with every key commented out is null in YAML, and means the defaults.
    named = {str(name): {} if values is None else values for name, values in tree.items()}
    sections = {name: values for name, values in named.items() if name not in ignored}
    for section, values in sections.items():
        if section not in _sections(root):
            raise ConfigError(f"{path}: {_unknown(root, section)}")
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: '{section}' is a section; write its keys below it")
        for name, value in values.items():
            key = f"{section}.{name}"
            if key not in known:
                raise ConfigError(f"{path}: {_unknown(root, key)}")
            if known[key].type is str and not isinstance(value, str):
                # YAML has made a number of a token such as 0123 already: what was meant is lost.
                raise ConfigError(f"{path}: {key} is text: write its value in quotes")
    return sections


def _parse_override(root: type, override: str) -> dict[str, dict[str, Any]]:
    key, equals, text = override.partition("=")
    known = keys(root)
    if not equals:
        raise ConfigError(f"'{override}' is not key=value; for example {_example(root)}")
    if key not in known:
        raise ConfigError(_unknown(root, key))
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


def _sections(root: type) -> list[str]:
    return [item.name for item in fields(root)]


def _example(root: type) -> str:
    """The first key with a number for its default, as it would be given."""
    key, item = next((key, item) for key, item in keys(root).items() if item.type is int)
    return f"{key}={item.default}"


def _unknown(root: type, key: str) -> str:
    section, dot, leaf = key.rpartition(".")
    sections = _sections(root)
    if key in sections:
        return f"{key} is a section: write {key}.KEY=value"
    known = list(keys(root)) if dot else [*sections, *keys(root)]
    nearest = [name for name in known if name.rpartition(".")[2] == leaf]
    nearest = nearest or difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {' or '.join(nearest)}? " if nearest else ""
    siblings = [name.rpartition(".")[2] for name in known if section and name.startswith(f"{section}.")]
    place = f"the keys of {section} are" if siblings else "the sections are"
    return f"unknown key '{key}': {hint}{place} {', '.join(siblings or sections)}"


def _check_bounds(root: type, config: Any) -> None:
    for key, item in keys(root).items():
        section, _, name = key.partition(".")
        value = getattr(getattr(config, section), name)
        values: list[Any] = value if isinstance(value, list) else [value]
        choices = item.metadata.get("choices", values)
        for chosen in values:
            if chosen not in choices:
                raise ConfigError(f"{key}: {chosen!r} is not one of {', '.join(choices)}")
        low, high = item.metadata.get("range", (-math.inf, math.inf))
        for number in values:
            # Written so that NaN, which compares false with everything, is refused.
            if isinstance(number, int | float) and not low <= number <= high:
                raise ConfigError(f"{key}: {number} is out of bounds, {low} to {high}")
