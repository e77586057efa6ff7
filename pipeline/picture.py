"""Turns the bytes of a picture file into upright sRGB pixels, or says why it will not. Blocking."""

import hashlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from pipeline.geometry import Size, cover_crop, nearest_size
from pipeline.picture_file import BROKEN, INSPECTORS, corrupt, format_of, too_large
from pipeline.picture_file import PictureError as PictureError
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
    file_format = format_of(data)
    try:
        size = INSPECTORS[file_format](data, most_pixels)
        with Image.open(io.BytesIO(data), formats=(file_format,)) as image:
            if image.size != size:
                raise corrupt("its headers disagree on its size")
            image.load()
            plain, info = _plain(image, data), image.info
    except BROKEN as error:
        raise corrupt("it can not be decoded") from error
    except Image.DecompressionBombError as error:
        raise too_large(str(error)) from error
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
    except BROKEN as error:
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
    except (ImageCms.PyCMSError, *BROKEN) as error:
        # As browsers do: a profile that is damaged, or for another kind of pixels, is as good as none.
        _log.debug("unusable colour profile ignored: %s", error)
        return image.convert("RGB")
    assert converted is not None
    return converted
