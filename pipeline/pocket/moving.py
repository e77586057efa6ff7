"""Each layer moves by itself: what the latent's coarse fields mean at the edges of the picture.

A field of 32 x 56 cells cannot know where a leaf ends. So its motion is told apart by layer, carried on a little
beyond each layer's coarse edge, and cut by the layer at the frame's full size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.canvas import Canvas
from pipeline.pocket.grade import light
from pipeline.pocket.layers import FOLIAGE, REST, SUBJECT, WATER, Layer, Layers
from pipeline.pocket.sampling import Place

# Units below which nobody sees a layer move.
STILL = 0.1
# Log gain by which a field must differ over the picture before it is cut by layers.
EVEN_GAIN = 0.04
# A reach from which everything counts as reached.
ALL = 0.99
GAIN_REDUCTION = 2


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """One displacement ``float32 [2, h, w]`` in units for each layer and for the rest; None for what stays."""

    rest: Tensor | None
    water: Tensor | None
    foliage: Tensor | None
    subject: Tensor | None


def parts(field: Tensor, layers: Layers, reach: Tensor) -> Parts:
    """Tell a displacement ``[2, h, w]`` in units apart by layer, each as much as it is reached, ``[5]`` in 0..1."""
    rest, own = apart(field[None], layers.coarse, reach[None])
    water, foliage, subject = (_seen(one) for one in own[0])
    return Parts(_seen(rest[0]), water, foliage, subject)


def apart(fields: Tensor, coarse: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """Tell displacements apart by layer.

    Cells of which a layer has but a share move but by that share; the layer itself moves by the whole, and so do its
    last pixels in a cell that is hardly its own.

    Args:
        fields: ``[F, 2, h, w]``.
        coarse: shares ``[5, h, w]``.
        reach: ``[F, 5]`` in 0..1.

    Returns:
        ``[F, 2, h, w]`` of the rest, and ``[F, 3, 2, h, w]`` of water, foliage and subject.
    """
    shares = coarse[WATER:, None]
    most = fields.abs().amax((1, 2, 3))[:, None, None, None, None]
    own = _blurred(shares * fields[:, None]) / (_blurred(shares.square()) + 0.02)
    own = torch.minimum(torch.maximum(own, -most), most) * reach[:, WATER:, None, None, None]
    near = F.max_pool2d(coarse[WATER:].amax(0)[None], 5, 1, 2)
    rest = fields * (1 - (4 * near).clamp(max=1)) * reach[:, REST, None, None, None]
    return rest, own


def displaced(
    canvas: Canvas, layers: Layers, place: Place, ahead: Place | None, field: Tensor, reach: Tensor
) -> Tensor:
    """The picture ``float32 [3, H, W]`` seen from a place, moved by a displacement ``[2, h, w]`` in units.

    ``ahead`` is where the subject is looked for, if it is nearer than what is around it.
    """
    moved = parts(field, layers, reach)
    image = (place if moved.rest is None else place.moved(place.local(moved.rest))).sample(canvas, canvas.texture)
    if layers.water is not None and moved.water is not None:
        rows = _rows(place, layers.coarse[WATER])
        _within(image, canvas, layers.water, (place.moved(place.local(moved.water)), place), rows)
    if layers.foliage is not None and moved.foliage is not None:
        rows = _rows(place, layers.coarse[FOLIAGE])
        # Leaves pass behind whoever stands before them.
        is_behind = layers.subject is not None and moved.subject is None and ahead is None
        before = layers.shares[:, SUBJECT : SUBJECT + 1] if is_behind else None
        _over(image, canvas, layers.foliage, (place.moved(place.local(moved.foliage)), place), rows, before)
    if ahead is not None:
        ahead = ahead if moved.subject is None else ahead.moved(ahead.local(moved.subject))
        return set_off(image, canvas, ahead, place)
    if layers.subject is not None and moved.subject is not None:
        rows = _rows(place, layers.coarse[SUBJECT])
        _over(image, canvas, layers.subject, (place.moved(place.local(moved.subject)), place), rows)
    return image


def set_off(image: Tensor, canvas: Canvas, ahead: Place, place: Place) -> Tensor:
    """Lay a subject over an image ``[3, H, W]`` of the picture where it is seen, and take it out where it was."""
    assert canvas.layers is not None
    assert canvas.layers.subject is not None
    layer = canvas.layers.subject
    found = torch.maximum(*(where.local(canvas.layers.coarse[SUBJECT:]) for where in (ahead, place)))[0] > 0.01
    rows, columns = (place.band(found.any(1 - axis), 4, axis) for axis in (0, 1))
    part = image[:, rows, columns]
    for where, plane, share in ((place, layer.behind, layer.hole), (ahead, canvas.texture, layer.cut)):
        over = where.sample(canvas, plane, rows, columns=columns)
        part.lerp_(over, where.sample(canvas, share, rows, columns=columns).expand_as(over))
    return image


def gain(
    canvas: Canvas, layers: Layers | None, place: Place, ahead: Place | None, field: Tensor, reach: Tensor
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Light of a log gain ``[3, h, w]``: planes ``float32 [4, ...]``, and what enlarges some to ``[..., H, W]``.

    What falls on one layer ends where it ends.
    """
    uneven = float((field.amax((1, 2)) - field.amin((1, 2))).max())
    if layers is None or (uneven < EVEN_GAIN and float(reach.min()) > ALL):
        return light(place.local(field)), place.enlarge
    own = lit(field[None], layers.coarse, reach[None])[0]
    shares = place.sample(canvas, layers.shares, reduction=GAIN_REDUCTION)
    if ahead is not None:
        shares = covered(shares, ahead.sample(canvas, layers.shares[:, SUBJECT:], reduction=GAIN_REDUCTION))
    total = torch.zeros(3, *shares.shape[1:])
    for kind, (share, one) in enumerate(zip(shares, own, strict=True)):
        there = ahead if ahead is not None and kind == SUBJECT else place
        total.addcmul_(there.enlarge(there.local(one), reduction=GAIN_REDUCTION), share)
    return light(total), _unreduced


