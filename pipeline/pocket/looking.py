"""Looking for layers: what the network of layers says of a picture, and what words that ask for a layer know better."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.canvas import Canvas
from pipeline.pocket.layers import FOLIAGE, REST, SKY, SUBJECT, WATER, sharp
from pipeline.pocket.layers_network import STEP, LayersNetwork
from pipeline.pocket.salience import borne_witness, salience
from pipeline.pocket.salient_network import SalientNetwork
from pipeline.pocket.view import View

Size = tuple[int, int]
# Heights and widths in which a picture of the nominal shape is looked at: as it was shown in training, where subjects
# and skies are read best, and as large as crops were there, where leaves are; the mean is better than either. With a
# third look, as large, at a picture without what is fine it is better still (README).
LOOKS = ((256, 448), (448, 784))
# Of what seems to be on less of the view than this, words that ask for it know better: it is looked for again by such
# odds that so much of the view is found, but not by more than are likely to be right; and by more, up to the most, only
# where else next to nothing would be. Only subjects are often that small.
HARDLY = {SKY: 0.04, WATER: 0.04, FOLIAGE: 0.04, SUBJECT: 0.02}
ENOUGH = {SKY: 0.08, WATER: 0.08, FOLIAGE: 0.12, SUBJECT: 0.2}
LIKELY_ODDS = 10.0
LITTLE, MOST_ODDS = 0.03, 1e4
# What is seen on more than HARDLY is looked for by lesser odds, and on so many times that not at all: there is no share
# of the view at which a subject would come or go at once.
CLEARLY = 3.0
# What is as sure as this on so much of the view is small, and not hardly seen.
SURE, SMALL = 0.9, 0.003
HALVINGS = 12
# How much likelier than on the mean a subject is at a place, as a natural log, x across and y down from -1 to 1:
# CENTRED - ACROSS x² + LOWER y - DOWN y², by least squares from the labels of 302 pictures.
CENTRED, ACROSS, LOWER, DOWN = 0.81, 1.84, 0.49, 1.22


class Finder(NamedTuple):
    """The networks that find layers: the one that tells them apart, and the one that tells what draws the eye."""

    layers: LayersNetwork
    salient: SalientNetwork | None = None

    def at_rest(self) -> "Finder":
        """The same networks, ready to be asked."""
        for network in self:
            if network is not None:
                network.eval().requires_grad_(False)
        return self


def find(finder: Finder, canvas: Canvas) -> Tensor:
    """Shares ``float32 [1, 5, h, w]`` of the view at rest, half as large as the network of layers sees it."""
    return looked_for(asked_of(finder, canvas))


def asked_of(finder: Finder, canvas: Canvas) -> Tensor:
    """The same as sure as the networks are of them: what they hardly see is not looked for."""
    return with_nearness(finder, canvas)[0]


def with_nearness(finder: Finder, canvas: Canvas) -> tuple[Tensor, Tensor | None]:
    """What :func:`asked_of` gives, and nearness ``float32 [1, 1, h, w]`` in 0..1 where the weights tell it."""
    pixels = canvas.rest.permute(2, 0, 1)[None].float() / 127.5 - 1
    shares, near = ask_both(finder.layers, pixels, shown_sizes(canvas.view), canvas.view.scale)
    shares = placed(shares)
    return shares if finder.salient is None else borne_witness(shares, salience(finder.salient, pixels)), near


def placed(shares: Tensor) -> Tensor:
    """Shares in which a subject that is in doubt is as likely as subjects are at such a place: low, and in the middle.

    The network was trained on crops and compositions, in which a subject lies anywhere.
    """
    rows, columns = shares.shape[2:]
    y = torch.linspace(-1, 1, rows, device=shares.device)[:, None]
    x = torch.linspace(-1, 1, columns, device=shares.device)
    shares = shares.clone()
    shares[:, SUBJECT] *= (CENTRED - ACROSS * x.square() + LOWER * y - DOWN * y.square()).exp()
    return shares / shares.sum(1, keepdim=True)


def ask(network: LayersNetwork, picture: Tensor, sizes: Sequence[Size], scale: float = 1.0) -> Tensor:
    """Give shares ``float32 [1, 5, h, w]`` of a picture ``[1, 3, H, W]`` in -1..1, shown in some heights and widths.

    In the last of them it is shown once more, without what is fine in it; ``scale`` is that of its view.
    """
    return ask_both(network, picture, sizes, scale)[0]


def ask_both(
    network: LayersNetwork, picture: Tensor, sizes: Sequence[Size], scale: float = 1.0
) -> tuple[Tensor, Tensor | None]:
    """The same, half as large as the first of them, and how near the network says that each place is."""
    shares, nears = list[Tensor](), list[Tensor]()
    shown = [*((picture, size) for size in sizes), (_plainer(picture, scale), sizes[-1])]
    for number, (seen, size) in enumerate(shown):
        small = F.interpolate(seen, size, mode="bilinear", antialias=True)
        # Seen in a mirror every other time, it is a little surer, for nothing; and with a pixel's channels side by side
        # convolutions take a CPU a little less.
        small = _turned(small.to(network.head.weight.dtype), number).contiguous(memory_format=torch.channels_last)
        logits, near = network.both(small)
        shares.append(_turned(logits.float().softmax(1), number))
        if near is not None:
            nears.append(_turned(near.float(), number))
    return _mean(shares), _mean(nears).clamp(0, 1) if nears else None


def _plainer(picture: Tensor, scale: float) -> Tensor:
    """A picture at half its nominal size, in which each place is the middle one of nine: no twigs, ripples or strokes.

    The network learned from crops, in which things are larger than what is fine in them is sharp.
    """
    size = [round(side / (2 * scale)) for side in picture.shape[2:]]
    small = F.pad(F.interpolate(picture, size, mode="area"), (1, 1, 1, 1), mode="replicate")
    shifts = [(row, column) for row in range(3) for column in range(3)]
    return torch.stack([small[..., r : r + size[0], c : c + size[1]] for r, c in shifts]).median(0).values


def _turned(planes: Tensor, number: int) -> Tensor:
    return planes.flip(3) if number % 2 else planes


def _mean(looks: Sequence[Tensor]) -> Tensor:
    """The mean of planes of several sizes, in that of the first."""
    size = looks[0].shape[2:]
    return torch.stack([F.interpolate(one, size, mode="bilinear", antialias=True) for one in looks]).mean(0)


def shown_sizes(view: View) -> tuple[Size, ...]:
    """Heights and widths in which the network sees a view: as many pixels, half-way from its shape to that of training.

    A square is read best so; a portrait would be read a little better in its own shape (README).

    >>> shown_sizes(View()), shown_sizes(View(480, 832))[0], shown_sizes(View(640, 640))[0]
    (((256, 448), (448, 784)), (336, 336), (288, 384))
    """
    return tuple(_shaped(look, view) for look in LOOKS)


def _shaped(look: Size, view: View) -> Size:
    height, width = look
    longer = (view.height / view.width * width / height) ** 0.25
    return round(height * longer / STEP) * STEP, round(width / longer / STEP) * STEP


def looked_for(found: Tensor) -> Tensor:
    """Shares in which sky, water, leaves and a subject that seem hardly to be there lie where they are likeliest.

    A layer is of use only to words that ask for it, and who asks for leaves sees some. They take from the rest alone;
    where several would take the same, it goes to those that are seen more of there, by the square of it.
    """
    tried = {kind: _raised(found, kind) for kind in ENOUGH}
    raised = {kind: more for kind, more in tried.items() if more is not None}
    if not raised:
        return found
    seen, claims = torch.cat([found[:, kind : kind + 1] for kind in raised], 1), torch.cat(list(raised.values()), 1)
    free = found[:, :1] + seen.sum(1, keepdim=True)
    left = free * (1 - claims / free.clamp(min=1e-6)).prod(1, keepdim=True)
    weights = claims * seen.square()
    found, given = found.clone(), (free - left) * weights / weights.sum(1, keepdim=True).clamp(min=1e-20)
    for kind, more in zip(raised, given.unbind(1), strict=True):
        found[:, kind] = more
    # Rounded, the sum may be a little over 1, and no power of what is less than nothing is a number.
    found[:, REST] = (1 - found[:, 1:].sum(1)).clamp(min=0)
    return found


def _raised(found: Tensor, kind: int) -> Tensor | None:
    """The share ``[1, 1, h, w]`` of one kind by the least odds that make enough of it, or a little; None where seen."""
    share, rest = found[:, kind : kind + 1], found[:, :1]
    hardly = (CLEARLY - float(sharp(share).mean()) / HARDLY[kind]) / (CLEARLY - 1)
    if hardly <= 0 or float((share > SURE).float().mean()) > SMALL:
        return None

    def by(log_odds: float) -> Tensor:
        more = math.exp(log_odds) * share
        return (share + rest) * more / (more + rest).clamp(min=1e-20)

    def seen(log_odds: float) -> float:
        return float(sharp(by(log_odds)).mean())

    def least(enough: float, high: float) -> float:
        low = 0.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if seen(middle) > enough else (middle, high)
        return high

    likely = least(ENOUGH[kind], math.log(LIKELY_ODDS))
    return by(min(1.0, hardly) * (likely if seen(likely) >= LITTLE else least(LITTLE, math.log(MOST_ODDS))))
