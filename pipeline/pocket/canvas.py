"""The picture as the decoder samples it: twice the frame's size, with an invented world around it.

At rest the view is the picture, to the last grey level: averaging the canvas two by two gives the frame's own
picture exactly. Around it lies what the crop left over, and beyond that a world that only continues colours:
mirrored, then blurred more the farther it is, so that nobody sees a mirror, with grain of the kind that the edge has
(:mod:`pipeline.pocket.border`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pipeline.geometry import cover_crop
from pipeline.pocket.border import grained
from pipeline.pocket.clouds import clouded, plainness
from pipeline.pocket.neighbours import box
from pipeline.pocket.view import NOMINAL, ROOM, View
from pipeline.types import Pixels

if TYPE_CHECKING:
    from pipeline.pocket.depth import Depth
    from pipeline.pocket.drawn.marks import Marks
    from pipeline.pocket.layers import Layers

CPU = torch.device("cpu")
SCALE = 2
# Canvas px of the nominal view around the picture on each side; the camera's governor keeps the view well inside.
MARGIN = (SCALE * ROOM[0], SCALE * ROOM[1])
BLUR_LEVELS = 5
# Canvas px of the nominal view to a pixel in which a sky's edge is looked for.
PLATE_SCALE = 4
LEAST_SKY = 0.03
# Grey difference (0..1) to what is close around from which something before a sky may be thin.
THIN = 0.06


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Canvas:
    """What one picture gives the decoder.

    ``texture float32 [1, 3, H, W]`` in 0..255 at SCALE, with margins; ``rest uint8 [H, W, 3]`` the resting view.
    ``sky float32 [1, 1, h, w]`` says coarsely where the sky is, in 0..1, and ``plate`` is the texture with all that
    stands before the sky taken out: a cloud that moves on leaves sky behind, not the ghost of a tower. ``layers`` are
    what else moves by itself (:mod:`pipeline.pocket.layers`), ``depth`` says how near things are
    (:mod:`pipeline.pocket.depth`), ``marks`` what is drawn holds on to (:mod:`pipeline.pocket.drawn.marks`); None where
    nobody has looked for them.
    """

    texture: Tensor
    rest: Tensor
    sky: Tensor
    plate: Tensor
    layers: "Layers | None" = None
    depth: "Depth | None" = None
    marks: "Marks | None" = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the texture."""
        return int(self.texture.shape[2]), int(self.texture.shape[3])

    @property
    def view(self) -> View:
        """The frame that it was made for."""
        return View(self.rest.shape[1], self.rest.shape[0])


def prepare(image: Pixels, width: int, height: int, device: torch.device = CPU) -> Canvas:
    """Make the canvas of a whole upright picture ``uint8 [H, W, 3]``; all of it may flow until the sky is known.

    The picture is scaled on the CPU, so that the view at rest is the same on every device.
    """
    picture = Image.fromarray(image)
    left, top, right, bottom = cover_crop(picture.width, picture.height, (width, height))
    box = (left, top, picture.width - right, picture.height - bottom)
    view = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS, box=box))
    factor = SCALE * width / (box[2] - box[0])
    rooms, frame = (left, top, right, bottom), View(width, height)
    margins = [SCALE * room for room in (frame.room[1], frame.room[0])] * 2
    known = [int(min(m, room * factor)) for m, room in zip(margins, rooms, strict=True)]
    x0, y0, x1, y1 = (edge + sign * k / factor for edge, sign, k in zip(box, (-1, -1, 1, 1), known, strict=True))
    size = (SCALE * width + known[0] + known[2], SCALE * height + known[1] + known[3])
    texture = _float(np.asarray(picture.resize(size, Image.Resampling.LANCZOS, box=(x0, y0, x1, y1))), device)
    core = texture[..., known[1] : known[1] + SCALE * height, known[0] : known[0] + SCALE * width]
    # One back-projection: nearest spreading of the difference makes the averages exact.
    apart = (_float(view, device) - F.avg_pool2d(core, SCALE)).transpose(0, 1)
    for channel, part in zip(core[0], apart, strict=True):
        channel += F.interpolate(part[None], scale_factor=SCALE)[0, 0]
    full = _surround(texture, (known[0], known[1], known[2], known[3]), frame)
    return Canvas(full, torch.from_numpy(view.copy()).to(device), full.new_ones(1, 1, *plate_size(frame)), full)


