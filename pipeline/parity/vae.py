"""The Wan VAE's cases: encoding and decoding at one go and streamed, with every slot of the memory."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.networks.frame_decoder import VAEMemory
from pipeline.networks.vae_wan import WanVAE
from pipeline.networks.vae_wan_config import LATENT_MEAN, LATENT_STD, WanVAEConfig
from pipeline.parity.result import Case, Result, case, compare, exact

BAR = 5e-5


def run(path: Path) -> Iterator[Result]:
    """Compare one file: ``vae_latent_stats*.json``, ``vae_encode*``, ``vae_decode*`` or the demo's decoding."""
    if path.suffix == ".json":
        stored = json.loads(path.read_text(encoding="utf-8"))
        yield exact(f"{path.stem}/latents_mean", list(LATENT_MEAN), stored["latents_mean"])
        yield exact(f"{path.stem}/latents_std", list(LATENT_STD), stored["latents_std"])
        return
    file = case(path)
    network = network_of(file.weights(), file.meta)
    with torch.inference_mode():
        if any(name.startswith("demo.") for name in file.tensors):
            yield from _demo(file, network)
        elif any(name.endswith("latent") for name in file.tensors):
            yield from _encoded(file, network)
            yield from _encoded_stream(file, network)
        else:
            yield from _decoded(file, network)
            yield from _decoded_in_chunks(file, network)
            yield from _decoded_stream(file, network)


def config_of(meta: dict[str, Any]) -> WanVAEConfig:
    """Read the sizes from a case's metadata."""
    config = meta["config"]
    return WanVAEConfig(
        dim=config["dim"],
        z_dim=config["z_dim"],
        dim_mult=tuple(config["dim_mult"]),
        num_res_blocks=config["num_res_blocks"],
        temporal_downsample=tuple(config["temperal_downsample"]),
        latent_mean=tuple(meta.get("latents_mean", LATENT_MEAN)),
        latent_std=tuple(meta.get("latents_std", LATENT_STD)),
    )


def network_of(weights: dict[str, Tensor], meta: dict[str, Any]) -> WanVAE:
    """Build what the weights are of: the encoder, the decoder or both."""
    halves = {half: any(key.startswith(f"{half}.") for key in weights) for half in ("encoder", "decoder")}
    with torch.device("meta"):
        network = WanVAE(config_of(meta), **halves)
    network.load_state_dict(weights, assign=True)
    return network.requires_grad_(False)


def _encoded(file: Case, network: WanVAE) -> Iterator[Result]:
    stem, tensors = file.path.stem, file.tensors
    for name, expected in tensors.items():
        whole, _, kind = name.rpartition(".")
        if kind not in ("latent", "mu") or whole.startswith("stream."):
            continue
        if (video := _input(tensors, whole)) is None:
            yield Result(f"{stem}/{name}: the case does not tell what was encoded", float("inf"), BAR)
            continue
        ours = network.encode(video)[0] if kind == "latent" else network.encode_mu(video)[0]
        yield compare(f"{stem}/{name}", ours, expected, BAR)
        if kind == "latent" and video.shape[2] == 1:
            yield compare(f"{stem}/{name} (picture)", network.encode_image(video), expected, BAR)
            tile = 2 * network.config.spatial_factor
            yield compare(f"{stem}/{name} (tiled)", network.encode_image(video, tile), expected, BAR)


def _input(tensors: dict[str, Tensor], name: str) -> Tensor | None:
    """Find what was encoded: a video, the first frames of one, or two videos as a batch."""
    if name in tensors:
        return tensors[name]
    if first := re.fullmatch(r"(.+)\.first(\d+)", name):
        return tensors[first[1]][:, :, : int(first[2])]
    seconds = [key for key in tensors if key.startswith(f"{name}.") and key.endswith(".second")]
    if seconds:
        second = tensors[seconds[0]]
        return torch.cat([_longest(tensors)[:, :, : second.shape[2]], second])
    return None


def _longest(tensors: dict[str, Tensor]) -> Tensor:
    videos = [tensors[name] for name in tensors if f"{name}.latent" in tensors or f"{name}.mu" in tensors]
    return max(videos, key=lambda video: video.shape[2])


def _encoded_stream(file: Case, network: WanVAE) -> Iterator[Result]:
    tensors = file.tensors
    chunks = _count(tensors, r"stream\.chunk(\d+)\..*")
    if not chunks:
        return
    video, memory, at = _longest(tensors), VAEMemory(), 0
    for index in range(chunks):
        name = f"{file.path.stem}/stream.chunk{index}"
        end = at + (network.config.temporal_factor if at else 1)
        if f"stream.chunk{index}.encoder_out" in tensors:
            moments, _ = network.encoder(video[:, :, at:end], memory)
            yield compare(f"{name}.encoder_out", moments, tensors[f"stream.chunk{index}.encoder_out"], BAR)
        mu, memory = network.encode_mu(video[:, :, at:end], memory)
        if f"stream.chunk{index}.mu" in tensors:
            yield compare(f"{name}.mu", mu, tensors[f"stream.chunk{index}.mu"], BAR)
        yield from _slots(file, f"stream.chunk{index}", memory)
        at = end
    yield from _layout(file, memory, "enc_cache_layout_after_last_chunk", "enc_slots_used")


