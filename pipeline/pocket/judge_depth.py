"""How good depth is where nothing of it was tuned: ``python -m pipeline.pocket.judge_depth PICTURES``.

``PICTURES`` is the folder of :mod:`pipeline.pocket.pictures`. Paintings with flat ground are seen as photos are, by the
network of layers; their exact depth is known: ground that is y below the horizon is as near as y is large, what stands
on the horizon is far, the sky farthest. Photos are those that were kept out of the training of layers. Told are:

- wrong: of pairs of places that are clearly not as near, those in which the nearer one is told to be farther;
- pan, tilt, zoom: the speed that is seen by optical flow, as a share of that without depth, near home and far from it;
- least, most: what a look from afar makes of a length, of any place, 1 is none; "in" is after a zoom in besides;
- beyond: the share of places that are made more than twice or less than half as long, of the worst of these;
- strip: units that a subject uncovers at the farthest, painted in.
"""

import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.factory import LAYERS_WEIGHTS, SALIENT_WEIGHTS
from pipeline.picture import read_picture
from pipeline.pocket.alike import alike
from pipeline.pocket.canvas import Canvas, prepare
from pipeline.pocket.decoder import AnchoredDecoder
from pipeline.pocket.depth import CELLS, with_depth
from pipeline.pocket.latents import CHANNELS, GRID
from pipeline.pocket.layers import FOLIAGE, REST, SKY, SUBJECT, WATER, with_layers
from pipeline.pocket.layers_data import read_rough
from pipeline.pocket.layers_weights import read_finder
from pipeline.pocket.looking import looked_for, with_nearness
from pipeline.pocket.measure import similarity
from pipeline.pocket.painter.paint import horizon_of, paint
from pipeline.pocket.painter.scenery import Place, Scenery
from pipeline.pocket.pose import Pose
from pipeline.pocket.reach import everything
from pipeline.pocket.view import HEIGHT, NOMINAL, WIDTH
from pipeline.types import Pixels

FLAT: tuple[Place, ...] = ("sea", "lake", "field", "snow")
SEEDS = range(900, 903)
# How far a view may go from home, units; and how far it goes between two frames that are compared.
FARTHEST, STEP = {"pan": 150.0, "tilt": 70.0}, 8.0
# The same of a zoom.
ZOOMS = 0.4, 0.03
# Of the nearness of the ground at the view's lower edge, a difference that is clear.
CLEAR, PAIRS = 0.15, 4000


class Still(AnchoredDecoder):
    """A decoder of single frames, of a camera and nothing else."""

    def frame(self, canvas: Canvas, pose: Pose) -> Pixels:
        return self._frame(torch.zeros(CHANNELS, *GRID), pose, canvas, 0.0, everything()).numpy()

    def lengths(self, canvas: Canvas, pose: Pose) -> Tensor:
        """What is made of lengths across and down, of all but a subject that is by itself, ``[N]``."""
        place = self._seen(pose, canvas)[0]
        across = (place.x[:, 1:] - place.x[:, :-1]) / (self._x[:, 1:] - self._x[:, :-1])
        down = (place.y[1:] - place.y[:-1]) / (self._y[1:] - self._y[:-1])
        return 1 / (torch.cat([across.flatten(), down.flatten()]) * math.exp(pose.zoom)).clamp(min=0.01)


def paintings() -> Iterator[tuple[str, Pixels, Tensor]]:
    """Names, pixels of the view, and how near each cell is, ``[60, 104]``; below 0 where nobody knows."""
    rows, columns = NOMINAL.room
    for place in FLAT:
        for seed in SEEDS:
            scenery = Scenery(place, hour=("day", "sunset", "dusk")[seed % 3])
            painting, horizon = paint(scenery, seed, NOMINAL), horizon_of(scenery, seed)
            inside = slice(rows, rows + HEIGHT), slice(columns, columns + WIDTH)
            ground = FOLIAGE if place == "field" else WATER
            shares = F.adaptive_avg_pool2d(painting.shares[:, inside[0], inside[1]], CELLS)
            y = ((torch.arange(CELLS[0]) + 0.5) / CELLS[0])[:, None].expand(CELLS)
            near = 0.05 + (y - horizon).clamp(min=0) / (1 - horizon)
            near = near.where(shares[SKY] < 0.5, near.new_tensor(0.0))
            # Trees stand anywhere, and edges are two things.
            known = (shares[[REST, SKY, ground]].amax(0) > 0.95) & ((y - horizon).abs() > 0.02)
            yield f"{place}-{seed}", painting.pixels[inside].numpy(), near.where(known, near.new_tensor(-1.0))


