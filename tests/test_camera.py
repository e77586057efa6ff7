import itertools
import math
from functools import cache

import pytest

from pipeline.pocket import camera as moving
from pipeline.pocket.camera import SUBSTEPS, Camera, hardened
from pipeline.pocket.governor import CLOSEST, OUTSIDE_LIMIT
from pipeline.pocket.latents import CAMERA_RATES, LATENTS_PER_SECOND
from pipeline.pocket.own_motion import CALM_PUSH, PUSH
from pipeline.pocket.pose import REST, Pose, outside_share
from pipeline.pocket.view import NOMINAL, View

Move = tuple[float, float, float, float]
MOVES: dict[str, Move] = {
    "pan left": (-1.0, 0.0, 0.0, 0.0), "pan right": (1.0, 0.0, 0.0, 0.0), "tilt up": (0.0, -1.0, 0.0, 0.0),
    "tilt down": (0.0, 1.0, 0.0, 0.0), "zoom in": (0.0, 0.0, 1.0, 0.0), "zoom out": (0.0, 0.0, -1.0, 0.0),
    "roll clockwise": (0.0, 0.0, 0.0, 1.0), "roll back": (0.0, 0.0, 0.0, -1.0),
}  # fmt: skip
SHAPES = [View(), View(480, 832), View(640, 640)]
# One of each kind in every shape, and its mirror image where that costs little.
KINDS = ("pan left", "tilt down", "zoom in", "zoom out", "roll clockwise")
NOTHING = (0.0, 0.0, 0.0, 0.0)
PER_S = LATENTS_PER_SECOND * SUBSTEPS
# Many tests go the same way, and nothing that comes back can be changed but the list, which all leave as it is.
glide = cache(moving.glide)
# What the network says of slow, nominal and quick.
SAID = (0.5, 0.975, 1.54)


def way(camera: Camera, move: Move, latents: int, view: View = NOMINAL) -> tuple[list[Pose], Camera]:
    poses: list[Pose] = [camera.pose]
    for latent in range(latents):
        more, camera = glide(camera, move, view)
        poses += more[1:]
        # A take begins elsewhere than at rest.
        poses[0] = poses[0] if latent else more[0]
    return poses, camera


def rested(view: View = NOMINAL) -> Camera:
    """A camera that stood still for a while: what comes is no beginning."""
    return way(Camera(), NOTHING, 4, view)[1]


def along(pose: Pose, move: Move) -> float:
    return sum(p * math.copysign(bool(m), m) for p, m in zip((pose.x, pose.y, pose.zoom, pose.roll), move, strict=True))


def speeds(poses: list[Pose], move: Move) -> list[float]:
    """Along a move, in px of the screen (or log zoom, or rad) a second, at every substep."""
    slides = bool(move[0] or move[1])
    return [
        (along(b, move) - along(a, move)) * PER_S * (math.exp((a.zoom + b.zoom) / 2) if slides else 1)
        for a, b in itertools.pairwise(poses)
    ]


def times(move: Move, factor: float) -> Move:
    a, b, c, d = (factor * v for v in move)
    return a, b, c, d


def nominal(move: Move, view: View) -> float:
    rates = [CAMERA_RATES[name] for name in ("pan", "tilt", "zoom_in" if move[2] > 0 else "zoom_out", "roll")]
    sizes = (*(rate * share for rate, share in zip(rates, view.shares, strict=False)), *rates[2:])
    return next(size for size, v in zip(sizes, move, strict=True) if v)


