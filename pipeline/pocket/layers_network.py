"""A small network that says where things are in a picture: once per picture, before anything moves.

Convolutions only, so that it reads any size; a pooled vector tells every place what kind of picture it is in.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# What the network tells apart, by channel; "rest" is everything else: ground, walls, mountains, things.
LAYERS = ("sky", "water", "foliage", "subject")
OUTPUTS = 1 + len(LAYERS)
INPUT_SIZE = (192, 336)
WIDTHS = (24, 40, 64, 96)
DECODER = 48


class Body(nn.Module):
    """A dilated residual of two convolutions."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class LayersNetwork(nn.Module):
    """A picture ``float [B, 3, H, W]`` in -1..1, sides multiples of 16, to logits ``[B, 5, H / 2, W / 2]``.

    Channel 0 is the rest, then LAYERS; a softmax over them gives shares.
    """

    def __init__(self) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        previous = 5
        for width, bodies in zip(WIDTHS, ((), (1,), (1, 2), (2, 4)), strict=True):
            down = nn.Conv2d(previous, width, 3, stride=2, padding=1)
            stages.append(nn.Sequential(down, *(Body(width, d) for d in bodies)))
            previous = width
        self.stages = nn.ModuleList(stages)
        self.whole = nn.Sequential(nn.Linear(WIDTHS[-1], WIDTHS[-1]), nn.SiLU(), nn.Linear(WIDTHS[-1], WIDTHS[-1]))
        self.lateral = nn.ModuleList(nn.Conv2d(width, DECODER, 1) for width in WIDTHS)
        self.merge = nn.ModuleList(nn.Conv2d(DECODER, DECODER, 3, padding=1) for _ in WIDTHS[:-1])
        # Few pictures, many views of each: no place should be told by one feature alone.
        self.drop = nn.Dropout2d(0.1)
        self.head = nn.Conv2d(DECODER, OUTPUTS, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        rows, columns = picture.shape[-2:]
        y = torch.linspace(-1, 1, rows, device=picture.device, dtype=picture.dtype)
        x = torch.linspace(-1, 1, columns, device=picture.device, dtype=picture.dtype)
        place = torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)])
        features = torch.cat([picture, place.expand(len(picture), -1, -1, -1)], dim=1)
        levels: list[Tensor] = []
        for stage in self.stages:
            features = stage(features)
            levels.append(features)
        levels[-1] = levels[-1] + self.whole(levels[-1].mean((2, 3)))[..., None, None]
        out = self.lateral[-1](levels[-1])
        for index in reversed(range(len(levels) - 1)):
            out = F.interpolate(out, size=levels[index].shape[2:], mode="bilinear", align_corners=False)
            out = out + self.lateral[index](levels[index])
            out = out + F.silu(self.merge[index](out))
        return self.head(self.drop(out))
