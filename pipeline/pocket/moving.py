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
from pipeline.pocket.enlarging import enlarged_to
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
# A share of a part up to which its pixels are moved one by one.
LITTLE = 0.25
Box = tuple[slice, slice]
"""Rows and columns of a frame."""


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
        there = place.moved(place.local(moved.water))
        _within(image, canvas, layers.water, (there, place), _box(place, layers.coarse[WATER]))
    if layers.foliage is not None and moved.foliage is not None:
        there = place.moved(place.local(moved.foliage))
        # Leaves pass behind whoever stands before them.
        is_behind = layers.subject is not None and moved.subject is None and ahead is None
        before = layers.shares[:, SUBJECT : SUBJECT + 1] if is_behind else None
        _over(image, canvas, layers.foliage, (there, place), _box(place, layers.coarse[FOLIAGE]), before)
    if ahead is not None:
        ahead = ahead if moved.subject is None else ahead.moved(ahead.local(moved.subject))
        return set_off(image, canvas, ahead, place)
    if layers.subject is not None and moved.subject is not None:
        there = place.moved(place.local(moved.subject))
        _over(image, canvas, layers.subject, (there, place), _box(place, layers.coarse[SUBJECT]))
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
    """Light of a log gain ``[3, h, w]``: planes ``float32 [5, ...]``, and what enlarges some to ``[..., H, W]``.

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
    image: Tensor, canvas: Canvas, layer: Layer, places: tuple[Place, Place], box: Box, before: Tensor | None = None
) -> None:
    """Take a layer out of a part of an image, and lay it over again where it has moved to.

    ``places`` are where it has moved to and where it was, ``before`` is the share ``[1, 1, h, w]`` of what it passes
    behind.
    """
    (there, place), (rows, columns) = places, box
    part = image[:, rows, columns]
    old = None if before is None else part.clone()
    cut = there.sample(canvas, layer.cut, rows, columns=columns)[0]
    hole = place.sample(canvas, layer.hole, rows, columns=columns)[0]
    # What is behind is seen in narrow strips: most of the hole lies under the layer itself.
    _lay_some(part, (place, layer.behind), (hole, (hole > 0) & (cut < 1)), box)
    there_is = cut > 0
    if _is_little(there_is):
        _lay_some(part, (there, canvas.texture), (cut, there_is), box)
    else:
        part.lerp_(there.sample(canvas, canvas.texture, rows, columns=columns), cut.expand_as(part))
    if old is not None and before is not None:
        part.lerp_(old, place.sample(canvas, before, rows, columns=columns).expand_as(part))


def _within(image: Tensor, canvas: Canvas, layer: Layer, places: tuple[Place, Place], box: Box) -> None:
    """Lay a layer over a part of an image that moves within its own outline; ``places`` as in :func:`_over`."""
    (there, place), (rows, columns) = places, box
    part = image[:, rows, columns]
    cut = place.sample(canvas, layer.cut, rows, columns=columns)[0]
    if _is_little(cut > 0):
        at = _found(cut > 0)
        new = there.sample_some(canvas.texture, at, box)
        new.lerp_(there.sample_some(layer.behind, at, box), there.sample_some(layer.hole, at, box))
        _put(part, at, new, cut)
        return
    hole = there.sample(canvas, layer.hole, rows, columns=columns)[0]
    new = there.sample(canvas, canvas.texture, rows, columns=columns)
    _lay_some(new, (there, layer.behind), (hole, (hole > 0) & (cut > 0)), box)
    part.lerp_(new, cut.expand_as(part))


def _is_little(some: Tensor) -> bool:
    """Whether so few pixels of ``bool [h, w]`` are meant that they are found one by one in less time than all."""
    return int(np.count_nonzero(some.numpy())) < LITTLE * some.numel()


def _lay_some(part: Tensor, seen: tuple[Place, Tensor], share: tuple[Tensor, Tensor], box: Box) -> None:
    """Lay a plane of the canvas over a part ``[3, h, w]`` of a frame, only where it is meant.

    ``seen`` is the place that it is seen from, and the plane; ``share`` how much of it ``[h, w]``, and where it is
    meant, ``bool [h, w]``.
    """
    (place, plane), (amount, some) = seen, share
    at = _found(some)
    _put(part, at, place.sample_some(plane, at, box), amount)


def _found(some: Tensor) -> Tensor:
    """Places of ``bool [h, w]`` that are true, ``int64 [N]``; NumPy takes half of PyTorch's time for it."""
    return torch.from_numpy(np.flatnonzero(some.numpy()))


def _put(part: Tensor, at: Tensor, values: Tensor, share: Tensor) -> None:
    """Lay values ``[3, N]`` over places of a part ``[3, h, w]`` of a frame by a share ``[h, w]``."""
    amount = share.flatten().index_select(0, at)
    y, x = (torch.from_numpy(index) for index in np.divmod(at.numpy(), share.shape[1]))
    for channel, one in zip(part, values, strict=True):
        channel.index_put_((y, x), channel[y, x].lerp_(one, amount))


def _unreduced(planes: Tensor) -> Tensor:
    return enlarged_to(planes, (GAIN_REDUCTION * planes.shape[1], GAIN_REDUCTION * planes.shape[2]))


def _box(place: Place, share: Tensor) -> Box:
    """The frame's rows and columns in which a layer of coarse share ``[h, w]`` can be seen, or could after it moved."""
    found = F.max_pool2d(place.local(share[None]), 5, 1, 2)[0] > 0
    return place.band(found.any(1), 2), place.band(found.any(0), 2, 1)


def _blurred(x: Tensor) -> Tensor:
    """Mean over three cells by three of the last two axes."""
    flat = x.reshape(1, -1, *x.shape[-2:])
    return F.avg_pool2d(flat, 3, 1, 1, count_include_pad=False).reshape(x.shape)


def _seen(field: Tensor) -> Tensor | None:
    return field if float(field.abs().max()) > STILL else None