@pytest.mark.parametrize("view", SHAPES)
@pytest.mark.parametrize("name", MOVES)
def test_a_move_runs_at_its_speed_for_three_seconds(name: str, view: View) -> None:
    """From one second after the switch to three, it has its nominal speed within 3 %, as a mean of half seconds."""
    poses, _ = way(rested(view), times(MOVES[name], 0.975), 13, view)
    path = speeds(poses, MOVES[name])
    halves = [sum(path[n : n + PER_S // 2]) / (PER_S // 2) for n in range(PER_S, 3 * PER_S, PER_S // 2)]
    assert [half / nominal(MOVES[name], view) for half in halves] == pytest.approx([1] * 4, abs=0.03)


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("view", SHAPES)
@pytest.mark.parametrize("name", KINDS)
def test_no_move_turns_round_in_ten_seconds(name: str, view: View, said: float) -> None:
    """Slow, nominal or quick, at the beginning of a take or after rest, it goes its way or comes to rest there."""
    for camera in (Camera(), rested(view)):
        poses, _ = way(camera, times(MOVES[name], said), 48, view)
        assert min(speeds(poses, MOVES[name])) > -0.002 * nominal(MOVES[name], view)


@pytest.mark.parametrize("name", KINDS)
def test_a_take_of_ten_seconds_moves_through_all_of_it(name: str) -> None:
    """In no second of it has a move less than half of its speed, or a slow one less than nine tenths of its own."""
    for said, least in ((0.975, 0.5), (0.5, 0.54)):
        path = speeds(way(Camera(), times(MOVES[name], said), 40)[0], MOVES[name])
        seconds = [sum(path[n : n + PER_S]) / PER_S for n in range(2 * PER_S, len(path), PER_S)]
        assert min(seconds) > least * nominal(MOVES[name], NOMINAL)


@pytest.mark.parametrize("name", KINDS)
def test_a_move_begins_softly(name: str) -> None:
    """From rest half of its speed is there after a third of a second, where a take begins with it after two thirds."""
    for camera, said, soonest, latest in (
        (rested(), SAID[1], 0.25, 0.4),
        (rested(), SAID[2], 0.25, 0.5),
        (Camera(), SAID[1], 0.25, 0.85),
    ):
        path, before = [], 0.0
        for _ in range(12):
            before += 0.55 * (said - before)
            poses, camera = glide(camera, times(MOVES[name], before))
            path += speeds(poses, MOVES[name])
        top = max(path)
        half_s = next(n for n, speed in enumerate(path) if speed > top / 2) / PER_S
        assert soonest < half_s < latest
        # There is no corner, either: a speed that grew evenly to half of itself would do so by 1.5 times it a second.
        assert path[0] * PER_S < top


@pytest.mark.parametrize("name", KINDS)
def test_what_is_quick_is_quicker_and_what_is_slow_is_slower(name: str) -> None:
    """After two seconds a quick move is almost twice as far as a plain one, and a slow one 0.6 times as far."""
    plain, quick, slow = (
        along(poses[-1], MOVES[name]) - along(poses[0], MOVES[name])
        for poses in (way(rested(), times(MOVES[name], said), 8)[0] for said in (0.975, 1.54, 0.5))
    )
    assert quick / plain > 1.8
    assert slow / plain == pytest.approx(0.6, abs=0.04)


@pytest.mark.parametrize("view", SHAPES)
@pytest.mark.parametrize("name", KINDS)
def test_a_take_shows_hardly_any_border(name: str, view: View) -> None:
    """Of ten seconds of a take, and of twenty, less than a twentieth is from outside on the mean; never much more."""
    for said in SAID:
        poses, _ = way(Camera(), times(MOVES[name], said), 80, view)
        shares = [outside_share(p, view) for p in poses[::12]]
        assert sum(shares) / len(shares) <= 0.05
        assert sum(shares[: len(shares) // 2]) / (len(shares) // 2) <= 0.05
        assert max(shares) <= 0.07


@pytest.mark.parametrize("view", SHAPES)
@pytest.mark.parametrize("name", KINDS)
def test_a_move_from_the_midst_shows_little_border(name: str, view: View) -> None:
    """From the resting view it shows a twentieth on the mean; a pull back, which has no room there, a little more."""
    for said in SAID[:2]:
        poses, _ = way(rested(view), times(MOVES[name], said), 40, view)
        shares = [outside_share(p, view) for p in poses[::12]]
        assert sum(shares) / len(shares) <= (0.09 if name == "zoom out" else 0.05)
        assert max(shares) <= OUTSIDE_LIMIT
    poses, _ = way(rested(view), times(MOVES[name], SAID[2]), 40, view)
    assert max(outside_share(p, view) for p in poses[::12]) <= OUTSIDE_LIMIT + 0.05


@pytest.mark.parametrize("view", SHAPES)
@pytest.mark.parametrize("name", KINDS)
def test_once_a_first_swing_is_over_a_twentieth_is_outside(name: str, view: View) -> None:
    """A move that goes on shows hardly any border from the twelfth second on, and less on the mean."""
    poses, _ = way(Camera(), MOVES[name], 240 if view == NOMINAL else 120, view)
    shares = [outside_share(p, view) for p in poses[::12]]
    assert max(shares[12 * 8 :]) <= 0.05
    assert sum(shares) / len(shares) <= 0.03


@pytest.mark.parametrize("name", KINDS)
def test_the_speed_has_no_kinks(name: str) -> None:
    """In a minute no move's speed changes by more than its own in a second, nor that change in a tenth of one."""
    path = speeds(way(Camera(), MOVES[name], 240)[0], MOVES[name])[PER_S // 2 :]
    top = max(map(abs, path))
    gains = [(b - a) * PER_S for a, b in itertools.pairwise(path)]
    assert max(map(abs, gains)) < top
    assert max(abs(b - a) for a, b in zip(gains, gains[PER_S // 10 :], strict=False)) < 0.6 * top


def test_a_pan_that_goes_on_for_ever_crosses_the_picture_slowly_and_comes_back() -> None:
    """Once it has been to its end it swings, at a third of its speed, over most of what there is."""
    poses, _ = way(Camera(), MOVES["pan left"], 320)
    x = [p.x for p in poses[12 * PER_S :]]
    assert min(x) < -100
    assert max(x) > 100
    assert max(map(abs, speeds(poses[20 * PER_S :], MOVES["pan left"]))) < 0.35 * CAMERA_RATES["pan"]


def test_the_path_has_no_corners() -> None:
    """Between two substeps the velocity never jumps, at switches and turns too."""
    poses, camera = way(Camera(), MOVES["pan right"], 40)
    more, camera = way(camera, MOVES["tilt up"], 30)
    poses += more[1:]
    x = [p.x for p in poses]
    steps = [b - a for a, b in itertools.pairwise(x)]
    assert max(abs(b - a) for a, b in itertools.pairwise(steps)) < 0.1 * max(map(abs, steps))


@pytest.mark.parametrize("seconds", [1, 4, 11, 25])
@pytest.mark.parametrize("name", MOVES)
def test_a_move_that_is_turned_round_turns_at_once(name: str, seconds: int) -> None:
    """Within half a second it goes the other way, and at its whole speed until the third."""
    back = times(MOVES[name], -1)
    _, camera = way(Camera(), MOVES[name], seconds * LATENTS_PER_SECOND)
    path = speeds(way(camera, back, 12)[0], back)
    assert min(path[PER_S // 2 :]) > 0.3 * nominal(back, NOMINAL)


@pytest.mark.parametrize("name", KINDS)
def test_a_move_that_is_stopped_stops(name: str) -> None:
    """A second after the camera is told to stand still, it stands, wherever it was."""
    for seconds in (2, 17):
        _, camera = way(Camera(), MOVES[name], seconds * LATENTS_PER_SECOND)
        poses, _ = way(camera, NOTHING, 12)
        assert poses[-1] == poses[PER_S]


def test_only_the_beginning_of_a_take_is_elsewhere() -> None:
    """A take that begins still begins with the picture, and what comes later begins where the camera was."""
    for move in MOVES.values():
        poses, _ = glide(rested(), move)
        assert poses[0] == REST
    assert way(Camera(), NOTHING, 4)[0][-1] == REST
    assert way(Camera(), MOVES["zoom in"], 1)[0][0] == REST


@pytest.mark.parametrize("view", SHAPES)
def test_a_pull_back_begins_near_and_never_ends_nearer(view: View) -> None:
    """At the beginning of a take from 1.5x to the whole picture; from the whole picture, less far and not back."""
    poses, _ = way(Camera(), MOVES["zoom out"], 40, view)
    assert poses[0].zoom == pytest.approx(math.log(1.5))
    assert outside_share(poses[0], view) == 0
    assert abs(poses[-1].zoom) < 0.006
    poses, _ = way(rested(view), MOVES["zoom out"], 48, view)
    assert poses[-1].zoom == pytest.approx(min(p.zoom for p in poses), abs=1e-3)
    assert poses[-1].zoom < -0.03


def test_a_zoom_in_goes_on_for_ten_seconds_and_is_held() -> None:
    """It comes to more than 1.6x, a quick one to 1.8x in half of the time, and neither has gone back by the twelfth."""
    plain, quick = (way(rested(), times(MOVES["zoom in"], said), 48)[0] for said in SAID[1:])
    assert plain[10 * PER_S].zoom > math.log(1.6)
    assert quick[6 * PER_S].zoom > math.log(1.75)
    for poses in (plain, quick):
        assert max(p.zoom for p in poses) < math.log(2)
        assert poses[-1].zoom == pytest.approx(max(p.zoom for p in poses), abs=0.01)


@pytest.mark.parametrize("said", [1.5, 1.54, 1.6])
def test_a_quick_zoom_in_is_over_in_five_seconds(said: float) -> None:
    """It goes at 3.8 times the nominal speed, is all but there after four seconds, and has ended after six."""
    zooms = [p.zoom for p in way(rested(), times(MOVES["zoom in"], said), 48)[0]]
    speed = zooms[3 * PER_S // 2] - zooms[PER_S // 2]
    assert speed / (3.8 * CAMERA_RATES["zoom_in"]) == pytest.approx(1, abs=0.07)
    assert zooms[4 * PER_S] > max(math.log(1.8), 0.85 * zooms[-1])
    assert zooms[6 * PER_S] > 0.99 * zooms[-1] > math.log(1.8)


def test_a_quick_pull_back_is_over_in_five_seconds() -> None:
    """A take that begins with one has seen the whole picture by then, and hardly any border."""
    poses, _ = way(Camera(), times(MOVES["zoom out"], 1.54), 40)
    assert poses[5 * PER_S].zoom < 0.01
    assert max(outside_share(pose) for pose in poses[::12]) < 0.05


def test_a_move_asked_for_at_the_border_still_goes_its_way() -> None:
    """A pan to the right that is asked for where one just ended goes right, as far as it may."""
    _, camera = way(Camera(), MOVES["pan right"], 48)
    _, camera = way(camera, NOTHING, 4)
    poses, _ = way(camera, MOVES["pan right"], 12)
    assert poses[-1].x > poses[SUBSTEPS * 2].x > poses[0].x
    assert max(outside_share(p) for p in poses[::12]) <= OUTSIDE_LIMIT + 0.03


def test_what_nobody_asked_for_never_leads_out_of_the_picture() -> None:
    """A pan that also sinks a little, or a drift to one side, stays over the picture."""
    moves: list[Move] = [(-1.0, 0.06, 0.0, 0.0), (0.25, 0.1, 0.0, 0.05), (0.0, 0.08, -0.05, 0.0), (0.09, 0.0, 0.12, 0)]
    for move in moves:
        poses, _ = way(Camera(), move, 400)
        assert max(outside_share(p) for p in poses[::97]) <= 0.13


def test_a_gentle_push_comes_closer_and_turns_before_it_is_close() -> None:
    """A zoom too slow to have been asked for goes to 1.3x and back, and its turn is soft."""
    for push, least, most in ((PUSH, 0.125, 0.14), (CALM_PUSH, 0.06, 0.07)):
        zooms = [p.zoom for p in way(Camera(), (0.0, 0.0, hardened(push), 0.0), 480)[0]]
        assert least < zooms[10 * PER_S] < most
        assert 0.2 < max(zooms) < 0.28
        assert min(zooms[30 * PER_S :]) < 0.1
        steps = [(b - a) * PER_S for a, b in itertools.pairwise(zooms)]
        assert max(abs(b - a) for a, b in itertools.pairwise(steps[PER_S:])) < 0.001


def test_coming_closer_begins_and_ends_without_a_corner() -> None:
    """The zoom's own speed never jumps, neither when a pan needs room nor when the view is close enough."""
    zooms = [p.zoom for p in way(rested(), (0.975, 0.0, 0.0, 0.0), 60)[0]]
    rates = [(b - a) * PER_S for a, b in itertools.pairwise(zooms)]
    assert max(rates) > 0.025
    assert max(zooms) < CLOSEST
    assert max(abs(b - a) for a, b in itertools.pairwise([0.0, *rates])) < 0.0012


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
        (*_, here), _ = way(rested(view), move, 12, view)
        (*_, wide), _ = way(rested(), move, 12)
        ways = here.x / view.extent[0], here.y / view.extent[1]
        assert ways == pytest.approx((wide.x / 832, wide.y / 480), abs=2e-3)
        # A pan and a roll zoom in a little where they would show border.
        assert here.zoom == pytest.approx(wide.zoom, abs=0.04)
        assert here.roll == pytest.approx(wide.roll)
