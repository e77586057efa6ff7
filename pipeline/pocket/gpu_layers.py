"""Layers that move by themselves, for a GPU: all frames of a latent at once.

The arithmetic is that of :mod:`pipeline.pocket.moving`; what it leaves out for a layer that is not there, that nobody
reaches or that hardly moves is computed here, and laid over with a share of zero.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.canvas import Canvas, plate_size
from pipeline.pocket.gpu_sampling import Reader
from pipeline.pocket.grade import light
from pipeline.pocket.layers import SUBJECT, Layers
from pipeline.pocket.moving import ALL, EVEN_GAIN, GAIN_REDUCTION, STILL, apart, covered, lit


class Planes(NamedTuple):
    """Layers as they are sampled.

    ``shares [5, h, w]``, ``coarse [5, 32, 56]``; of water, foliage and subject, in this order, ``cuts`` and
    ``holes [3, h, w]`` and ``behind [9, h, w]``. All float32; what is not there is zero.
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


def planes(canvas: Canvas, layers: Layers) -> Planes:
    """Stack a canvas's layers."""
    some, size = (layers.water, layers.foliage, layers.subject), (layers.shares.shape[2], layers.shares.shape[3])

    def stacked(name: str, *shape: int) -> Tensor:
        empty = layers.shares.new_zeros(shape)
        return torch.cat([empty if layer is None else getattr(layer, name)[0] for layer in some])

    behind = stacked("behind", 3, *plate_size(canvas.view))
    return Planes(layers.shares[0], layers.coarse, stacked("cut", 1, *size), stacked("hole", 1, *size), behind)


def displaced(
    texture: Tensor, layers: Planes, seen: Seen, shift: Tensor, reach: Tensor, reader: Reader
) -> tuple[Tensor, Tensor, Tensor]:
    """Move each layer by itself.

    Args:
        texture: ``[3, H, W]``.
        layers: of the same canvas.
        seen: where the frames' nodes look.
        shift: displacement ``[F, 2, h, w]`` in units.
        reach: of motion, ``[F, 5]``.

    Returns:
        Frames ``float32 [F, 3, H, W]``; where their nodes look when all moves as one, ``[F, 2, 61, 105]`` in units; and
        how much of each place a subject covers that is by itself, ``[F, 1, H, W]``.
    """
    here = seen.here
    whole = (reach.amin(1) > ALL)[:, None, None, None]
    rest, own = apart(shift, layers.coarse, reach)
    rest = torch.where(whole, shift, rest * (rest.abs().amax((1, 2, 3), keepdim=True) > STILL))
    moves = (own.abs().amax((2, 3, 4)) > STILL)[..., None, None, None] & ~whole[:, None]
    ways = reader.local(torch.cat([rest, own[:, :2].flatten(1, 2)], 1), here)
    of_subject = torch.where(whole, shift, own[:, 2] * moves[:, 2])
    places = [*(here - ways[:, at : at + 2] for at in (2, 4)), seen.ahead - reader.local(of_subject, seen.ahead)]
    moved = here - ways[:, :2]
    at, together = reader.looking(here), torch.where(whole, moved, here)
    image = reader.sample(texture, reader.looking(moved))
    before = torch.zeros_like(image[:, :1])
    for index in range(len(layers.cuts)):
        cut, hole = layers.cuts[index : index + 1], layers.holes[index : index + 1]
        behind = layers.behind[3 * index : 3 * index + 3]
        there, laid = reader.looking(places[index]), moves[:, index].float()
        if index == len(moves[0]) - 1:
            laid, at = torch.maximum(laid, seen.alone), reader.looking(together)
        own_pixels = reader.sample(texture, there)
        if index == 0:
            unseen = torch.lerp(own_pixels, reader.sample(behind, there), reader.sample(hole, there))
            image = torch.lerp(image, unseen, laid * reader.sample(cut, at))
            continue
        plain = image
        image = torch.lerp(image, reader.sample(behind, at), laid * reader.sample(hole, at))
        before = reader.sample(cut, there)
        image = torch.lerp(image, own_pixels, laid * before)
        if index == 1:
            # Leaves pass behind whoever stands before them.
            stays = laid * ~moves[:, 2] * (1 - seen.alone)
            image = torch.lerp(image, plain, stays * reader.sample(layers.shares[SUBJECT:], at))
    return image, together, before * seen.alone


def gain(layers: Planes, seen: Seen, fields: Tensor, reach: Tensor, reader: Reader) -> Tensor:
    """Light ``float32 [F, 5, H, W]`` of log gains ``[F, 3, h, w]``; see :func:`pipeline.pocket.moving.gain`."""
    uneven = (fields.amax((2, 3)) - fields.amin((2, 3))).amax(1)
    plain = (uneven < EVEN_GAIN) & (reach.amin(1) > ALL)
    here, told = seen.here, lit(fields, layers.coarse, reach)
    around, subject = told[:, :SUBJECT].flatten(1, 2), told[:, SUBJECT]
    own = torch.cat([reader.local(around, here), reader.local(subject, seen.ahead)], 1)
    shares = _shares(layers, seen, reader, GAIN_REDUCTION)
    parts = reader.enlarge(own, GAIN_REDUCTION).unflatten(1, (shares.shape[1], 3))
    total = light((shares[:, :, None] * parts).sum(1))
    cut = F.interpolate(total, scale_factor=GAIN_REDUCTION, mode="bilinear", align_corners=False)
    return torch.where(plain[:, None, None, None], reader.enlarge(light(reader.local(fields, here))), cut)


def under(layers: Planes, seen: Seen, reach: Tensor, reader: Reader) -> Tensor:
    """How much of each place weather may cover, ``float32 [F, 1, H, W]`` in 0..1."""
    reach = reach[:, :, None, None]
    reached = (_shares(layers, seen, reader) * reach).sum(1, keepdim=True)
    return torch.where(reach.amin(1, keepdim=True) > ALL, 1.0, reached)


def _shares(layers: Planes, seen: Seen, reader: Reader, reduction: int = 1) -> Tensor:
    """Shares ``[F, 5, H, W]`` of what is seen, its subject where that is seen."""
    shares = reader.sample(layers.shares, reader.looking(seen.here, reduction))
    subject = reader.sample(layers.shares[SUBJECT:], reader.looking(seen.ahead, reduction))
    return torch.where(seen.alone > 0, covered(shares, subject), shares)
