"""How a picture meets the frame: cover and centre-crop, in whole pixels."""


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
