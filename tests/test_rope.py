import math

import torch

from pipeline.networks.rope import axis_pairs, rotate, rotations


def test_scores_depend_on_distance_alone() -> None:
    """Moving queries and keys together along the time axis leaves their products as they are."""
    q, k = torch.randn(1, 6, 2, 32), torch.randn(1, 6, 2, 32)
    scores = [
        torch.einsum("blnd,bmnd->bnlm", rotate(q, rotations(torch.tensor([a + 3]), 2, 3, 32)),
                     rotate(k, rotations(torch.tensor([a]), 2, 3, 32)))
        for a in (0, 40)
    ]  # fmt: skip
    torch.testing.assert_close(scores[0], scores[1], atol=2e-5, rtol=0)


def test_rotation_keeps_lengths_and_dtype() -> None:
    """A rotation changes no norm, and bfloat16 stays bfloat16."""
    x = torch.randn(2, 12, 2, 16)
    y = rotate(x, rotations(torch.tensor([1, 2]), 2, 3, 16))
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
    assert rotate(x.bfloat16(), rotations(torch.tensor([1, 2]), 2, 3, 16)).dtype == torch.bfloat16


def test_pairs_are_rotated_neighbour_by_neighbour() -> None:
    """Pair j is channels 2j and 2j+1; the first pair of the time axis turns by the frame's number in radians."""
    x = torch.zeros(1, 1, 1, 32)
    x[..., 0] = 1
    y = rotate(x, rotations(torch.tensor([2]), 1, 1, 32))
    torch.testing.assert_close(y[0, 0, 0, :2], torch.tensor([math.cos(2), math.sin(2)]))
    assert sum(axis_pairs(32)) == 16
