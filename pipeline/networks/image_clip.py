"""What a picture is, as CLIP's image tower sees it: the tokens behind the last layer but one, by open_clip.

Source: CLIP (arXiv 2103.00020), OpenCLIP (arXiv 2212.07143); as picture features: Wan2.1 (arXiv 2503.20314).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
TOWER = "visual."
"""What the tower's keys begin with in a file that holds both halves of a CLIP."""
OTHER_HALF = (
    # Wan2.1's file: the text half is an XLM-RoBERTa.
    "textual.",
    "log_scale",
    # open_clip's and OpenAI's files.
    "transformer.",
    "token_embedding.",
    "positional_embedding",
    "ln_final.",
    "text_projection",
    "logit_scale",
    "input_resolution",
    "context_length",
    "vocab_size",
)


@dataclass(frozen=True, slots=True)
class TowerConfig:
    """Sizes of an image tower. ``names`` says whose key names its checkpoint has.

    ``quick_gelu`` is ``x * sigmoid(1.702 x)``, which OpenAI's weights were trained with; else GELU is exact.
    """

    image_size: int
    patch_size: int
    width: int
    num_layers: int
    num_heads: int
    embed_dim: int
    mlp_ratio: float = 4.0
    quick_gelu: bool = False
    names: Literal["wan", "open_clip"] = "open_clip"

    @property
    def num_tokens(self) -> int:
        """The class token and one token per patch.

        >>> VIT_H_14.num_tokens, VIT_L_14_336.num_tokens
        (257, 577)
        """
        return 1 + (self.image_size // self.patch_size) ** 2


VIT_H_14 = TowerConfig(224, 14, 1280, 32, 16, 1024, names="wan")
"""Wan2.1 I2V's: the image half of open_clip's xlm-roberta-large-vit-huge-14, under names of its own."""
VIT_L_14_336 = TowerConfig(336, 14, 1024, 24, 16, 768, quick_gelu=True)
"""OpenAI's ViT-L/14 at 336 pixels, as open_clip names it."""


class ImageTower(nn.Module):
    """An image tower's weights and its pass; built under ``torch.device("meta")`` it takes no memory."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        from pipeline import torchvision_shim as torchvision_shim  # noqa: I001  must come before open_clip
        from open_clip.transformer import QuickGELU, VisionTransformer

        self.visual = VisionTransformer(
            image_size=config.image_size,
            patch_size=config.patch_size,
            width=config.width,
            layers=config.num_layers,
            heads=config.num_heads,
            mlp_ratio=config.mlp_ratio,
            output_dim=config.embed_dim,
            act_layer=QuickGELU if config.quick_gelu else nn.GELU,
        )
        self.eval().requires_grad_(False)

    def tokens(self, pixels: Tensor, layer: int) -> Tensor:
        """Tokens behind a layer, 0 to ``num_layers - 1``, class token first, with no norm after it.

        ``pixels`` ``[B, 3, image_size, image_size]`` from :func:`normalise`; ``[B, tokens, width]`` comes back.
        """
        seen = self.visual.forward_intermediates(
            pixels,
            indices=[layer],
            stop_early=True,
            intermediates_only=True,
            output_fmt="NLC",
            output_extra_tokens=True,
        )
        return torch.cat([seen["image_intermediates_prefix"][0], seen["image_intermediates"][0]], dim=1)

    @torch.inference_mode()
    def features(self, image: Tensor) -> Tensor:
        """Give a picture's tokens behind the last layer but one.

        Args:
            image: ``float [B, 3, H, W]`` in -1..1, of any size and shape: it is stretched to a square.

        Returns:
            ``[B, tokens, width]`` in the weights' dtype.
        """
        pixels = normalise(image, self.config.image_size)
        return self.tokens(pixels.to(self.visual.conv1.weight.dtype), self.config.num_layers - 2)


def normalise(image: Tensor, size: int) -> Tensor:
    """Stretch ``[B, 3, H, W]`` in -1..1 to ``[B, 3, size, size]`` in CLIP's units.

    Bicubic without antialiasing, and its overshoot is not clamped: so were the features made in training.
    """
    square = F.interpolate(image, size=(size, size), mode="bicubic", align_corners=False)
    mean, std = (square.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return (square * 0.5 + 0.5 - mean) / std


def resample_positions(table: Tensor, tokens: int) -> Tensor:
    """Make a position table of another number of tokens, both grids square and behind one class token.

    ``[1, N, width]`` becomes ``[1, tokens, width]``, bicubic over the grid; the class token's row is kept.
    """
    if table.shape[1] == tokens:
        return table
    before, after = (math.isqrt(count - 1) for count in (table.shape[1], tokens))
    grid = table[:, 1:].float().unflatten(1, (before, before)).permute(0, 3, 1, 2)
    resized = F.interpolate(grid, size=(after, after), mode="bicubic", align_corners=False)
    return torch.cat([table[:, :1], resized.flatten(2).transpose(1, 2).to(table.dtype)], dim=1)


def key_map(config: TowerConfig, prefix: str = "") -> dict[str, str]:
    """Give for each key of a checkpoint the key of :class:`ImageTower`; one to one.

    ``prefix`` is what the file's keys begin with, from :func:`prefix_of`.
    """
    wan = open_clip_map(config)
    names = wan if config.names == "wan" else {name: name for name in wan.values()}
    return {f"{prefix}{published}": f"visual.{ours}" for published, ours in names.items()}


def prefix_of(keys: Iterable[str]) -> str:
    """Say what a tower's keys begin with in a file: ``visual.`` if any does, else nothing.

    >>> prefix_of(["visual.proj", "logit_scale"]), prefix_of(["proj"])
    ('visual.', '')
    """
    return TOWER if any(key.startswith(TOWER) for key in keys) else ""


def other_half(keys: Iterable[str]) -> set[str]:
    """Name the keys of a file that belong to CLIP's text half, which nobody needs here.

    A file of the tower alone has none; a key that is of neither half is not among them.

    >>> sorted(other_half(["visual.proj", "transformer.resblocks.0.ln_1.bias", "strange"]))
    ['transformer.resblocks.0.ln_1.bias']
    """
    keys = list(keys)
    return {key for key in keys if prefix_of(keys) and key.startswith(OTHER_HALF)}


def fit(config: TowerConfig, key: str, stored: Tensor) -> Tensor:
    """Give a stored tensor the shape that :class:`ImageTower` has under ``key``, its own name for it.

    Wan2.1's file keeps leading axes of one on the class token and the positions. Positions of another image size
    are resampled. Every other tensor comes back as it is, to be refused if its shape is wrong.
    """
    if key == "visual.class_embedding":
        return stored.flatten() if stored.numel() == config.width else stored
    if key == "visual.positional_embedding" and stored.shape[-1] == config.width:
        table = stored.reshape(1, -1, config.width)
        patches = max(table.shape[1] - 1, 0)
        is_grid = patches > 0 and math.isqrt(patches) ** 2 == patches
        return resample_positions(table, config.num_tokens)[0] if is_grid else stored
    return stored


def open_clip_map(config: TowerConfig) -> dict[str, str]:
    """Give for each key of Wan2.1's tower the key that open_clip has for it."""
    ends = {
        "patch_embedding.weight": "conv1.weight",
        "cls_embedding": "class_embedding",
        "pos_embedding": "positional_embedding",
        "head": "proj",
    }
    modules = {"pre_norm": "ln_pre", "post_norm": "ln_post"}
    layer = {
        "norm1": "ln_1",
        "norm2": "ln_2",
        "attn.to_qkv": "attn.in_proj",
        "attn.proj": "attn.out_proj",
        "mlp.0": "mlp.c_fc",
        "mlp.2": "mlp.c_proj",
    }
    for index in range(config.num_layers):
        modules |= {f"transformer.{index}.{a}": f"transformer.resblocks.{index}.{b}" for a, b in layer.items()}
    # Queries, keys and values are one bare parameter there, not a module's.
    return ends | {
        f"{ours}.{kind}": f"{theirs}{'_' if theirs.endswith('in_proj') else '.'}{kind}"
        for ours, theirs in modules.items()
        for kind in ("weight", "bias")
    }
