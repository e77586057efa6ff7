"""Pictures are taken from packages with their terms, sifted, and split without look-alikes on both sides."""

from __future__ import annotations

import csv
import io
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.pocket import pictures, sources
from pipeline.pocket.cutouts import CREDITS, CUT_OUTS, credited
from pipeline.pocket.layers_data import read_rough
from pipeline.pocket.pictures import (
    data_hash,
    difference_hash,
    open_candidate,
    reason_to_drop,
    without_duplicates,
)
from pipeline.pocket.sources import RawPicture, Source, Terms, carve_jpegs, read_pictures, read_rcc

FREE = Terms("A. Author", "CC0-1.0", "", by_name=True)


def scene(seed: int, width: int = 640, height: int = 480) -> Image.Image:
    """A colourful picture with structure at several sizes."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cells in (3, 6, 12, 48):
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        total += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 4
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def encode(picture: Image.Image, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    # Noise packs badly however long it is tried.
    picture.save(buffer, kind, compress_level=1)
    return buffer.getvalue()


def raw(picture: Image.Image, name: str = "a.png", terms: Terms = FREE, package: str = "shelf") -> RawPicture:
    return RawPicture(package, "1", name, terms, encode(picture, "PNG"))


def rcc(files: dict[str, bytes]) -> bytes:
    """A Qt resource file of version 2 with the files in one folder ``pics``; ``*.z`` names are compressed."""
    names, contents, nodes = b"", b"", b""

    def add_name(name: str) -> int:
        nonlocal names
        at = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        return at

    nodes += struct.pack(">IHIIQ", 0, 2, 1, 1, 0)
    nodes += struct.pack(">IHIIQ", add_name("pics"), 2, len(files), 2, 0)
    for name, data in files.items():
        packed = name.endswith(".z")
        stored = struct.pack(">I", len(data)) + zlib.compress(data) if packed else data
        nodes += struct.pack(">IHHHIQ", add_name(name), 1 if packed else 0, 0, 0, len(contents), 0)
        contents += struct.pack(">I", len(stored)) + stored
    start = 20 + len(nodes)
    return struct.pack(">4sIIII", b"qres", 2, 20, start, start + len(contents)) + nodes + contents + names


def package_folder(tmp_path: Path, files: dict[str, bytes], terms: str) -> Path:
    """A folder that looks as if the package ``shelf`` had been downloaded and unpacked into it."""
    (tmp_path / "shelf_1%3a2.0_all.deb").write_bytes(b"")
    for name, data in {**files, "usr/share/doc/shelf/copyright": terms.encode()}.items():
        path = tmp_path / "shelf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


def test_resource_files_are_read() -> None:
    """Plain and compressed entries of a Qt resource file come out under their paths."""
    assert dict(read_rcc(rcc({"a.webp": b"plain", "b.z": b"squeezed" * 9}))) == {
        "/pics/a.webp": b"plain",
        "/pics/b.z": b"squeezed" * 9,
    }
    with pytest.raises(ValueError, match="not a Qt resource file"):
        list(read_rcc(b"PNG!" + bytes(16)))


def test_jpegs_are_carved() -> None:
    """JPEG files come out of a larger file byte for byte, and a cut-off one is left out."""
    one, other = encode(scene(1)), encode(scene(2))
    assert list(carve_jpegs(b"head\xff\xd8" + one + b"between" + other + b"tail" + one[:400])) == [one, other]


def test_the_last_matching_paragraph_holds(tmp_path: Path) -> None:
    """The terms of a picture are those of the last paragraph that names it, whatever its suffix is now."""
    terms = (
        "Files: *\nCopyright: All\nLicense: GPL-2+\n\n"
        "Files: art/a.jpg\n  art/b.jpg\nCopyright: 2018, Ann,\n  Bob\nLicense: CC-BY-4.0\nSource: https://x.org/a\n"
    )
    data = encode(scene(3))
    files = {f"usr/{name}": data for name in ("a.jpg", "b.jpeg", "c.jpg", "skip.jpg")}
    folder = package_folder(tmp_path, files, terms)
    found = list(read_pictures(Source("shelf", root="usr/", prefix="art/", exclude=("*/skip.*",)), folder))
    assert [(r.name, r.terms.licence, r.terms.by_name) for r in found] == [
        ("art/a.jpg", "CC-BY-4.0", True),
        ("art/b.jpeg", "CC-BY-4.0", True),
        ("art/c.jpg", "GPL-2+", False),
    ]
    assert found[0].version == "1:2.0"
    assert (found[0].terms.author, found[0].terms.origin) == ("2018, Ann; Bob", "https://x.org/a")


def test_a_note_beside_the_picture_goes_first(tmp_path: Path) -> None:
    """What a README beside a picture says about it goes before the package's copyright file."""
    note = b"Copyright: Eve\nLicense: Public Domain\nFiles: a.webp\n\nCopyright: Jo\nLicense: CC0-1.0\nc.webp\n"
    data = {f"{name}.webp": encode(scene(4), "WEBP") for name in "abc"} | {"README": note}
    folder = package_folder(tmp_path, {"all.rcc": rcc(data)}, "Files: *\nCopyright: All\nLicense: GPL-3+\n")
    found = {r.name: r.terms for r in read_pictures(Source("shelf"), folder)}
    assert found["/pics/a.webp"] == Terms("Eve", "Public Domain", "", by_name=True)
    assert found["/pics/b.webp"].licence == "GPL-3+"
    assert found["/pics/c.webp"].licence == "CC0-1.0"


