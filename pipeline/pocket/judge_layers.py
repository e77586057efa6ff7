"""How well layers agree with the labels, without playing anything: ``python -m pipeline.pocket.judge_layers PICTURES``.

``PICTURES`` is the folder of :mod:`pipeline.pocket.pictures`. Each layer that a held-out picture is judged by is held
against its hand-drawn label as the decoder has it, brought to edges: correlation by blocks of 16 px, as
:mod:`pipeline.pocket.where` has it of motion, and intersection over union. A minute, where motion takes ten.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from pipeline.factory import LAYERS_WEIGHTS, SALIENT_WEIGHTS
from pipeline.picture import read_picture
from pipeline.pocket.alike import alike
from pipeline.pocket.canvas import Canvas, prepare
from pipeline.pocket.labels import LAYERS, Label, bars, drawing, drawn, label, labelled
from pipeline.pocket.layers import with_layers
from pipeline.pocket.layers_weights import read_finder
from pipeline.pocket.looking import find
from pipeline.pocket.view import HEIGHT, WIDTH
from pipeline.pocket.where import correlation


def agreement(canvas: Canvas, wanted: Label) -> dict[str, tuple[float, float]]:
    """Correlation, and intersection over union, of each layer that is judged, of a canvas with layers of 832x480."""
    assert canvas.layers is not None
    rows, columns = canvas.view.room
    shares = canvas.layers.shares[..., rows:-rows, columns:-columns]
    found = F.interpolate(shares, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)[0, 1:].numpy()
    told: dict[str, tuple[float, float]] = {}
    for name, share in zip(LAYERS, found, strict=True):
        if name in wanted.judged:
            mask = wanted.layer(name)
            both, either = ((share > 0.5) & (mask > 0.5)).sum(), ((share > 0.5) | (mask > 0.5)).sum()
            told[name] = correlation(share, mask), float(both / max(1, either))
    return told


@torch.inference_mode()
def main() -> None:
    """Print a line for each picture, then means of photos and of drawn scenes."""
    finder = read_finder(LAYERS_WEIGHTS, SALIENT_WEIGHTS)
    all_of = defaultdict[str, list[tuple[float, float]]](list)
    for name in labelled():
        is_drawn = name in drawn()
        image = drawing(name) if is_drawn else read_picture(Path(sys.argv[1]) / "held" / f"{name}.jpg")
        canvas = prepare(image, WIDTH, HEIGHT)
        told = agreement(with_layers(canvas, alike(find(finder, canvas), canvas)), label(name))
        print(name, ", ".join(f"{layer} {one:.3f} {share:.3f}" for layer, (one, share) in told.items()), flush=True)
        for layer, pair in told.items():
            all_of[f"{layer}, {'drawn' if is_drawn else 'photos'}"].append(pair)
    for kind, pairs in sorted(all_of.items()):
        met = sum(one >= bars().correlation for one, _ in pairs)
        means = np.mean(pairs, axis=0)
        print(f"{kind}: {len(pairs)}, correlation {means[0]:.3f}, overlap {means[1]:.3f}, {met} meet the bar")


if __name__ == "__main__":
    main()
