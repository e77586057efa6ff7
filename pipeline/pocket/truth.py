"""The motion that pocket learns: what the next latent should be, from any latent, under any intent.

Every motion is a field made from a picture's soft masks and a prompt's intents. Because the next field follows
from the present one in closed form, a stream that the model itself has carried off course still has a right
answer: that is what makes training on its own roll-outs possible (Self Forcing, arXiv 2506.08009).
"""

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from pipeline.pocket.intents import CAMERAS, EFFECTS, REGIONS, Intents, dense
from pipeline.pocket.latents import (
    CAMERA,
    CHANNELS,
    DISPLACEMENT,
    FLOW,
    GAIN,
    GRID,
    LATENTS_PER_SECOND,
    WEATHER,
    camera_field,
    fit_camera,
    screen_grid,
)

SLOW_FACTOR, FAST_FACTOR = 0.5, 1.6

# Share of the way to its target that each field goes in one latent (0.25 s).
CAMERA_RATE, GAIN_RATE, WEATHER_RATE, FLOW_RATE, SWING_RATE = 0.55, 0.34, 0.36, 0.36, 0.34
DRIFT_SPEED, DRIFT_PERIOD_S = 0.25, 12.0
LOG_GAINS = {
    "night": (-0.95, -0.8, -0.45),
    "warm": (0.20, 0.02, -0.32),
    "cold": (-0.30, -0.02, 0.20),
    "rain": (-0.16, -0.12, -0.06),
}
FALLING = ("rain", "snow", "fog")
SWING_HZ = {"sway": 0.45, "ripple": 0.6, "breathe": 0.28}
WHERE = {"sway": "foliage", "ripple": "water", "breathe": "subject", "clouds": "sky"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where every field of a stream is heading.

    ``camera [B, 4]``, ``drift bool [B]``, ``fields [B, 12, h, w]`` (channels of swing and camera unused),
    ``basis complex [B, 3, 2, h, w]``, ``turn`` and ``amplitude [B, 3]`` (one a swing): radians a latent, and size.
    """

    camera: Tensor
    drift: Tensor
    fields: Tensor
    basis: Tensor
    turn: Tensor
    amplitude: Tensor

    def put(self, rows: Tensor, other: "Target") -> "Target":
        """The same batch with some rows replaced."""
        changed = {}
        for f in fields(self):
            value = getattr(self, f.name).clone()
            value[rows] = getattr(other, f.name)
            changed[f.name] = value
        return replace(self, **changed)


def camera_velocity(intents: Intents) -> Tensor:
    """Nominal velocities ``[B, 4]``: pan right, tilt down, zoom in, roll clockwise."""
    table = torch.zeros(len(CAMERAS), 4, device=intents.camera.device)
    for name, axis, sign in (
        ("pan_left", 0, -1), ("pan_right", 0, 1), ("tilt_up", 1, -1), ("tilt_down", 1, 1),
        ("zoom_in", 2, 1), ("zoom_out", 2, -1), ("roll_cw", 3, 1), ("roll_ccw", 3, -1),
    ):  # fmt: skip
        table[CAMERAS.index(name), axis] = sign
    return table[intents.camera] * intents.camera_speed[:, None]


def target(intents: Intents, masks: Tensor) -> Target:
    """Make targets from intents and soft masks ``[B, 4, h, w]`` (sky, water, foliage, subject)."""
    batch, device = len(masks), masks.device
    asked = dense(intents)
    out = torch.zeros(batch, CHANNELS, *GRID, device=device)
    basis = torch.zeros(batch, len(SWING_HZ), 2, *GRID, dtype=torch.complex64, device=device)
    turn, amplitude = torch.zeros(2, batch, len(SWING_HZ), device=device)
    places = _region_masks(masks)
    for index, name in enumerate(EFFECTS):
        here = asked.present[:, index].float()
        strength, speed = here * asked.strength[:, index], asked.speed[:, index]
        where = _where(name, asked.region[:, index], places)
        size = where * strength[:, None, None]
        if name in LOG_GAINS:
            gain = torch.tensor(LOG_GAINS[name], device=device)[:, None, None]
            out[:, GAIN] += gain * size[:, None]
        if name in FALLING:
            out[:, WEATHER.start + FALLING.index(name)] = size.clamp(max=1.5)
        if name == "clouds":
            out[:, FLOW.start] = size * speed[:, None, None]
        if name in SWING_HZ:
            slot = list(SWING_HZ).index(name)
            basis[:, slot] = _swing(name, where) * here[:, None, None, None]
            turn[:, slot] = 2 * math.pi * SWING_HZ[name] * speed / LATENTS_PER_SECOND
            amplitude[:, slot] = strength
    drift = intents.camera == CAMERAS.index("drift")
    return Target(camera_velocity(intents), drift, out, basis, turn, amplitude)


def advance(now: Tensor, before: Tensor, goal: Target) -> Tensor:
    """Give the latents that follow ``now`` and ``before``, each ``float32 [B, 12, h, w]``."""
    nxt = torch.empty_like(now)
    nxt[:, CAMERA] = now[:, CAMERA] + CAMERA_RATE * (camera_field(_heading(now, goal)) - now[:, CAMERA])
    for channels, rate in ((FLOW, FLOW_RATE), (GAIN, GAIN_RATE), (WEATHER, WEATHER_RATE)):
        nxt[:, channels] = now[:, channels] + rate * (goal.fields[:, channels] - now[:, channels])
    nxt[:, DISPLACEMENT] = _advance_swing(now[:, DISPLACEMENT], before[:, DISPLACEMENT], goal)
    return nxt


def _heading(now: Tensor, goal: Target) -> Tensor:
    """The camera's velocity to aim for; a drift goes slowly round, starting to the right."""
    camera = goal.camera.clone()
    velocity = fit_camera(now[:, CAMERA])[:, :2]
    angle = torch.atan2(velocity[:, 1], velocity[:, 0])
    # The velocity goes CAMERA_RATE of the way to where it is sent, so it is sent that much farther round.
    turn = 2 * math.pi / DRIFT_PERIOD_S / LATENTS_PER_SECOND / CAMERA_RATE
    angle = torch.where(velocity.norm(dim=1) < 0.06, 0.0, angle + turn)
    circle = DRIFT_SPEED * torch.stack([angle.cos(), angle.sin()], dim=1)
    camera[:, :2] = torch.where(goal.drift[:, None], circle, camera[:, :2])
    return camera


def _advance_swing(now: Tensor, before: Tensor, goal: Target) -> Tensor:
    """Turn each swing's phase on, bring its size to the target, let what belongs to no swing fade."""
    basis = goal.basis.flatten(2)
    back = basis * torch.exp(-1j * goal.turn)[..., None]
    # Columns: real and imaginary part of each slot's coefficient; rows: the two latents' cells.
    columns = torch.stack([torch.cat([basis, back], 2).real, -torch.cat([basis, back], 2).imag], dim=2).flatten(1, 2)
    seen = torch.cat([now.flatten(1), before.flatten(1)], dim=1)
    gram = columns @ columns.mT + 0.05 * torch.eye(2 * len(SWING_HZ), device=now.device)
    fit = torch.linalg.solve(gram, (columns @ seen[..., None]))[..., 0].unflatten(1, (len(SWING_HZ), 2))
    coefficient = torch.view_as_complex(fit.contiguous())
    rest = now.flatten(1) - (coefficient[..., None] * basis).real.sum(1)
    size = coefficient.abs()
    phase = torch.where(size > 0.03, coefficient / size.clamp(min=1e-6), torch.ones_like(coefficient))
    aimed = phase * (size + SWING_RATE * (goal.amplitude - size)) * torch.exp(1j * goal.turn)
    return ((aimed[..., None] * basis).real.sum(1) + 0.5 * rest).view_as(now)


def _region_masks(masks: Tensor) -> Tensor:
    """Soft masks of REGIONS, ``[B, 10, h, w]``: five placed on the screen, five found in the picture."""
    x, y = screen_grid(masks.device)
    ramps = torch.stack([torch.sigmoid(5 * s) for s in (-x, x, -y, y)])
    whole = torch.ones_like(x)[None]
    sky, water, foliage, subject = masks.unbind(1)
    ground = (torch.sigmoid(5 * y) * (1 - sky)).clamp(0, 1)
    placed = torch.cat([whole, ramps]).expand(len(masks), -1, -1, -1)
    found = torch.stack([sky, water, foliage, subject, ground], dim=1)
    fallback = torch.stack([ramps[2], ramps[3], whole[0] * 0.6, _middle(x, y), ramps[3]])
    area = found.mean((2, 3), keepdim=True)
    # A picture may lack what the words name: the nearest meaning of place then stands in, smoothly.
    missing = (1 - area / 0.03).clamp(0, 1)
    found = found + missing * (fallback - found)
    return torch.cat([placed, found], dim=1)


def _where(name: str, region: Tensor, places: Tensor) -> Tensor:
    """Where an effect acts, ``[b, h, w]``: its own matter, cut by the region that the words name."""
    picked = places[torch.arange(len(region), device=region.device), region]
    if name not in WHERE:
        return picked
    matter = places[:, REGIONS.index(WHERE[name])]
    cut = torch.where((region < 5)[:, None, None], matter * picked, picked)
    # "The grass on the left" of a picture whose matter is all on the right still moves on the left.
    empty = (1 - cut.mean((1, 2), keepdim=True) / 0.02).clamp(0, 1)
    return cut + empty * (0.7 * picked - cut)


def _middle(x: Tensor, y: Tensor) -> Tensor:
    return torch.exp(-((x / 0.5) ** 2 + (y / 0.6) ** 2))


def _swing(name: str, where: Tensor) -> Tensor:
    """The complex shape ``[b, 2, h, w]`` whose real part, turned, is the displacement."""
    x, y = screen_grid(where.device)
    if name == "sway":
        phase = torch.exp(1j * 2 * math.pi * (0.7 * x + 0.25 * y))
        shape = torch.stack([0.85 * phase, 0.22 * phase * 1j])
        return where[:, None] * shape
    if name == "ripple":
        phase = torch.exp(1j * 2 * math.pi * (2.9 * y + 0.4 * x))
        shape = torch.stack([0.18 * phase * 1j, 0.5 * phase])
        return where[:, None] * shape
    weight = where / where.sum((1, 2), keepdim=True).clamp(min=1e-3)
    cx, cy = (weight * x).sum((1, 2))[:, None, None], (weight * y).sum((1, 2))[:, None, None]
    # One picture width is 832 px and one height 480: the chest widens by the same share both ways.
    shape = torch.stack([(x - cx) * 416 / 240, y - cy], dim=1)
    reach = (where * shape.norm(dim=1)).amax((1, 2), keepdim=True).clamp(min=0.2)[:, None]
    return (0.7 * where[:, None] * shape / reach).to(torch.complex64)
