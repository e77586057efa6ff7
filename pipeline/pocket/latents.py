"""What pocket's twelve latent channels mean, and their units.

A latent frame ``[12, 32, 56]`` says how the picture moves and changes over a quarter of a second. All zeros
is rest: a stream needs no encoder to begin.

========  =========================  ===========  ==========================================
channels  what                       place        one unit
========  =========================  ===========  ==========================================
0, 1      camera velocity            the screen   see :data:`CAMERA_RATES`
2, 3      displacement x, y          the picture  6 px of the 832 px wide frame
4, 5      endless flow x, y          the picture  30 px/s
6, 7, 8   log gain red, green, blue  the picture  a factor of e
9 10 11   rain, snow, fog            the screen   full strength
========  =========================  ===========  ==========================================
"""

import torch
from torch import Tensor

CHANNELS = 12
GRID = (32, 56)
LATENTS_PER_SECOND = 4
# Of one latent, as the transformer has it.
LATENT_SHAPE = (1, CHANNELS, 1, *GRID)

CAMERA = slice(0, 2)
DISPLACEMENT = slice(2, 4)
FLOW = slice(4, 6)
GAIN = slice(6, 9)
WEATHER = slice(9, 12)

DISPLACEMENT_UNIT_PX = 6.0
FLOW_UNIT_PX_PER_S = 30.0
# Per unit: pan and tilt in px/s of the 832x480 frame, the same share of one of another shape; zoom in natural log per
# second (in, out), roll in rad/s.
# They are as fast as ten seconds of a move can be that goes on: a pan crosses what a picture has at 1.2x (README).
CAMERA_RATES = {"pan": 25.0, "tilt": 14.4, "zoom_in": 0.055, "zoom_out": 0.015, "roll": 0.05}


def screen_grid(device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Cell centres of the latent grid as x and y in -1..1, each ``float32 [32, 56]``."""
    rows, columns = GRID
    y = (torch.arange(rows, device=device) + 0.5) / rows * 2 - 1
    x = (torch.arange(columns, device=device) + 0.5) / columns * 2 - 1
    return x.expand(rows, columns), y[:, None].expand(rows, columns)


def camera_field(camera: Tensor) -> Tensor:
    """Velocities (pan right, tilt down, zoom in, roll clockwise) ``[B, 4]`` as a field ``[B, 2, 32, 56]``."""
    x, y = screen_grid(camera.device)
    pan, tilt, zoom, roll = (camera[:, i, None, None] for i in range(4))
    return torch.stack([pan + zoom * x - roll * y, tilt + zoom * y + roll * x], dim=1)


def fit_camera(field: Tensor) -> Tensor:
    """Least-squares fit of ``[B, 2, 32, 56]`` to the four velocities ``[B, 4]``; undoes :func:`camera_field`.

    >>> camera = torch.tensor([[1.0, -0.5, 0.25, 2.0]])
    >>> torch.allclose(fit_camera(camera_field(camera)), camera, atol=1e-5)
    True
    """
    x, y = screen_grid(field.device)
    energy = (x.square() + y.square()).sum()
    u, v = field[:, 0], field[:, 1]
    zoom = (u * x + v * y).sum((1, 2)) / energy
    roll = (v * x - u * y).sum((1, 2)) / energy
    return torch.stack([u.mean((1, 2)), v.mean((1, 2)), zoom, roll], dim=1)