def test_a_missing_package_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that cannot be downloaded raises instead of giving a smaller data set."""

    def refuse(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(100, command)

    monkeypatch.setattr(sources.subprocess, "run", refuse)
    with pytest.raises(subprocess.CalledProcessError):
        list(read_pictures(Source("shelf"), tmp_path))


def test_scenes_pass_and_the_rest_is_dropped() -> None:
    """A photograph-like picture passes; plain ground and a blank page are named for what they are."""
    blank = Image.new("RGB", (640, 480), "white")
    on_white = blank.copy()
    on_white.paste(scene(1, 300, 220), (170, 130))
    on_blue = Image.new("RGB", (640, 480), (20, 60, 160))
    on_blue.paste(scene(1, 560, 400), (40, 40))
    assert reason_to_drop(scene(1)) is None
    assert reason_to_drop(blank) == "low entropy"
    assert reason_to_drop(on_white) in ("low entropy", "plain ground")
    assert reason_to_drop(on_blue) == "plain ground"


@pytest.mark.parametrize(
    ("picture", "terms"),
    [
        (scene(1, 390, 800), FREE),
        (scene(1), Terms("B", "CC-BY-NC-3.0", "", by_name=True)),
        (scene(1), Terms("B", "", "", by_name=True)),
        (Image.merge("RGBA", (*scene(1).split(), Image.linear_gradient("L").resize((640, 480)))), FREE),
    ],
    ids=["small", "non-commercial", "no licence", "cut-out"],
)
def test_unwanted_pictures_are_not_opened(picture: Image.Image, terms: Terms) -> None:
    """Small pictures, unfit or unstated licences and cut-outs give no candidate."""
    assert open_candidate(raw(scene(1))) is not None
    assert open_candidate(raw(picture, terms=terms)) is None


def test_pictures_are_trimmed_and_reduced() -> None:
    """A wide large picture comes out at most twice as wide as high and no higher than the short side."""
    candidate = open_candidate(raw(scene(1, 3000, 1000)))
    assert candidate is not None
    assert candidate.picture.size == (2 * pictures.SHORT_SIDE, pictures.SHORT_SIDE)


def test_look_alikes_are_kept_once() -> None:
    """Of copies in other sizes, brightness, or mirrored, only the largest stays; other scenes stay too."""
    big = scene(1, 1280, 960)
    copies = [
        big,
        big.resize((640, 480)),
        big.point(lambda v: v * 0.9),
        big.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    ]
    candidates = [open_candidate(raw(p, f"{i}.png")) for i, p in enumerate([*copies[1:], scene(2), big])]
    kept = without_duplicates(c for c in candidates if c is not None)
    assert len(kept) == 2
    assert {c.raw.name for c in kept} >= {"3.png"}
    assert int((difference_hash(big) != difference_hash(copies[1])).sum()) <= 2


def test_the_split_and_its_attribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out pictures go to ``held``, the budget is kept, and every file has a line with its terms."""
    monkeypatch.setattr(pictures, "HELD_OUT", ("b.*",))
    opened = [open_candidate(raw(scene(i), f"{name}.png")) for i, name in enumerate("abc")]
    entries = pictures.write([c for c in opened if c is not None], tmp_path, budget=1)
    pictures.write_attribution(entries, tmp_path / "list.tsv")
    with (tmp_path / "list.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [(r["file"], r["name"], r["licence"]) for r in rows] == [
        ("held/000.jpg", "b.png", "CC0-1.0"),
        ("train/000.jpg", "a.png", "CC0-1.0"),
        ("train/001.jpg", "c.png", "CC0-1.0"),
    ]
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.jpg")) == [r["file"] for r in rows]


