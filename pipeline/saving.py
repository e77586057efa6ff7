"""A stream's state as bytes: what came to it since it was opened, to be put into one opened alike elsewhere.

The bytes are a safetensors file, so reading them runs nothing: tensors, and the few numbers as JSON in one of them.
"""

import json
from collections import deque
from dataclasses import asdict
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.pocket.camera import Axis, Camera, Pose
from pipeline.pocket.decoder import Motion
from pipeline.state import Boundary, StreamState


def save_state(state: StreamState) -> bytes:
    """Save a stream: boundaries, what is pending, the part of the cache's ring that was written.

    The picture and what is computed from it alone are left out; for pocket that leaves 14 MB in bfloat16. Raises
    PipelineError while a picture fades into another.
    """
    if state.fade is not None and not state.fade.is_over(state.now.latents):
        raise PipelineError("a picture is fading in; a stream is saved when that is over")
    used = min(state.cache.latents, state.cache.slots)
    tensors = {"ring": state.cache.ring[:, :, :used].contiguous()}
    boundaries = [*state.past, state.now]
    for number, boundary in enumerate(boundaries):
        tensors[f"last.{number}"] = boundary.last.contiguous()
        tensors[f"recent.{number}"] = boundary.motion.recent.contiguous()
    numbers = {
        "seed": state.seed,
        "latents": state.cache.latents,
        "floor": state.floor,
        "is_pending": state.pending is not None,
        "boundaries": [_numbers(boundary) for boundary in boundaries],
    }
    tensors["numbers"] = torch.frombuffer(bytearray(json.dumps(numbers), "ascii"), dtype=torch.uint8)
    return save({name: tensor.cpu() for name, tensor in tensors.items()})


def restore_state(state: StreamState, saved: bytes) -> None:
    """Take a state just opened under the same picture and seed to where the saved one was.

    Raises PipelineError when the saved one was of another seed, or of a network of other sizes.
    """
    tensors = load(saved)
    numbers = json.loads(tensors["numbers"].numpy().tobytes())
    ring, kept = tensors["ring"], state.cache.ring[:, :, : state.cache.slots]
    used = ring.shape[2]
    if numbers["seed"] != state.seed or kept[:, :, :used].shape != ring.shape:
        raise PipelineError("the saved stream is not one of this model under this seed")
    kept[:, :, :used] = ring
    state.cache.latents, state.floor = numbers["latents"], numbers["floor"]
    boundaries = [
        _boundary(told, *(tensors[f"{kind}.{number}"].to(kept.device) for kind in ("last", "recent")))
        for number, told in enumerate(numbers["boundaries"])
    ]
    state.now = boundaries.pop()
    state.past = deque(boundaries)
    # What is pending is always the newest latent.
    state.pending = state.now.last if numbers["is_pending"] else None


def _numbers(boundary: Boundary) -> dict[str, Any]:
    motion = boundary.motion
    return {
        "latents": boundary.latents,
        "frames": boundary.frames,
        "chunks": boundary.chunks,
        "motion": motion.latent,
        "camera": asdict(motion.camera),
    }


def _boundary(told: dict[str, Any], last: Tensor, recent: Tensor) -> Boundary:
    camera = told["camera"]
    x, y, z, w = camera["velocity"]
    a, b, c, d = (Axis(**axis) for axis in camera["axes"])
    motion = Motion(Camera(Pose(**camera["pose"]), (x, y, z, w), (a, b, c, d)), recent, told["motion"])
    return Boundary(told["latents"], told["frames"], told["chunks"], last, motion)
