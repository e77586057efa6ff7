"""Means and maxima over neighbours, against pooling."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.pocket.neighbours import box, wider

RADII = (1, 2, 3, 5, 6, 9, 12)


@pytest.mark.parametrize("radius", RADII)
def test_box_is_the_mean_of_what_lies_inside(radius: int) -> None:
    """As pooling has it that does not count what lies outside, at edges and corners too."""
    plane, side = torch.rand(2, 3, 30, 41, generator=torch.Generator().manual_seed(0)), 2 * radius + 1
    wanted = F.avg_pool2d(plane, side, 1, radius, count_include_pad=False)
    torch.testing.assert_close(box(plane, radius), wanted)


@pytest.mark.parametrize("radius", RADII)
def test_wider_is_the_largest_around(radius: int) -> None:
    """Exactly the largest value of the square around each place."""
    plane, side = torch.rand(2, 1, 30, 41, generator=torch.Generator().manual_seed(1)), 2 * radius + 1
    assert torch.equal(wider(plane, radius), F.max_pool2d(plane, side, 1, radius))
