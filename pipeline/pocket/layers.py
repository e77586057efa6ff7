"""Soft layers of a picture, found once: where sky, water, foliage and subject are, edge-accurate, and what is behind.

The network of layers says it coarsely (:mod:`pipeline.pocket.looking`), a guided filter brings it to the picture's own
edges. The transformer is shown a plain drawing of the layers in the colours of the drawings it was trained on, so that
its fields follow them; the decoder moves each layer by itself, before something that was painted in behind it.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.canvas import (
    SCALE,
    Canvas,
    fill,
    guide_lines,
    plate_margins,
    plate_size,
    shrink,
    with_sky,
)
from pipeline.pocket.latents import GRID
from pipeline.pocket.layers_network import LAYERS
from pipeline.pocket.neighbours import box, wider

# Channels of shares: the network's, rest first.
REST, SKY, WATER, FOLIAGE, SUBJECT = range(1 + len(LAYERS))
# Paints of the drawing that the transformer is shown. Of forty palettes out of the drawings it was trained on, the one
# whose layers it told apart best over training pictures.
REST_PAINT = (90.0, 90.0, 95.0)
SKY_PAINTS = ((90.0, 150.0, 225.0), (200.0, 225.0, 250.0))
WATER_PAINT = (40.0, 90.0, 160.0)
FOLIAGE_PAINT = (30.0, 80.0, 50.0)
SUBJECT_PAINT = (90.0, 60.0, 150.0)
# Of water, leaves and a subject, the share that is none, and how much more is all: what is less sure than not is taken
# along, and what is half sure half so, by which layers lie best over labels that their network has not seen (README).
FROM, TO_ALL = 0.2, 0.5
# From this share on a place moves with a layer. Over 49 labelled pictures that no training saw it lay best there: with
# 0.2 for what moves its outline, and 0.7 for water, what moves agreed with the labels by 0.739 (leaves), 0.788
# (subjects) and 0.720 (water), with this by 0.754, 0.809 and 0.758, and of edges that must stay a third fewer moved.
HALF = 0.5
# A layer of less of the view than this is taken for a mistake.
LEAST_LAYER = 0.015


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """What the decoder needs to move one layer by itself; planes cover the canvas with its margins.

    ``cut float32 [1, 1, H / 2, W / 2]`` is 1 where a place belongs to the layer for sure, and for a little around it;
    ``hole``, of the same shape, is 1 where what is behind the layer must be painted in; ``behind [1, 3, h, w]`` is
    that painting, coarser. Wherever ``hole`` is above 0, ``cut`` is 1: at rest the picture is the picture, exactly.
    For water the two change places: ``cut`` is where it is seen, ``hole`` where it goes on, unseen, under its shores.
    """

    cut: Tensor
    hole: Tensor
    behind: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """Layers of one picture.

    ``shares float32 [1, 5, H / 2, W / 2]`` (rest, sky, water, foliage, subject) sum to 1, ``coarse [5, 32, 56]`` are
    the same of the view on the latent's grid. A layer that the picture does not have is None, its share 0.
    """

    shares: Tensor
    coarse: Tensor
    water: Layer | None
    foliage: Layer | None
    subject: Layer | None
    has_sky: bool

    def has(self, channel: int) -> bool:
        """Whether the picture has a layer other than the rest."""
        layer = (self.water, self.foliage, self.subject)[channel - WATER]
        return self.has_sky if channel == SKY else layer is not None

    def repainted(self, texture: Tensor) -> "Layers":
        """The same layers with another texture ``[1, 3, H, W]`` behind each."""
        return self.mixed(texture, 0.0)

    def mixed(self, texture: Tensor, share: float) -> "Layers":
        """The same layers with ``share`` of what is behind each, and a texture ``[1, 3, H, W]`` for the rest."""

        def mix(behind: Tensor) -> Tensor:
            return torch.lerp(shrink(texture, (behind.shape[2], behind.shape[3])).to(behind.dtype), behind, share)

        water, foliage, subject = (
            layer and replace(layer, behind=mix(layer.behind)) for layer in (self.water, self.foliage, self.subject)
        )
        return replace(self, water=water, foliage=foliage, subject=subject)


def sharp(shares: Tensor) -> Tensor:
    """Shares of which a small one is none, and a large one all."""
    return ((shares - 0.3) / 0.4).clamp(0, 1)


def with_layers(canvas: Canvas, found: Tensor) -> Canvas:
    """Give a canvas its layers from coarse shares ``float32 [1, 5, h, w]`` of the view."""
    canvas = with_sky(canvas, found[:, SKY : SKY + 1], trusted=True)
    return layered(canvas, _refined(canvas, found))


def layered(canvas: Canvas, shares: Tensor) -> Canvas:
    """Give a canvas whose sky is known its layers from shares ``float32 [1, 5, H / 2, W / 2]`` of all of it."""
    inside = _inside(shares, canvas)
    present = (inside.mean((2, 3), keepdim=True) > LEAST_LAYER).float()
    shares, inside = shares * present, inside * present
    for some in (shares, inside):
        # Rest is what nothing else claims.
        some[:, :1] = 1 - some[:, 1:].sum(1, keepdim=True)
    coarse = F.adaptive_avg_pool2d(inside, GRID)[0]
    is_there = (present[0, :, 0, 0] > 0).tolist()
    small = shrink(canvas.texture, plate_size(canvas.view))
    scale = canvas.view.scale
    layers = Layers(
        shares,
        coarse,
        _held(shares[:, WATER : WATER + 1], small, scale) if is_there[WATER] else None,
        _free(shares[:, FOLIAGE : FOLIAGE + 1], small, scale) if is_there[FOLIAGE] else None,
        _free(shares[:, SUBJECT : SUBJECT + 1], small, scale) if is_there[SUBJECT] else None,
        is_there[SKY],
    )
    return replace(canvas, layers=layers)


def _inside(plane: Tensor, canvas: Canvas) -> Tensor:
    """The view alone, of a plane of half the canvas's size."""
    rows, columns = canvas.view.room
    return plane[..., rows:-rows, columns:-columns]


