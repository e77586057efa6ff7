"""A frame that is there already as a conditioning picture: one of the stream's own, or a publisher's. Blocking."""

import hashlib
from collections.abc import Sequence
from typing import cast

import numpy as np
from av import VideoFrame
from av.error import FFmpegError
from av.video.reformatter import Interpolation

from pipeline.geometry import Size, cover_crop, nearest_size
from pipeline.types import Pixels
from stream.errors import StreamError
from stream.picture import Picture, reduced_size
from stream.protocol import Limits


def picture_of_pixels(pixels: Pixels, sizes: Sequence[Size]) -> Picture:
    """Make a picture of a frame of the stream, ``uint8 [H, W, 3]`` RGB, for a stream of one of these sizes.

    There is no file to hash: ``sha256`` is that of the pixels' bytes.

    >>> picture_of_pixels(np.zeros((4, 8, 3), np.uint8), [(8, 4)]).width
    8
    """
    height, width = pixels.shape[:2]
    return _picture(np.array(pixels), (width, height), sizes)


def picture_of_frame(frame: VideoFrame, limits: Limits, sizes: Sequence[Size], texture_scale: int = 2) -> Picture:
    """Make a picture of a decoded frame, reduced like an uploaded one (:func:`stream.picture.decode_picture`).

    Raises StreamError ``image_too_large`` for more pixels than a picture may have, ``image_unsupported``.
    """
    size = frame.width, frame.height
    if size[0] * size[1] > limits.image_pixels:
        why = f"A picture may have {limits.image_pixels} pixels, not {size[0]} x {size[1]}; publish a smaller one."
        raise StreamError("image_too_large", why)
    cover = nearest_size(*size, sizes)
    width, height = reduced_size(*size, (cover[0] * texture_scale, cover[1] * texture_scale))
    try:
        rgb = frame.reformat(width, height, "rgb24", interpolation=Interpolation.AREA)
    except FFmpegError as error:
        why = f"The publisher's picture can't be converted ({error}); publish another pixel format."
        raise StreamError("image_unsupported", why) from error
    return _picture(cast(Pixels, rgb.to_ndarray()), size, sizes)


def _picture(pixels: Pixels, size: Size, sizes: Sequence[Size]) -> Picture:
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    return Picture(pixels, *size, digest, cover_crop(*size, nearest_size(*size, sizes)))