def _decoded(file: Case, network: WanVAE) -> Iterator[Result]:
    tensors = file.tensors
    for name, expected in tensors.items():
        found = re.fullmatch(r"(|.+\.)video(\d*)", name)
        if found is None:
            continue
        latents = tensors.get(f"{found[1]}z{found[2]}")
        if latents is None:
            # The first latents of the case's own.
            latents = tensors[f"{found[1]}z"][:, :, : int(found[2])]
        video, _ = network.decode(latents)
        yield compare(f"{file.path.stem}/{name}", video, expected, BAR)


def _decoded_in_chunks(file: Case, network: WanVAE) -> Iterator[Result]:
    tensors = file.tensors
    for name in [name for name in tensors if f"{name}.chunk0" in tensors]:
        memory, at = VAEMemory(), 0
        for index in range(_count(tensors, rf"{re.escape(name)}\.chunk(\d+)")):
            expected = tensors[f"{name}.chunk{index}"]
            end = at + -(-expected.shape[2] // network.config.temporal_factor)
            video, memory = network.decode(tensors[name][:, :, at:end], memory)
            yield compare(f"{file.path.stem}/{name}.chunk{index}", video, expected, BAR)
            at = end


def _decoded_stream(file: Case, network: WanVAE) -> Iterator[Result]:
    tensors, stem = file.tensors, file.path.stem
    if "z" not in tensors:
        return
    memory, videos = VAEMemory(), list[Tensor]()
    for index, latent in enumerate(tensors["z"].split(1, dim=2)):
        video, memory = network.decode(latent, memory)
        videos.append(video)
        yield from _slots(file, f"stream.frame{index}", memory)
    if "video" in tensors:
        yield compare(f"{stem}/video (streamed)", torch.cat(videos, 2), tensors["video"], BAR)
    if "frames_out_per_latent" in file.meta:
        ours = [video.shape[2] for video in videos]
        yield exact(f"{stem}/frames_out_per_latent", ours, file.meta["frames_out_per_latent"])
    yield from _layout(file, memory, "dec_cache_layout", "dec_slots_used")


def _demo(file: Case, network: WanVAE) -> Iterator[Result]:
    """What the demo makes when it begins with zeros in every slot: ours does too, if told to, and not by itself."""
    tensors, stem = file.tensors, file.path.stem
    latents, at = next(value for name, value in tensors.items() if not name.startswith("demo.")), 0
    shapes = file.meta["cache_shapes_all_zero_at_start"]
    demo, ours = VAEMemory(tuple(torch.zeros(shape) for shape in shapes)), VAEMemory()
    for index in range(_count(tensors, r"demo\.chunk(\d+).*")):
        name = next(key for key in tensors if re.fullmatch(rf"demo\.chunk{index}(_\w+)?", key))
        expected = tensors[name].transpose(1, 2)
        end = at + -(-expected.shape[2] // network.config.temporal_factor)
        video, demo = network.decode(latents[:, :, at:end], demo)
        # The demo drops the first frames of its first chunk.
        yield compare(f"{stem}/{name} (from zeros)", video[:, :, -expected.shape[2] :].clamp(-1, 1), expected, BAR)
        video, ours = network.decode(latents[:, :, at:end], ours)
        differing = compare(f"{stem}/{name}", video.clamp(-1, 1), expected[:, :, -video.shape[2] :], BAR)
        yield Result(differing.name, differing.error, differing.bar, documented=True)
        at = end


def _slots(file: Case, prefix: str, memory: VAEMemory) -> Iterator[Result]:
    for name, expected in file.tensors.items():
        if found := re.fullmatch(rf"{re.escape(prefix)}\.cache(\d+)", name):
            slot = memory.slots[int(found[1])]
            yield compare(f"{file.path.stem}/{name}", torch.empty(0) if slot is None else slot, expected, BAR)


def _layout(file: Case, memory: VAEMemory, layout: str, used: str) -> Iterator[Result]:
    """The number and the shapes of the slots, as the metadata has them; what the reference counts too many is None."""
    shapes = [None if slot is None else list(slot.shape) for slot in memory.slots]
    if used in file.meta:
        yield exact(f"{file.path.stem}/{used}", len(shapes), file.meta[used])
    if layout in file.meta:
        expected = [None if shape == "None" else shape for shape in file.meta[layout]]
        surplus = len(expected) - len(shapes)
        yield exact(f"{file.path.stem}/{layout}", shapes + [None] * surplus, expected)


def _count(tensors: dict[str, Tensor], pattern: str) -> int:
    """Count the numbered members of a family of tensors."""
    return len({found[1] for name in tensors if (found := re.fullmatch(pattern, name))})
