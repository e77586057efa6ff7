"""The tiny decoder's cases: at one go and streamed, its memory, the full-size recipe, and the demo's windows."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.networks.frame_decoder import VAEMemory
from pipeline.networks.vae_tiny import MemoryBlock, TinyVAE, TinyVAEConfig, config_of, fit_state_dict
from pipeline.parity.result import Case, Result, case, compare, exact

BAR = 1e-4
CHECKSUM_BAR = 1e-6


def run(path: Path) -> Iterator[Result]:
    """Compare one ``taehv*.safetensors``; frames and latents are ``[B, F, C, H, W]`` there."""
    file = case(path)
    if "recipe" in file.meta:
        weights = weights_by_recipe(file.meta)
        yield from _checksums(file, weights)
    else:
        weights = file.weights()
    network = network_of(weights, file.meta)
    with torch.inference_mode():
        if any(name.startswith("demo.") for name in file.tensors):
            yield from _demo(file, network)
            return
        yield from _sizes(file, network)
        yield from _decoded(file, network)
        yield from _decoded_stream(file, network)
        yield from _encoded(file, network)


def network_of(weights: dict[str, Tensor], meta: dict[str, Any]) -> TinyVAE:
    """Build the network from weights under their published names, and from the case's list of layers."""
    config = config_of(weights, _grows(meta))
    with torch.device("meta"):
        network = TinyVAE(config)
    network.load_state_dict(fit_state_dict(weights, config), assign=True)
    return network.requires_grad_(False)


def weights_by_recipe(meta: dict[str, Any]) -> dict[str, Tensor]:
    """Draw the full network's weights from the seed that the recipe names, key by key in sorted order."""
    seed = re.search(r"PCG64\((\d+)\)", meta["recipe"])
    assert seed is not None
    draw = np.random.Generator(np.random.PCG64(int(seed[1])))
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in TinyVAE().state_dict().items()}
    weights: dict[str, Tensor] = {}
    for key in sorted(shapes):
        drawn = torch.from_numpy(draw.standard_normal(shapes[key].numel())).reshape(shapes[key])
        gain = 0.1 if key.endswith("bias") else (2 / shapes[key][1:].numel()) ** 0.5
        weights[key] = (drawn * gain).float()
    for half, last in (("decoder", "decoder.22"), ("encoder", "encoder.17")):
        factors = meta["factors"]
        weights[f"{last}.weight"] *= factors[f"{half}_last_weight_factor"]
        bias = torch.as_tensor(factors[f"{half}_last_bias"], dtype=torch.float32)
        weights[f"{last}.bias"] = bias.to("cpu").expand_as(weights[f"{last}.bias"]).clone()
    return {key: value.to(torch.get_default_device()) for key, value in weights.items()}


def _grows(meta: dict[str, Any]) -> tuple[int, int, int]:
    layers = meta.get("layout", {}).get("decoder", [])
    found = [int(grow[1]) for layer in layers if (grow := re.search(r"TGrow\(stride (\d+)\)", layer))]
    return (found[0], found[1], found[2]) if found else TinyVAEConfig().time_grows


def _checksums(file: Case, weights: dict[str, Tensor]) -> Iterator[Result]:
    for key, (total, absolute) in file.meta["checksum_sum_abssum"].items():
        wide = weights[key].double()
        ours, expected = torch.stack([wide.sum(), wide.abs().sum()]), torch.tensor([total, absolute]).double()
        yield compare(f"{file.path.stem}/checksum {key}", ours, expected, CHECKSUM_BAR)


def _sizes(file: Case, network: TinyVAE) -> Iterator[Result]:
    stem, config = file.path.stem, network.config
    ours = {
        "frames_to_trim": config.frames_to_trim,
        "t_upscale": config.frames_per_latent,
        "t_downscale": config.frames_per_group,
        "num_params": sum(parameter.numel() for parameter in network.parameters()),
    }
    for key, value in ours.items():
        if key in file.meta:
            yield exact(f"{stem}/{key}", value, file.meta[key])


