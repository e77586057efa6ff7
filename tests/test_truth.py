import math

import pytest
import torch

from pipeline.pocket.intents import CAMERAS, EFFECTS, REGIONS, SLOTS, Intents
from pipeline.pocket.latents import CHANNELS, DISPLACEMENT, FLOW, GAIN, GRID, WEATHER, fit_camera
from pipeline.pocket.truth import Target, advance, target

REST = torch.zeros(1, CHANNELS, *GRID)


def intents(camera: str = "none", *effects: str, region: str = "whole", speed: float = 1.0) -> Intents:
    names = [EFFECTS.index(e) for e in effects] + [-1] * (SLOTS - len(effects))
    return Intents(
        torch.tensor([CAMERAS.index(camera)]),
        torch.tensor([speed]),
        torch.tensor([names]),
        torch.full((1, SLOTS), REGIONS.index(region)),
        torch.ones(1, SLOTS),
        torch.ones(1, SLOTS),
    )


def masks(**shares: float) -> torch.Tensor:
    """Sky in the upper half, water in the lower, foliage on the left, a subject on the right."""
    out = torch.zeros(1, 4, *GRID)
    out[:, 0, :16] = out[:, 1, 16:] = out[:, 2, :, :28] = out[:, 3, :, 28:] = 1
    return out


def roll(goal: Target, latents: int, now: torch.Tensor = REST, before: torch.Tensor = REST) -> list[torch.Tensor]:
    made: list[torch.Tensor] = []
    for _ in range(latents):
        now, before = advance(now, before, goal), now
        made.append(now)
    return made


@pytest.mark.parametrize(
    ("camera", "axis", "sign"),
    [("pan_left", 0, -1), ("tilt_down", 1, 1), ("zoom_in", 2, 1), ("roll_ccw", 3, -1)],
)
def test_a_camera_reaches_half_its_speed_in_two_latents(camera: str, axis: int, sign: int) -> None:
    """Half of the new velocity within half a second, all of it soon, and no other axis moves."""
    made = roll(target(intents(camera), masks()), 12)
    assert sign * fit_camera(made[1][:, :2])[0, axis] > 0.5
    velocity = fit_camera(made[-1][:, :2])[0]
    assert abs(velocity[axis] - sign) < 0.01
    assert velocity.abs().sum() < 1.02


@pytest.mark.parametrize("effect", ["sway", "ripple", "breathe"])
def test_a_swing_keeps_its_size_and_returns(effect: str) -> None:
    """After it has begun, a swing passes through both signs and neither grows nor dies in a minute."""
    made = torch.cat(roll(target(intents("none", effect), masks()), 240))[:, DISPLACEMENT]
    peak = made.abs().flatten(1).max(1).values
    early, late = peak[12:60].max(), peak[-48:].max()
    assert 0.95 < late / early < 1.05
    assert late > 0.3
    place = made[-48:].abs().sum((0, 1)).flatten().argmax()
    course = made[-48:, 0].flatten(1)[:, place] if effect != "ripple" else made[-48:, 1].flatten(1)[:, place]
    assert course.min() < -0.1 < 0.1 < course.max()


def test_the_right_answer_exists_from_anywhere() -> None:
    """From a latent full of noise the truth comes back to the same motion within some seconds."""
    goal = target(intents("pan_left", "sway", "night"), masks())
    torch.manual_seed(0)
    lost = 0.5 * torch.randn(1, CHANNELS, *GRID)
    made, calm = roll(goal, 40, lost, lost)[-1], roll(goal, 40)[-1]
    still = [slice(0, 2), FLOW, GAIN, WEATHER]
    for channels in still:
        torch.testing.assert_close(made[:, channels], calm[:, channels], atol=0.02, rtol=0)
    size = [z[:, DISPLACEMENT].norm() for z in (made, calm)]
    assert size[0] < 2 * size[1] + 1


def test_effects_keep_to_their_place() -> None:
    """Clouds move the sky, night in the left half leaves the right alone."""
    clouds = roll(target(intents("none", "clouds"), masks()), 20)[-1][0, FLOW]
    assert clouds[0, :14].min() > 0.9
    assert clouds[0, 18:].abs().max() < 0.05
    night = roll(target(intents("none", "night", region="left"), masks()), 20)[-1][0, GAIN]
    assert night[0, :, :10].mean() < -0.8
    assert night[0, :, -10:].mean() > -0.1


def test_a_picture_without_the_matter_still_moves() -> None:
    """Sway on a picture with no leaves falls back to all of it, gently."""
    bare = torch.zeros(1, 4, *GRID)
    swaying = roll(target(intents("none", "sway"), bare), 12)[-1][0, DISPLACEMENT]
    assert swaying.abs().max() > 0.2


def test_drift_goes_round_and_stays_small() -> None:
    """With no motion named the camera wanders in a circle: its mean velocity over a turn is nearly nothing."""
    made = torch.cat(roll(target(intents("drift"), masks()), 60))
    velocity = fit_camera(made[:, :2])[12:60, :2]
    assert 0.15 < velocity.norm(dim=1).mean() < 0.35
    assert velocity.mean(0).norm() < 0.03
    assert abs(math.degrees(math.atan2(*velocity[0].flip(0).tolist()))) < 180
