"""What the published files of the Wan models hold: every key, shape and dtype, told by our own networks.

The names of the files, their sizes and places are those of :mod:`pipeline.wan_files`. In the order of the keys and
in the way that shards are cut, files made after these tables have the published size to the byte.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import PurePosixPath

import torch
from torch import nn

from pipeline import wan_files
from pipeline.networks import image_clip, text_umt5
from pipeline.networks.image_clip import VIT_H_14, ImageTower, TowerConfig
from pipeline.networks.text_umt5 import UMT5, UMT5Config
from pipeline.networks.transformer import CausalTransformer, TransformerConfig
from pipeline.networks.vae_tiny import TinyVAE, TinyVAEConfig
from pipeline.networks.vae_wan import WanVAE
from pipeline.networks.vae_wan_config import WanVAEConfig
from pipeline.wan.sizes import PartSizes, part_sizes
from pipeline.wan_files import File, Part

Shape = tuple[int, ...]
SHARD_BYTES = 9_900_000_000
"""More than this the published shards do not hold."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One tensor of a file."""

    shape: Shape
    dtype: torch.dtype

    @property
    def size_bytes(self) -> int:
        """Bytes of its data."""
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Layout:
    """One file: where it lies below the folder of all weights, and what it holds.

    ``under`` is the name of the state dict in a file of torch that holds it in another dict; ``legacy`` is torch's
    format from before 1.6; ``metadata`` is what a ``.safetensors`` has beside its tensors. ``size_bytes`` is the
    published size, None where it is not known, or not to be kept.
    """

    path: PurePosixPath
    tensors: Mapping[str, Spec]
    size_bytes: int | None
    under: str = ""
    legacy: bool = False
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class TextHalfConfig:
    """Sizes of the text half of the CLIP file, which nothing here uses."""

    vocabulary: int = 250_002
    positions: int = 514
    dim: int = 1024
    dim_ffn: int = 4096
    num_layers: int = 24


TINY_TEXT_HALF = TextHalfConfig(64, 16, 32, 64, num_layers=1)


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How a training run stores a transformer: the name of its dict, and what stands before every key."""

    under: str = ""
    prefix: str = ""


_SIZE_NAMES = {"wan_t2v_14b": ("14b", "tiny"), "wan_i2v_14b": ("i2v-14b", "tiny-i2v")}
"""By model, where it is not of 1.3B: its transformer's size, and the tiny one that takes its place."""
# By who has read the files: public code names the dicts, and the infix of the frame-wise ones (seen by two).
_WRAPPINGS = {
    wan_files.SELF_FORCING_DMD.path: Wrapping("generator_ema", "model."),
    wan_files.CAUSAL_FORCING_CHUNKWISE.path: Wrapping("generator", "model."),
    wan_files.CAUSAL_FORCING_FRAMEWISE.path: Wrapping("generator_ema", "model._fsdp_wrapped_module."),
}


def sizes(model: str, tiny: bool = False) -> PartSizes:
    """Give the sizes of a model's networks. Raises ConfigError for an unknown model."""
    return part_sizes(_SIZE_NAMES.get(wan_files.choose(model).name, ("1.3b", "tiny"))[tiny])


def layouts(model: str, tiny: bool = False) -> Iterator[Layout]:
    """Give the files of weights of a model, the tokenizer not among them. Raises ConfigError for an unknown model."""
    parts = sizes(model, tiny)
    builders: Mapping[Part, Callable[[], Mapping[str, Spec]]] = {
        "text_encoder": lambda: text_encoder(parts.text),
        "vae": lambda: wan_vae(parts.vae),
        "taehv": lambda: tiny_vae(parts.tiny_vae),
        "image_encoder": lambda: clip(parts.image or VIT_H_14, TINY_TEXT_HALF if tiny else TextHalfConfig()),
    }
    for file in wan_files.files(model):
        if file.part in builders:
            # By its size the VAE's file is in torch's old format: the newer one's archive alone takes more than
            # what the file has beside its data.
            yield _layout(file, builders[file.part](), tiny, legacy=file.part == "vae")
        elif (wrapping := _WRAPPINGS.get(file.path)) is not None:
            keys = {f"{wrapping.prefix}{key}": spec for key, spec in dit(parts.transformer).items()}
            yield _layout(file, keys, tiny, wrapping.under)
    if shards := _shards(model):
        for file, part in zip(shards, split(dit(parts.transformer), len(shards), tiny), strict=True):
            yield _layout(file, part, tiny)


def others(tiny: bool = False) -> Iterator[Layout]:
    """Give the published files that the models here do without, but that people have."""
    parts = sizes("wan_1_3b", tiny)
    base, taehv = PurePosixPath(wan_files.T2V_1_3B.name), PurePosixPath(wan_files.TAEHV.name)
    size, note = None if tiny else 5_676_070_424, {"format": "pt"}
    yield Layout(base / "diffusion_pytorch_model.safetensors", dit(parts.transformer), size, metadata=note)
    yield Layout(taehv / "taew2_1.pth", tiny_vae(parts.tiny_vae), None)


@cache
def dit(config: TransformerConfig) -> Mapping[str, Spec]:
    """Tensors of a transformer, in the order of the published ones."""
    return _specs(lambda: CausalTransformer(config), torch.float32)


@cache
def wan_vae(config: WanVAEConfig) -> Mapping[str, Spec]:
    """Tensors of the Wan VAE."""
    return _specs(lambda: WanVAE(config), torch.float32)


