import itertools
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from pipeline.pocket import endless
from pipeline.pocket.canvas import prepare
from pipeline.pocket.latents import CHANNELS, FLOW, GRID
from pipeline.pocket.pose import Pose
from pipeline.pocket.sparse import strength
from pipeline.pocket.takes import FPS, Take, TruthPlayer, script

FINE = {"soon": None, "late": [0.0] * 4, "speed": {}, "jump": 1.0, "block_jump": 1.0, "hitch_px": 0.1, "pulse": 0.0}


def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 220, (15, 26, 3)).astype(np.uint8)
    return cv2.resize(coarse, (832, 480), interpolation=cv2.INTER_CUBIC)


def test_a_pan_of_the_truth_meets_every_bar_but_those_of_settling() -> None:
    """Windows at the begin and the end are found and read; what is played in closed form neither drifts nor jumps."""
    told = endless.judge(TruthPlayer(), picture(), "pan", 8.0)
    assert told["soon"] is None
    assert max(map(abs, told["late"])) < 0.01
    # The governor stretches what the network's dead zone leaves; the truth has none.
    assert told["speed"]["camera"][0] == pytest.approx(1 / 0.975, abs=0.02)
    assert 0 < told["hitch_px"] < 1
    met = endless.verdicts(told)
    assert all(met[bar] for bar in ("late", "speed late", "jump", "hitch_px", "pulse"))


def test_a_fade_of_the_picture_is_a_change_of_looks() -> None:
    """Frames darker at the end than the picture from the same pose miss the bar of looks, and that of edges."""
    canvas = prepare(picture(), 832, 480)
    wanted = endless.scripted("still", 8.0)
    bright = canvas.rest.numpy()
    frames = {f: bright if f < 96 else (bright * 0.9).astype(np.uint8) for f in wanted.frames}
    poses = [Pose()] * 8 * FPS
    told = endless.read(Take(canvas, frames, poses=poses, strengths=[[0.0] * 5] * 32), 8.0)
    assert told["late"][0] == pytest.approx(-0.1, abs=0.01)
    assert [bar for bar, met in endless.verdicts(told).items() if not met] == ["late", "sharp"]


def test_what_wavers_by_chance_is_no_change_of_looks() -> None:
    """Frames that are brighter and darker by chance, as under showers, on the mean as much at the end, change nothing.

    Windows of two seconds alone, within which chance hardly changes, would tell of 5 %.
    """
    canvas = prepare(picture(), 832, 480)
    wanted = endless.scripted("still", 240.0)
    bright, levels = canvas.rest.numpy() // 2 + 60, np.random.default_rng(0).choice([0.95, 1.05], 240 // 2)
    frames = {f: (bright * levels[f // (2 * FPS)]).astype(np.uint8) for f in wanted.frames}
    canvas = replace(canvas, texture=prepare(bright, 832, 480).texture)
    told = endless.read(Take(canvas, frames, poses=[Pose()] * 240 * FPS, strengths=[[0.0] * 5] * 960), 240.0)
    assert abs(told["late"][0]) < 0.03
    first, *_, last = endless.starts(240.0)
    assert abs(levels[int(last / 2)] / levels[int(first / 2)] - 1) > 0.05


def test_what_is_not_the_picture_any_more_is_not_like_it() -> None:
    """A still take that is blurred at its end keeps its looks and loses its likeness; of a swing nobody asks it."""
    canvas = prepare(picture(), 832, 480)
    wanted = endless.scripted("still", 8.0)
    rest = (canvas.rest.numpy() // 2 + np.random.default_rng(0).integers(0, 60, (480, 832, 1))).astype(np.uint8)
    canvas = replace(canvas, texture=prepare(rest, 832, 480).texture)
    blurred = np.asarray(cv2.GaussianBlur(rest, (0, 0), 1.5), np.uint8)
    frames = {f: rest if f < 96 else blurred for f in wanted.frames}
    told = [
        endless.read(Take(canvas, frames, poses=[Pose()] * 8 * FPS, strengths=[[0.0, swing, 0.0, 0.0, 0.0]] * 32), 8.0)
        for swing in (0.0, 0.5)
    ]
    assert told[0]["like"] < endless.LIKE
    assert not endless.verdicts(told[0])["like"]
    assert "like" not in told[1]


def test_a_cut_within_a_block_shows_though_the_frame_hardly_changes() -> None:
    """A small patch that jumps once is a jump of its block."""
    rng = np.random.default_rng(1)
    frames = [np.zeros((120, 208), np.float32) + n for n in range(12)]
    frames[7] = frames[7].copy()
    frames[7][30:45, 45:60] += rng.uniform(20, 40)
    assert endless.jump(frames) < 2 < endless.BARS["block_jump"] < endless.block_jump(frames)


def test_a_turn_is_no_jump_and_a_cut_within_it_is_one() -> None:
    """A way that slows to rest and begins anew differs by little and by much; one step that is left out is seen."""
    ways = np.linspace(-3, 3, 32) ** 3
    frames = [np.full((30, 30), way, np.float32) for way in ways]
    assert endless.jump(frames) < 1.5
    assert endless.jump(frames[:22] + frames[25:]) > 2


def test_a_hitch_is_found_in_every_way_that_a_camera_goes() -> None:
    """One step of a pan, a zoom or a roll that is left out moves a corner at once; steady ways have none."""
    for one in (Pose(x=4.0), Pose(y=-4.0), Pose(zoom=0.01), Pose(roll=0.01)):
        steady = [Pose(n * one.x, n * one.y, n * one.zoom, n * one.roll) for n in range(20)]
        assert endless.hitch(steady) < 0.1
        assert endless.hitch(steady[:9] + steady[10:]) > 3


def test_a_slow_loss_of_strength_shows_and_chance_alone_does_not() -> None:
    """A flow that loses a tenth in the hour misses its bar; one that wavers about its mean by a fifth does not."""
    rng = np.random.default_rng(2)
    hour = np.arange(14400)
    waver = 1 + 0.2 * np.repeat(rng.standard_normal(360), 40)
    fading = 1 - 0.1 * hour / len(hour)
    for series, met in ((waver, True), (fading, False)):
        rows = np.zeros((len(hour), 5))
        rows[:, 2] = series
        told = endless.paces(rows.tolist())
        assert list(told) == ["flow"]
        assert endless.verdicts(FINE | {"outside": [0, 0, 0], "speed": told})["speed late"] is met


def test_a_strength_is_what_the_decoder_shows() -> None:
    """A flow counts as much as it is, and what is within the dead zone as nothing."""
    latent = torch.zeros(CHANNELS, *GRID)
    latent[FLOW.start] = 0.55
    latent[0] = 0.02
    assert strength(latent) == pytest.approx([0.0, 0.0, 0.5 / math.sqrt(2), 0.0, 0.0])


def test_windows_lie_apart_within_the_hour() -> None:
    """Each is two seconds of its own; the script renders just these, and those by which the look is told."""
    for seconds in (16.0, 40.0, 600.0, 3600.0):
        starts = endless.starts(seconds)
        assert all(b - a >= endless.WINDOW_S for a, b in itertools.pairwise(starts))
        frames = endless.scripted("pan", seconds).frames
        windows = {round(start * FPS) + n for start in starts for n in range(round(endless.WINDOW_S * FPS))}
        assert frames == windows.union(*endless.looked_at(seconds))
        assert max(frames) < script(*[(0.0, endless.WISHES["pan"])], seconds=seconds).latents * 4
