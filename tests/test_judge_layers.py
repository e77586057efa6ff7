"""Test of the judge of layers: an exact layer agrees wholly, one that is elsewhere does not."""

from dataclasses import replace

import torch

from pipeline.pocket.canvas import prepare
from pipeline.pocket.judge_layers import agreement
from pipeline.pocket.labels import drawing, label
from pipeline.pocket.layers import Layers

NAME = "drawn-4"


def test_only_what_lies_on_its_label_agrees() -> None:
    """The labels themselves correlate by nearly 1 and overlap; turned upside down they do not."""
    wanted = label(NAME)
    masks = torch.from_numpy(wanted.masks)[None]
    rows, columns = 96, 160
    shares = torch.zeros(1, 5, 480 + 2 * rows, 832 + 2 * columns)
    shares[:, 1:, rows:-rows, columns:-columns] = masks
    shares[:, :1] = 1 - shares[:, 1:].sum(1, keepdim=True)
    canvas = prepare(drawing(NAME), 832, 480)

    def told(some: torch.Tensor) -> dict[str, tuple[float, float]]:
        layers = Layers(some, torch.zeros(5, 32, 56), None, None, None, True)
        return agreement(replace(canvas, layers=layers), wanted)

    right, wrong = told(shares), told(shares.flip(2))
    assert set(right) == wanted.judged
    assert all(one > 0.99 and overlap > 0.99 for one, overlap in right.values())
    assert all(one < 0.5 and overlap < 0.5 for one, overlap in wrong.values())
