"""How large the frame is, and how its pixels stand to the units that motion is told in.

A unit is a pixel of the frame of 832x480, where everything was trained and tuned. A frame of another size shows the
same scene in more or fewer pixels: as many units of area, in its own shape. What is told in units (a swing, a flow, a
drop) is as large in every shape; the camera's ways over the picture, and what the canvas holds for them beyond it, are
shares of the frame, so that a pan of three seconds shows no more border in a portrait than elsewhere.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

WIDTH, HEIGHT = 832, 480
# Units around the picture, above and below and at the sides: what the canvas of the nominal view holds beyond it.
ROOM = (96, 160)
SHAPES = ("turned", "square")
# Sides are whole blocks of video codecs, and two of those.
BLOCK = 32


@dataclass(frozen=True)
class View:
    """A frame's size in pixels.

    >>> View(1664, 960).scale, View(1664, 960).extent
    (2.0, (832.0, 480.0))
    >>> [round(side, 1) for side in View(1920, 1080).extent]
    [842.6, 474.0]
    """

    width: int = WIDTH
    height: int = HEIGHT

    @cached_property
    def scale(self) -> float:
        """Pixels to a unit."""
        return math.sqrt(self.width * self.height / (WIDTH * HEIGHT))

    @cached_property
    def extent(self) -> tuple[float, float]:
        """Width and height in units."""
        return self.width / self.scale, self.height / self.scale

    @cached_property
    def shares(self) -> tuple[float, float]:
        """Width and height as shares of the nominal view's, in units: the camera's ways are as long."""
        return self.extent[0] / WIDTH, self.extent[1] / HEIGHT

    @cached_property
    def room(self) -> tuple[int, int]:
        """Pixels that the canvas holds above and below, and left and right of the picture."""
        return round(ROOM[0] / HEIGHT * self.height), round(ROOM[1] / WIDTH * self.width)

    def cells(self, count: int) -> tuple[int, int]:
        """Rows and columns of about equally wide cells, as many as ``count`` rows of twice as many in the nominal view.

        >>> NOMINAL.cells(3), View(480, 832).cells(3), View(640, 640).cells(3)
        ((3, 6), (5, 3), (4, 5))
        """
        across, down = (math.sqrt(share) for share in self.shares)
        return max(1, round(count * down / across)), max(1, round(2 * count * across / down))


NOMINAL = View()


def views(width: int, height: int, shapes: Collection[str]) -> tuple[View, ...]:
    """A view of this size, then those of as many pixels in other SHAPES.

    >>> [(view.width, view.height) for view in views(832, 480, SHAPES)]
    [(832, 480), (480, 832), (640, 640)]
    >>> [(view.width, view.height) for view in views(64, 64, SHAPES)]
    [(64, 64)]
    """
    found = [View(width, height)]
    side = max(1, round(math.sqrt(width * height) / BLOCK)) * BLOCK
    others = {"turned": View(height, width), "square": View(side, side)}
    # What is nearly square itself has no other shapes.
    is_long = max(width, height) > math.sqrt(2) * min(width, height)
    found += [others[shape] for shape in SHAPES if shape in shapes and is_long]
    return tuple(found)