def _decoded(file: Case, network: TinyVAE) -> Iterator[Result]:
    tensors, stem = file.tensors, file.path.stem
    latents = _turned(tensors["z"])
    if "decode.raw" in tensors:
        raw, _ = network.decode_untrimmed(latents)
        yield compare(f"{stem}/decode.raw", _turned(raw), tensors["decode.raw"], BAR)
    if "decode.video" in tensors:
        frames, _ = network.decode_frames(latents, None)
        yield compare(f"{stem}/decode.video", _turned(frames), tensors["decode.video"], BAR)


def _decoded_stream(file: Case, network: TinyVAE) -> Iterator[Result]:
    tensors, stem = file.tensors, file.path.stem
    places = [place for place, layer in enumerate(network.decoder) if isinstance(layer, MemoryBlock)]
    memory, videos = VAEMemory(), list[Tensor]()
    for index, latent in enumerate(_turned(tensors["z"]).split(1, dim=2)):
        frames, memory = network.decode_frames(latent, memory)
        videos.append(frames)
        for place, slot in zip(places, memory.slots, strict=True):
            name = f"stream.after_latent{index}.mem{place}"
            if name in tensors and slot is not None:
                yield compare(f"{stem}/{name}", slot, tensors[name], BAR)
    if "decode.video" in tensors:
        streamed = _turned(torch.cat(videos, 2))
        yield compare(f"{stem}/decode.video (streamed)", streamed, tensors["decode.video"], BAR)
    if "stream.frames_per_latent" in tensors:
        ours = [video.shape[2] for video in videos]
        yield exact(f"{stem}/stream.frames_per_latent", ours, tensors["stream.frames_per_latent"].tolist())


def _encoded(file: Case, network: TinyVAE) -> Iterator[Result]:
    tensors, stem = file.tensors, file.path.stem
    if "x" not in tensors:
        return
    video = _turned(tensors["x"])
    for name, expected in tensors.items():
        first = re.fullmatch(r"encode\.(?:z|first(\d+))", name)
        if first is not None:
            ours = _whole(network, video[:, :, : int(first[1])] if first[1] else video, video.shape[2])
            yield compare(f"{stem}/{name}", _turned(ours[0]), expected, BAR)
    streamed, before_flush = _whole(network, video, 1)
    if "encode.z" in tensors:
        yield compare(f"{stem}/encode.z (streamed)", _turned(streamed), tensors["encode.z"], BAR)
    if "encode.latents_before_flush" in tensors:
        expected = tensors["encode.latents_before_flush"].flatten().tolist()
        yield exact(f"{stem}/encode.latents_before_flush", [before_flush], expected)


def _whole(network: TinyVAE, video: Tensor, step: int) -> tuple[Tensor, int]:
    """Encode a video, so many frames a call, to its end; also the number of latents before the flush."""
    memory, latents = VAEMemory(), list[Tensor]()
    for frames in video.split(step, dim=2):
        some, memory = network.encode(frames, memory)
        latents.append(some)
    before_flush = sum(some.shape[2] for some in latents)
    rest = network.flush(memory)
    return torch.cat(latents if rest is None else [*latents, rest], 2), before_flush


def _demo(file: Case, network: TinyVAE) -> Iterator[Result]:
    """The demo decodes each block anew with the block before it: ours does too, if told to, and not by itself."""
    tensors, stem = file.tensors, file.path.stem
    latents, memory, at, before = _turned(tensors["z"]), VAEMemory(), 0, 0
    found = [match for name in tensors if (match := re.fullmatch(r"demo\.chunk(\d+)(?:_\w+)?", name))]
    for index, match in enumerate(sorted(found, key=lambda match: int(match[1]))):
        name = match[0]
        expected = (_turned(tensors[name]) + 1) / 2
        end = at + -(-expected.shape[2] // network.config.frames_per_latent)
        windowed, _ = network.decode_untrimmed(latents[:, :, before:end])
        yield compare(f"{stem}/{name} (windowed)", windowed[:, :, -expected.shape[2] :], expected, BAR)
        video, memory = network.decode(latents[:, :, at:end], memory)
        result = compare(f"{stem}/{name}", video, expected, BAR)
        # Two blocks are within one window; from the third on the demo has forgotten what ours remembers.
        yield Result(result.name, result.error, result.bar, documented=index > 1)
        at, before = end, at


def _turned(video: Tensor) -> Tensor:
    """Exchange frames and channels: ``[B, F, C, H, W]`` and ``[B, C, F, H, W]``."""
    return video.transpose(1, 2)
