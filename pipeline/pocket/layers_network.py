"""A small network that says where things are in a picture: once per picture, before anything moves.

Convolutions only, so that it reads any size; a pooled vector tells every place what kind of picture it is in. What
reads the picture has the shape of EfficientNet-Lite0 without its last, widest block; training begins with its weights
(Tan, Le: arXiv 1905.11946), with normalization folded into the convolutions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# What the network tells apart, by channel; "rest" is everything else: ground, walls, mountains, things.
LAYERS = ("sky", "water", "foliage", "subject")
OUTPUTS = 1 + len(LAYERS)
INPUT_SIZE = (256, 448)
# Of which sides are multiples.
STEP = 16
STEM = 32
# Of each block: width, factor of the width inside, side of the kernel, stride.
BLOCKS = (
    (16, 1, 3, 1),
    (24, 6, 3, 2), (24, 6, 3, 1),
    (40, 6, 5, 2), (40, 6, 5, 1),
    (80, 6, 3, 2), (80, 6, 3, 1), (80, 6, 3, 1),
    (112, 6, 5, 1), (112, 6, 5, 1), (112, 6, 5, 1),
    (192, 6, 5, 2), (192, 6, 5, 1), (192, 6, 5, 1), (192, 6, 5, 1),
)  # fmt: skip
# The blocks after which the picture is half, a quarter, an eighth, a sixteenth, a thirty-second of its size.
LEVELS = (0, 2, 4, 10, 14)
DECODER = 64
# Nearness of what is told in the measure of logits.
NEARNESS = 0.05


class Block(nn.Module):
    """An inverted residual: wider, over the neighbours channel by channel, narrower again."""

    def __init__(self, before: int, width: int, factor: int, kernel: int, stride: int) -> None:
        super().__init__()
        inside = before * factor
        self.expand = nn.Conv2d(before, inside, 1) if factor > 1 else nn.Identity()
        self.depth = nn.Conv2d(inside, inside, kernel, stride, groups=inside)
        self.project = nn.Conv2d(inside, width, 1)
        self.is_residual = stride == 1 and before == width

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand(x)) if isinstance(self.expand, nn.Conv2d) else x
        y = self.project(F.relu6(self.depth(around(y, self.depth))))
        return x + y if self.is_residual else y


class Merge(nn.Module):
    """A residual over the neighbours, channel by channel, then over the channels."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.depth = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, groups=width)
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(F.silu(self.depth(x)))


class LayersNetwork(nn.Module):
    """A picture ``float [B, 3, H, W]`` in -1..1, sides multiples of 16, to logits ``[B, 5, H / 2, W / 2]``.

    Channel 0 is the rest, then LAYERS; a softmax over them gives shares. Weights that were trained for it tell beside
    them how near each place is (:mod:`pipeline.pocket.layers_depth`).
    """

    def __init__(self, tells_depth: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 3, 2)
        widths = (STEM, *(block[0] for block in BLOCKS))
        self.blocks = nn.ModuleList(Block(before, *block) for before, block in zip(widths, BLOCKS, strict=False))
        levels = [BLOCKS[level][0] for level in LEVELS]
        # Where a place lies in the picture is told beside what is seen there.
        self.top = nn.Conv2d(levels[-1] + 2, DECODER, 1)
        self.whole = nn.Linear(levels[-1], DECODER)
        self.wide = nn.Sequential(*(Merge(DECODER, dilation) for dilation in (1, 2, 4)))
        self.lateral = nn.ModuleList(nn.Conv2d(width, DECODER, 1) for width in levels[:-1])
        self.merge = nn.ModuleList(nn.Sequential(Merge(DECODER), Merge(DECODER)) for _ in levels[:-1])
        # Few pictures, many views of each: no place should be told by one feature alone.
        self.drop = nn.Dropout2d(0.1)
        self.head = nn.Conv2d(DECODER, OUTPUTS, 3, padding=1)
        self.near = nn.Conv2d(DECODER, 1, 3, padding=1) if tells_depth else None

    def forward(self, picture: Tensor) -> Tensor:
        return self.both(picture)[0]

    def both(self, picture: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give logits, and nearness ``[B, 1, H / 2, W / 2]`` of about 0..1; None where the weights tell none."""
        seen = self.drop(self._decoded(picture))
        # A sigmoid of numbers as large as logits would be 0 or 1 from the first step of training on, and stay so.
        return self.head(seen), None if self.near is None else self.near(seen) * NEARNESS

    def _decoded(self, picture: Tensor) -> Tensor:
        levels = self.levels(picture)
        top = levels[-1]
        out = self.top(self.drop(torch.cat([top, _places(top)], 1))) + self.whole(top.mean((2, 3)))[..., None, None]
        out = self.wide(out)
        for index in reversed(range(len(levels) - 1)):
            out = F.interpolate(out, size=levels[index].shape[2:], mode="bilinear", align_corners=False)
            out = self.merge[index](out + self.lateral[index](levels[index]))
        return out

    def levels(self, picture: Tensor) -> list[Tensor]:
        """What is seen at a half, a quarter, an eighth, a sixteenth and a thirty-second of the size."""
        x, found = F.relu6(self.stem(around(picture, self.stem))), list[Tensor]()
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in LEVELS:
                found.append(x)
        return found


def around(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Pad for a convolution whose stride, where it is 2, begins at the first of two, as the weights have learned it."""
    total = convolution.kernel_size[0] - convolution.stride[0]
    return F.pad(x, (total // 2, total - total // 2) * 2)


def _places(like: Tensor) -> Tensor:
    rows, columns = like.shape[2:]
    y = torch.linspace(-1, 1, rows, device=like.device, dtype=like.dtype)[:, None].expand(rows, columns)
    x = torch.linspace(-1, 1, columns, device=like.device, dtype=like.dtype).expand(rows, columns)
    return torch.stack([x, y]).expand(len(like), -1, -1, -1)
