"""Tests of the speed at which a picture of several nearnesses is seen to move."""

import numpy as np
import torch

from pipeline.pocket.measure import fit_similarity
from pipeline.pocket.seen_speed import seen_speed, texture

CELLS = (60, 104)


def test_it_is_that_of_what_has_texture() -> None:
    """Where grains are on half of a picture, all is seen to move as these do."""
    picture = torch.full((1, 1, 120, 208), 120.0)
    picture[..., 60:, :] += 120 * torch.rand(60, 208, generator=torch.Generator().manual_seed(0))
    seen = texture(picture, CELLS)
    assert float(seen[:28].max()) < 0.05
    assert float(seen[32:].min()) > 0.5
    near = torch.full(CELLS, 0.5)
    near[30:] = 1.1
    assert abs(seen_speed(near, seen) - 1.1) < 0.02


def test_lines_alone_show_no_speed() -> None:
    """What changes only across says nothing of a motion along it."""
    lines = (torch.arange(208) % 16 < 8).float().expand(1, 1, 120, 208) * 120
    assert float(texture(lines, CELLS).max()) < 0.05


def test_it_is_what_is_measured() -> None:
    """Of the same motion the meter of frames says the same: of a plain that comes nearer, and of a few things on it."""
    near = torch.linspace(0.6, 1.3, 60)[:, None].repeat(1, 104)
    near[:, 10:20] = 2.0
    moved = np.stack([near.numpy(), np.zeros(CELLS)], -1).astype(np.float32)
    measured = fit_similarity(moved, np.ones(CELLS, np.float32)).right
    assert abs(seen_speed(near, torch.ones(CELLS)) - measured) < 0.01