def with_sky(canvas: Canvas, guess: Tensor, trusted: bool = False) -> Canvas:
    """Find the sky's edge from a coarse guess ``float32 [1, 1, h, w]`` in 0..1, and paint the plate behind it.

    A picture with hardly any sky keeps what it has. ``trusted`` is a guess that says itself how sure it is.
    """
    if float(guess.mean()) < LEAST_SKY:
        return canvas
    small = shrink(canvas.texture, plate_size(canvas.view))
    above, beside = plate_margins(canvas.view)
    size = small.shape[2] - 2 * above, small.shape[3] - 2 * beside
    coarse = F.interpolate(guess, size=size, mode="bilinear", align_corners=False)
    coarse = F.pad(coarse, (beside, beside, above, above), mode="replicate")
    grey = small.mean(1, keepdim=True) / 255
    found = _guided(coarse, grey)
    if trusted:
        # Sky that is seen through an arch or leaves hangs together with nothing, and a painter's is as rough as rocks.
        sky = ((found - 0.25) / 0.4).clamp(0, 1) * (1 - _thin(grey, coarse))
    else:
        whole = ((found - 0.35) / 0.3).clamp(0, 1) * (1 - torch.maximum(_rough(grey), _thin(grey, coarse)))
        sky = _hanging(whole, (above, beside))
    # What is surely sky: the blend of an edge would smear the tower's colour over the plate.
    sure = (-F.max_pool2d(-sky, 5, 1, 2) > 0.95).float()
    wide = F.interpolate(sure, size=canvas.texture.shape[2:], mode="bilinear", align_corners=False)
    plate = spread(fill(small, sure), canvas.texture.shape[2:]).lerp_(canvas.texture, wide)
    seed = int(canvas.rest.sum(dtype=torch.int64))
    return replace(canvas, sky=sky, plate=clouded(plate, small, sure, canvas.view, seed))


def plate_size(view: View) -> tuple[int, int]:
    """Height and width of the canvas where a sky's edge is looked for, the same for a view of any resolution."""
    width, height = (round(SCALE * side / PLATE_SCALE) for side in view.extent)
    above, beside = plate_margins(view)
    return height + 2 * above, width + 2 * beside


def plate_margins(view: View) -> tuple[int, int]:
    """Rows above and below, and columns at the sides, that :func:`plate_size` has beyond the picture."""
    above, beside = (round(SCALE * room / view.scale / PLATE_SCALE) for room in view.room)
    return above, beside