def lit(fields: Tensor, coarse: Tensor, reach: Tensor) -> Tensor:
    """Log gains ``[F, 3, h, w]`` told apart by layer of shares ``[5, h, w]``, by a reach ``[F, 5]``: [F, 5, 3, h, w].

    Light that was asked for on one layer is even over it, however small and strewn it is.
    """
    weights, fields = coarse.square()[:, None], fields[:, None]
    weighted = weights * fields
    own = (_blurred(weighted) + 0.02 * fields) / (_blurred(weights) + 0.02)
    even = weighted.sum((3, 4), keepdim=True) / weights.sum((2, 3), keepdim=True).clamp(min=1e-3)
    alone = (3 - reach.sum(1)).clamp(0, 1)[:, None, None, None, None]
    return torch.lerp(own, even.expand_as(own), alone) * reach[:, :, None, None, None]


def under(canvas: Canvas, layers: Layers, place: Place, ahead: Place | None, reach: Tensor) -> Tensor | None:
    """How much of each place weather may cover, ``float32 [1, H, W]`` in 0..1; None for all of it."""
    if float(reach.min()) > ALL:
        return None
    if ahead is None:
        return place.sample(canvas, F.conv2d(layers.shares, reach[None, :, None, None]))
    shares = covered(place.sample(canvas, layers.shares), ahead.sample(canvas, layers.shares[:, SUBJECT:]))
    return (shares * reach[:, None, None]).sum(0, keepdim=True)


def covered(shares: Tensor, subject: Tensor) -> Tensor:
    """Shares ``[..., 5, H, W]`` of the picture with a subject of ``[..., 1, H, W]`` before it; where it was is rest."""
    rest, *others, was = shares.split(1, -3)
    return torch.cat([torch.cat([rest + was, *others], -3) * (1 - subject), subject], -3)


