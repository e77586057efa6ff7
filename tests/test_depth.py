"""Tests of depth: how near things are held to be, and how a camera moves them; with no weights."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from pipeline.causal import CausalPipeline
from pipeline.pocket.canvas import Canvas, prepare
from pipeline.pocket.decoder import nodes
from pipeline.pocket.depth import CELLS, STEEPEST, STEP, Depth, sureness, with_depth
from pipeline.pocket.fade import Fade, fade_from
from pipeline.pocket.judge_depth import Still
from pipeline.pocket.latents import CHANNELS, GRID
from pipeline.pocket.layers import with_layers
from pipeline.pocket.layers_network import LayersNetwork
from pipeline.pocket.looking import Finder
from pipeline.pocket.parallax import seen
from pipeline.pocket.pose import REST, Pose
from pipeline.pocket.reach import everything
from pipeline.pocket.sampling import Place
from pipeline.pocket.view import NOMINAL, View
from tests.pocket_parts import canvas_of, decoder_of, ids, network
from tests.pocket_parts import made_once as made_once
from tests.test_layers import DARK, scene

PAN, DOLLY = Pose(x=120.0, y=-30.0), Pose(zoom=0.4)


@cache
def flat() -> Canvas:
    image, shares = scene()
    return with_layers(canvas_of(image, 832, 480), shares)


@cache
def deep() -> Canvas:
    """A cat close by, on a plain under a sky."""
    shares = scene()[1]
    rows = torch.linspace(-0.4, 0.6, shares.shape[2]).clamp(min=0)[:, None] + 0.1
    near = torch.lerp(rows * (1 - shares[:, 1:2]), torch.tensor(0.9), shares[:, 4:])
    return with_depth(flat(), shares, 1.0, near)


def depth() -> Depth:
    found = deep().depth
    assert found is not None
    return found


def of_subject() -> float:
    own = depth().subject
    assert own is not None
    return own


def frame(canvas: Canvas, pose: Pose) -> np.ndarray:
    return decoder_of(view=NOMINAL)._frame(torch.zeros(CHANNELS, *GRID), pose, canvas, 0.0, everything()).numpy()


def places(pose: Pose, given: Depth) -> tuple[Place, Place, Place | None]:
    x, y = nodes(NOMINAL)
    (a, b, c), (d, e, f) = pose.affine()
    plain = Place(a * x + b * y + c, d * x + e * y + f, NOMINAL)
    return plain, *seen(plain, pose, given)


def test_the_sky_is_farthest_and_the_ground_comes_nearer() -> None:
    """Over the plain the sky is far, from the horizon down it is nearer row by row, and a subject stands out."""
    near = depth().near[0]
    assert float(near[2, 102:].max()) == pytest.approx(float(near.min()))
    below = near[44:-2, 103]
    assert bool((below[1:] > below[:-1]).all())
    assert of_subject() > float(near[30, 60])


def test_who_is_hardly_nearer_is_of_one_nearness() -> None:
    """By rule the cat is as near as its foot: all of it, and not by itself, which would take time."""
    shares = scene()[1]
    found = with_depth(flat(), shares, 1.0).depth
    assert found is not None
    assert found.subject is None
    cat = found.near[0][torch.nn.functional.adaptive_avg_pool2d(shares[:, 4:], CELLS)[0, 0] > 0.9]
    assert len(cat) > 20
    assert float(cat.max() - cat.min()) < 0.01


def test_nothing_is_steep() -> None:
    """Beside an edge nearness changes so slowly that nothing folds at the farthest travel; a subject leaves a strip."""
    near = depth().near[0]
    for axis, side in ((0, 480), (1, 832)):
        assert float(near.diff(dim=axis).abs().max()) <= 1.6 * STEEPEST * side / CELLS[axis] + 1e-5
    around = near[24:48, 70:82]
    assert float((of_subject() - around).max()) < 2 * STEP


def test_at_home_the_picture_is_the_picture() -> None:
    """At rest not a bit is changed, and a roll at home turns everything as one."""
    assert np.array_equal(frame(deep(), REST), deep().rest.numpy())
    assert np.array_equal(frame(deep(), Pose(roll=0.1)), frame(flat(), Pose(roll=0.1)))


@pytest.mark.parametrize("pose", [PAN, DOLLY], ids=["pan", "dolly"])
def test_no_depth_is_the_flat_picture(pose: Pose) -> None:
    """With none asked for, or the same nearness everywhere, the frames are those of a plane, but for rounding."""
    assert with_depth(flat(), scene()[1], 0.0) is flat()
    even = replace(flat(), depth=Depth(torch.zeros(1, *CELLS), None))
    plane = frame(flat(), pose).astype(int)
    assert np.abs(frame(even, pose) - plane).max() <= 1
    assert np.abs(frame(deep(), pose) - plane).max() > 20


def test_a_pan_moves_the_sky_least_and_goes_at_its_speed() -> None:
    """Of a pan's way the sky goes the least, the subject more; what has texture goes what was asked on the mean."""
    plain, around, ahead = places(PAN, depth())
    assert ahead is not None
    way = around.x - plain.x
    assert float(way[2, 100]) == pytest.approx(float(way.min()), abs=1e-3)
    assert float((ahead.x - plain.x).max()) > float(way[2, 100]) + 10
    assert abs(float(way[31:].mean())) < 0.07 * PAN.x


def test_a_dolly_grows_what_is_near() -> None:
    """Near rows of a zoom show less of the picture, far ones more, than the zoom of a plane."""
    plain, around, _ = places(DOLLY, depth())
    seen_of, was = around.x[:, -1] - around.x[:, 0], plain.x[:, -1] - plain.x[:, 0]
    assert float(seen_of[-1]) < float(was[-1])
    assert float(seen_of[2]) > float(was[2])