@cache
def tiny_vae(config: TinyVAEConfig) -> Mapping[str, Spec]:
    """Tensors of TAEHV."""
    return _specs(lambda: TinyVAE(config), torch.float16)


@cache
def text_encoder(config: UMT5Config) -> Mapping[str, Spec]:
    """Tensors of UMT5's encoder, under the published names."""
    ours = _specs(lambda: UMT5(config), torch.bfloat16)
    return {published: ours[key] for published, key in text_umt5.key_map(config).items()}


@cache
def clip(config: TowerConfig, text_half: TextHalfConfig) -> Mapping[str, Spec]:
    """Tensors of the CLIP file: the image tower, and the text half that comes with it."""
    ours = _specs(lambda: ImageTower(config), torch.float32)
    tower = {name: ours[key] for name, key in image_clip.key_map(config, image_clip.TOWER).items()}
    tower |= {
        "visual.cls_embedding": Spec((1, 1, config.width), torch.float32),
        "visual.pos_embedding": Spec((1, config.num_tokens, config.width), torch.float32),
    }
    half = {name: Spec(shape, torch.float32) for name, shape in _text_half(text_half, config.embed_dim)}
    return {"log_scale": Spec((), torch.float32)} | tower | half


def descriptions(model: str, tiny: bool = False) -> Iterator[tuple[PurePosixPath, str]]:
    """Give the small text files that come with the transformers, and what is in them."""
    shards = _shards(model)
    repo = PurePosixPath(shards[0].repo.name if shards else wan_files.T2V_1_3B.name)
    config = sizes(model, tiny).transformer
    told: dict[str, object] = {
        "_class_name": "WanModel",
        "_diffusers_version": "0.30.0",
        "dim": config.dim,
        "eps": config.eps,
        "ffn_dim": config.ffn_dim,
        "freq_dim": config.freq_dim,
        "in_dim": config.in_channels,
        "model_type": "t2v" if config.image_dim is None else "i2v",
        "num_heads": config.num_heads,
        "num_layers": config.num_layers,
        "out_dim": config.out_channels,
        "text_len": config.text_len,
    }
    yield repo / "config.json", json.dumps(told, indent=2) + "\n"
    if shards:
        tensors = dit(config)
        parts = split(tensors, len(shards), tiny)
        where = {name: file.name for file, part in zip(shards, parts, strict=True) for name in part}
        index = {
            "metadata": {"total_size": sum(spec.size_bytes for spec in tensors.values())},
            "weight_map": dict(sorted(where.items())),
        }
        yield repo / "diffusion_pytorch_model.safetensors.index.json", json.dumps(index, indent=2) + "\n"


def split(tensors: Mapping[str, Spec], count: int, tiny: bool = False) -> list[dict[str, Spec]]:
    """Cut a state dict into ``count`` shards: in order, as the published are; small ones with as many tensors each.

    >>> [list(part) for part in split({k: Spec((1_200_000_000,), torch.float32) for k in "abc"}, 2)]
    [['a', 'b'], ['c']]
    """
    if tiny:
        listed, total = list(tensors.items()), len(tensors)
        return [dict(listed[i * total // count : (i + 1) * total // count]) for i in range(count)]
    shards: list[dict[str, Spec]] = [{}]
    for key, spec in tensors.items():
        if sum(held.size_bytes for held in shards[-1].values()) + spec.size_bytes > SHARD_BYTES:
            shards.append({})
        shards[-1][key] = spec
    return shards


def _layout(file: File, tensors: Mapping[str, Spec], tiny: bool, under: str = "", legacy: bool = False) -> Layout:
    size = None if tiny else file.size_bytes
    # Those of the transformers were saved with a note, the tiny VAE's was not.
    metadata = {"format": "pt"} if file.part == "transformer" else None
    return Layout(file.path, tensors, size, under, legacy, metadata)


def _shards(model: str) -> list[File]:
    return [f for f in wan_files.files(model) if f.part == "transformer" and f.path not in _WRAPPINGS]


def _specs(build: Callable[[], nn.Module], dtype: torch.dtype) -> dict[str, Spec]:
    with torch.device("meta"):
        state = build().state_dict()
    return {name: Spec(tuple(tensor.shape), dtype) for name, tensor in state.items()}


def _text_half(config: TextHalfConfig, embed_dim: int) -> Iterator[tuple[str, Shape]]:
    dim, ffn = config.dim, config.dim_ffn
    yield "textual.token_embedding.weight", (config.vocabulary, dim)
    yield "textual.type_embedding.weight", (1, dim)
    yield "textual.pos_embedding.weight", (config.positions, dim)
    layer = {"attn.q": dim, "attn.k": dim, "attn.v": dim, "attn.o": dim, "ffn.0": ffn, "ffn.2": dim}
    for index in range(config.num_layers):
        block = f"textual.blocks.{index}"
        for name, width in layer.items():
            yield f"{block}.{name}.weight", (width, ffn if name == "ffn.2" else dim)
            yield f"{block}.{name}.bias", (width,)
        for norm in ("norm1", "norm2"):
            yield f"{block}.{norm}.weight", (dim,)
            yield f"{block}.{norm}.bias", (dim,)
    yield "textual.norm.weight", (dim,)
    yield "textual.norm.bias", (dim,)
    # A head of two layers, its middle as wide as half of both ends together.
    middle = (dim + embed_dim) // 2
    yield "textual.head.0.weight", (middle, dim)
    yield "textual.head.2.weight", (embed_dim, middle)
