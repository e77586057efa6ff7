"""From likelihoods to a meaning whose parts go together."""

from __future__ import annotations

import pytest
import torch

from pipeline.pocket.intents import CAMERAS, COLUMNS, DRAWN, EFFECTS, LOGITS, NAMED, REGIONS, ROWS, Asked, read

CAMERA, EFFECT = slice(0, len(CAMERAS)), len(CAMERAS) + 3


def reading(camera: dict[str, float], effects: dict[str, float]) -> tuple[str, set[str]]:
    """What is read where these logits are as told, other cameras' -9 and other effects' -9."""
    logits = torch.zeros(1, LOGITS)
    logits[:, CAMERA] = -9
    logits[:, EFFECT : EFFECT + len(NAMED)] = -9
    for name, value in camera.items():
        logits[:, CAMERAS.index(name)] = value
    for name, value in effects.items():
        logits[:, EFFECT + NAMED.index(name)] = value
    asked = read(logits)
    return CAMERAS[int(asked.camera)], {name for name, here in zip(NAMED, asked.present[0], strict=True) if here}


def test_the_likeliest_of_each_is_read() -> None:
    """A sure camera with sure effects is read as it is."""
    assert reading({"pan_left": 5}, {"rain": 3, "night": 2}) == ("pan_left", {"rain", "night"})
    assert reading({"none": 5}, {"rain": 3}) == ("none", {"rain"})
    assert reading({"drift": 5}, {}) == ("drift", set())


def test_the_drift_has_no_effect_beside_it() -> None:
    """Where the drift is likely and so is an effect, the surer of the two is read."""
    assert reading({"drift": 6, "none": 1}, {"ripple": 1}) == ("drift", set())
    assert reading({"drift": 3, "none": 2}, {"ripple": 4}) == ("none", {"ripple"})


def test_nothing_at_all_is_not_read() -> None:
    """No camera and no effect: the likelier of the best effect and the drift, so that no picture is dead."""
    assert reading({"none": 4, "drift": 1}, {"rain": -0.5}) == ("none", {"rain"})
    assert reading({"none": 4, "drift": 3}, {"rain": -5}) == ("drift", set())


@pytest.mark.parametrize("size", [0.1, 2.0, 12.0])
def test_every_reading_goes_together(size: float) -> None:
    """Whatever the logits, near each other, far apart or equal: no drift with effects, no empty reading."""
    drawn = size * (2 * torch.rand(3000, LOGITS, generator=torch.Generator().manual_seed(0)) - 1)
    # Effects that are hardly likely beside a camera that is.
    slight = drawn.clone()
    slight[:, EFFECT : EFFECT + len(NAMED)] *= 0.01
    asked = read(torch.cat([drawn, drawn.round(), drawn - 2 * size, slight, torch.zeros(1, LOGITS)]))
    has_effect = asked.present.any(1)
    assert not (has_effect & (asked.camera == CAMERAS.index("drift"))).any()
    assert not (~has_effect & (asked.camera == CAMERAS.index("none"))).any()
    assert len(asked.camera.unique()) == len(CAMERAS)


def asked(camera: str, *effects: str) -> Asked:
    present, ones = torch.tensor([[name in effects for name in NAMED]]), torch.ones(1, len(NAMED))
    region = torch.full((1, len(NAMED)), REGIONS.index("sky"))
    return Asked(torch.tensor([CAMERAS.index(camera)]), torch.ones(1), present, region, ones, ones)


def test_the_transformer_sees_what_it_learned() -> None:
    """Effects that are drawn leave no trace in the rows; alone, they are a camera at rest."""
    assert asked("none", "rain").rows().shape == (1, ROWS, COLUMNS)
    assert torch.equal(asked("pan_left", "rain", *DRAWN).rows(), asked("pan_left", "rain").rows())
    assert torch.equal(asked("none", *DRAWN).rows(), asked("still").rows())
    assert int(asked("none", *NAMED).rows().any(-1).sum()) == 1 + len(EFFECTS)
