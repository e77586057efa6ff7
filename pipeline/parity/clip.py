"""The image towers' cases: Wan2.1's and open_clip's, with pixels, tokens, positions and the key map."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.networks.image_clip import (
    VIT_H_14,
    ImageTower,
    TowerConfig,
    fit,
    key_map,
    normalise,
    open_clip_map,
    prefix_of,
    resample_positions,
)
from pipeline.parity.result import Case, Result, case, compare, exact, numbers

BAR = 5e-5


def run(path: Path) -> Iterator[Result]:
    """Compare one file: ``clip_ref*`` and ``clip_openclip*`` ``.safetensors``, ``clip_key_map*.json``."""
    if path.suffix == ".safetensors":
        yield from _tower(case(path))
    else:
        yield from _keys(path.stem, json.loads(path.read_text(encoding="utf-8")))


def config_of(meta: dict[str, Any]) -> TowerConfig:
    """Read a tower's sizes from a case's ``config``: the reference's names for them, or open_clip's."""
    is_wan = "dim" in meta
    return TowerConfig(
        image_size=meta["image_size"],
        patch_size=meta["patch_size"],
        width=meta["dim" if is_wan else "width"],
        num_layers=meta["num_layers" if is_wan else "layers"],
        num_heads=meta["num_heads" if is_wan else "heads"],
        embed_dim=meta["out_dim" if is_wan else "output_dim"],
        mlp_ratio=meta["mlp_ratio"],
        quick_gelu="quick_gelu" in meta.get("activation", meta.get("act", "")),
        names="wan" if is_wan else "open_clip",
    )


def network_of(weights: dict[str, Tensor], config: TowerConfig) -> ImageTower:
    """Build a tower from weights under their published names."""
    with torch.device("meta"):
        network = ImageTower(config)
    names = key_map(config, prefix_of(weights))
    ours = {names[key]: fit(config, names[key], value) for key, value in weights.items()}
    network.load_state_dict(ours, assign=True)
    return network


def _keys(stem: str, content: dict[str, str]) -> Iterator[Result]:
    found = (re.match(r"transformer\.(\d+)\.", key) for key in content)
    layers = 1 + max(int(match[1]) for match in found if match)
    yield exact(f"{stem}/keys", open_clip_map(replace(VIT_H_14, num_layers=layers)), content)


def _tower(file: Case) -> Iterator[Result]:
    stem, tensors, weights = file.path.stem, file.tensors, file.weights()
    config = config_of(file.meta["config"])
    yield exact(f"{stem}/keys", sorted(key_map(config, prefix_of(weights))), sorted(weights))
    network = network_of(weights, config)
    with torch.inference_mode():
        # Pictures of several sizes, each a batch of one with its channels first.
        images = [tensors[f"image.{index}"] for index in numbers(tensors, "image.")]
        pictures = [image.transpose(0, 1) for image in images]
        if pictures:
            ours = torch.cat([normalise(picture, config.image_size) for picture in pictures])
            yield compare(f"{stem}/pixels", ours, tensors["pixels"], BAR)
            features = torch.cat([network.features(picture) for picture in pictures])
            yield compare(f"{stem}/features", features, tensors["tokens.penultimate"], BAR)
        yield from _positions(stem, tensors)
        yield from _passes(stem, network, tensors)


def _positions(stem: str, tensors: dict[str, Tensor]) -> Iterator[Result]:
    for name in (name for name in tensors if re.fullmatch(r"pos_interpolate\b.*\blen\d+", name)):
        source = tensors[f"{name.rpartition('.')[0]}.in"]
        ours = resample_positions(source, tensors[name].shape[1])
        yield compare(f"{stem}/{name}", ours, tensors[name], BAR)


def _passes(stem: str, network: ImageTower, tensors: dict[str, Tensor]) -> Iterator[Result]:
    pixels, last = tensors["pixels"], network.config.num_layers - 1
    kept: list[Tensor] = []
    hook = network.visual.ln_pre.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    behind_last = network.tokens(pixels, last)
    hook.remove()
    ours = {
        "after_ln_pre": kept[0],
        "tokens.penultimate": network.tokens(pixels, last - 1),
        "tokens.last_block": behind_last,
        "tokens.last_block_ln_post": network.visual.ln_post(behind_last),
        "pooled": network.visual(pixels),
    }
    for name, value in ours.items():
        if name in tensors:
            yield compare(f"{stem}/{name}", value, tensors[name], BAR)
