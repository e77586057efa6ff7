"""Collects pocket's pictures: ``python -m pipeline.pocket.pictures OUT_DIR [--packages DIR]``.

Writes ``train/NNN.jpg``, ``held/NNN.jpg``, ``land/NAME.jpg``, ``cut/NAME.png`` and ``ATTRIBUTION.tsv`` into
``OUT_DIR`` (``--attribution FILE`` puts the list elsewhere). Every picture keeps its author, licence and package;
drawings on plain ground and near-duplicates are dropped by measure. No picture is part of this repository.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import logging
import re
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from pipeline.pocket.collection import BEASTS, BUSTS, HELD_OUT, LANDS, SOURCES
from pipeline.pocket.cutouts import CUT_OUTS, credited
from pipeline.pocket.layers_data import read_rough
from pipeline.pocket.sources import RawPicture, read_pictures

log = logging.getLogger(__name__)

SHORT_SIDE = 720
MIN_SHORT_SIDE = 400
MAX_ASPECT = 2.0
BUDGET_BYTES = 24_000_000
# Pictures that the network of layers alone learns from lie in these folders.
FOR_LAYERS = ("land", "cut", "bust")
JPEG_QUALITIES = (92, 88, 84, 80, 76, 72)

ACCEPTED_LICENCE = re.compile(r"(public.domain|cc0|cc-by(-sa)?[- ]\d|bsd|apache|mit|expat|l?gpl-?[23])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the attribution file; ``sha256`` is that of the JPEG file written."""

    sha256: str
    file: str
    split: str
    package: str
    version: str
    name: str
    author: str
    licence: str
    origin: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture that passed the measures: RGB, at most ``SHORT_SIDE`` on its short side."""

    raw: RawPicture
    picture: Image.Image
    area: int
    fingerprint: npt.NDArray[np.float32]
    hash_bits: npt.NDArray[np.bool_]


def difference_hash(picture: Image.Image) -> npt.NDArray[np.bool_]:
    """The 64 signs of brightness differences between neighbours on an 8 x 9 grid."""
    grey = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    return (grey[:, 1:] > grey[:, :-1]).ravel()


def fingerprint(picture: Image.Image) -> npt.NDArray[np.float32]:
    """A 16 x 16 thumbnail, float32 ``[768]``, zero-mean and unit-norm: a dot product is a correlation."""
    small = np.asarray(picture.resize((16, 16), Image.Resampling.BOX), np.float32).ravel()
    small = small - small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-6)


def reason_to_drop(picture: Image.Image) -> str | None:
    """Why an RGB picture is no use as a training scene, or None when it is one."""
    small = picture.resize((256, 256), Image.Resampling.BOX)
    rgb = np.asarray(small, np.float32)
    luma = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    counts = np.bincount(luma.astype(np.uint8).ravel(), minlength=256) / luma.size
    entropy = -float((counts[counts > 0] * np.log2(counts[counts > 0])).sum())
    colours = len(np.unique((np.asarray(small) >> 3).reshape(-1, 3), axis=0))
    rim = np.concatenate([rgb[:6].reshape(-1, 3), rgb[-6:].reshape(-1, 3), rgb[:, :6].reshape(-1, 3)])
    plain_rim = float((np.abs(rim - np.median(rim, axis=0)).max(axis=1) < 6).mean())
    tiles = luma.reshape(32, 8, 32, 8).std(axis=(1, 3))
    measures = {
        "low entropy": entropy < 4.2,
        "few colours": colours < 300,
        "plain ground": plain_rim > 0.8 or float((rgb.min(axis=2) > 245).mean()) > 0.4,
        "flat": float((tiles < 0.7).mean()) > 0.8,
    }
    return next((reason for reason, holds in measures.items() if holds), None)


def open_candidate(raw: RawPicture) -> Candidate | None:
    """Decode, trim to ``MAX_ASPECT`` and reduce; None, and a line in the log, for a picture not wanted."""
    with Image.open(io.BytesIO(raw.data)) as opened:
        size = opened.size
        opened.draft("RGB", (2 * SHORT_SIDE, 2 * SHORT_SIDE))
        rgba = ImageOps.exif_transpose(opened).convert("RGBA")
    reason = None
    if not ACCEPTED_LICENCE.match(raw.terms.licence):
        reason = f"licence {raw.terms.licence}"
    elif raw.package.startswith("gcompris") and not raw.terms.by_name:
        reason = "no provenance of its own"
    elif min(size) < MIN_SHORT_SIDE:
        reason = "small"
    elif float((np.asarray(rgba)[..., 3] < 250).mean()) > 0.01:
        reason = "cut-out"
    picture = _reduce(rgba.convert("RGB"))
    reason = reason or reason_to_drop(picture)
    if reason is not None:
        log.info("%s %s: dropped, %s", raw.package, raw.name, reason)
        return None
    return Candidate(raw, picture, size[0] * size[1], fingerprint(picture), difference_hash(picture))


def without_duplicates(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The largest of each group of look-alikes, mirrored ones too: no scene is on both sides of the split."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (-c.area, c.raw.name)):
        mirrored = ImageOps.mirror(candidate.picture)
        views = [
            (candidate.hash_bits, candidate.fingerprint),
            (difference_hash(mirrored), fingerprint(mirrored)),
        ]
        if not any(_alike(view, other) for view in views for other in kept):
            kept.append(candidate)
    return sorted(kept, key=lambda c: hashlib.sha256(c.raw.name.encode()).digest())


def write(candidates: Sequence[Candidate], out: Path, budget: int = BUDGET_BYTES) -> list[Entry]:
    """Write the two splits at the best JPEG quality that keeps all files together within ``budget`` bytes."""
    quality, *lower = JPEG_QUALITIES
    encoded = [_encode(c.picture, quality) for c in candidates]
    while lower and sum(map(len, encoded)) > budget:
        quality, *lower = lower
        encoded = [_encode(c.picture, quality) for c in candidates]
    entries: list[Entry] = []
    numbers = {"train": 0, "held": 0}
    for candidate, data in zip(candidates, encoded, strict=True):
        raw = candidate.raw
        split = "held" if any(fnmatchcase(raw.name, glob) for glob in HELD_OUT) else "train"
        file = f"{split}/{numbers[split]:03d}.jpg"
        numbers[split] += 1
        (out / split).mkdir(parents=True, exist_ok=True)
        (out / file).write_bytes(data)
        entries.append(_entry(raw, data, file))
    log.info("%d pictures, %d bytes, JPEG quality %d", len(encoded), sum(map(len, encoded)), quality)
    return sorted(entries, key=lambda e: (e.split, e.file))


def write_land(raws: Iterable[RawPicture], names: Collection[str], out: Path) -> list[Entry]:
    """Write the landscapes of these names into ``land``, JPEG files as they are."""
    entries: list[Entry] = []
    (out / "land").mkdir(parents=True, exist_ok=True)
    for raw in raws:
        path = PurePosixPath(raw.name)
        name = path.stem.replace(" ", "_")
        if name in names and ACCEPTED_LICENCE.match(raw.terms.licence):
            data = raw.data if path.suffix == ".jpg" else _as_jpeg(raw.data)
            (out / f"land/{name}.jpg").write_bytes(data)
            entries.append(_entry(raw, data, f"land/{name}.jpg"))
    return sorted(entries, key=lambda entry: entry.file)


def write_cut(raws: Iterable[RawPicture], out: Path, folder: str = "cut") -> list[Entry]:
    """Write cut-outs, as they are, into a folder, with the terms that are told of each."""
    entries: list[Entry] = []
    (out / folder).mkdir(parents=True, exist_ok=True)
    for raw in map(credited, raws):
        if ACCEPTED_LICENCE.match(raw.terms.licence):
            file = f"{folder}/{raw.name.replace('/', '-')}"
            (out / file).write_bytes(raw.data)
            entries.append(_entry(raw, raw.data, file))
    return sorted(entries, key=lambda entry: entry.file)


def data_hash(folder: Path, suffix: str = ".jpg") -> str:
    """The sha256 that names a data set: over the sorted sha256 sums of its files, but those ``FOR_LAYERS``."""
    found = folder.rglob(f"*{suffix}")
    files = (path for path in found if path.relative_to(folder).parts[0] not in FOR_LAYERS)
    sums = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


def write_attribution(entries: Iterable[Entry], path: Path) -> None:
    """Write the entries as tab-separated values under a line of column names."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow([field.name for field in fields(Entry)])
        writer.writerows(astuple(entry) for entry in entries)


