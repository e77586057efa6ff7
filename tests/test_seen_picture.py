"""Tests of the picture as it is seen from a pose, which frames are held against."""

import numpy as np
import pytest

from pipeline.pocket.likeness import similar
from pipeline.pocket.pose import Pose
from pipeline.pocket.seen_picture import inside, view
from tests.test_depth import deep, flat, frame

POSES = [Pose(x=60.0, y=-20.0, zoom=0.25), Pose(roll=0.1, zoom=0.3), Pose(zoom=-0.05)]


def test_at_rest_it_is_the_picture() -> None:
    """With depth and without, and all of it but its rim is inside."""
    for canvas in (flat(), deep()):
        apart = view(canvas, Pose()).astype(int) - canvas.rest.numpy()
        assert np.abs(apart).mean() < 1
        assert inside(canvas, Pose()).mean() > 0.95


@pytest.mark.parametrize("pose", POSES, ids=str)
def test_a_frame_is_like_it_with_depth_and_without(pose: Pose) -> None:
    """What the decoder makes is the picture so seen; with depth it is no flat picture's view."""
    for canvas in (flat(), deep()):
        assert similar(frame(canvas, pose), view(canvas, pose), inside(canvas, pose)) > 0.97


def test_depth_is_told_from_none() -> None:
    """A view with depth is not like a frame without, or depth could be lost and nobody would see it here."""
    pose = POSES[0]
    assert similar(frame(flat(), pose), view(deep(), pose), inside(deep(), pose)) < 0.9


def test_what_a_subject_uncovers_is_not_inside() -> None:
    """Beside it lies what was painted in, which is no part of the picture: some places fewer than of a flat picture."""
    pose = Pose(x=100.0, zoom=0.25)
    lost = inside(flat(), pose) & ~inside(deep(), pose)
    assert 0.001 < lost.mean() < 0.2