def photos(folder: Path) -> Iterator[tuple[str, Pixels, None]]:
    """The photos that layers were not trained on."""
    for rough in (one for one in read_rough() if one.is_kept):
        yield rough.number, read_picture(folder / rough.file), None


def wrong(near: Tensor, exact: Tensor) -> float:
    """Share of clear pairs whose order is turned round, of nearness told and exact, ``[60, 104]``.

    >>> exact = torch.linspace(0, 1, 60)[:, None].expand(60, 104)
    >>> wrong(exact / 9, exact), wrong(-exact, exact)
    (0.0, 1.0)
    """
    told, true = near[exact >= 0], exact[exact >= 0]
    pairs = torch.randint(len(true), (2, PAIRS), generator=torch.Generator().manual_seed(0))
    more, told_more = (part[pairs[0]] - part[pairs[1]] for part in (true, told))
    clear = more.abs() > CLEAR
    return float((told_more[clear] * more[clear].sign() < -1e-3).float().mean())


def speeds(decoder: Still, canvas: Canvas) -> dict[str, float]:
    """Speeds that are seen of a pan, a tilt and a zoom, near home and far from it, as shares of those without depth."""
    found: dict[str, float] = {}
    for name, most in FARTHEST.items():
        for where, start in (("", 0.0), (" far", most - STEP)):
            poses = [Pose(x=at) if name == "pan" else Pose(y=at) for at in (start, start + STEP)]
            both = [
                similarity(*(decoder.frame(one, p) for p in poses)) for one in (canvas, replace(canvas, depth=None))
            ]
            deep, flat = (seen.right if name == "pan" else seen.down for seen in both)
            found[name + where] = deep / flat
    for where, start in (("", 0.0), (" far", ZOOMS[0])):
        poses = [Pose(zoom=start), Pose(zoom=start + ZOOMS[1])]
        deep, flat = (
            similarity(*(decoder.frame(one, p) for p in poses)).growth for one in (canvas, replace(canvas, depth=None))
        )
        found["zoom" + where] = deep / flat
    return found


def strip(canvas: Canvas) -> float:
    """Units that a subject uncovers at the farthest from home; 0 where it is not by itself."""
    depth, layers = canvas.depth, canvas.layers
    if depth is None or depth.subject is None or layers is None:
        return 0.0
    rows, columns = canvas.view.room
    subject = F.adaptive_max_pool2d(layers.shares[:, SUBJECT, rows:-rows, columns:-columns], CELLS)
    edge = (F.max_pool2d(subject, 3, 1, 1) > 0.5) & (subject < 0.5)
    return float((depth.subject - depth.near)[edge].abs().max()) * FARTHEST["pan"] if bool(edge.any()) else 0.0


def measures(decoder: Still, canvas: Canvas, exact: Tensor | None) -> dict[str, float]:
    """All of one picture that has depth."""
    found = speeds(decoder, canvas)
    for name, zoom in (("", 0.0), (" in", 0.4)):
        ends = [Pose(x=x, zoom=zoom) for x in (-FARTHEST["pan"], FARTHEST["pan"])]
        ends += [Pose(y=y, zoom=zoom) for y in (-FARTHEST["tilt"], FARTHEST["tilt"])]
        made = torch.stack([decoder.lengths(canvas, pose) for pose in ends])
        found |= {"least" + name: float(made.min()), "most" + name: float(made.max())}
        found["beyond" + name] = float(((made > 2.05) | (made < 1 / 2.05)).float().mean(1).max())
    found["strip"] = strip(canvas)
    if exact is not None and canvas.depth is not None:
        found["wrong"] = wrong(canvas.depth.near[0], exact)
        found["range"] = float(canvas.depth.near.max() - canvas.depth.near.min())
    return found


@torch.inference_mode()
def main() -> None:
    """Print a line for each picture, then means and ranges."""
    finder, decoder = read_finder(LAYERS_WEIGHTS, SALIENT_WEIGHTS), Still()
    for kind, pictures in (("paintings", paintings()), ("photos", photos(Path(sys.argv[1])))):
        all_of = defaultdict[str, list[float]](list)
        for name, image, exact in pictures:
            canvas = prepare(image, WIDTH, HEIGHT)
            found, near = with_nearness(finder, canvas)
            canvas = with_depth(with_layers(canvas, alike(looked_for(found), canvas)), found, 1.0, near)
            told = measures(decoder, canvas, exact)
            print(name, ", ".join(f"{key} {value:.2f}" for key, value in told.items()), flush=True)
            for key, value in told.items():
                all_of[key].append(value)
        for key, some in all_of.items():
            print(f"{kind}: {key} {np.mean(some):.3f}, {min(some):.2f} to {max(some):.2f}")


if __name__ == "__main__":
    main()
