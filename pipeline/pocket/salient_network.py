"""A small network that says what in a picture draws the eye: U²-Net in its small form, once per picture.

It was trained on ten thousand photos with a thing or somebody in each, cut out by hand, of which the network of layers
(:mod:`pipeline.pocket.layers_network`) has seen few: the two together know better what a subject is than either (Qin et
al.: arXiv 2005.09007; weights by its authors, Apache-2.0). Normalization is folded into the convolutions.

It ends at a quarter of its size, where it tells as much as at all of it (README): its two finest stages, which took two
thirds of the time, draw the outlines that a guided filter finds here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Height and width that it was trained at, whatever a picture's shape.
INPUT_SIZE = (320, 320)
WIDTH, INSIDE = 64, 16
# How many levels each stage has down, and back up; 0 for the stages that see far by dilation, at one level.
DOWN, UP = (7, 6, 5, 4, 0, 0), (0, 4, 5)
DILATIONS = (1, 2, 4, 8)
# Mean and deviation of each colour over ImageNet.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Stage(nn.Module):
    """A small U-Net with what it began with added: levels of half the size each, or of twice the dilation."""

    def __init__(self, before: int, levels: int) -> None:
        super().__init__()
        self.is_flat = levels == 0
        dilations = DILATIONS if self.is_flat else (*[1] * (levels - 1), 2)
        self.begin = _convolution(before, WIDTH)
        self.down = nn.ModuleList(
            _convolution(INSIDE if number else WIDTH, INSIDE, dilation) for number, dilation in enumerate(dilations)
        )
        self.up = nn.ModuleList(
            _convolution(2 * INSIDE, INSIDE if number else WIDTH, dilation)
            for number, dilation in reversed(list(enumerate(dilations[:-1])))
        )

    def forward(self, x: Tensor) -> Tensor:
        begun = self.begin(x).relu_()
        found = [self.down[0](begun).relu_()]
        for number, convolution in enumerate(self.down[1:], 1):
            # Between the two lowest levels the size stays.
            stays = self.is_flat or number == len(self.down) - 1
            found.append(convolution(found[-1] if stays else _halved(found[-1])).relu_())
        out = found.pop()
        for convolution in self.up:
            level = found.pop()
            out = convolution(torch.cat([_sized(out, level), level], 1)).relu_()
        return out.add_(begun)


class SalientNetwork(nn.Module):
    """A picture ``float [B, 3, H, W]`` in -1..1 to how much a place draws the eye: ``[B, 1, H / 4, W / 4]`` in 0..1."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(Stage(WIDTH if number else 3, levels) for number, levels in enumerate(DOWN))
        self.up = nn.ModuleList(Stage(2 * WIDTH, levels) for levels in UP)
        self.told = nn.Conv2d(WIDTH, 1, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        found = [self.down[0](_standard(picture))]
        for stage in self.down[1:]:
            found.append(stage(_halved(found[-1])))
        out = found.pop()
        for stage in self.up:
            level = found.pop()
            out = stage(torch.cat([_sized(out, level), level], 1))
        return self.told(out).sigmoid()


def _convolution(before: int, width: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, width, 3, padding=dilation, dilation=dilation)


def _halved(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, ceil_mode=True)


def _sized(x: Tensor, like: Tensor) -> Tensor:
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def _standard(picture: Tensor) -> Tensor:
    """In the measure of ImageNet, the lightest number of each picture counting as white."""
    light = (picture + 1) / 2
    light = light / light.amax((1, 2, 3), keepdim=True).clamp(min=1e-6)
    mean, deviation = light.new_tensor(MEAN), light.new_tensor(DEVIATION)
    return (light - mean[:, None, None]) / deviation[:, None, None]