def _refined(canvas: Canvas, found: Tensor) -> Tensor:
    """Bring coarse shares to the edges of the picture: ``[1, 5, H / 2, W / 2]``.

    The filter's lines are found where the sky's edge was looked for, and drawn at the frame's full size.
    """
    grey = F.avg_pool2d(canvas.texture, SCALE).mean(1, keepdim=True) / 255
    small = shrink(canvas.texture, plate_size(canvas.view)).mean(1, keepdim=True) / 255
    rows, columns = plate_margins(canvas.view)
    size = (small.shape[2] - 2 * rows, small.shape[3] - 2 * columns)
    coarse = F.interpolate(found, size=size, mode="bilinear", align_corners=False)
    coarse = F.pad(coarse, (columns, columns, rows, rows), mode="replicate")
    lines = guide_lines(coarse.transpose(0, 1), small, 6, 1e-3)
    slope, offset = (_resized(line, (grey.shape[2], grey.shape[3])) for line in lines)
    clear = ((slope * grey + offset - FROM) / TO_ALL).clamp(0, 1).transpose(0, 1)
    # The sky has been found with more care: spires, masts, what hangs together with the top.
    has_sky = canvas.plate is not canvas.texture
    sky = _resized(canvas.sky, (grey.shape[2], grey.shape[3])) if has_sky else torch.zeros_like(grey)
    others = clear[:, 2:] * (1 - sky)
    others = others / others.sum(1, keepdim=True).clamp(min=1)
    rest = 1 - sky - others.sum(1, keepdim=True)
    return torch.cat([rest.clamp(min=0), sky, others], dim=1)


def _resized(plane: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(plane, size=size, mode="bilinear", align_corners=False)


def _px(units: float, scale: float) -> int:
    return max(1, round(units * scale))


def _free(share: Tensor, small: Tensor, scale: float) -> Layer:
    """A layer whose outline moves with it: what is less than half of it stays, or a wall sways with its creeper."""
    hole = wider(((share - HALF) / 0.3).clamp(0, 1), _px(1, scale))
    cut = box(wider(hole, _px(2, scale)).ceil(), _px(2, scale))
    known = 1 - wider((shrink(hole, (small.shape[2], small.shape[3])) > 0).float(), 2)
    return Layer(cut, hole, fill(small, known))


def _held(share: Tensor, small: Tensor, scale: float) -> Layer:
    """A layer that moves within its own outline, as water does between its shores."""
    hole = (share < HALF).float()
    cut = 1 - wider(hole, _px(1, scale))
    cut = torch.minimum(box(cut, _px(2, scale)), cut)
    known = (shrink(cut, (small.shape[2], small.shape[3])) > 0.99).float()
    return Layer(cut, hole, fill(small, known))


def drawing(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """Draw shares ``[5, h, w]`` of a view as the transformer knows things: ``[1, 3, *size]`` in -1..1."""
    shares = F.interpolate(coarse[None], size=size, mode="bilinear", align_corners=False)
    y = torch.linspace(0, 1, size[0])[:, None].expand(size)
    generator = torch.Generator().manual_seed(0)
    grains = torch.rand(1, 3, size[0] // 4, size[1] // 4, generator=generator)
    grains = 2 * F.interpolate(grains, size=size, mode="bicubic", align_corners=False)[0] - 1
    streaks = torch.rand(1, 1, size[0] // 2, 12, generator=generator)
    streaks = F.interpolate(streaks, size=size, mode="bilinear", align_corners=False)[0, 0]
    paints = torch.stack([
        _plain(REST_PAINT) * (1 + 0.3 * grains[0]),
        torch.lerp(_plain(SKY_PAINTS[0]), _plain(SKY_PAINTS[1]), y),
        _plain(WATER_PAINT) * (0.75 + 0.5 * streaks),
        _plain(FOLIAGE_PAINT) * (1 + 0.8 * grains[1]),
        _plain(SUBJECT_PAINT) * (1 + 0.4 * grains[2]),
    ]).to(coarse.device)  # fmt: skip
    return (paints * shares[0][:, None]).sum(0, keepdim=True).clamp(0, 255) / 127.5 - 1


def _plain(colour: tuple[float, float, float]) -> Tensor:
    return torch.tensor(colour)[:, None, None]