def test_landscapes_are_written_as_they_are(tmp_path: Path) -> None:
    """Those that are named, and free, go to ``land`` under their names; the data hash is not of them."""
    unfree = Terms("A. Author", "all rights reserved", "", by_name=True)
    some = [raw(scene(0), "land/sea.jpg"), raw(scene(1), "land/moon.jpg"), raw(scene(2), "land/hill.jpg", unfree)]
    before = data_hash(tmp_path)
    entries = pictures.write_land(some, {"sea", "hill"}, tmp_path)
    assert [(entry.file, entry.split, entry.name) for entry in entries] == [("land/sea.jpg", "land", "land/sea.jpg")]
    assert [path.read_bytes() for path in tmp_path.rglob("*.jpg")] == [some[0].data]
    assert data_hash(tmp_path) == before != data_hash(tmp_path / "land")


def test_a_landscape_that_is_no_jpeg_becomes_one(tmp_path: Path) -> None:
    """Its name loses blanks, by which labels are told apart."""
    (entry,) = pictures.write_land([raw(scene(3), "images/bg two.png")], {"bg_two"}, tmp_path)
    assert entry.file == "land/bg_two.jpg"
    with Image.open(tmp_path / entry.file) as written:
        assert written.format == "JPEG"


def test_cut_outs_are_written_with_their_own_terms(tmp_path: Path) -> None:
    """Each keeps its bytes; what the changelog says of one goes before the copyright file; unfree ones stay out."""
    general = Terms("A. Author", "GPL-2", "", by_name=False)
    unfree = Terms("A. Author", "all rights reserved", "", by_name=True)
    some = [
        raw(scene(0), "town/monuments/inukshuk-photo.png", general),
        raw(scene(1), "vehicles/auto/sedan.png", general),
        raw(scene(2), "animals/mammals/aquatic/whale.png", unfree),
    ]
    before = data_hash(tmp_path, ".png")
    entries = pictures.write_cut(some, tmp_path)
    assert [(entry.file, entry.split, entry.author, entry.licence) for entry in entries] == [
        ("cut/town-monuments-inukshuk-photo.png", "cut", "Ansgar Walk", "CC-BY-SA-2.5"),
        ("cut/vehicles-auto-sedan.png", "cut", "A. Author", "GPL-2"),
    ]
    assert entries[0].origin.startswith("http")
    assert (tmp_path / "cut/vehicles-auto-sedan.png").read_bytes() == some[1].data
    assert data_hash(tmp_path, ".png") == before != data_hash(tmp_path / "cut", ".png")


def test_every_cut_out_is_credited_once() -> None:
    """None is credited twice, and what nobody is said to have given keeps its terms."""
    names = [name for credit in CREDITS for name in credit.names]
    assert len(set(names)) == len(names) == len(CUT_OUTS.include) > 100
    other = raw(scene(0), "food/pizza.png")
    assert credited(other) == other


def test_the_data_hash_names_the_content(tmp_path: Path) -> None:
    """The hash does not change with file names, and does with any byte."""
    (tmp_path / "a.jpg").write_bytes(b"one")
    (tmp_path / "b.jpg").write_bytes(b"two")
    before = data_hash(tmp_path)
    (tmp_path / "a.jpg").rename(tmp_path / "c.jpg")
    assert data_hash(tmp_path) == before
    (tmp_path / "c.jpg").write_bytes(b"0ne")
    assert data_hash(tmp_path) != before


def test_the_attribution_of_this_repository_is_whole() -> None:
    """The committed list has no line without licence, no file twice, and about thirty pictures held out."""
    with Path(pictures.__file__).with_name("ATTRIBUTION.tsv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len({r["sha256"] for r in rows}) == len({r["file"] for r in rows}) == len(rows) >= 200
    assert all(pictures.ACCEPTED_LICENCE.match(r["licence"]) and r["package"] for r in rows)
    assert 28 <= sum(r["split"] == "held" for r in rows) <= 40
    assert {r["file"] for r in rows} >= {rough.file for rough in read_rough()}
    assert {r["name"] for r in rows if r["package"] == CUT_OUTS.package} == set(CUT_OUTS.include)
    assert sum(r["split"] == "bust" for r in rows) == 90
