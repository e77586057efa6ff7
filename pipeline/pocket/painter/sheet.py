"""The sheet that is painted on: colours, and exact shares of each layer."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from pipeline.pocket.layers import REST, SKY
from pipeline.pocket.nearness import HORIZON, RISE
from pipeline.pocket.painter.light import RGB, plain
from pipeline.pocket.view import View

ALL = slice(None)


@dataclass(slots=True, eq=False)
class Sheet:
    """A view and the room around it, in paint.

    ``x [1, W]`` and ``y [H, 1]`` are places in units from the view's left top, ``picture float32 [3, H, W]`` colours
    0..1, ``shares float32 [5, H, W]`` how much of each pixel is each layer of :mod:`pipeline.pocket.layers`, ``sky
    [3, H, W]`` the sky without what stands before it, ``near [H, W]`` how near each place is. ``horizon`` is where the
    sky ends, ``eye`` where flat ground would, in units.
    """

    view: View
    x: Tensor
    y: Tensor
    picture: Tensor
    shares: Tensor
    sky: Tensor
    near: Tensor
    horizon: float = 0.0
    eye: float = 0.0

    @classmethod
    def blank(cls, view: View) -> "Sheet":
        """A sheet that is all sky."""
        rows, columns = view.room
        height, width = view.height + 2 * rows, view.width + 2 * columns
        x = ((torch.arange(width) + 0.5 - columns) / view.scale)[None]
        y = ((torch.arange(height) + 0.5 - rows) / view.scale)[:, None]
        shares = torch.zeros(5, height, width)
        shares[SKY] = 1
        return cls(view, x, y, torch.zeros(3, height, width), shares, torch.zeros(3, height, width), shares[0].clone())

    @property
    def width(self) -> float:
        """Of the view, in units."""
        return self.view.extent[0]

    @property
    def height(self) -> float:
        """Of the view, in units."""
        return self.view.extent[1]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.picture.shape[1]), int(self.picture.shape[2])

    def lay(
        self, colour: Tensor | RGB, alpha: Tensor, kind: int = REST, rows: slice = ALL, near: Tensor | None = None
    ) -> None:
        """Paint a colour (one, or ``[3, h, W]``) over what is there, as much as ``alpha [h, W]`` says, as a layer.

        ``rows`` are those that are painted, h of them. It is as ``near`` as that, or as flat ground would be there.
        """
        self.glaze(colour, alpha, rows)
        shown = self.near[rows]
        shown.copy_(torch.where(alpha > 0.5, self.ground(self.y[rows]) if near is None else near, shown))
        shares = self.shares[:, rows]
        shares *= 1 - alpha
        shares[kind] += alpha

    def glaze(self, colour: Tensor | RGB, alpha: Tensor, rows: slice = ALL) -> None:
        """Paint over what is there, which stays the layer that it is: mist, shadow."""
        paint = plain(colour) if isinstance(colour, tuple) else colour
        picture = self.picture[:, rows]
        picture += (paint - picture) * alpha

    def shine(self, colour: Tensor | RGB, amount: Tensor, rows: slice = ALL) -> None:
        """Add light ``amount [h, W]`` of a colour, the less the brighter it is already."""
        paint = plain(colour) if isinstance(colour, tuple) else colour
        picture = self.picture[:, rows]
        picture += (1 - picture) * (paint * amount).clamp(0, 1)

    def ground(self, y: Tensor | float, farthest: float = HORIZON) -> Tensor:
        """How near flat ground is at a place down, in units; but no farther than that."""
        down = (torch.as_tensor(y) - self.eye) / self.height
        return (HORIZON + RISE * down).clamp(farthest, 1.0)

    def rows_from(self, top: float) -> slice:
        """The rows from a place in units down."""
        first = int(top * self.view.scale) + self.view.room[0] - 1
        return slice(max(0, min(first, self.size[0] - 2)), self.size[0])

    def below(self, line: Tensor, rows: slice = ALL) -> Tensor:
        """Where is below a line ``[W]`` in units, ``[h, W]``; its edge is a pixel wide."""
        return ((self.y[rows] - line[None]) * self.view.scale + 0.5).clamp(0, 1)

    def enlarged(self, coarse: Tensor, rows: slice = ALL) -> Tensor:
        """What was painted at every other place ``[C, h / 2, W / 2]`` of these rows, at all of them."""
        count = self.size[0] - (rows.start or 0)
        size = (count, self.size[1])
        return F.interpolate(coarse[None], size=size, mode="bilinear", align_corners=False)[0]


class Drawing:
    """Shapes drawn with smooth edges, at places in units."""

    def __init__(self, sheet: Sheet) -> None:
        rows, columns = sheet.size
        self._scale, self._room = 2 * sheet.view.scale, sheet.view.room
        self._image = Image.new("L", (2 * columns, 2 * rows), 0)
        self._draw = ImageDraw.Draw(self._image)

    def _at(self, points: np.ndarray) -> list[float]:
        offset = 2 * np.array([self._room[1], self._room[0]])
        return (np.asarray(points, np.float64) * self._scale + offset).ravel().tolist()

    def polygon(self, points: np.ndarray, fill: int = 255) -> None:
        """Fill a polygon ``[N, 2]``."""
        self._draw.polygon(self._at(points), fill=fill)

    def line(self, points: np.ndarray, width: float, fill: int = 255) -> None:
        """Draw a line ``[N, 2]`` of a width in units."""
        self._draw.line(self._at(points), fill=fill, width=max(1, round(width * self._scale)), joint="curve")

    def ellipse(self, x: float, y: float, across: float, along: float, fill: int = 255) -> None:
        """Fill an ellipse about a place, of two radii."""
        self._draw.ellipse(self._at(np.array([[x - across, y - along], [x + across, y + along]])), fill=fill)

    def mask(self) -> Tensor:
        """What was drawn, ``float32 [H, W]`` of 0..1."""
        small = self._image.reduce(2)
        return torch.from_numpy(np.asarray(small, np.float32) / 255)
