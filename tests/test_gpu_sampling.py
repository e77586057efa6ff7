"""Reading planes of the canvas for many frames at once."""

import torch

from pipeline.pocket.canvas import SCALE
from pipeline.pocket.decoder import nodes
from pipeline.pocket.gpu_sampling import Reader
from pipeline.pocket.sampling import NODES
from pipeline.pocket.view import View

VIEW = View(64, 32)
SIDES = (VIEW.width + 2 * VIEW.room[1], VIEW.height + 2 * VIEW.room[0])


def test_a_plane_is_read_where_it_is_looked_at() -> None:
    """A plane that tells where it is, of any resolution, tells it between its points too, for every frame."""
    reader, (x, y) = Reader(VIEW), nodes(VIEW)
    here = torch.stack([torch.stack([x + shift, y]) for shift in (0.0, 3.25)])
    for rows, columns in ((SCALE * SIDES[1], SCALE * SIDES[0]), (96, 168)):
        across = (torch.arange(columns) + 0.5) / columns * SIDES[0] - SIDES[0] / 2
        read = reader.sample(across.expand(2, rows, columns).contiguous(), reader.looking(here))
        pixels = torch.arange(VIEW.width) + 0.5 - VIEW.width / 2
        told = torch.stack([pixels, pixels + 3.25 * VIEW.scale])[:, None, None]
        assert torch.allclose(read, told.expand(2, 2, VIEW.height, VIEW.width), atol=1e-3)


def test_what_is_linear_is_enlarged_exactly() -> None:
    """Nodes stand on the corners of the frame, whatever its size."""
    ramp = torch.linspace(0, 1, NODES[1]).expand(1, 1, *NODES)
    wide = Reader(VIEW).enlarge(ramp)
    assert torch.allclose(wide[0, 0, 0], torch.linspace(0, 1, VIEW.width), atol=1e-6)
    assert Reader(VIEW).enlarge(ramp, 2).shape == (1, 1, VIEW.height // 2, VIEW.width // 2)
