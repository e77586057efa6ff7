"""How a portrait or square view is best shown to the network of layers: ``python -m pipeline.pocket.judge_shapes DIR``.

``DIR`` is the folder of :mod:`pipeline.pocket.pictures`. The labelled photos and their labels are cropped to their
middle; drawn scenes are drawn in each shape, with exact masks. Told is the correlation with the labels, by blocks of
16 px, of the shares of sky, water, leaves and subject where they are judged and seen: with the view squeezed to the
shape of training, half-way to that, as it is in use, and in its own shape.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from pipeline.factory import LAYERS_WEIGHTS
from pipeline.picture import read_picture
from pipeline.pocket.canvas import prepare
from pipeline.pocket.labels import LAYERS, LEAST_DRAWN, MOST_DRAWN, Mask, drawn, label, labelled
from pipeline.pocket.layers import sharp
from pipeline.pocket.layers_network import STEP
from pipeline.pocket.layers_weights import read_layers
from pipeline.pocket.looking import LOOKS, Size, ask, looked_for
from pipeline.pocket.scenes import draw
from pipeline.pocket.view import HEIGHT, SHAPES, WIDTH, View, views
from pipeline.pocket.where import BLOCK
from pipeline.types import Pixels

DRAWN, SEED = 12, 20261128
# Of the way from the shape of training to the view's own.
WAYS = {"squeezed": 0.0, "half-way": 0.5, "own shape": 1.0}


def shown(view: View, way: float) -> list[Size]:
    """Heights and widths of as many pixels as wide pictures are looked at in."""
    sizes: list[Size] = []
    for height, width in LOOKS:
        longer = (view.height / view.width * width / height) ** (way / 2)
        sizes.append((round(height * longer / STEP) * STEP, round(width / longer / STEP) * STEP))
    return sizes


def photos(folder: Path, view: View) -> Iterator[tuple[Pixels, Mask, frozenset[str]]]:
    """The middle of each labelled photo, its masks, and what it is judged by."""
    cut = round(HEIGHT * view.width / view.height)
    columns = slice((WIDTH - cut) // 2, (WIDTH - cut) // 2 + cut)
    for name in labelled():
        if name not in drawn():
            wide = prepare(read_picture(folder / "held" / f"{name}.jpg"), WIDTH, HEIGHT).rest.numpy()
            yield np.ascontiguousarray(wide[:, columns]), label(name).masks[:, :, columns], label(name).judged


def scenes(view: View) -> Iterator[tuple[Pixels, Mask, frozenset[str]]]:
    """Drawn scenes in this shape."""
    for number in range(DRAWN):
        scene = draw(np.random.default_rng([SEED, number]), view.height, view.width)
        yield scene.pixels, np.asarray(scene.masks / 255, np.float32), frozenset(LAYERS)


def correlations(found: torch.Tensor, masks: Mask, judged: frozenset[str], view: View) -> Iterator[float]:
    """Of each layer that is judged and seen."""
    size = (view.height // BLOCK, view.width // BLOCK)
    for index, name in enumerate(LAYERS):
        if name in judged and LEAST_DRAWN < masks[index].mean() < MOST_DRAWN:
            shares = sharp(F.interpolate(found[:, 1 + index : 2 + index], size, mode="area"))[0, 0].numpy()
            wanted = cv2.resize(masks[index], size[::-1], interpolation=cv2.INTER_AREA)
            spread = shares.std() * wanted.std()
            yield float(((shares - shares.mean()) * (wanted - wanted.mean())).mean() / spread) if spread else 0.0


@torch.inference_mode()
def main() -> None:
    """Print one line for each shape and kind of picture."""
    network = read_layers(LAYERS_WEIGHTS)
    for view in views(WIDTH, HEIGHT, SHAPES)[1:]:
        for kind, judged in (("photos", photos(Path(sys.argv[1]), view)), ("drawn", scenes(view))):
            scores = defaultdict[str, list[float]](list)
            for pixels, masks, layers in judged:
                picture = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
                for name, way in WAYS.items():
                    found = looked_for(ask(network, picture, shown(view, way)))
                    scores[name] += correlations(found, masks, layers, view)
            told = ", ".join(f"{name} {np.mean(one):.3f}" for name, one in scores.items())
            count = len(scores["squeezed"])
            print(f"{view.width}x{view.height} {kind}, {count} layers: {told}", flush=True)


if __name__ == "__main__":
    main()
