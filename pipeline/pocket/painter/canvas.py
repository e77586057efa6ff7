"""A painting as the decoder samples it: all of the world around the view is painted, and every layer is known."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.canvas import LEAST_SKY, SCALE, Canvas, plate_size, shrink
from pipeline.pocket.depth import with_depth
from pipeline.pocket.layers import SKY, layered
from pipeline.pocket.painter.paint import paint
from pipeline.pocket.painter.scenery import Scenery
from pipeline.pocket.view import View


def painted_canvas(scenery: Scenery, seed: int, view: View, device: torch.device, parallax: float = 0.0) -> Canvas:
    """Paint a scene, and give it with its exact layers and depth; behind what stands before it the sky goes on."""
    painting = paint(scenery, seed, view)
    (rows, columns), pixels = view.room, painting.pixels
    rest = pixels[rows : rows + view.height, columns : columns + view.width].contiguous()
    texture = _twice(pixels).to(device)
    shares = painting.shares[None].to(device)
    size = plate_size(view)
    canvas = Canvas(texture, rest.to(device), texture.new_ones(1, 1, *size), texture)
    if float(shares[:, SKY].mean()) >= LEAST_SKY:
        sky = F.interpolate(shares[:, SKY : SKY + 1], size=size, mode="area")
        canvas = replace(canvas, sky=sky, plate=_twice(painting.sky).to(device))
    inside = (..., slice(rows, rows + view.height), slice(columns, columns + view.width))
    near = painting.near[None, None][inside].to(device)
    return with_depth(layered(canvas, shares), shares[inside], parallax, near)


def _twice(pixels: Tensor) -> Tensor:
    """A texture ``float32 [1, 3, 2 H, 2 W]`` of pixels ``uint8 [H, W, 3]``: its means of four are these, exactly."""
    small = pixels.permute(2, 0, 1)[None].float()
    wide = F.interpolate(small, scale_factor=SCALE, mode="bicubic", align_corners=False)
    size = (small.shape[2], small.shape[3])
    return wide + F.interpolate(small - shrink(wide, size), scale_factor=SCALE)
