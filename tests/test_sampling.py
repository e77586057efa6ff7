"""Tests of reading planes at places: as PyTorch's own interpolation has them, whole, by rows and by the pixel."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.pocket.canvas import Canvas, prepare
from pipeline.pocket.decoder import nodes
from pipeline.pocket.pose import Pose
from pipeline.pocket.sampling import NODES, WHOLE, Place, enlarged, pixels, planes
from pipeline.pocket.view import View
from tests.pocket_parts import picture

VIEW = View(208, 120)
ROWS = slice(17, 83)


def canvas() -> Canvas:
    return prepare(picture(), VIEW.width, VIEW.height)


def place() -> Place:
    x, y = nodes(VIEW)
    bend = 8 * torch.sin(x / 40) * torch.cos(y / 30)
    return Place(0.9 * x + bend + 3, 0.95 * y - bend, VIEW)


@pytest.mark.parametrize("size", [(480, 832), (240, 416), (120, 208), (64, 64), (832, 480)])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_nodes_are_enlarged_as_by_pytorch(size: tuple[int, int], channels: int) -> None:
    """Linear between nodes, the corners' nodes at the corner pixels, for any size and number of channels."""
    values = torch.rand(channels, *NODES)
    wanted = F.interpolate(values[None], size=size, mode="bilinear", align_corners=True)[0]
    torch.testing.assert_close(enlarged(values[..., None], size)[..., 0], wanted, atol=3e-5, rtol=0)
    apart = enlarged(values.permute(1, 2, 0)[None], size)[0].permute(2, 0, 1)
    torch.testing.assert_close(apart, wanted, atol=3e-5, rtol=0)


@pytest.mark.parametrize("view", [VIEW, View(832, 480), View(120, 208)])
@pytest.mark.parametrize("reduction", [1, 2])
def test_a_camera_looks_straight_where_its_nodes_do(view: View, reduction: int) -> None:
    """A pose's pixels look where they would by its nodes, to a thousandth of a pixel of the canvas."""
    affine = (a, b, c), (d, e, f) = Pose(31.0, -12.0, 0.4, 0.2).affine()
    x, y = nodes(view)
    bent = Place(a * x + b * y + c, d * x + e * y + f, view)
    straight = Place(bent.x, bent.y, view, affine=affine)
    rows = slice(11, 40)
    made, wanted = (place._grid(rows, reduction) for place in (straight, bent))
    torch.testing.assert_close(made, wanted, atol=1e-3 / (2 * view.width), rtol=0)


def test_some_rows_are_those_of_the_whole() -> None:
    """What is read of some rows, and of some columns of them, is to the bit what is read there of the whole frame."""
    here, seen = place(), canvas()
    whole = here.sample(seen, seen.texture)
    assert torch.equal(place().sample(seen, seen.texture, ROWS), whole[:, ROWS])
    assert torch.equal(here.sample(seen, seen.texture, ROWS, columns=slice(5, 90)), whole[:, ROWS, 5:90])
    factors = torch.rand(3, *NODES)
    assert torch.equal(here.enlarge(factors, ROWS), here.enlarge(factors)[:, ROWS])


def test_at_rest_a_plane_of_the_frames_resolution_is_read_where_it_lies() -> None:
    """At rest a layer's plane, a number for each pixel, is to a thousandth what is interpolated between its numbers."""
    x, y = nodes(VIEW)
    seen = canvas()
    (above, beside), shape = VIEW.room, (VIEW.height, VIEW.width)
    plane = torch.rand(1, 2, shape[0] + 2 * above, shape[1] + 2 * beside, generator=torch.Generator().manual_seed(0))
    made, wanted = (Place(x, y, VIEW, is_rest).sample(seen, plane, ROWS) for is_rest in (True, False))
    torch.testing.assert_close(made, wanted, atol=1e-3, rtol=0)


def test_what_is_read_at_rest_may_be_painted_over() -> None:
    """The resting view is kept as planes; whoever reads it gets planes of their own."""
    x, y = nodes(VIEW)
    here, seen = Place(x, y, VIEW, True), canvas()
    here.sample(seen, seen.texture).fill_(-1)
    assert torch.equal(here.sample(seen, seen.texture), planes(seen.rest))


@pytest.mark.parametrize("box", [(WHOLE, WHOLE), (ROWS, WHOLE), (ROWS, slice(31, 150)), (WHOLE, slice(9, None))])
def test_some_pixels_are_those_of_the_whole(box: tuple[slice, slice]) -> None:
    """Pixels that are read by their index in a box have the values that all pixels have there."""
    here, seen = place(), canvas()
    whole = here.sample(seen, seen.texture, box[0], columns=box[1]).flatten(1)
    pixels = torch.randperm(whole.shape[1])[:500]
    torch.testing.assert_close(here.sample_some(seen.texture, pixels, box), whole[:, pixels], atol=1e-3, rtol=0)
    assert here.sample_some(seen.texture, pixels[:0], box).shape == (3, 0)


def test_a_frame_is_planes_and_pixels() -> None:
    """Pixels come back from their planes, and what is between two grey levels, or beyond them, goes to the nearest."""
    picture = torch.randint(0, 256, (5, 7, 3), dtype=torch.uint8)
    assert planes(picture).shape == (3, 5, 7)
    assert torch.equal(pixels(planes(picture)), picture)
    image = torch.tensor([-3.0, 0.6, 254.4, 300.0]).view(1, 1, 4).expand(3, 1, 4).clone()
    assert pixels(image)[0].tolist() == [[0] * 3, [1] * 3, [254] * 3, [255] * 3]
