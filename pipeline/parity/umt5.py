"""The text encoder's cases: its outputs and parts, its key map, and the cleaning of prompts."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch

from pipeline import prompts
from pipeline.networks.text_umt5 import UMT5, TextEncoder, UMT5Config, key_map, transformers_map
from pipeline.parity.result import Case, Result, case, compare, exact

FLOAT32_BAR = 5e-5
BFLOAT16_BAR = 0.08


def run(path: Path) -> Iterator[Result]:
    """Compare one file: ``umt5*.safetensors``, ``umt5_key_map*.json`` or ``prompt_cleaning*.json``."""
    if path.suffix == ".safetensors":
        yield from _encoder(case(path))
    elif "cases" in (content := json.loads(path.read_text(encoding="utf-8"))):
        for index, pair in enumerate(content["cases"]):
            yield exact(f"{path.stem}/{index}", prompts.clean(pair["raw"]), pair["clean"])
    else:
        yield exact(f"{path.stem}/keys", transformers_map(_layers_only(content)), content)


def config_of(meta: dict[str, Any]) -> UMT5Config:
    """Read the encoder's sizes from a case's ``config``."""
    return UMT5Config(
        vocabulary=meta["vocab_size"],
        dim=meta["dim"],
        dim_attn=meta["dim_attn"],
        dim_ffn=meta["dim_ffn"],
        num_heads=meta["num_heads"],
        num_layers=meta["encoder_layers"],
        num_buckets=meta["num_buckets"],
    )


def network_of(weights: dict[str, torch.Tensor], config: UMT5Config, dtype: torch.dtype = torch.float32) -> UMT5:
    """Build the encoder from weights under their published names."""
    with torch.device("meta"):
        network = UMT5(config)
    names = key_map(config)
    network.load_state_dict({names[key]: value.to(dtype) for key, value in weights.items()}, assign=True)
    return network


def _layers_only(content: dict[str, str]) -> UMT5Config:
    """The one size that a key map depends on."""
    found = (re.match(r"blocks\.(\d+)\.", key) for key in content.values())
    return UMT5Config(num_layers=1 + max(int(match[1]) for match in found if match))


def _encoder(file: Case) -> Iterator[Result]:
    stem, tensors, weights = file.path.stem, file.tensors, file.weights()
    config = config_of(file.meta["config"])
    yield exact(f"{stem}/keys", sorted(key_map(config)), sorted(weights))
    network = network_of(weights, config)
    encoder = TextEncoder(network, torch.get_default_device())
    with torch.inference_mode():
        yield from _parts(stem, network, tensors)
        ids, mask = tensors["ids"], tensors["mask"]
        if "lens" in tensors:
            yield exact(f"{stem}/lens", mask.sum(1), tensors["lens"])
        yield compare(f"{stem}/out.raw", network(ids, mask), tensors["out.raw"], FLOAT32_BAR)
        yield compare(f"{stem}/out.zeroed", encoder.encode(ids, mask), tensors["out.zeroed"], FLOAT32_BAR)
        if "no_mask.out" in tensors:
            expected = tensors["no_mask.out"]
            # The reference ran the first texts of the batch.
            yield compare(f"{stem}/no_mask.out", network(ids[: len(expected)]), expected, FLOAT32_BAR)
        if "long.out" in tensors:
            ours = network(tensors["long.ids"], tensors["long.mask"])
            yield compare(f"{stem}/long.out", ours, tensors["long.out"], FLOAT32_BAR)
        if "out.raw_bf16" in tensors:
            narrow = network_of(weights, config, torch.bfloat16)(ids, mask)
            yield exact(f"{stem}/out.raw_bf16.dtype", str(narrow.dtype), str(tensors["out.raw_bf16"].dtype))
            yield compare(f"{stem}/out.raw_bf16", narrow, tensors["out.raw_bf16"], BFLOAT16_BAR)
            yield compare(f"{stem}/out.raw_bf16.float32", narrow, tensors["out.raw"], BFLOAT16_BAR)


def _parts(stem: str, network: UMT5, tensors: dict[str, torch.Tensor]) -> Iterator[Result]:
    attention, feed_forward = cast("list[Any]", network.layers[0].layer)
    if "bucket.index" in tensors:
        ours = attention.SelfAttention._relative_position_bucket(tensors["bucket.rel_pos"])
        yield exact(f"{stem}/bucket.index", ours, tensors["bucket.index"])
    for name in (name for name in tensors if name.startswith("block0.pos_bias")):
        rows, columns = tensors[name].shape[-2:]
        yield compare(f"{stem}/{name}", attention.SelfAttention.compute_bias(rows, columns), tensors[name], FLOAT32_BAR)
    if "norm.y" in tensors:
        # The reference took the first norm of the first layer.
        ours = attention.layer_norm(tensors["norm.x"])
        yield compare(f"{stem}/norm.y", ours, tensors["norm.y"], FLOAT32_BAR)
    if "gelu.y" in tensors:
        ours = feed_forward.DenseReluDense.act(tensors["gelu.x"])
        yield compare(f"{stem}/gelu.y", ours, tensors["gelu.y"], FLOAT32_BAR)