@pytest.mark.parametrize("side", [-1, 1])
def test_a_pan_to_the_side_shows_hardly_more_than_a_flat_one(side: int) -> None:
    """Near things at the side go ahead of a pan, but the zoom that made room for it enlarges them as much."""
    close = torch.zeros(1, 1, *CELLS)
    close[..., :10] = close[..., -10:] = 0.9
    found = with_depth(flat(), scene()[1], 1.0, close).depth
    assert found is not None
    assert float(found.near.max()) > 0.15
    plain, around, _ = places(Pose(x=side * 66.0, zoom=0.18), found)
    assert float((side * plain.x).max()) < 416
    assert float((side * around.x).max()) < 416 + 5


@pytest.mark.parametrize("pose", [PAN, DOLLY, Pose(x=-280.0, zoom=0.6), Pose(y=90.0, roll=0.3)])
def test_nothing_folds(pose: Pose) -> None:
    """Places keep their order along every row and column, wherever a camera gets."""
    _, around, _ = places(replace(pose, roll=0.0), depth())
    assert float(around.x.diff(dim=1).min()) > 0
    assert float(around.y.diff(dim=0).min()) > 0


@pytest.mark.parametrize("x", [0.0, 150.0, 400.0])
@pytest.mark.parametrize("zoom", [-0.2, 0.0, 0.4, 1.5])
def test_lengths_are_kept_within_two_by_construction(x: float, zoom: float) -> None:
    """Of nearness as steep as any may be, both ways, nothing is made more than about twice or half as long."""
    steps = STEEPEST * 832 / CELLS[1] * (52 - (torch.arange(104) - 52).abs())
    ridge = replace(flat(), depth=Depth((steps - steps.mean()).expand(1, *CELLS), None))
    made = Still().lengths(ridge, Pose(x=x, zoom=zoom))
    growth = math.exp(abs(zoom) * float(steps.max()) / 2)
    assert 0.48 / growth < float(made.min()) <= float(made.max()) < 2.1 * growth


def test_the_network_may_say_how_near_things_are() -> None:
    """What it says takes the place of the rule; a sky stays farthest, a subject as near as its foot."""
    shares = scene()[1]
    learned = torch.linspace(0.8, 0.2, 60).view(1, 1, 60, 1).expand(1, 1, *CELLS)
    found = with_depth(flat(), shares, 1.0, learned).depth
    assert found is not None
    below = found.near[0, 34:-2, 95]
    assert bool((below[1:] < below[:-1]).all())
    assert float(found.near[0, 2, 90:].max()) == pytest.approx(float(found.near.min()))


def test_a_picture_without_layers_or_ground_is_flat() -> None:
    """Where nobody has looked for layers, and where there is sky alone, nothing is nearer than the rest."""
    image, shares = scene()
    bare = canvas_of(image, 832, 480)
    assert with_depth(bare, shares, 1.0) is bare
    sky = torch.zeros_like(shares)
    sky[:, 1] = 1
    air = with_layers(prepare(np.full_like(image, (150, 190, 235)), 832, 480), sky)
    assert with_depth(air, sky, 1.0).depth is None
    assert np.abs(frame(bare, PAN).astype(int) - bare.rest.numpy()).max() > 10


def test_a_subject_that_is_not_sure_stays_where_it_is() -> None:
    """An outline that the network itself doubts cuts nothing."""
    doubted = scene()[1].clone()
    doubted[:, 4] *= 0.6
    found = with_depth(flat(), doubted, 1.0).depth
    assert found is not None
    assert found.subject is None
    assert sureness(doubted[:, 4]) == 0


def test_the_subject_uncovers_no_ghost_of_itself() -> None:
    """Where the cat of the picture was and no longer is, there is plain, in the plain's colour."""
    rows, columns = slice(270, 330), slice(0, 832)
    seen_now = frame(deep(), Pose(x=80.0))[rows, columns].astype(int)
    cat = (seen_now[..., 0] > 190) & (seen_now[..., 2] < 110)
    first, last = cat.argmax(1), 831 - cat[:, ::-1].argmax(1)
    assert int(first.max() - first.min()) <= 6
    assert int((last - first).max()) <= 112


def test_a_fade_keeps_the_depth_of_the_picture_that_is_seen_more() -> None:
    """In the midst of one fade another begins: depth and layers are of one picture."""
    running = Fade(flat(), 0, 4.0)
    assert fade_from(deep(), running, 3, 1.0).before.depth is deep().depth
    assert fade_from(deep(), running, 1, 1.0).before.depth is None


@pytest.mark.usefixtures("made_once")
def test_a_stream_with_depth_goes_on_as_if_it_had_not_been_cut() -> None:
    """Going back and making again, and restoring elsewhere, give the same frames."""
    torch.manual_seed(1)
    finder = Finder(LayersNetwork())

    def made() -> CausalPipeline:
        view = View(208, 120)
        return CausalPipeline(
            network(), ids, steps=1, latents_per_chunk=1, max_streams=2, finder=finder, views=(view,), parallax=1.0
        )

    one, other = made(), made()
    state = one.open(DARK)
    state.canvas = replace(state.canvas, depth=Depth(depth().near, None))
    first = [one.generate_chunk(state, DARK).frames.copy() for _ in range(3)]
    one.truncate(state, 2)
    assert np.array_equal(one.generate_chunk(state, DARK).frames, first[2])
    saved = one.save(state)
    after = other.open(DARK)
    after.canvas = replace(after.canvas, depth=state.canvas.depth)
    other.restore(after, saved)
    chunks = [p.generate_chunk(s, DARK).frames for p, s in ((one, state), (other, after))]
    assert np.array_equal(chunks[0], chunks[1])
