"""Lists of what to make: text prompts, or pictures with their prompts."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError

PICTURE_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
TARGET_CROPS = "target_crop_info_*.json"
_HEADER = re.compile(r"(picture|image|file|file_?name|path)s?", re.IGNORECASE)
_SLUG_WORDS, _SLUG_CHARACTERS = 5, 40


@dataclass(frozen=True, slots=True)
class Item:
    """One video to make. ``fault`` says why it can't be; ``title`` names it where its prompt is a longer text."""

    prompt: str
    picture: Path | None = None
    title: str = ""
    fault: str = ""

    @property
    def slug(self) -> str:
        """The first words of its title or prompt, fit for the name of a file.

        >>> Item("The leaves begin to sway gently in the wind").slug
        'the-leaves-begin-to-sway'
        """
        words = re.findall(r"\w+", (self.title or self.prompt).replace("'", "").lower())
        return "-".join(words[:_SLUG_WORDS])[:_SLUG_CHARACTERS].rstrip("-")


def read_prompts(path: Path, extended: Path | None = None) -> list[Item]:
    """Read one prompt a line; blank lines and lines that start with ``#`` are skipped.

    ``extended`` holds the prompts told at greater length, one for each: it is what the model hears. Raises
    ConfigError for a file that can't be read or has no prompts, and for two that do not match.
    """
    lines = [line.strip() for _, line in _lines(path)]
    if not lines:
        raise ConfigError(f"{path} holds no prompts; write one a line")
    if extended is None:
        return [Item(line) for line in lines]
    longer = [line.strip() for _, line in _lines(extended)]
    if len(longer) != len(lines):
        raise ConfigError(f"{extended} has {len(longer)} prompts and {path} has {len(lines)}: one for each is needed")
    return [Item(told, title=line) for line, told in zip(lines, longer, strict=True)]


def read_pairs(path: Path) -> list[Item]:
    """Read pictures with their prompts.

    ``path`` is a two-column file (picture, prompt): separated by a tab, or by a comma with quotes as in CSV; or a
    folder that holds one, or pictures each beside a ``.txt`` of the same name; or what Self-Forcing's
    ``--i2v`` reads, a folder with one ``target_crop_info_RATIO.json`` and the pictures in the folder ``RATIO``.
    Pictures with relative paths are relative to the file. A line that is not as it should be is an item with a
    fault. Raises ConfigError when there is nothing to be made of it.
    """
    if path.is_dir():
        files = sorted(file for pattern in ("*.tsv", "*.csv", TARGET_CROPS) for file in path.glob(pattern))
        if len(files) > 1:
            raise ConfigError(f"{path} holds {' and '.join(file.name for file in files)}: name the one to be read")
        return read_pairs(files[0]) if files else _read_folder(path)
    items = _read_crops(path) if path.suffix.lower() == ".json" else _read_columns(path)
    if not items:
        raise ConfigError(f"{path} holds no pairs; write a picture, a tab and a prompt a line")
    if all(item.fault and item.picture is None for item in items):
        raise ConfigError(f"{path} is no list of pictures with prompts: {items[0].fault}")
    return items


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Give the numbers (from 1) and texts of the lines that say something."""
    for number, line in enumerate(_text(path).splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8") from error


def _read_columns(path: Path) -> list[Item]:
    lines = list(_lines(path))
    has_tabs = any("\t" in line for _, line in lines)
    items: list[Item] = []
    for number, line in lines:
        columns = line.split("\t") if has_tabs else next(csv.reader([line], skipinitialspace=True))
        columns = [column.strip() for column in columns if column.strip()]
        if not items and len(columns) == 2 and _HEADER.fullmatch(columns[0]):
            continue
        if len(columns) == 2:
            items.append(Item(columns[1], path.parent / columns[0]))
            continue
        hint = "; a prompt with commas goes in quotes" if not has_tabs and len(columns) > 2 else ""
        fault = f"line {number} has {len(columns)} of the 2 columns picture and prompt{hint}"
        items.append(Item(line.strip(), fault=fault))
    return items


def _read_folder(folder: Path) -> list[Item]:
    pictures = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
    if not pictures:
        raise ConfigError(f"{folder} holds no pictures ({', '.join(PICTURE_SUFFIXES)}), and no .tsv or .csv with pairs")
    items: list[Item] = []
    for picture in pictures:
        try:
            prompt = " ".join(_text(picture.with_suffix(".txt")).split())
            fault = "" if prompt else f"{picture.stem}.txt is empty: write its prompt there"
        except ConfigError as error:
            prompt, fault = picture.stem, f"its prompt is missing: {error}"
        items.append(Item(prompt, picture, fault=fault))
    return items


def _read_crops(path: Path) -> list[Item]:
    try:
        entries: Any = json.loads(_text(path))
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(entries, list):
        raise ConfigError(f"{path} must hold a list of entries with file_name and caption")
    named = path.parent / path.stem.rpartition("_")[2]
    folder = named if named.is_dir() else path.parent
    items: list[Item] = []
    for number, entry in enumerate(entries, 1):
        name, caption = (entry.get("file_name"), entry.get("caption")) if isinstance(entry, dict) else (None, None)
        if isinstance(name, str) and isinstance(caption, str) and caption.strip():
            items.append(Item(" ".join(caption.split()), folder / name))
        else:
            items.append(Item(f"entry {number}", fault=f"entry {number} lacks file_name or caption"))
    return items
