"""Tests of the judge of where things act: labels, prior, the probe, correlation and ghosts."""

import numpy as np
import pytest
import torch

from pipeline.pocket import where
from pipeline.pocket.canvas import prepare
from pipeline.pocket.labels import LAYERS, bars, drawing, label, labelled, prior, wishes
from pipeline.pocket.takes import FPS, Script, Take, probe
from pipeline.pocket.view import HEIGHT, WIDTH
from tests.pocket_parts import picture


def _disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return (np.hypot(columns - x, rows - y) < radius).astype(np.float32)


def test_the_judge_was_fixed_before_training() -> None:
    """The bars, the wishes and what they are tried on stay as they were first committed."""
    assert (bars().correlation, bars().lead, bars().ghost) == (0.85, 0.15, 1.0)
    assert {wish.where for wish in wishes().values()} == {*LAYERS, "background"}
    assert len(labelled()) == 35
    assert len(where.plan()) == 72
    assert ("golden", "014") in where.plan()


def test_a_place_is_one_thing() -> None:
    """The labels of a picture never claim more than all of a place, and what is judged is there."""
    for name in labelled():
        masks = label(name).masks
        assert masks.shape == (4, HEIGHT, WIDTH)
        assert masks.sum(0).max() < 1.01
        assert all(label(name).layer(layer).mean() > 0.02 for layer in label(name).judged)


def test_a_drawn_scene_is_the_same_for_ever() -> None:
    """The pictures that a program draws for the judge do not depend on what was drawn before."""
    assert np.array_equal(drawing("drawn-3"), drawing("drawn-3"))
    assert not np.array_equal(drawing("drawn-3"), drawing("drawn-4"))


def test_the_prior_does_not_know_the_picture() -> None:
    """It is the mean of the others: what is only in this picture is not in it."""
    count = sum("subject" in label(name).judged for name in labelled())
    one, other = ((count - 1) * prior(n, "subject") + label(n).layer("subject") for n in ("028", "000"))
    np.testing.assert_allclose(one, other, atol=1e-4)
    guess = prior("028", "subject")
    assert 0.1 < guess.mean() < 0.5
    assert where.correlation(guess, label("028").layer("subject")) < 0.7
    assert where.correlation(prior("016", "sky"), label("016").layer("sky")) > 0.8


def test_correlation_is_of_place_alone() -> None:
    """Twice as much motion in the right place is as right; elsewhere it is wrong; none at all is nothing."""
    here, there = _disc(200, 200, 80), _disc(600, 300, 80)
    assert where.correlation(3 * here, here) == pytest.approx(1)
    assert where.correlation(there, here) < 0
    assert where.correlation(0 * here, here) == 0


class Painting:
    """A player whose probe changes by so many grey levels where each seed says."""

    steps = 1

    def __init__(self, *changes: np.ndarray) -> None:
        self._changes, self.seeds, self.labels = changes, list[int](), ""

    def play(self, image: np.ndarray, script: Script) -> Take:
        self.seeds.append(script.seed)
        self.labels = script.labels
        change = self._changes[script.seed % len(self._changes)]
        moved = np.repeat(change.astype(np.uint8)[..., None], 3, axis=2)
        frames = dict.fromkeys(sorted(script.frames), image)
        assert min(frames) / FPS >= 1.5
        return Take(prepare(image, WIDTH, HEIGHT), frames, [np.zeros_like(moved), moved])


def test_where_is_not_how_much() -> None:
    """Fog in banks over all that it is meant for is where it was meant; what it does elsewhere, if faintly, is not."""
    image, wanted = np.zeros((HEIGHT, WIDTH, 3), np.uint8), label("028").layer("background")
    banks = 30 + 60 * (np.arange(WIDTH) // 104 % 2)
    meant, spilt = (
        where.judge(Painting(change), image, "haze", "028") for change in (banks * wanted, banks + 0 * wanted)
    )
    assert meant["correlation"] > 0.97 > meant["strength"] + 0.1
    assert abs(spilt["correlation"]) < 0.1
    leak = where.judge(Painting(banks * wanted + 4 * (1 - wanted)), image, "haze", "028")
    assert leak["correlation"] < meant["correlation"] - 0.01


def test_a_motion_is_looked_at_under_several_seeds() -> None:
    """Each seed moves a third of the leaves: together they are where leaves are; light is looked at once, and later."""
    image, wanted = np.zeros((HEIGHT, WIDTH, 3), np.uint8), label("006").layer("foliage")
    thirds = [wanted * 40 * (np.arange(WIDTH) * 3 // WIDTH == third) for third in range(3)]
    one, all_three = Painting(thirds[0]), Painting(*thirds)
    assert where.judge(all_three, image, "sway", "006")["correlation"] > 0.97
    assert where.judge(one, image, "sway", "006")["correlation"] < 0.7
    assert len(set(all_three.seeds)) == len(all_three.seeds) == 3
    where.judge(light := Painting(wanted), image, "dusk", "006")
    assert len(light.seeds) == 1
    assert light.labels == ""
    where.judge(light, image, "dusk", "006", is_told=True)
    assert light.labels == "006"


def test_noise_shows_what_a_plain_picture_hides() -> None:
    """The probe keeps the canvas's sky, and everything in it differs from its neighbours."""
    canvas = prepare(np.full((480, 832, 3), 90, np.uint8), 832, 480)
    noise = probe(canvas)
    assert torch.equal(noise.sky, canvas.sky)
    assert noise.texture.shape == canvas.texture.shape
    moved = np.roll(noise.rest.numpy(), 4, axis=1)
    change = where.amplitude([noise.rest.numpy(), moved])
    assert change[:, 8:].reshape(30, 16, -1).mean((1, 2)).min() > 10
    assert where.amplitude([noise.rest.numpy(), noise.rest.numpy()]).max() == 0


def test_a_ghost_is_change_on_edges_that_must_stay() -> None:
    """What moves inside its label is no ghost; a post beside it that fades is one, by as much as it fades."""
    image = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    image[:, 150:160] = image[:, 500:510] = 20
    moving = np.zeros((HEIGHT, WIDTH), np.float32)
    moving[:, :400] = 1
    canvas = prepare(image, WIDTH, HEIGHT)
    inside, faded = image.copy(), image.copy()
    inside[100:200, 100:200] = 90
    faded[:, 490:520] += 10
    assert where.ghost(Take(canvas, {0: inside}), moving) == 0
    assert where.ghost(Take(canvas, {0: faded}), moving) == pytest.approx(10)
    assert where.ghost(Take(prepare(picture(), WIDTH, HEIGHT), {0: inside}), np.ones_like(moving)) == 0
