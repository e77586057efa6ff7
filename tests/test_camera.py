import itertools
import math

import pytest

from pipeline.pocket.camera import FREE_S, OUTSIDE_LIMIT, REST, SUBSTEPS, Camera, Pose, glide, outside_share
from pipeline.pocket.view import NOMINAL, View

MOVES = {
    "pan left": (-1.0, 0.0, 0.0, 0.0), "pan right": (1.0, 0.0, 0.0, 0.0), "tilt up": (0.0, -1.0, 0.0, 0.0),
    "tilt down": (0.0, 1.0, 0.0, 0.0), "zoom in": (0.0, 0.0, 1.0, 0.0), "zoom out": (0.0, 0.0, -1.0, 0.0),
    "roll clockwise": (0.0, 0.0, 0.0, 1.0), "roll back": (0.0, 0.0, 0.0, -1.0),
}  # fmt: skip


SHAPES = [View(), View(480, 832), View(640, 640)]


def way(
    camera: Camera, move: tuple[float, float, float, float], latents: int, view: View = NOMINAL
) -> tuple[list[Pose], Camera]:
    poses: list[Pose] = [camera.pose]
    for _ in range(latents):
        more, camera = glide(camera, move, view)
        poses += more[1:]
    return poses, camera


def along(pose: Pose, move: tuple[float, ...]) -> float:
    return sum(p * m for p, m in zip((pose.x, pose.y, pose.zoom, pose.roll), move, strict=True))


@pytest.mark.parametrize("view", SHAPES)
@pytest.mark.parametrize("name", MOVES)
def test_a_move_runs_at_its_speed_for_three_seconds(name: str, view: View) -> None:
    """From one second after the switch to three, every half second covers about the same way, in the right sense."""
    poses, _ = way(Camera(), MOVES[name], 12, view)
    marks = [along(poses[int(s * 4 * SUBSTEPS)], MOVES[name]) for s in (1.0, 1.5, 2.0, 2.5, 3.0)]
    legs = [b - a for a, b in itertools.pairwise(marks)]
    assert min(legs) > 0
    assert max(legs) / min(legs) < 1.12


@pytest.mark.parametrize("view", SHAPES)
@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("speed", [0.5, 1.0])
def test_no_more_than_fifteen_hundredths_is_outside(name: str, speed: float, view: View) -> None:
    """In a minute of one move from rest the border never takes more than its share."""
    move = tuple(speed * v for v in MOVES[name])
    poses, _ = way(Camera(), move, 240, view)  # type: ignore[arg-type]
    assert max(outside_share(p, view) for p in poses[::12]) <= 0.15


def test_the_path_has_no_corners() -> None:
    """Between two substeps the velocity never jumps, at switches and turns too."""
    poses, camera = way(Camera(), MOVES["pan right"], 40)
    more, camera = way(camera, MOVES["tilt up"], 30)
    poses += more[1:]
    x = [p.x for p in poses]
    steps = [b - a for a, b in itertools.pairwise(x)]
    assert max(abs(b - a) for a, b in itertools.pairwise(steps)) < 0.1 * max(map(abs, steps))


def test_a_move_asked_for_at_the_border_still_goes_its_way() -> None:
    """A pan to the right that is asked for where one just turned goes right for three seconds."""
    _, camera = way(Camera(), MOVES["pan right"], 15)
    _, camera = way(camera, (0.0, 0.0, 0.0, 0.0), 4)
    poses, _ = way(camera, MOVES["pan right"], int(FREE_S * 4) - 2)
    assert poses[-1].x > poses[SUBSTEPS * 2].x > poses[0].x
    assert max(outside_share(p) for p in poses[::12]) <= OUTSIDE_LIMIT + 0.06


@pytest.mark.parametrize("view", SHAPES)
@pytest.mark.parametrize("name", MOVES)
def test_once_a_first_swing_is_over_a_twentieth_is_outside(name: str, view: View) -> None:
    """A move that goes on shows hardly any border from the twelfth second on, and less on the mean."""
    poses, _ = way(Camera(), MOVES[name], 400, view)
    shares = [outside_share(p, view) for p in poses[::12]]
    assert max(shares[12 * 8 :]) <= 0.05
    assert sum(shares) / len(shares) <= 0.02
    assert max(p.zoom for p in poses) > 0.17


def test_what_nobody_asked_for_never_leads_out_of_the_picture() -> None:
    """A pan that also sinks a little, or a drift to one side, stays over the picture."""
    for move in ((-1.0, 0.06, 0.0, 0.0), (0.25, 0.1, 0.0, 0.05), (0.0, 0.08, -0.05, 0.0)):
        poses, _ = way(Camera(), move, 1600)
        assert max(outside_share(p) for p in poses[::97]) <= 0.13


def test_coming_closer_begins_and_ends_without_a_corner() -> None:
    """The zoom's own speed never jumps, neither when a slow pan needs room nor when the view is close enough."""
    zooms = [p.zoom for p in way(Camera(), (0.5, 0.0, 0.0, 0.0), 60)[0]]
    speeds = [(b - a) * 4 * SUBSTEPS for a, b in itertools.pairwise(zooms)]
    assert max(speeds) > 0.025
    assert max(abs(b - a) for a, b in itertools.pairwise([0.0, *speeds])) < 0.001


def test_rest_stays_rest_under_a_small_bias() -> None:
    """A velocity inside the dead zone moves nothing, for ever."""
    poses, _ = way(Camera(), (0.02, -0.02, 0.02, 0.02), 400)
    assert poses[-1] == REST


def test_affine_turns_and_scales_about_the_middle() -> None:
    """Closer means a smaller piece of picture; a clockwise roll of the picture looks up the other way round."""
    (a, b, c), (d, e, f) = Pose(x=5, y=-3, zoom=math.log(2), roll=0.0).affine()
    assert (a, b, c, d, e, f) == (0.5, 0.0, 5, 0.0, 0.5, -3)
    (a, b, _), (d, e, _) = Pose(roll=math.pi / 2).affine()
    # What stands to the right on the screen was above in the picture: it has turned clockwise.
    assert (round(a), round(b), round(d), round(e)) == (0, 1, -1, 0)


@pytest.mark.parametrize("view", SHAPES)
def test_a_move_takes_the_same_share_of_every_shape(view: View) -> None:
    """A pan and a tilt cover as much of a portrait as of a landscape; a zoom and a roll are the same."""
    for move in MOVES.values():
        (*_, here), _ = way(Camera(), move, 12, view)
        (*_, wide), _ = way(Camera(), move, 12)
        ways = here.x / view.extent[0], here.y / view.extent[1]
        assert ways == pytest.approx((wide.x / 832, wide.y / 480), abs=2e-3)
        # A pan and a roll zoom in a little where they would show border.
        assert here.zoom == pytest.approx(wide.zoom, abs=0.04)
        assert here.roll == pytest.approx(wide.roll)
