"""Pictures inside software packages, each with what the package's copyright file says about it.

Packages are downloaded and unpacked into a folder; nothing is installed. Pictures lie in them as plain files,
in Qt resource files (``.rcc``) or inside Enlightenment themes (``.edj``).
"""

from __future__ import annotations

import struct
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
MIN_PICTURE_BYTES = 12_000
_QRC_COMPRESSED, _QRC_DIRECTORY, _QRC_ZSTD = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Source:
    """A package and where its pictures lie.

    ``root`` is cut off the path in the package and ``prefix`` put before it, which gives the name that the
    package's copyright file uses. ``include`` and ``exclude`` are globs over that name. ``terms`` are those of pictures
    of which no machine-readable copyright file tells any.
    """

    package: str
    root: str = ""
    prefix: str = ""
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    terms: Terms | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """Who made a picture and under which licence it is given, in the words of the package.

    ``by_name`` says that the package states this for the picture itself and not only for all of its files.
    """

    author: str
    licence: str
    origin: str
    by_name: bool


@dataclass(frozen=True, slots=True)
class RawPicture:
    """One encoded picture as found in a package."""

    package: str
    version: str
    name: str
    terms: Terms
    data: bytes


def read_pictures(source: Source, folder: Path) -> Iterator[RawPicture]:
    """Yield every picture that ``source`` includes, downloading its package into ``folder`` first.

    What a ``README`` beside the picture says about it goes before the package's copyright file.
    Raises ``subprocess.CalledProcessError`` when the package cannot be had.
    """
    tree, version = _fetch(source, folder)
    copyright_file = tree / "usr/share/doc" / source.package / "copyright"
    general = _paragraphs(copyright_file.read_text(encoding="utf-8"))
    for path in sorted(p for p in tree.rglob("*") if p.is_file() and not p.is_symlink()):
        entries = dict(_files_in(path, path.relative_to(tree).as_posix()))
        notes = {n.removesuffix("README"): _paragraphs(d.decode()) for n, d in entries.items() if n.endswith("/README")}
        for found, data in entries.items():
            if PurePosixPath(found).suffix not in PICTURE_SUFFIXES or not found.startswith(source.root):
                continue
            name = source.prefix + found.removeprefix(source.root)
            included = any(fnmatchcase(name, glob) for glob in source.include)
            if not included or any(fnmatchcase(name, glob) for glob in source.exclude):
                continue
            beside = [_terms(said, found.removeprefix(at)) for at, said in notes.items() if found.startswith(at)]
            terms = next((t for t in beside if t is not None), None) or _terms(general, name) or source.terms
            if terms is not None:
                yield RawPicture(source.package, version, name, terms, data)


