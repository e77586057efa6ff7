from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from pipeline.geometry import cover_crop
from pipeline.pocket.canvas import MARGIN, SCALE, Canvas, prepare, with_sky
from pipeline.pocket.view import View
from tests.pocket_parts import picture

# A quarter of the frame.
VIEW = View(416, 240)
ABOVE, BESIDE = (SCALE * room for room in VIEW.room)


@pytest.mark.parametrize(("height", "width"), [(240, 416), (480, 832), (300, 300), (1100, 900), (90, 1000)])
def test_the_view_at_rest_is_the_picture_scaled_and_cropped(height: int, width: int) -> None:
    """Averaging the canvas two by two gives the frame's own picture exactly, whatever its shape."""
    image = picture(height=height, width=width)
    canvas = prepare(image, VIEW.width, VIEW.height)
    left, top, right, bottom = cover_crop(width, height, (VIEW.width, VIEW.height))
    box = (left, top, width - right, height - bottom)
    wanted = np.asarray(Image.fromarray(image).resize((VIEW.width, VIEW.height), Image.Resampling.LANCZOS, box=box))
    assert np.array_equal(canvas.rest.numpy(), wanted)
    core = canvas.texture[..., ABOVE:-ABOVE, BESIDE:-BESIDE]
    torch.testing.assert_close(F.avg_pool2d(core, SCALE)[0].permute(1, 2, 0), canvas.rest.float(), atol=1e-3, rtol=0)


def test_what_the_crop_left_over_stands_around_the_view() -> None:
    """A tall picture's own top and bottom are there to tilt to, not an invention."""
    image = np.zeros((1200, 832, 3), np.uint8)
    image[:200, :, 0], image[200:360, :, 1] = 200, 180
    canvas = prepare(image, VIEW.width, VIEW.height)
    assert canvas.texture[0, 0, :ABOVE].abs().max() < 60
    green = canvas.texture[0, 1, 10 : ABOVE - 10, BESIDE + 10 : -BESIDE - 10]
    assert green.min() > 170


def test_beyond_the_picture_detail_and_colour_go_on() -> None:
    """Far outside, fine stripes are stripes of the same strength and mean."""
    image = np.zeros((480, 832, 3), np.uint8)
    image[:, ::16] = image[:, 1::16] = image[:, 2::16] = image[:, 3::16] = 200
    canvas = prepare(image, VIEW.width, VIEW.height)
    far = canvas.texture[0, 0, ABOVE:-ABOVE, :48]
    near = canvas.texture[0, 0, ABOVE:-ABOVE, BESIDE : BESIDE + 48]
    assert 0.7 * near.std() < far.std() < 1.1 * near.std()
    assert abs(far.mean() - 50) < 10


def _tower() -> tuple[np.ndarray, torch.Tensor]:
    """A bright sky above dark ground with a thin dark mast, and a coarse guess of the sky."""
    image = np.full((480, 832, 3), (150, 190, 235), np.uint8)
    image[300:] = 60
    image[100:300, 400:406] = 30
    guess = torch.zeros(1, 1, 32, 56)
    guess[:, :, :20] = 1
    return image, guess


@cache
def _of_tower() -> Canvas:
    return prepare(_tower()[0], 832, 480)


@cache
def _with_its_sky() -> Canvas:
    return with_sky(_of_tower(), _tower()[1])


def test_the_plate_holds_sky_where_a_mast_stands() -> None:
    """What stands before the sky is out of the plate and out of the sky's mask, however thin it is."""
    canvas = _with_its_sky()
    x, y = MARGIN[1] + 2 * 403, MARGIN[0] + 2 * 200
    assert canvas.sky[0, 0, y // 4, x // 4] < 0.05
    assert canvas.sky[0, 0, y // 4, x // 4 - 40] > 0.95
    assert canvas.plate[0, 2, y, x] > 200
    assert canvas.texture[0, 2, y, x] < 40


def test_a_white_railing_is_none_of_a_plain_sky() -> None:
    """It stays when clouds drift: what is thin and brighter than a sky without clouds stands before it."""
    image, guess = _tower()
    image[60:64, 100:300] = 255
    canvas = with_sky(prepare(image, 832, 480), guess, trusted=True)
    x, y = MARGIN[1] + 2 * 200, MARGIN[0] + 2 * 62
    assert canvas.sky[0, 0, y // 4, x // 4] < 0.1
    assert canvas.sky[0, 0, y // 4 - 15, x // 4] > 0.9
    assert canvas.texture[0, 0, y, x] > 240
    assert canvas.plate[0, 0, y, x] < 235


def test_a_picture_without_sky_keeps_its_canvas() -> None:
    """Where hardly anything is sky, all of the picture may flow, as it is."""
    canvas = _of_tower()
    assert with_sky(canvas, _tower()[1] * 0.01) is canvas


def test_a_plain_sky_is_given_clouds_to_move_and_a_full_one_keeps_its_own() -> None:
    """Only the plate changes: at rest the picture is the picture."""
    image, guess = _tower()
    plain = _with_its_sky()
    sky = slice(MARGIN[0], MARGIN[0] + 180), slice(MARGIN[1], MARGIN[1] + 700)
    assert plain.plate[0, 0][sky].std() > 3
    assert plain.texture[0, 0][sky].std() < 1
    waves = 40 * np.sin(np.mgrid[0:300, 0:832][1] / 12)
    image[:300] = np.clip(image[:300] + waves[..., None] * (image[:300] > 100), 0, 255)
    clouded = with_sky(prepare(image, 832, 480), guess)
    assert torch.equal(clouded.plate[0, 0][sky], clouded.texture[0, 0][sky])


def test_what_is_cut_off_from_the_top_is_no_sky() -> None:
    """A bright slope below a dark ridge stays where it is, though the coarse guess takes it for sky."""
    image, guess = _tower()
    image[140:150] = 20
    guess[:, :, :20] = 1
    canvas = with_sky(prepare(image, 832, 480), guess)
    assert canvas.sky[0, 0, (MARGIN[0] + 2 * 70) // 4, MARGIN[1] // 4 + 50] > 0.9
    assert canvas.sky[0, 0, (MARGIN[0] + 2 * 230) // 4, MARGIN[1] // 4 + 50] < 0.1


def test_sky_that_is_sure_of_itself_need_not_reach_the_top() -> None:
    """Below a beam, what a guess that is trusted is sure of is sky; what it thinks unlikely is none."""
    image, guess = _tower()
    image[140:150] = 20
    for share, least, most in ((0.95, 0.9, 1.0), (0.2, 0.0, 0.1)):
        guess[:, :, :20] = share
        canvas = with_sky(prepare(image, 832, 480), guess, trusted=True)
        below = float(canvas.sky[0, 0, (MARGIN[0] + 2 * 230) // 4, MARGIN[1] // 4 + 50])
        assert least <= below <= most
