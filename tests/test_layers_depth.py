"""Tests of what the network of layers learns of depth: photos' by their kinds, views, subjects set in, the loss."""

import numpy as np
import pytest
import torch

from pipeline.pocket.layers_data import made
from pipeline.pocket.layers_depth import LEVELS, as_its_foot, in_bytes, near_of_photo, off, told
from pipeline.pocket.nearness import HORIZON, RISE, STANDING

REST, SKY, WATER, FOLIAGE, SUBJECT = range(5)
SIZE = (120, 208)
# Lines across, as of ground that is seen aslant, and upright ones.
ACROSS = np.repeat(np.arange(SIZE[0]) % 2 * 90, SIZE[1] * 3).reshape(*SIZE, 3).astype(np.uint8)
UPRIGHT = np.ascontiguousarray(ACROSS[:, :1].repeat(SIZE[1], 1))
UPRIGHT[:] = (np.arange(SIZE[1]) % 2 * 90)[None, :, None]


def near(kinds: np.ndarray, pixels: np.ndarray = ACROSS) -> np.ndarray:
    """Nearness of a photo, -1 where it is unknown."""
    found = near_of_photo(kinds.astype(np.uint8), pixels).astype(float)
    return np.where(found > 0, (found - 1) / LEVELS, -1)


def coast() -> np.ndarray:
    """Sky above, sea below, half each."""
    kinds = np.full(SIZE, SKY)
    kinds[60:] = WATER
    return kinds


def test_a_sea_rises_from_the_horizon() -> None:
    """The sky is farthest, water is nearer row by row."""
    told_now = near(coast())
    assert (told_now[:59] == 0).all()
    assert np.allclose(told_now[62:, 9], HORIZON + RISE * (np.arange(62, 120) + 0.5 - 60) / 120, atol=0.015)


def test_what_stands_is_as_near_as_its_foot() -> None:
    """A tower, and a tree, before sky and sea have one nearness from foot to top; the tower stands out a little."""
    for kind, more in ((SUBJECT, STANDING), (FOLIAGE, 0.0)):
        kinds = coast()
        kinds[20:90, 100:112] = kind
        told_now = near(kinds)
        part = told_now[kinds == kind]
        assert part.max() == part.min()
        assert part[0] == pytest.approx(told_now[88, 10] + more, abs=0.02)


def test_what_may_be_ground_or_wall_is_known_only_where_it_lies() -> None:
    """Beneath a sky, what has lines across is ground low down and unknown above; what has upright ones is unknown."""
    kinds = np.full(SIZE, REST)
    kinds[:40] = SKY
    kinds[20:40, 60:140] = REST
    flat = near(kinds)
    assert flat[-1, 0] > flat[90, 0] > HORIZON
    assert (flat[:70][kinds[:70] == REST] == -1).all()
    assert (near(kinds, UPRIGHT)[kinds == REST] == -1).all()


def test_without_a_horizon_little_is_said() -> None:
    """What is low is a little nearer, a subject stands out from all of it."""
    kinds = np.full(SIZE, REST)
    kinds[30:100, 80:120] = SUBJECT
    told_now = near(kinds)
    assert 0 < told_now[-1, 0] - told_now[0, 0] < 0.3
    assert told_now[50, 100] > told_now[99, 10]


def test_paintings_and_drawings_know_all() -> None:
    """Skies are farthest, nearness is in 0..1, and somewhere below it is near."""
    for pixels, kinds, exact in made(4, 4):
        assert exact.shape == pixels.shape[:2]
        assert 0 <= exact.min() <= exact.max() <= 1
        sure = kinds == SKY
        assert not sure.any() or exact[sure].mean() < 0.02
        assert exact[-1].max() >= exact[~sure].min()


def test_a_view_of_a_part_rises_faster() -> None:
    """In a view of half a picture ground rises twice as fast from the horizon; the sky stays, what is unknown is."""
    blobs = torch.from_numpy(in_bytes(np.array([[[-1.0, 0.0, HORIZON, HORIZON + 0.2]]], np.float32)))
    above, known = told(blobs, torch.tensor([0.5]))[0, :, 0]
    assert known.tolist() == [0, 1, 1, 1]
    torch.testing.assert_close(above, torch.tensor([0.0, -HORIZON, 0.0, 0.4]), atol=3e-3, rtol=0)
    # Where no sky says how far that is, a part is like the whole.
    unseen = blobs[..., 2:]
    assert torch.equal(told(unseen, torch.tensor([0.5])), told(unseen, torch.tensor([1.0])))


def test_a_subject_that_is_set_in_is_as_near_as_its_foot() -> None:
    """Its lowest part says how near it is; where nobody knows the ground there, it is unknown too."""
    y = torch.linspace(0, 0.6, 60)[:, None].expand(60, 80)
    depth = torch.stack([y, torch.ones(60, 80)])[None]
    subject = torch.zeros(1, 1, 60, 80)
    subject[..., 10:40, 20:30] = 1
    above, known = as_its_foot(depth, subject).flatten().tolist()
    assert known == 1
    assert above == pytest.approx(float(y[39, 0]) + STANDING, abs=0.02)
    assert as_its_foot(0 * depth, subject).flatten().tolist() == [0, 0]


def test_what_is_right_costs_nothing_and_the_unknown_never() -> None:
    """The loss hears what is off and steps that are not there; not what is unknown."""
    depth = torch.zeros(1, 2, 24, 40)
    depth[:, 1, :12] = 1
    right = torch.full((1, 1, 24, 40), HORIZON)
    right[..., 13:, :] = 0.9
    assert float(off(right, depth)) == pytest.approx(0, abs=1e-6)
    even, uneven = right.clone(), right.clone()
    even[..., :12, :] += 0.1
    uneven[..., :12, ::2] += 0.2
    assert 0.05 < float(off(even, depth)) < float(off(uneven, depth))
