"""Turns the bytes of a picture file into upright sRGB pixels, or says why it will not. Blocking.

The file's structure is read here before Pillow sees it: Pillow forgives files without an end, and makes room
for the pixels that a header promises.
"""

import hashlib
import io
import logging
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from pipeline.errors import ConditioningError
from pipeline.geometry import Size, cover_crop, nearest_size
from pipeline.types import Pixels

MOST_PIXELS = 89_000_000
"""Of a picture from one's own disk; Pillow warns of larger ones."""

_log = logging.getLogger(__name__)

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
_MAX_SCANS = 256  # an encoder writes about ten; each costs a pass over all pixels, so ten thousand are an attack
_INFLATE_BYTES = 1_048_576

# What Pillow's readers are known to raise for files that are not as they should be.
_BROKEN = (
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


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture.

    ``pixels`` is uint8 [H, W, 3] RGB: upright, sRGB, flattened on black, perhaps reduced. ``width`` and
    ``height`` are those of the upright original, ``cropped`` (left, top, right, bottom) is what covering the
    video's size cuts off, in the original's pixels. ``sha256`` is that of the file, in lower-case hex.
    """

    pixels: Pixels
    width: int
    height: int
    sha256: str
    cropped: tuple[int, int, int, int]


def decode_picture(data: bytes, most_pixels: int, sizes: Sequence[Size], texture_scale: int = 2) -> Picture:
    """Decode a JPEG, PNG or WebP file; the first frame of an animated one.

    ``sizes`` are those that the video may have, of which the nearest in shape counts; a larger picture is reduced until
    what is left of it after the cover-crop has ``texture_scale`` times that width and height. None leave it whole.
    Raises PictureError ``image_too_large`` (by the header, before anything is decoded), ``image_unsupported`` (another
    format) or ``image_corrupt``.
    """
    file_format = _format(data)
    try:
        size = _INSPECTORS[file_format](data, most_pixels)
        with Image.open(io.BytesIO(data), formats=(file_format,)) as image:
            if image.size != size:
                raise _corrupt("its headers disagree on its size")
            image.load()
            plain, info = _plain(image, data), image.info
    except _BROKEN as error:
        raise _corrupt("it can not be decoded") from error
    except Image.DecompressionBombError as error:
        raise _too_large(str(error)) from error
    orientation = _orientation(info.get("exif", b""))
    sideways = orientation in _SIDEWAYS
    width, height = (size[1], size[0]) if sideways else size
    cover = nearest_size(width, height, sizes) if sizes else (width, height)
    reduced = reduced_size(width, height, (cover[0] * texture_scale, cover[1] * texture_scale))
    stored = (reduced[1], reduced[0]) if sideways else reduced
    if stored != size:
        plain = plain.resize(stored, Image.Resampling.LANCZOS, reducing_gap=3.0)
    flat = _flat_srgb(plain, info.get("icc_profile"))
    if orientation in _UPRIGHT:
        flat = flat.transpose(_UPRIGHT[orientation])
    digest = hashlib.sha256(data).hexdigest()
    return Picture(np.array(flat), width, height, digest, cover_crop(width, height, cover))


def read_picture(path: Path) -> Pixels:
    """Read a picture file whole, as ``uint8 [H, W, 3]``. Raises OSError, PictureError."""
    return decode_picture(path.read_bytes(), MOST_PIXELS, ()).pixels


def _too_large(reason: str) -> PictureError:
    return PictureError("image_too_large", f"{reason}; send a smaller one.")


def _corrupt(reason: str) -> PictureError:
    return PictureError("image_corrupt", f"The picture is damaged ({reason}); save it again or choose another.")


def _format(data: bytes) -> str:
    if not data:
        raise _corrupt("the file is empty")
    for name, magic in (("JPEG", b"\xff\xd8\xff"), ("PNG", b"\x89PNG\r\n\x1a\n"), ("WEBP", b"RIFF....WEBP")):
        # A file cut within its magic number counts as of that format: it is incomplete, not foreign.
        if all(wanted in (got, ord(".")) for wanted, got in zip(magic, data, strict=False)):
            return name
    raise PictureError("image_unsupported", "The file is no JPEG, PNG or WebP; convert it to one of these.")


def _checked(width: int, height: int, most: int) -> Size:
    if width * height > most:
        raise _too_large(f"A picture may have {most} pixels, not {width} x {height}")
    if width * height == 0:
        raise _corrupt("it has no pixels")
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
            raise _corrupt("it has too many scans")
        if marker not in (0x01, 0xD8, 0xD9):
            position += int.from_bytes(data[position : position + 2])
    raise _corrupt("its end is missing")


def _inspect_png(data: bytes, most: int) -> Size:
    """Check every chunk up to IEND, and that no row is missing (PNG, third edition, sections 5 to 8)."""
    size, position, kind, rows = None, 8, b"", []
    view = memoryview(data)
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise _corrupt("its end is missing")
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise _corrupt("a checksum is wrong")
        if size is None:
            if (kind, length) != (b"IHDR", 13):
                raise _corrupt("its header is missing")
            size = _checked(*struct.unpack_from(">II", data, position + 8), most)
        elif kind == b"IDAT":
            rows.append(view[position + 8 : end - 4])
        position = end
    assert size is not None
    # Pillow leaves missing rows black.
    if not _inflates_to(rows, _png_bytes(*size, *data[24:26], interlaced=data[28] == 1)):
        raise _corrupt("rows are missing")
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
        raise _corrupt("its end is missing")
    return size


_INSPECTORS: dict[str, Callable[[bytes, int], Size]] = {
    "JPEG": _inspect_jpeg,
    "PNG": _inspect_png,
    "WEBP": _inspect_webp,
}


def reduced_size(width: int, height: int, texture: Size) -> Size:
    """Give the size at which a picture still covers ``texture``, never more than its own."""
    scale = max(Fraction(texture[0], width), Fraction(texture[1], height))
    return (width, height) if scale >= 1 else (round(width * scale), round(height * scale))


def _orientation(block: bytes) -> int:
    # Not Image.getexif: that believes XMP too, which browsers do not.
    exif = Image.Exif()
    try:
        exif.load(block)
        orientation = exif.get(_ORIENTATION_TAG)
    except _BROKEN as error:
        _log.debug("unreadable EXIF ignored: %s", error)
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _plain(image: Image.Image, data: bytes) -> Image.Image:
    """Give the same picture with 8 bits and without a palette: L, LA, RGB, RGBA or CMYK."""
    transparency = image.info.get("transparency")
    if image.format == "PNG" and image.mode in ("L", "I;16", "RGB") and transparency is not None:
        # Pillow gives 8-bit pixels, but leaves the transparent colour (tRNS) at the file's bit depth.
        bits = data[24]
        colour = np.atleast_1d(transparency)
        colour = colour >> 8 if bits == 16 else colour * 255 // (2**bits - 1)
        image.info["transparency"] = int(colour[0]) if colour.size == 1 else tuple(map(int, colour))
    if image.mode == "I;16":
        info = image.info
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        image.info = info
    if image.mode == "CMYK":
        return image
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if image.mode.endswith("A") or transparency is not None:
        mode += "A"
    # To convert to the same mode copies, and a copy may be 160 MB.
    return image if mode == image.mode else image.convert(mode)


def _flat_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    alpha = image.getchannel("A") if "A" in image.getbands() else None
    if alpha is not None:
        image = image.convert(image.mode[:-1])
    image = _srgb(image, profile) if profile else image.convert("RGB")
    if alpha is None:
        return image
    black = Image.new("RGB", image.size)
    black.paste(image, mask=alpha)
    return black


def _srgb(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, *_BROKEN) as error:
        # As browsers do: a profile that is damaged, or for another kind of pixels, is as good as none.
        _log.debug("unusable colour profile ignored: %s", error)
        return image.convert("RGB")
    assert converted is not None
    return converted