def _over(
    image: Tensor, canvas: Canvas, layer: Layer, places: tuple[Place, Place], rows: slice, before: Tensor | None = None
) -> None:
    """Take a layer out of rows of an image, and lay it over again where it has moved to; only there is anything done.

    ``places`` are where it has moved to and where it was, ``before`` is the share ``[1, 1, h, w]`` of what it passes
    behind.
    """
    there, place = places
    cut, hole = there.sample(canvas, layer.cut, rows)[0], place.sample(canvas, layer.hole, rows)[0]
    pixels = _where(torch.maximum(cut, hole) > 0)
    cut, hole = (share.flatten().index_select(0, pixels) for share in (cut, hole))
    old = _picked(image, pixels, rows)
    # What is behind is seen in narrow strips: most of the hole lies under the layer itself.
    bare = _where((hole > 0) & (cut < 1))
    behind = place.sample_some(layer.behind, pixels.index_select(0, bare), rows)
    new = old.index_copy(1, bare, old.index_select(1, bare).lerp_(behind, hole.index_select(0, bare).expand_as(behind)))
    new.lerp_(there.sample_some(canvas.texture, pixels, rows), cut.expand_as(new))
    if before is not None:
        new.lerp_(old, place.sample_some(before, pixels, rows).expand_as(new))
    _put(image, new, pixels, rows)


def _within(image: Tensor, canvas: Canvas, layer: Layer, places: tuple[Place, Place], rows: slice) -> None:
    """Lay a layer over rows of an image that moves within its own outline; ``places`` as in :func:`_over`."""
    there, place = places
    cut = place.sample(canvas, layer.cut, rows)[0]
    pixels = _where(cut > 0)
    cut = cut.flatten().index_select(0, pixels)
    new = there.sample_some(canvas.texture, pixels, rows)
    hole = there.sample_some(layer.hole, pixels, rows)[0]
    bare = _where(hole > 0)
    unseen = there.sample_some(layer.behind, pixels.index_select(0, bare), rows)
    new.index_copy_(1, bare, new.index_select(1, bare).lerp_(unseen, hole.index_select(0, bare).expand_as(unseen)))
    old = _picked(image, pixels, rows)
    _put(image, old.lerp_(new, cut.expand_as(new)), pixels, rows)


def _unreduced(planes: Tensor) -> Tensor:
    # As many pictures of one channel: of more channels it would take as long as all the rest.
    return F.interpolate(planes[:, None], scale_factor=GAIN_REDUCTION, mode="bilinear", align_corners=False)[:, 0]


def _where(mask: Tensor) -> Tensor:
    """Index ``int64 [N]`` of what is true in a mask."""
    # In half of the time that PyTorch takes on one thread.
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def _picked(image: Tensor, pixels: Tensor, rows: slice) -> Tensor:
    """Pixels ``[3, N]`` of rows of an image."""
    return image.view(3, -1).index_select(1, pixels + rows.start * image.shape[2])


def _put(image: Tensor, values: Tensor, pixels: Tensor, rows: slice) -> None:
    for plane, one in zip(image, values, strict=True):
        plane[rows].view(-1).scatter_(0, pixels, one)


def _rows(place: Place, share: Tensor) -> slice:
    """The frame's rows in which a layer of coarse share ``[h, w]`` can be seen, or could after it has moved."""
    return place.band((F.max_pool2d(place.local(share[None]), 5, 1, 2)[0] > 0).any(1), 2)


def _blurred(x: Tensor) -> Tensor:
    """Mean over three cells by three of the last two axes."""
    flat = x.reshape(1, -1, *x.shape[-2:])
    return F.avg_pool2d(flat, 3, 1, 1, count_include_pad=False).reshape(x.shape)


def _seen(field: Tensor) -> Tensor | None:
    return field if float(field.abs().max()) > STILL else None
