"""How large the frame is, and how its pixels stand to the units that motion is told in.

A unit is a pixel of the frame of 832x480, where everything was trained and tuned. A frame of another size shows the
same scene in more or fewer pixels: as many units of area, in its own shape, so that a move takes the same share of it.
"""

import math
from dataclasses import dataclass
from functools import cached_property

WIDTH, HEIGHT = 832, 480
# Units around the picture on each side: what the canvas holds beyond it.
ROOM = (96, 160)


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
    def room(self) -> tuple[int, int]:
        """Pixels that the canvas holds above and below, and left and right of the picture."""
        return round(ROOM[0] * self.scale), round(ROOM[1] * self.scale)


NOMINAL = View()
