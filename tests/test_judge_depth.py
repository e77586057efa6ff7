"""Tests of the judge of depth: what it tells of a depth that is known."""

from dataclasses import replace
from functools import cache

import numpy as np
import torch

from pipeline.pocket.canvas import Canvas, prepare
from pipeline.pocket.depth import CELLS, Depth
from pipeline.pocket.judge_depth import Still, measures, paintings, wrong


@cache
def canvas() -> Canvas:
    """Grains of some px everywhere."""
    rng = np.random.default_rng(0)
    grains = rng.integers(0, 255, (60, 104, 3), dtype=np.uint8)
    return prepare(np.kron(grains, np.ones((8, 8, 1), np.uint8)), 832, 480)


def of(near: torch.Tensor, exact: torch.Tensor | None = None) -> dict[str, float]:
    return measures(Still(), replace(canvas(), depth=Depth(near.expand(1, *CELLS), None)), exact)


def test_a_nearer_picture_is_faster_and_not_stretched() -> None:
    """What is a fifth nearer than the mean pans and tilts a fifth faster; no length changes, nothing is beyond."""
    told = of(torch.full((1, 1, 1), 0.2))
    assert abs(told["pan"] - 1.2) < 0.03
    assert abs(told["tilt"] - 1.2) < 0.03
    assert abs(told["zoom"] - 1.2) < 0.05
    assert abs(told["least"] - 1) < 0.01
    assert abs(told["most"] - 1) < 0.01
    assert told["beyond"] == told["strip"] == 0


def test_a_steep_edge_is_told() -> None:
    """Where nearness jumps in the middle of the picture, a look from the side stretches it, and little of it."""
    near = torch.zeros(1, *CELLS)
    near[..., 52:] = 0.3
    told = of(near)
    assert told["most"] > 4
    assert 0 < told["beyond"] < 0.1


def test_an_order_turned_round_is_told() -> None:
    """Ground whose near side is told to be far is wrong in all pairs; what nobody knows is not counted."""
    exact = torch.linspace(0, 1, CELLS[0])[:, None].repeat(1, CELLS[1])
    exact[:, :52] = -1
    told = torch.where(exact < 0, -9.0, -exact)
    assert wrong(told, exact) == 1
    assert wrong(torch.where(exact < 0, -9.0, exact), exact) == 0


def test_paintings_have_a_far_sky_and_ground_that_comes_near() -> None:
    """The sky is farthest; the lower edge nearest; what is not known is a part."""
    name, pixels, exact = next(paintings())
    assert name.startswith("sea")
    assert pixels.shape == (480, 832, 3)
    assert exact[5].max() == 0
    assert exact[-1].max() > 0.9
    assert 0.5 < float((exact >= 0).float().mean()) < 1
