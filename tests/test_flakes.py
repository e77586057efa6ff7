"""Snow in the air, which a camera passes."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from pipeline.pocket.flakes import COVERS, MOST, Flakes, cover, stamps
from pipeline.pocket.pose import Pose
from pipeline.pocket.view import View

VIEW = View(416, 240)
POSES = (Pose(), Pose(x=-90, y=30, zoom=0.3), Pose(zoom=0.6), Pose(zoom=-0.6), Pose(x=40, zoom=0.2, roll=0.7))


@cache
def flakes(view: View = VIEW) -> Flakes:
    return Flakes(np.random.default_rng(0), view)


def covered(time_s: float, pose: Pose = Pose(), view: View = VIEW) -> np.ndarray:  # noqa: B008
    return cover([table[None] for table in flakes(view).seen(time_s, pose)], view)[0].numpy()


def moved(before: Pose, after: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Each flake as it is seen from a pose, and how far it has moved on the screen as seen from one close by."""
    one, other = (np.concatenate(flakes().seen(5.0, pose)) for pose in (before, after))
    assert one.shape == other.shape
    return one, other[:, :2] - one[:, :2]


@pytest.mark.parametrize("zoom", [0.0, 0.4])
def test_a_pan_leaves_flakes_behind_the_near_ones_faster(zoom: float) -> None:
    """All go the other way, none slower than the picture, the largest several times as fast."""
    seen, way = moved(Pose(x=10.0, zoom=zoom), Pose(x=10.001, zoom=zoom))
    picture = -0.001 * VIEW.scale * np.exp(zoom)
    assert (way[:, 0] < 0.9 * picture).all()
    assert np.abs(way[:, 1]).max() < 1e-4
    large = seen[:, 2] > np.quantile(seen[:, 2], 0.98)
    assert way[large, 0].mean() < 4 * picture
    assert way[~large, 0].mean() > 4 * picture


def test_a_zoom_in_lets_flakes_stream_outwards() -> None:
    """Away from the middle, the farther from it the faster, and they grow."""
    seen, way = moved(Pose(zoom=0.2), Pose(zoom=0.2001))
    out = seen[:, :2] - [(VIEW.width - 1) / 2, (VIEW.height - 1) / 2]
    far = np.hypot(*out.T)
    speed = (out * way).sum(1)[far > 40] / far[far > 40] ** 2
    assert (speed > 1e-4).all()
    assert speed.std() < 0.1 * speed.mean()


def test_flakes_turn_with_the_picture() -> None:
    """A roll clockwise turns what is right of the middle down, all by the same angle."""
    seen, way = moved(Pose(roll=0.1), Pose(roll=0.1001))
    x, y = (seen[:, :2] - [(VIEW.width - 1) / 2, (VIEW.height - 1) / 2]).T
    assert np.allclose(way, np.stack([-y, x], 1) * 1e-4, atol=2e-3)


@pytest.mark.parametrize("name", ["time", "pan", "tilt", "zoom", "roll"])
def test_no_flake_comes_or_goes_in_sight(name: str) -> None:
    """Of many small steps none changes a pixel by much more than the others do."""
    begin, way = Pose(roll=0.6 if name == "roll" else 0.0), {"pan": "x", "tilt": "y"}.get(name, name)
    pace = {"time": 0.0005, "pan": 0.01, "tilt": 0.01, "zoom": 0.0004, "roll": 0.00004}[name]
    seen: list[np.ndarray] = []
    for step in range(24):
        pose = begin if name == "time" else replace(begin, **{way: getattr(begin, way) + pace * step})
        seen.append(covered(9.0 + pace * step * (name == "time"), pose, View()))
    steps = [np.abs(after - before).max() for before, after in itertools.pairwise(seen)]
    assert max(steps) < (0.2 if name == "zoom" else 0.04)


@pytest.mark.parametrize("pose", POSES)
def test_as_much_snow_is_seen_from_everywhere(pose: Pose) -> None:
    """In every quarter of the view, at any zoom, about as much of it; and never more flakes than there is room for."""
    here = np.mean([covered(time_s, pose) for time_s in (3.0, 50.0, 3600.0)], 0)
    rest = np.mean([covered(time_s) for time_s in (3.0, 50.0, 3600.0)])
    for rows in (slice(0, 120), slice(120, 240)):
        for columns in (slice(0, 208), slice(208, 416)):
            assert here[rows, columns].mean() == pytest.approx(rest, rel=0.25)
    seen = np.concatenate([table for second in range(3, 60, 3) for table in flakes().seen(second, pose)])
    x, y = (seen[:, :2] - [(VIEW.width - 1) / 2, (VIEW.height - 1) / 2]).T
    corners = (np.abs(x) > 150) & (np.abs(x) < 208) & (np.abs(y) > 70) & (np.abs(y) < 120)
    # Two of them lie beyond where flakes come round again, when the camera has rolled.
    assert (corners & (x * y > 0)).sum() == pytest.approx((corners & (x * y < 0)).sum(), rel=0.15)
    for table, most in zip(flakes(View()).seen(17.0, pose), MOST, strict=True):
        assert len(table) < most


def test_flakes_of_a_moment_are_the_same_in_any_order_and_in_all_rows() -> None:
    """Sums are whole, rows that stand empty cover nothing, and nothing is covered wholly."""
    tables = flakes().seen(1.0, POSES[1])
    plain = covered(1.0, POSES[1])
    turned = cover([table.flip(0)[None] for table in tables], VIEW)[0].numpy()
    assert np.array_equal(turned, plain)
    told = [[1.0, pose.x, pose.y, pose.zoom, pose.roll] for pose in POSES]
    rows = flakes().slots(torch.tensor(told, dtype=torch.float64))
    at_once = cover(rows.split(MOST, 1), VIEW).numpy()
    assert np.array_equal(at_once, [covered(1.0, pose) for pose in POSES])
    empty = rows[..., 3] == 0
    assert empty.any()
    assert (rows[empty] == torch.tensor([0.0, 0, 1, 0])).all()
    assert 0.3 < plain.max() <= COVERS


def test_near_flakes_are_large_few_and_soft() -> None:
    """Sizes spread over more than ten times, small ones are the most, and a large one has no edge."""
    sizes = np.concatenate(flakes(View()).seen(2.0))[:, 2]
    assert sizes.max() > 10 * sizes.min()
    assert (sizes < 2.2).mean() > 0.5
    assert (sizes > 6).sum() > 30
    large = [table if kind >= 4 else table[:0] for kind, table in enumerate(flakes(View()).seen(2.0))]
    alone = cover([table[None] for table in large], View())[0]
    assert float(alone.diff(dim=1).abs().max()) < 0.38 * float(alone.max())


@pytest.mark.parametrize("view", [View(240, 416), View(1664, 960), View(64, 64)])
def test_snow_has_one_look_at_every_size(view: View) -> None:
    """As much of the frame is covered in another shape and at another size."""
    there, here = (np.mean([covered(t, view=one) for t in (3.0, 50.0, 900.0)]) for one in (view, View()))
    assert there == pytest.approx(here, rel=0.3)
    assert len(stamps(view)) == len(MOST)
