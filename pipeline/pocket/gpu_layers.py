"""Layers that move by themselves, for a GPU: all frames of a latent at once.

The arithmetic is that of :mod:`pipeline.pocket.moving`; what it leaves out for a layer that is not there, that nobody
reaches or that hardly moves is computed here, and laid over with a share of zero.
"""

from dataclasses import fields, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.canvas import Canvas, plate_size
from pipeline.pocket.gpu_sampling import enlarge, sample
from pipeline.pocket.grade import light
from pipeline.pocket.layers import SUBJECT, Layer, Layers
from pipeline.pocket.moving import ALL, EVEN_GAIN, GAIN_REDUCTION, STILL, apart, covered, lit
from pipeline.pocket.view import View


class Planes(NamedTuple):
    """Layers as they are sampled.

    ``shares [5, h, w]``, ``coarse float32 [5, 32, 56]``; of water, foliage and subject, in this order, ``cuts`` and
    ``holes [3, h, w]`` and ``behind [9, h, w]``. All float16 but ``coarse``; what is not there is zero.
    """

    shares: Tensor
    coarse: Tensor
    cuts: Tensor
    holes: Tensor
    behind: Tensor


class Seen(NamedTuple):
    """Where frames' nodes look, each ``[F, 2, 61, 105]`` in units: for the picture, and for its subject.

    ``alone`` is a 1 where the subject is by itself, nearer than what is around it.
    """

    here: Tensor
    ahead: Tensor
    alone: Tensor


def halved(layers: Layers) -> Layers:
    """The same layers in half precision, but for the coarse shares."""
    some = (layers.water, layers.foliage, layers.subject)
    water, foliage, subject = (
        layer and Layer(*(getattr(layer, part.name).half() for part in fields(layer))) for layer in some
    )
    return replace(layers, shares=layers.shares.half(), water=water, foliage=foliage, subject=subject)


def planes(canvas: Canvas, layers: Layers) -> Planes:
    """Stack a canvas's layers."""
    some, size = (layers.water, layers.foliage, layers.subject), (layers.shares.shape[2], layers.shares.shape[3])

    def stacked(name: str, *shape: int) -> Tensor:
        empty = layers.shares.new_zeros(shape, dtype=torch.half)
        return torch.cat([empty if layer is None else getattr(layer, name)[0].half() for layer in some])

    behind = stacked("behind", 3, *plate_size(canvas.view))
    return Planes(layers.shares[0].half(), layers.coarse, stacked("cut", 1, *size), stacked("hole", 1, *size), behind)


def local(values: Tensor, here: Tensor, view: View) -> Tensor:
    """Values ``[F, C, 61, 105]`` of fields ``[F, C, h, w]`` at places ``[F, 2, 61, 105]`` in units."""
    width, height = view.extent
    place = torch.stack([here[:, 0] / (width / 2), here[:, 1] / (height / 2)], dim=-1)
    return F.grid_sample(values, place, padding_mode="border", align_corners=False)


def displaced(
    texture: Tensor, layers: Planes, seen: Seen, shift: Tensor, reach: Tensor, view: View
) -> tuple[Tensor, Tensor, Tensor]:
    """Move each layer by itself.

    Args:
        texture: ``[3, H, W]``.
        layers: of the same canvas.
        seen: where the frames' nodes look.
        shift: displacement ``[F, 2, h, w]`` in units.
        reach: of motion, ``[F, 5]``.

    Returns:
        Frames ``float32 [F, 3, H, W]``; where they look when all moves as one, ``[F, 2, H, W]`` in units; and how much
        of each place a subject covers that is by itself, ``[F, 1, H, W]``.
    """
    here = seen.here
    whole = (reach.amin(1) > ALL)[:, None, None, None]
    rest, own = apart(shift, layers.coarse, reach)
    rest = torch.where(whole, shift, rest * (rest.abs().amax((1, 2, 3), keepdim=True) > STILL))
    moves = (own.abs().amax((2, 3, 4)) > STILL)[..., None, None, None] & ~whole[:, None]
    ways = local(torch.cat([rest, own[:, :2].flatten(1, 2)], 1), here, view)
    of_subject = torch.where(whole, shift, own[:, 2] * moves[:, 2])
    places = [*(here - ways[:, at : at + 2] for at in (2, 4)), seen.ahead - local(of_subject, seen.ahead, view)]
    still, moved = enlarge(here, view), enlarge(here - ways[:, :2], view)
    image = sample(texture, moved, view)
    before = torch.zeros_like(image[:, :1])
    for index in range(len(layers.cuts)):
        cut, hole = layers.cuts[index : index + 1], layers.holes[index : index + 1]
        behind = layers.behind[3 * index : 3 * index + 3]
        there, laid = enlarge(places[index], view), moves[:, index].float()
        if index == len(moves[0]) - 1:
            laid, still = torch.maximum(laid, seen.alone), torch.where(whole, moved, still)
        own_pixels = sample(texture, there, view)
        if index == 0:
            unseen = torch.lerp(own_pixels, sample(behind, there, view), sample(hole, there, view))
            image = torch.lerp(image, unseen, laid * sample(cut, still, view))
            continue
        plain = image
        image = torch.lerp(image, sample(behind, still, view), laid * sample(hole, still, view))
        before = sample(cut, there, view)
        image = torch.lerp(image, own_pixels, laid * before)
        if index == 1:
            # Leaves pass behind whoever stands before them.
            stays = laid * ~moves[:, 2] * (1 - seen.alone)
            image = torch.lerp(image, plain, stays * sample(layers.shares[SUBJECT:], still, view))
    return image, still, before * seen.alone


def gain(layers: Planes, seen: Seen, fields: Tensor, reach: Tensor, view: View) -> Tensor:
    """Light ``float32 [F, 4, H, W]`` of log gains ``[F, 3, h, w]``; see :func:`pipeline.pocket.moving.gain`."""
    uneven = (fields.amax((2, 3)) - fields.amin((2, 3))).amax(1)
    plain = (uneven < EVEN_GAIN) & (reach.amin(1) > ALL)
    here, told = seen.here, lit(fields, layers.coarse, reach)
    own = torch.cat([local(told[:, :SUBJECT].flatten(1, 2), here, view), local(told[:, SUBJECT], seen.ahead, view)], 1)
    shares = _shares(layers, seen, view, GAIN_REDUCTION)
    parts = enlarge(own, view, GAIN_REDUCTION).unflatten(1, (shares.shape[1], 3))
    total = light((shares[:, :, None] * parts).sum(1))
    cut = F.interpolate(total, scale_factor=GAIN_REDUCTION, mode="bilinear", align_corners=False)
    return torch.where(plain[:, None, None, None], enlarge(light(local(fields, here, view)), view), cut)


def under(layers: Planes, seen: Seen, reach: Tensor, view: View) -> Tensor:
    """How much of each place weather may cover, ``float32 [F, 1, H, W]`` in 0..1."""
    reach = reach[:, :, None, None]
    reached = (_shares(layers, seen, view) * reach).sum(1, keepdim=True)
    return torch.where(reach.amin(1, keepdim=True) > ALL, 1.0, reached)


def _shares(layers: Planes, seen: Seen, view: View, reduction: int = 1) -> Tensor:
    """Shares ``[F, 5, H, W]`` of what is seen, its subject where that is seen."""
    shares = sample(layers.shares, enlarge(seen.here, view, reduction), view)
    subject = sample(layers.shares[SUBJECT:], enlarge(seen.ahead, view, reduction), view)
    return torch.where(seen.alone > 0, covered(shares, subject), shares)
