"""Tests of pipeline.pocket.measure: the meter reads what was really done to a picture."""

import math

import cv2
import numpy as np
import pytest

from pipeline.pocket.canvas import Canvas, prepare
from pipeline.pocket.measure import camera_class, fit_similarity, half_way, look, psnr, similarity
from pipeline.pocket.pose import Pose
from pipeline.pocket.seen_picture import view
from pipeline.types import Pixels
from stream.encoder_bench import draw_photo


@pytest.fixture(scope="module")
def canvas() -> Canvas:
    """The canvas of a drawn picture."""
    return prepare(draw_photo(1000, 600), 832, 480)


# Half a second of each move at its nominal speed, as a pose of the view.
MOVES = {
    "pan_left": Pose(x=-12.5),
    "pan_right": Pose(x=12.5),
    "tilt_up": Pose(y=-7.2),
    "tilt_down": Pose(y=7.2),
    "zoom_in": Pose(zoom=0.0275),
    "zoom_out": Pose(zoom=-0.0075),
    "roll_cw": Pose(roll=0.025),
    "roll_ccw": Pose(roll=-0.025),
    "still": Pose(),
}


@pytest.mark.parametrize(("name", "pose"), MOVES.items())
def test_each_move_is_read_at_its_speed(canvas: Canvas, name: str, pose: Pose) -> None:
    """Half a second of a nominal move is named, and read as one nominal unit within 8 %."""
    nominal = similarity(canvas.rest.numpy(), view(canvas, pose)).nominal(0.5)
    assert camera_class(nominal) == name
    assert max(map(abs, nominal)) == pytest.approx(0 if name == "still" else 1, abs=0.08)


def test_camera_words_mean_the_camera(canvas: Canvas) -> None:
    """To pan left and to tilt up carry the picture right and down; clockwise turns the picture clockwise."""
    rest = canvas.rest.numpy()
    assert similarity(rest, view(canvas, MOVES["pan_left"])).right > 10
    assert similarity(rest, view(canvas, MOVES["tilt_up"])).down > 5
    turned = np.asarray(cv2.warpAffine(rest, cv2.getRotationMatrix2D((415.5, 239.5), -2, 1), (832, 480)), np.uint8)
    assert similarity(rest, turned).turn == pytest.approx(math.radians(2), rel=0.1)
    assert similarity(rest, view(canvas, MOVES["roll_cw"])).turn > 0


def test_a_part_that_moves_by_itself_is_not_the_camera() -> None:
    """A quarter of the frame that runs off does not pull the fit along."""
    field = np.zeros((120, 208, 2), np.float32)
    field[..., 0] = 1.5
    field[30:90, 50:150] = (-8, 5)
    fitted = fit_similarity(field, np.ones((120, 208), np.float32), scale=4)
    assert fitted.right == pytest.approx(6, abs=0.3)
    assert abs(fitted.down) < 0.3
    assert abs(fitted.growth) < 0.005


@pytest.mark.parametrize(
    ("nominal", "name"),
    [
        ((-0.48, 0.0, 0.4, 0.0), "pan_left"),
        ((0.0, 0.0, 0.4, 0.48), "roll_cw"),
        ((0.0, 0.0, -0.9, 0.0), "zoom_out"),
        ((0.15, 0.15, 0.0, 0.0), "drift"),
        ((0.06, -0.03, 0.13, 0.0), "drift"),
        ((0.02, 0.03, 0.03, 0.02), "still"),
        ((0.0, 0.0, 0.05, 0.0), "still"),
    ],
)
def test_the_move_that_is_seen_most_is_the_move(nominal: tuple[float, ...], name: str) -> None:
    """A slow move keeps its name beside the zoom that makes room for it; what is slower is a drift."""
    assert camera_class(nominal) == name


def test_half_of_a_goal_below_zero_is_reached_from_above() -> None:
    """The sign of the goal is the sign that counts; a goal never reached gives None."""
    assert half_way([0.9, 0.1, -0.4, -0.6], -1) == 3
    assert half_way([0.9, 0.1], -1) is None


def test_psnr_is_that_of_the_error() -> None:
    """An error of one level everywhere is 48.13 dB; equal pictures are infinitely alike."""
    one = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(one, one + 1) == pytest.approx(48.13, abs=0.01)
    assert psnr(one, one) == math.inf


def changed(frame: Pixels, what: str) -> Pixels:
    """A frame with one property changed."""
    if what == "luma":
        return np.clip(frame.astype(int) + 10, 0, 255).astype(np.uint8)
    if what == "sharpness":
        return np.asarray(cv2.GaussianBlur(frame, (0, 0), 1.0), np.uint8)
    grey = frame.mean(-1, keepdims=True)
    return np.clip(grey + 0.8 * (frame - grey), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("what", ["luma", "saturation", "sharpness"])
def test_a_look_shows_what_has_drifted(canvas: Canvas, what: str) -> None:
    """A change of one property moves that ratio more than any other, and equal frames are 1."""
    rest = canvas.rest.numpy()
    ratio = look(changed(rest, what)).against(look(rest))
    names = ("luma", "contrast", "saturation", "sharpness")
    moved = {name: abs(value - 1) for name, value in zip(names, ratio.values(), strict=True)}
    assert max(moved, key=lambda name: moved[name]) == what
    assert moved[what] > 0.05
    assert look(rest).against(look(rest)).values() == (1, 1, 1, 1)