def read_rcc(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield ``(path, content)`` of every file in a Qt binary resource file; zstd entries are left out.

    Raises ``ValueError`` when ``data`` is no such file.
    """
    magic, version, tree, contents, names = struct.unpack_from(">4sIIII", data)
    if magic != b"qres":
        raise ValueError("not a Qt resource file")
    node_size = 22 if version >= 2 else 14
    pending = [(0, "")]
    while pending:
        index, parent = pending.pop()
        node = tree + index * node_size
        name_offset, flags = struct.unpack_from(">IH", data, node)
        path = f"{parent}/{_rcc_name(data, names + name_offset)}" if index else ""
        if flags & _QRC_DIRECTORY:
            count, first = struct.unpack_from(">II", data, node + 6)
            pending.extend((child, path) for child in range(first, first + count))
        elif not flags & _QRC_ZSTD:
            (offset,) = struct.unpack_from(">I", data, node + 10)
            (length,) = struct.unpack_from(">I", data, contents + offset)
            content = data[contents + offset + 4 : contents + offset + 4 + length]
            yield path, zlib.decompress(content[4:]) if flags & _QRC_COMPRESSED else content


def carve_jpegs(data: bytes) -> Iterator[bytes]:
    """Yield the JPEG files that lie one after another in ``data``, in order.

    Every segment is stepped over by its length, so thumbnails inside a picture are not taken for pictures.
    """
    start = data.find(b"\xff\xd8\xff")
    while start >= 0:
        end = _jpeg_end(data, start)
        if end:
            yield data[start:end]
        start = data.find(b"\xff\xd8\xff", end or start + 2)


def _rcc_name(data: bytes, offset: int) -> str:
    (length,) = struct.unpack_from(">H", data, offset)
    return data[offset + 6 : offset + 6 + 2 * length].decode("utf-16-be")


def _jpeg_end(data: bytes, start: int) -> int:
    at = start + 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = struct.unpack_from(">BH", data, at + 1)
        at += 2 + length
        if marker == 0xDA:
            # Inside scans 0xFF is always followed by 0x00 or a restart marker, so the first EOI is the end.
            return data.find(b"\xff\xd9", at) + 2 if data.find(b"\xff\xd9", at) >= 0 else 0
        if 0xD0 <= marker <= 0xD9:
            return 0
    return 0


def _files_in(path: Path, inner: str) -> Iterator[tuple[str, bytes]]:
    """``(name, content)`` of the pictures and notes that a file is or holds."""
    if path.suffix in PICTURE_SUFFIXES and path.stat().st_size >= MIN_PICTURE_BYTES:
        yield inner, path.read_bytes()
    elif path.suffix == ".rcc":
        for name, data in read_rcc(path.read_bytes()):
            if name.endswith("/README") or len(data) >= MIN_PICTURE_BYTES:
                yield name, data
    elif path.suffix == ".edj":
        for index, data in enumerate(carve_jpegs(path.read_bytes())):
            if len(data) >= MIN_PICTURE_BYTES:
                yield f"{inner}/{index}.jpg", data


def _paragraphs(text: str) -> list[tuple[list[str], Terms]]:
    """The ``Files`` paragraphs of a machine-readable copyright file (DEP-5): globs and their terms."""
    paragraphs = []
    for block in text.replace("\r", "").split("\n\n"):
        fields: dict[str, list[str]] = {}
        key = ""
        for line in block.splitlines():
            head, colon, value = line.partition(":")
            if colon and head in (
                "Files",
                "License",
                "Licence",
                "Copyright",
                "Comment",
                "Comments",
                "Source",
            ):
                key = head.replace("Licence", "License")
                fields[key] = [value.strip()]
            elif key and line.strip():
                fields[key].append(line.strip())
        named = " ".join(fields.get("Files", [])).split()
        # Some notes forget the "Files:" line, so that the names follow the licence.
        after = " ".join(fields.get("License", [])[1:]).split()
        globs = named or [word for word in after if PurePosixPath(word).suffix in PICTURE_SUFFIXES]
        if globs and "License" in fields:
            author = "; ".join(part.rstrip(",;") for part in fields.get("Copyright", []) if part)
            said = " ".join(fields.get("Source", []) + fields.get("Comment", []))
            origin = said if said.startswith(("http", "based on")) else ""
            paragraphs.append((globs, Terms(author, fields["License"][0], origin, globs != ["*"])))
    return paragraphs


def _terms(paragraphs: list[tuple[list[str], Terms]], name: str) -> Terms | None:
    # Packages convert pictures after writing down their licences (.jpg to .webp): suffixes may differ.
    # Where several paragraphs match, the last one holds (DEP-5).
    stem = name.rpartition(".")[0]
    terms = None
    for globs, candidate in paragraphs:
        stems = (g.rpartition(".")[0] if PurePosixPath(g).suffix in PICTURE_SUFFIXES else g for g in globs)
        if any(fnmatchcase(name, g) for g in globs) or any(fnmatchcase(stem, s) for s in stems):
            terms = candidate
    return terms


def _fetch(source: Source, folder: Path) -> tuple[Path, str]:
    package, tree = source.package, folder / source.package
    if not list(folder.glob(f"{package}_*.deb")):
        subprocess.run(["apt-get", "download", package], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    archive = next(folder.glob(f"{package}_*.deb"))
    if not tree.exists():
        subprocess.run(["dpkg-deb", "-x", str(archive), str(tree)], check=True)
    return tree, archive.name.split("_")[1].replace("%3a", ":")