def _entry(raw: RawPicture, data: bytes, file: str) -> Entry:
    terms, digest = raw.terms, hashlib.sha256(data).hexdigest()
    author, split = " ".join(terms.author.split()), file.partition("/")[0]
    return Entry(digest, file, split, raw.package, raw.version, raw.name, author, terms.licence, terms.origin)


def _reduce(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    crop_width, crop_height = min(width, int(height * MAX_ASPECT)), min(height, int(width * MAX_ASPECT))
    scale = min(1.0, SHORT_SIDE / min(crop_width, crop_height))
    size = (round(crop_width * scale), round(crop_height * scale))
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)


def _alike(view: tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]], other: Candidate) -> bool:
    hash_bits, thumbnail = view
    return int((hash_bits != other.hash_bits).sum()) <= 8 or float(thumbnail @ other.fingerprint) > 0.95


def _encode(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _as_jpeg(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as opened:
        return _encode(_reduce(opened.convert("RGB")), JPEG_QUALITIES[0])


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect, sift and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--packages", type=Path, help="folder that keeps the downloaded packages")
    parser.add_argument("--attribution", type=Path, help="attribution file (default OUT/ATTRIBUTION.tsv)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.packages or Path(temporary)
        opened = (open_candidate(raw) for source in SOURCES for raw in read_pictures(source, folder))
        candidates = without_duplicates(c for c in opened if c is not None)
        named = {rough.number for rough in read_rough()}
        land = write_land((raw for source in LANDS for raw in read_pictures(source, folder)), named, options.out)
        cut = write_cut((raw for source in (CUT_OUTS, BEASTS) for raw in read_pictures(source, folder)), options.out)
        busts = write_cut(read_pictures(BUSTS, folder), options.out, "bust")
    entries = write(candidates, options.out)
    write_attribution([*entries, *land, *cut, *busts], options.attribution or options.out / "ATTRIBUTION.tsv")
    log.info("data hash %s, of %d landscapes %s", data_hash(options.out), len(land), data_hash(options.out / "land"))
    for kind, some in (("cut", cut), ("bust", busts)):
        log.info("of %d in %s %s", len(some), kind, data_hash(options.out / kind, ".png"))


if __name__ == "__main__":
    main()
