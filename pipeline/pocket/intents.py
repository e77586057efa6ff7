"""What a prompt asks for, as numbers: read from text by the text encoder, attended to by the transformer.

Between the two stands this small, closed vocabulary. So the language can be taught by text alone, and the motion by
meanings that are never misread.
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.names import CAMERAS as CAMERAS
from pipeline.pocket.names import DRAWN as DRAWN
from pipeline.pocket.names import EFFECTS as EFFECTS
from pipeline.pocket.names import NAMED as NAMED
from pipeline.pocket.names import REGIONS as REGIONS

SLOTS = 3
SPEEDS = (0.5, 1.0, 1.6)
STRENGTHS = (0.5, 1.0, 1.5)
# Logits of one prompt, in this order: camera, its speed, then for every effect presence, region, strength, speed.
SPLIT = (
    len(CAMERAS),
    len(SPEEDS),
    len(NAMED),
    len(NAMED) * len(REGIONS),
    len(NAMED) * len(STRENGTHS),
    len(NAMED) * len(SPEEDS),
)
LOGITS = sum(SPLIT)
ROWS = 1 + len(EFFECTS)
COLUMNS = len(CAMERAS) + 1 + len(REGIONS) + 3


@dataclass(frozen=True, slots=True)
class Intents:
    """A batch of prompts' meanings as tensors; indices into CAMERAS, NAMED and REGIONS, -1 for an empty slot."""

    camera: Tensor
    camera_speed: Tensor
    effect: Tensor
    region: Tensor
    strength: Tensor
    speed: Tensor

    def __getitem__(self, rows: Tensor) -> "Intents":
        return Intents(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch of meanings, dense.

    ``camera [B]`` and ``region [B, 23]`` are indices, ``camera_speed [B]``, ``strength`` and ``speed [B, 23]``
    factors, ``present bool [B, 23]`` says which effects (NAMED) are asked for.
    """

    camera: Tensor
    camera_speed: Tensor
    present: Tensor
    region: Tensor
    strength: Tensor
    speed: Tensor

    def __getitem__(self, rows: Tensor) -> "Asked":
        return Asked(*(getattr(self, f.name)[rows] for f in fields(self)))

    def on_host(self) -> "Asked":
        """The same where reading it makes nothing wait."""
        return Asked(*(getattr(self, f.name).cpu() for f in fields(self)))

    def rows(self) -> Tensor:
        """One row for the camera and one for every effect of EFFECTS, ``float32 [B, 11, 25]``.

        An absent effect's row is zero. Where only what is drawn was asked for, the camera's row is that of a still
        one: the transformer never saw a prompt without camera and effect.
        """
        out = torch.zeros(len(self.camera), ROWS, COLUMNS, device=self.camera.device)
        learned = slice(0, len(EFFECTS))
        present, region = self.present[:, learned], self.region[:, learned]
        strength, speed = self.strength[:, learned], self.speed[:, learned]
        is_at_rest = (self.camera == CAMERAS.index("none")) & ~present.any(1)
        camera = torch.where(is_at_rest, CAMERAS.index("still"), self.camera)
        out[:, 0, : len(CAMERAS)] = F.one_hot(camera, len(CAMERAS)).float()
        out[:, 0, len(CAMERAS)] = self.camera_speed
        start = len(CAMERAS) + 1
        out[:, 1:, start : start + len(REGIONS)] = F.one_hot(region, len(REGIONS)).float()
        out[:, 1:, -3:] = torch.stack([torch.ones_like(strength), strength, speed], dim=-1)
        out[:, 1:] *= present[..., None]
        return out


def dense(intents: Intents) -> Asked:
    """Slots to one place per effect; a later slot of the same effect wins."""
    batch, device = len(intents.camera), intents.camera.device
    present = torch.zeros(batch, len(NAMED) + 1, dtype=torch.bool, device=device)
    region = torch.zeros(batch, len(NAMED) + 1, dtype=torch.long, device=device)
    strength, speed = torch.ones(2, batch, len(NAMED) + 1, device=device)
    for slot in range(intents.effect.shape[1]):
        # An empty slot is -1: the place behind the last effect takes it.
        place = intents.effect[:, slot] % (len(NAMED) + 1)
        at = (torch.arange(batch, device=device), place)
        present[at] = True
        region[at] = intents.region[:, slot]
        strength[at] = intents.strength[:, slot]
        speed[at] = intents.speed[:, slot]
    cut = slice(0, len(NAMED))
    return Asked(intents.camera, intents.camera_speed, present[:, cut], region[:, cut], strength[:, cut], speed[:, cut])


def read(logits: Tensor) -> Asked:
    """Decide from logits ``[B, LOGITS]`` what a prompt asks for: the likeliest camera and effects that go together.

    No camera named goes with an effect at least; the drift, which a prompt gets that asks for nothing, with none.
    """
    camera, camera_speed, present, region, strength, speed = _split(logits)
    speeds, strengths = torch.tensor(SPEEDS, device=logits.device), torch.tensor(STRENGTHS, device=logits.device)
    none, drift = CAMERAS.index("none"), CAMERAS.index("drift")
    most = present.amax(-1)
    # What it costs to take an effect against its logit, or leave one: how far the logit is on the other side of 0.
    fit = camera.log_softmax(-1)
    fit[:, none] += most.clamp(max=0)
    fit[:, drift] -= present.clamp(min=0).sum(-1)
    move = fit.argmax(-1)
    here = (present > 0) | ((move == none)[:, None] & (present == most[:, None]))
    return Asked(
        move,
        speeds[camera_speed.argmax(-1)],
        here & (move != drift)[:, None],
        region.argmax(-1),
        strengths[strength.argmax(-1)],
        speeds[speed.argmax(-1)],
    )


def reading_loss(logits: Tensor, asked: Asked) -> Tensor:
    """Cross-entropy of every part; what belongs to an absent effect does not count."""
    camera, camera_speed, present, region, strength, speed = _split(logits)
    here = asked.present
    parts = [
        F.cross_entropy(camera, asked.camera),
        0.3 * F.cross_entropy(camera_speed, _nearest(asked.camera_speed, SPEEDS)),
        0.4 * len(NAMED) * F.binary_cross_entropy_with_logits(present, here.float()),
    ]
    for logit, right, weight in (
        (region, asked.region, 0.5),
        (strength, _nearest(asked.strength, STRENGTHS), 0.3),
        (speed, _nearest(asked.speed, SPEEDS), 0.3),
    ):
        each = F.cross_entropy(logit.flatten(0, 1), right.flatten(), reduction="none").view_as(present)
        parts.append(weight * (each * here).sum() / here.sum().clamp(min=1))
    return torch.stack(parts).sum()


def _nearest(values: Tensor, levels: tuple[float, ...]) -> Tensor:
    return (values[..., None] - torch.tensor(levels, device=values.device)).abs().argmin(-1)


def _split(logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    camera, camera_speed, present, region, strength, speed = logits.float().split(SPLIT, dim=-1)
    effects = len(NAMED)
    return (
        camera,
        camera_speed,
        present,
        region.unflatten(-1, (effects, -1)),
        strength.unflatten(-1, (effects, -1)),
        speed.unflatten(-1, (effects, -1)),
    )
