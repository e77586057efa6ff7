"""How well layers agree with pictures kept out of training: ``python -m pipeline.pocket.judge_kept PICTURES SALIENT``.

The held-out pictures judge what ships; by these it is chosen (:mod:`pipeline.pocket.judge_layers`, of which this is the
twin). Labels are those of :mod:`pipeline.pocket.layers_data`, marked ``?`` there; with ``--fold K/N``, those of every
Nth picture from the Kth on, which ``train_layers --fold K/N`` leaves out as well. ``--weights`` are other weights of
layers.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from pipeline.factory import LAYERS_WEIGHTS, SALIENT_WEIGHTS
from pipeline.pocket.alike import alike
from pipeline.pocket.canvas import Canvas, prepare
from pipeline.pocket.folds import Fold, judged
from pipeline.pocket.labels import LAYERS
from pipeline.pocket.layers import with_layers
from pipeline.pocket.layers_data import STORED_SIZE, Kinds, Rough, kinds, read_rough, saliency
from pipeline.pocket.layers_weights import read_finder
from pipeline.pocket.looking import asked_of, looked_for
from pipeline.pocket.view import HEIGHT, WIDTH
from pipeline.pocket.where import correlation

# Of a layer that is on less of the view nothing is told.
LEAST = 0.02
STAGES = ("said", "looked for", "alike", "at edges")
Told = dict[str, float]


def pictures(folder: Path, salient: Path, fold: Fold | None) -> Iterator[tuple[Rough, Canvas, Kinds]]:
    """Pictures that judge, as the pipeline opens them, and what each place is by their labels."""
    labels = read_rough()
    for rough, is_judged in zip(labels, judged([one.is_kept for one in labels], fold), strict=True):
        if not is_judged:
            continue
        with Image.open(folder / rough.file) as opened:
            fitted = ImageOps.fit(opened.convert("RGB"), (WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        small = np.asarray(fitted.resize(STORED_SIZE, Image.Resampling.LANCZOS))
        yield rough, prepare(np.asarray(fitted), WIDTH, HEIGHT), kinds(rough, small, saliency(rough, salient))


def agreement(shares: Tensor, wanted: Kinds) -> Told:
    """Correlation of each layer that is there with its label, of shares ``[1, 5, h, w]`` of the view."""
    found = F.interpolate(shares, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)[0].numpy()
    told: Told = {}
    for index, name in enumerate(LAYERS, 1):
        mask = (wanted == index).astype(np.float32)
        if mask.mean() >= LEAST:
            told[name] = correlation(found[index], np.asarray(cv2.resize(mask, (WIDTH, HEIGHT)), np.float32))
    return told


def at_edges(canvas: Canvas) -> Tensor:
    """The shares that the decoder has, of the view alone: ``[1, 5, h, w]``."""
    assert canvas.layers is not None
    rows, columns = canvas.view.room
    return canvas.layers.shares[..., rows:-rows, columns:-columns]


@torch.inference_mode()
def main() -> None:
    """Print a line for each picture, then means: as the network says it, looked for, with what is alike, at edges."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("salient", type=Path)
    parser.add_argument("--fold", type=Fold.read)
    parser.add_argument("--weights", type=Path, default=LAYERS_WEIGHTS)
    args = parser.parse_args()
    finder = read_finder(args.weights, SALIENT_WEIGHTS)
    all_of = defaultdict[str, list[tuple[float, ...]]](list)
    for rough, canvas, wanted in pictures(args.pictures, args.salient, args.fold):
        said = asked_of(finder, canvas)
        found = looked_for(said)
        borne_out = alike(found, canvas)
        sharp = at_edges(with_layers(canvas, borne_out))
        told = [agreement(some, wanted) for some in (said, found, borne_out, sharp)]
        print(rough.number, ", ".join(f"{name} {one:.3f}" for name, one in told[-1].items()), flush=True)
        for name in told[0]:
            all_of[name].append(tuple(stage[name] for stage in told))
    everything = [row for rows in all_of.values() for row in rows]
    for name, rows in [*sorted(all_of.items()), ("all", everything)]:
        means = [round(float(mean), 3) for mean in np.mean(rows, axis=0)]
        print(f"{name}: {len(rows)}, {dict(zip(STAGES, means, strict=True))}")


if __name__ == "__main__":
    main()
