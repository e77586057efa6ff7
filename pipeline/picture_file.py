"""The structure of a picture's file, read before Pillow sees it.

Pillow forgives files without an end, and makes room for the pixels that a header promises.
"""

import re
import struct
import zlib
from collections.abc import Callable

from pipeline.errors import ConditioningError
from pipeline.geometry import Size

_MAX_SCANS = 256  # an encoder writes about ten; each costs a pass over all pixels, so ten thousand are an attack
_INFLATE_BYTES = 1_048_576

# What Pillow's readers are known to raise for files that are not as they should be.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)


class PictureError(ConditioningError):
    """A file that is no usable picture; ``code`` is ``image_too_large``, ``image_unsupported``, ``image_corrupt``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type["PictureError"], tuple[str, str]]:
        """Keep the code when pickled, as an exception does not by itself."""
        return type(self), (self.code, str(self))


def too_large(reason: str) -> PictureError:
    """Say that a picture is too large, and how."""
    return PictureError("image_too_large", f"{reason}; send a smaller one.")


def corrupt(reason: str) -> PictureError:
    """Say that a picture's file is damaged, and how."""
    return PictureError("image_corrupt", f"The picture is damaged ({reason}); save it again or choose another.")


def format_of(data: bytes) -> str:
    """Give the file's format by its first bytes: JPEG, PNG or WEBP. Raises PictureError."""
    if not data:
        raise corrupt("the file is empty")
    for name, magic in (("JPEG", b"\xff\xd8\xff"), ("PNG", b"\x89PNG\r\n\x1a\n"), ("WEBP", b"RIFF....WEBP")):
        # A file cut within its magic number counts as of that format: it is incomplete, not foreign.
        if all(wanted in (got, ord(".")) for wanted, got in zip(magic, data, strict=False)):
            return name
    raise PictureError("image_unsupported", "The file is no JPEG, PNG or WebP; convert it to one of these.")


def _checked(width: int, height: int, most: int) -> Size:
    if width * height > most:
        raise too_large(f"A picture may have {most} pixels, not {width} x {height}")
    if width * height == 0:
        raise corrupt("it has no pixels")
    return width, height


def _inspect_jpeg(data: bytes, most: int) -> Size:
    """Walk the markers to the end of the image (ITU-T T.81, annex B); what follows that is ignored."""
    size, scans, position = None, 0, 2
    while found := re.compile(rb"\xff[^\x00\xff\xd0-\xd7]").search(data, position):
        marker, position = found[0][1], found.end()
        if marker == 0xD9 and size is not None:
            return size
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width = struct.unpack_from(">BHH", data, position + 2)
            if marker > 0xC2 or bits != 8:
                raise PictureError("image_unsupported", "Save the JPEG as baseline or progressive with 8 bits.")
            size = _checked(width, height, most)
        scans += marker == 0xDA
        if scans > _MAX_SCANS:
            raise corrupt("it has too many scans")
        if marker not in (0x01, 0xD8, 0xD9):
            position += int.from_bytes(data[position : position + 2])
    raise corrupt("its end is missing")


def _inspect_png(data: bytes, most: int) -> Size:
    """Check every chunk up to IEND, and that no row is missing (PNG, third edition, sections 5 to 8)."""
    size, position, kind, rows = None, 8, b"", []
    view = memoryview(data)
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise corrupt("its end is missing")
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise corrupt("a checksum is wrong")
        if size is None:
            if (kind, length) != (b"IHDR", 13):
                raise corrupt("its header is missing")
            size = _checked(*struct.unpack_from(">II", data, position + 8), most)
        elif kind == b"IDAT":
            rows.append(view[position + 8 : end - 4])
        position = end
    assert size is not None
    # Pillow leaves missing rows black.
    if not _inflates_to(rows, _png_bytes(*size, *data[24:26], interlaced=data[28] == 1)):
        raise corrupt("rows are missing")
    return size


def _png_bytes(width: int, height: int, bits: int, colour_type: int, *, interlaced: bool) -> int:
    pixel_bits = bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    steps = [(8, 8, 0, 0), (8, 8, 4, 0), (4, 8, 0, 4), (4, 4, 2, 0), (2, 4, 0, 2), (2, 2, 1, 0), (1, 2, 0, 1)]
    total = 0
    for across, down, left, top in steps if interlaced else [(1, 1, 0, 0)]:
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * pixel_bits + 7) // 8)
    return total


def _inflates_to(parts: list[memoryview], wanted: int) -> bool:
    inflater = zlib.decompressobj()
    for part in parts:
        rest: bytes | memoryview = part
        while rest and wanted > 0:
            wanted -= len(inflater.decompress(rest, _INFLATE_BYTES))
            rest = inflater.unconsumed_tail
    return wanted <= 0 or len(inflater.flush()) >= wanted


def _inspect_webp(data: bytes, most: int) -> Size:
    """Read the canvas size, and whether as much came as the header says (RFC 9649, section 2)."""
    riff_size, kind = struct.unpack_from("<4xI4x4s", data)
    head = data[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (4, 7))
    elif kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    size = _checked(width, height, most)
    if 8 + riff_size > len(data):
        raise corrupt("its end is missing")
    return size


INSPECTORS: dict[str, Callable[[bytes, int], Size]] = {
    "JPEG": _inspect_jpeg,
    "PNG": _inspect_png,
    "WEBP": _inspect_webp,
}
"""By format: read a file through and give the size that it says, with at most so many pixels. Raise PictureError."""