def shrink(plane: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean over areas, to a height and width."""
    factor = plane.shape[2] // size[0]
    if (size[0] * factor, size[1] * factor) == tuple(plane.shape[2:]):
        return F.avg_pool2d(plane, factor)
    return F.interpolate(plane, size=size, mode="area")


def spread(picture: Tensor, size: Sequence[int]) -> Tensor:
    """A picture ``[1, C, h, w]`` at a height and width, linear between its pixels' middles.

    As many pictures of one channel: one of three channels takes a CPU five times as long.
    """
    if tuple(picture.shape[2:]) == tuple(size):
        return picture
    found = F.interpolate(picture.transpose(0, 1), size=tuple(size), mode="bilinear", align_corners=False)
    return found.view(1, -1, *size)


def repainted(canvas: Canvas, texture: Tensor) -> Canvas:
    """The same layers over another texture ``float32 [1, 3, H, W]``, which also lies behind whatever moves."""
    (rows, columns), (height, width) = canvas.view.room, canvas.rest.shape[:2]
    inside = F.avg_pool2d(texture, SCALE)[0, :, rows : rows + height, columns : columns + width]
    rest = inside.round().to(torch.uint8).permute(1, 2, 0)
    layers = canvas.layers and canvas.layers.repainted(texture)
    return replace(canvas, texture=texture, plate=texture, rest=rest, layers=layers)


def _hanging(sky: Tensor, margins: tuple[int, int]) -> Tensor:
    """Keep what hangs together with the picture's top edge: a bright slope below a ridge is no sky."""
    rows, columns = margins
    # In the picture alone: the world around it is blurred, and a ridge leaks there.
    inside = sky[..., rows:-rows, columns:-columns]
    open_ = (F.avg_pool2d(inside, PLATE_SCALE) > 0.9).float()
    reached = torch.zeros_like(open_)
    reached[..., :2, :] = open_[..., :2, :]
    for _ in range(2 * max(open_.shape[2:])):
        wider = F.max_pool2d(reached, 3, 1, 1) * open_
        if torch.equal(wider, reached):
            break
        reached = wider
    near = F.interpolate(F.max_pool2d(reached, 3, 1, 1), size=inside.shape[2:], mode="bilinear", align_corners=False)
    return sky * F.pad(near, (columns, columns, rows, rows), mode="replicate")


def _rough(grey: Tensor) -> Tensor:
    """Rocks and leaves, which are rougher than any cloud, 0..1."""
    return ((box((grey - box(grey, 2)).abs(), 6) - 0.028) / 0.012).clamp(0, 1)


def _thin(grey: Tensor, coarse: Tensor, radius: int = 5) -> Tensor:
    """Spires, masts and twigs, 0..1: darker than close around, and than nine tenths of the sky.

    A cloud's edge is not. Where the sky has no clouds, what is brighter is thin too: a white railing, a lit mast.
    """
    inside = coarse > 0.9
    if not bool(inside.any()):
        return torch.zeros_like(grey)
    darkest, brightest = torch.quantile(grey[inside][::7], torch.tensor([0.1, 0.9], device=grey.device))
    above = grey - box(grey, radius)
    thin = ((-above - THIN) / 0.05).clamp(0, 1) * (grey < darkest - 0.02)
    bare = min(1.0, 2 * plainness(grey, inside.float()))
    if bare:
        thin = torch.maximum(thin, bare * ((above - THIN) / 0.05).clamp(0, 1) * (grey > brightest + 0.02))
    return F.max_pool2d(thin, 3, 1, 1)


def _guided(coarse: Tensor, guide: Tensor, radius: int = 9, epsilon: float = 2e-4) -> Tensor:
    """Bring a coarse mask to the edges of a grey guide."""
    slope, offset = guide_lines(coarse, guide, radius, epsilon)
    return slope * guide + offset


def guide_lines(coarse: Tensor, guide: Tensor, radius: int, epsilon: float) -> tuple[Tensor, Tensor]:
    """Slope and offset of the line that makes a mask ``[B, 1, h, w]`` of a grey guide around each place.

    He, Sun, Tang: Guided Image Filtering, 2010.
    """
    mean_guide, mean_mask = box(guide, radius), box(coarse, radius)
    spread = box(guide * guide, radius) - mean_guide**2
    slope = (box(guide * coarse, radius) - mean_guide * mean_mask) / (spread + epsilon)
    return box(slope, radius), box(mean_mask - slope * mean_guide, radius)


def fill(picture: Tensor, known: Tensor) -> Tensor:
    """Continue the known part of ``[1, 3, h, w]`` over the rest, coarser the farther away."""
    levels = [(picture * known, known)]
    while min(levels[-1][0].shape[2:]) > 2:
        levels.append((F.avg_pool2d(levels[-1][0], 2, ceil_mode=True), F.avg_pool2d(levels[-1][1], 2, ceil_mode=True)))
    total, weight = levels[-1]
    out = total.sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp(min=1e-4)
    for total, weight in reversed(levels):
        up = spread(out, total.shape[2:])
        share = (4 * weight).clamp(max=1)
        out = torch.lerp(up, total / weight.clamp(min=1e-4), share)
    return out


def _float(pixels: Pixels, device: torch.device) -> Tensor:
    return torch.from_numpy(pixels.copy()).to(device).permute(2, 0, 1)[None].contiguous().float()


def _surround(texture: Tensor, known: tuple[int, int, int, int], view: View = NOMINAL) -> Tensor:
    """Fill the margins that the picture itself does not reach."""
    rooms = (SCALE * view.room[1], SCALE * view.room[0]) * 2
    left, top, right, bottom = (room - k for room, k in zip(rooms, known, strict=True))
    if not (left or top or right or bottom):
        return texture
    height, width = texture.shape[2] + top + bottom, texture.shape[3] + left + right
    # At half the nominal size: what is far is blurred anyway, and what is near is pasted back whole.
    half = round(height / (2 * view.scale)), round(width / (2 * view.scale))
    mirrored = small = out = shrink(F.pad(texture, (left, right, top, bottom), mode="reflect"), half)
    rows = torch.arange(half[0], device=texture.device) * (height / half[0])
    columns = torch.arange(half[1], device=texture.device) * (width / half[1])
    dy = torch.maximum(top - rows, rows - (height - 1 - bottom)).clamp(min=0).float()
    dx = torch.maximum(left - columns, columns - (width - 1 - right)).clamp(min=0).float()
    level = torch.log2(1 + torch.maximum(dy[:, None], dx[None]) / (3 * view.scale)).clamp(max=BLUR_LEVELS)
    for k in range(1, BLUR_LEVELS + 1):
        if k > 1:
            small = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 4, 2)
        smooth = spread(small, out.shape[2:])
        smooth = box(smooth, 1) if k == 1 else smooth
        out = torch.lerp(out, smooth, (level - (k - 1)).clamp(0, 1))
    edges = ((left, width, 1), (top, height, 0), (right, width, 1), (bottom, height, 0))
    halves = [round(room * half[axis] / side) for room, side, axis in edges]
    out = grained(out, mirrored, (halves[0], halves[1], halves[2], halves[3]))
    whole = spread(out, (height, width))
    whole[..., top : height - bottom, left : width - right] = texture
    return whole
