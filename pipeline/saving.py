"""A stream's state as bytes: what came to it since it was opened, to be put into one opened alike elsewhere.

The bytes are a safetensors file, so reading them runs nothing: tensors, and the few numbers as JSON in one of them.
"""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.pocket.camera import Camera
from pipeline.pocket.decoder import Motion
from pipeline.pocket.depth_strength import FADE, Strength
from pipeline.pocket.drawn.drawing import Drawing
from pipeline.pocket.drawn.wetness import Patches, Wetness
from pipeline.pocket.governor import Axis
from pipeline.pocket.own_motion import Asking
from pipeline.pocket.painter.scenery import Scenery
from pipeline.pocket.pose import Pose
from pipeline.state import Boundary, StreamState
from pipeline.travel import Travel


def save_state(state: StreamState) -> bytes:
    """Save a stream: boundaries, the clean latents of what its cache's ring can hold, what is pending.

    The picture and what is computed from it alone are left out, and so is what the network reads in a clean latent: for
    pocket that leaves 2 MB. Raises PipelineError while a picture fades into another.
    """
    if state.fade is not None and not state.fade.is_over(state.now.latents):
        raise PipelineError("a picture is fading in; a stream is saved when that is over")
    boundaries = [*state.past, state.now]
    # Each boundary's three newest latents are those of the one before, and one more.
    trail = [*boundaries[0].motion.recent.flip(0), *(boundary.motion.recent[0] for boundary in boundaries[1:])]
    tensors = {"trail": torch.stack(trail)}
    if state.known:
        tensors["known"] = torch.cat([*state.known])
    if patches := [one.patches.ground for one in (boundary.motion.wet for boundary in boundaries) if one.patches]:
        tensors["wet"] = torch.stack(patches)
    numbers = {
        "seed": state.seed,
        # Scenes that were painted before are not saved.
        "floor": max([state.floor, *(look.until for look in state.looks)]),
        "scenery": state.scenery and state.scenery.as_json(),
        "is_pending": state.pending is not None,
        "boundaries": [_numbers(boundary) for boundary in boundaries],
    }
    tensors["numbers"] = torch.frombuffer(bytearray(json.dumps(numbers), "ascii"), dtype=torch.uint8)
    return save({name: tensor.cpu() for name, tensor in tensors.items()})


def restore_state(state: StreamState, saved: bytes) -> None:
    """Take a state just opened under the same picture and seed to where the saved one was, with nothing in its cache.

    Raises PipelineError when the saved one was of another seed, or of a network of other sizes.
    """
    tensors = load(saved)
    if not {"trail", "numbers"} <= tensors.keys():
        raise PipelineError("the saved stream is not one of this model")
    numbers, trail = json.loads(tensors["numbers"].numpy().tobytes()), tensors["trail"].to(state.now.last.device)
    if numbers["seed"] != state.seed or trail.shape[1:] != state.now.motion.recent.shape[1:]:
        raise PipelineError("the saved stream is not one of this model under this seed")
    known = [*tensors["known"].to(trail.device).split(1)] if "known" in tensors else []
    rest, first = state.now.last, numbers["boundaries"][-1]["latents"] - len(known)
    patches = iter(tensors["wet"].to(trail.device) if "wet" in tensors else ())
    boundaries = [
        _boundary(
            told,
            known[told["latents"] - first - 1] if told["latents"] else rest,
            trail[place : place + 3],
            _wetness(told.get("wet", []), patches),
        )
        for place, told in enumerate(numbers["boundaries"])
    ]
    state.now = boundaries.pop()
    state.past = deque(boundaries)
    state.known, state.floor = deque(known), numbers["floor"]
    # What is pending is always the newest latent.
    state.pending = state.now.last if numbers["is_pending"] else None
    state.cache.latents = state.read_from = state.now.latents - numbers["is_pending"]


def saved_scenery(saved: bytes) -> Scenery | None:
    """Read what was painted for a saved stream, None where its picture had been given."""
    numbers = load(saved).get("numbers")
    told = None if numbers is None else json.loads(numbers.numpy().tobytes()).get("scenery")
    return None if told is None else Scenery.from_json(told)


def _numbers(boundary: Boundary) -> dict[str, Any]:
    motion = boundary.motion
    return {
        "latents": boundary.latents,
        "frames": boundary.frames,
        "chunks": boundary.chunks,
        "motion": motion.latent,
        "reach": motion.reach.tolist(),
        "wet": [*motion.wet[:2], *(motion.wet.patches or ())[1:]],
        "depth": motion.depth.now,
        "drawn": None if motion.drawn.is_empty else asdict(motion.drawn),
        "camera": asdict(motion.camera),
        "travel": asdict(boundary.travel),
        "rested": boundary.rested,
        "asking": asdict(boundary.asking),
    }


def _wetness(told: list[float], patches: Iterator[Tensor]) -> Wetness:
    """What is kept tells of two numbers, and of the least of the next patches where there are any."""
    # What was kept before rain wetted tells of none.
    rain, ground, *least = told or (0.0, 0.0)
    return Wetness(rain, ground, Patches(next(patches), least[0]) if least else None)


def _boundary(told: dict[str, Any], last: Tensor, trail: Tensor, wet: Wetness) -> Boundary:
    camera = told["camera"]
    x, y, z, w = camera["velocity"]
    a, b, c, d = (Axis(**axis) for axis in camera["axes"])
    eye = Camera(Pose(**camera["pose"]), (x, y, z, w), (a, b, c, d), camera.get("assist", 0.0))
    reach = torch.tensor(told["reach"])
    # What was kept before prompts came in by policies tells of none.
    travel, rested = told.get("travel", {"prompt": None, "before": []}), told.get("rested", 0)
    before = tuple((prompt, share) for prompt, share in travel["before"])
    recent = trail.flip(0)
    recent[max(0, told["latents"] - rested) :] = 0
    # What was kept before effects were drawn, or depth was given up, tells of none.
    drawn, depth = Drawing.from_json(told.get("drawn")), Strength(*[told.get("depth", FADE)] * 2)
    motion = Motion(eye, recent, told["motion"], reach, reach, drawn, drawn, wet, depth)
    way = Travel(**travel | {"before": before})
    kept = told.get("asking", asdict(Asking()))
    asking = Asking(tuple(kept["swings"]), tuple(kept["say"]), tuple(kept["paces"]), kept["hand"])
    counts = (told["latents"], told["frames"], told["chunks"])
    return Boundary(*counts, last, motion, travel=way, rested=rested, asking=asking)
