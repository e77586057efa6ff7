"""Decodes an uploaded picture within a server's limits, with the errors of the wire contract."""

from collections.abc import Sequence

from pipeline.geometry import Size as Size
from pipeline.picture import Picture as Picture
from pipeline.picture import PictureError
from pipeline.picture import decode_picture as decode
from pipeline.picture import reduced_size as reduced_size
from stream.errors import StreamError
from stream.protocol import Limits


def decode_picture(data: bytes, limits: Limits, sizes: Sequence[Size], texture_scale: int = 2) -> Picture:
    """Decode a picture as :func:`pipeline.picture.decode_picture` does.

    Raises StreamError ``image_too_large`` (bytes, or pixels by the header, before anything is decoded),
    ``image_unsupported`` or ``image_corrupt``.
    """
    if len(data) > limits.image_bytes:
        found = f"{limits.image_bytes} bytes, not {len(data)}"
        raise StreamError("image_too_large", f"A picture may have {found}; send a smaller one.")
    try:
        return decode(data, limits.image_pixels, sizes, texture_scale)
    except PictureError as error:
        raise StreamError(error.code, str(error)) from error
