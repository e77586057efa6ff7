"""The measuring of a camera's move in received frames."""

import av
import numpy as np
import pytest

from stream.camera_bench import Camera, Moved, half_speed
from stream.client_director import ReceivedFrame
from stream.encoder_bench import draw_photo

WIDTH, HEIGHT, STEP_TICKS = 416, 240, 5625
PHOTO = draw_photo(2 * WIDTH, HEIGHT)


def received(number: int, left: int) -> ReceivedFrame:
    """A frame that shows the photo from this column on."""
    shown = np.ascontiguousarray(PHOTO[:, left : left + WIDTH])
    picture = av.VideoFrame.from_ndarray(shown, format="rgb24").reformat(format="yuv420p")
    return ReceivedFrame(picture, number * STEP_TICKS, number / 16, number / 16)


@pytest.mark.parametrize("pixels", [-3, -1, 0, 1, 2, 5])
def test_speed_is_what_the_picture_moved(pixels: int) -> None:
    """A pan of so many pixels a frame is read as so many, sixteen times a second."""
    camera = Camera()
    for number in range(4):
        camera.note(received(number, 100 + pixels * number))
    assert [move.speed for move in camera.moves()] == pytest.approx([16 * pixels] * 3, abs=3)


def test_left_out_frame_is_no_faster_camera() -> None:
    """Over a slot that showed no frame of its own the picture moves twice as far, at the same speed."""
    camera = Camera()
    for number in (0, 1, 3):
        camera.note(received(number, 100 + 4 * number))
    assert [move.speed for move in camera.moves()] == pytest.approx([64, 64], abs=3)


def test_half_speed_counts_in_the_new_direction() -> None:
    """While the old move goes on, however fast, nothing is reached; a move that never comes is not seen."""
    old = [Moved(0.1 * number, -50) for number in range(8)]
    new = [Moved(0.8 + 0.1 * number, min(40.0, 10.0 * number)) for number in range(20)]
    assert half_speed([*old, *new], sent=0.35) == pytest.approx(0.65)
    assert half_speed(old, sent=0.35) is None
    assert half_speed([*old, *(Moved(1 + 0.1 * number, 0) for number in range(20))], sent=0.35) is None
