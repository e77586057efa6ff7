"""Tests of the judge of motion: what correlates, what is strong, what is near a spectrum."""

import numpy as np
import pytest

from pipeline.pocket import motion
from pipeline.pocket.canvas import prepare
from pipeline.pocket.labels import label
from pipeline.pocket.pose import Pose
from pipeline.pocket.takes import FPS, Take
from tests.pocket_parts import picture


def _wave(phase: float, size: float = 10.0, frames: int = 24) -> motion.Course:
    """A wave that travels over forty places."""
    t, x = np.mgrid[0:frames, 0:40]
    along = size * np.cos(2 * np.pi * (t / 8 - x / 10) + phase)
    return np.asarray(np.stack([along, 0 * along], axis=1), np.float32)


def test_the_judge_was_fixed_before_training() -> None:
    """The bars and what they are tried on stay as they were first committed, and every picture shows its layer."""
    assert motion.bars() == motion.Bars(0.6, 0.35, 0.5, 3.0)
    assert len(motion.plan()) == 13
    layers = {"sway": "foliage", "ripple": "water", "breathe": "subject", "clouds": "sky"}
    assert all(layers[name] in label(name_of).judged for name, name_of in motion.plan() if name in layers)


def test_the_same_motion_correlates_and_another_does_not() -> None:
    """A shift of a quarter wave is another motion; size and a constant wind play no part."""
    one = _wave(0.0)
    assert motion.correlation(one, 3 * one + 5) == pytest.approx(1.0, abs=1e-5)
    assert abs(motion.correlation(one, _wave(np.pi / 2))) < 0.05
    assert motion.correlation(one, 0 * one) == 0.0


def test_strength_is_speed_and_modes_count_patterns() -> None:
    """The root mean square; one pattern for what swings in one piece, two for what travels."""
    assert motion.strength(_wave(0.0)) == pytest.approx(10 / np.sqrt(2), rel=0.01)
    standing = _wave(0.0) + _wave(0.0)[:, :, ::-1]
    assert motion.modes(standing) < 1.2
    assert 1.9 < motion.modes(_wave(0.0)) < 2.1


def test_half_the_size_is_six_decibels_where_it_moves() -> None:
    """Spectra are held against each other by bands; equal ones are 0 dB apart, and nothing against nothing is too."""
    noise = np.random.default_rng(0).standard_normal((24, 2, 40)).astype(np.float32) * 50
    whole, half, nothing = (motion.spectrum([part * noise]) for part in (1, 0.5, 0))
    assert motion.distance(whole, whole) == motion.distance(nothing, nothing) == 0
    assert motion.distance(half, whole) == pytest.approx(6.02, abs=0.05)


def test_the_cameras_way_is_read_from_poses() -> None:
    """A pan of 32 px a second is a course of 32 px a second."""
    take = Take(prepare(picture(), 832, 480), poses=[Pose(x=32 * n / FPS) for n in range(9 * FPS)])
    assert np.allclose(motion.course(take, None)[:, 0], 32)
    assert np.allclose(motion.course(take, None)[:, 1:], 0)


def test_verdicts_name_the_bar_that_is_missed() -> None:
    """Seeds that move alike miss the first bar; a noise whose absence costs nothing misses the third."""
    met = {"correlation": 0.1, "spread": 0.1, "strength": 20.0, "silent_strength": 1.0, "db": 1.0, "silent_db": 2.0}
    assert all(motion.verdicts([met]).values())
    assert not motion.verdicts([met | {"correlation": 0.9}])["differs by seed"]
    assert not motion.verdicts([met | {"silent_strength": 19.0}])["the noise moves it"]
    for shipped, more, earns in ((1, 9.0, True), (2, 1.5, False), (2, 0.5, True)):
        assert motion.steps_earn_their_cost([{"one_db": 1.0, "more_db": more, "shipped": shipped}]) is earns
