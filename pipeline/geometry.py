"""How a picture meets the frame: the size nearest in shape, cover and centre-crop, or all of it on black."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from pipeline.types import Pixels

Size = tuple[int, int]
"""Width and height in pixels."""


def nearest_size(width: int, height: int, sizes: Sequence[Size]) -> Size:
    """Give the size that is nearest in shape to a picture; of two as near the earlier one.

    >>> sizes = [(832, 480), (480, 832), (640, 640)]
    >>> [nearest_size(*picture, sizes) for picture in ((4000, 3000), (1080, 1920), (1080, 1350))]
    [(832, 480), (480, 832), (640, 640)]
    """
    return min(sizes, key=lambda size: abs(math.log(size[0] * height / (size[1] * width))))


def cover_crop(width: int, height: int, target: tuple[int, int]) -> tuple[int, int, int, int]:
    """Give the margins (left, top, right, bottom) that a centred crop to the target's shape cuts off.

    Sizes and margins are in the picture's own pixels.

    >>> cover_crop(1664, 960, (832, 480))
    (0, 0, 0, 0)
    >>> cover_crop(1000, 1000, (832, 480))
    (0, 211, 0, 212)
    """
    target_width, target_height = target
    kept_width = min(width, max(1, round(height * target_width / target_height)))
    kept_height = min(height, max(1, round(width * target_height / target_width)))
    left, top = (width - kept_width) // 2, (height - kept_height) // 2
    return left, top, width - kept_width - left, height - kept_height - top


def fitted(pixels: Pixels, size: Size) -> Pixels:
    """Show all of a frame ``uint8 [H, W, 3]`` in one of this width and height, with black beside it.

    >>> fitted(np.full((4, 2, 3), 9, np.uint8), (4, 4))[0, :, 0].tolist()
    [0, 9, 9, 0]
    """
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    shown = Image.fromarray(pixels).resize(inner, Image.Resampling.LANCZOS)
    frame = Image.new("RGB", size)
    frame.paste(shown, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return np.array(frame)
