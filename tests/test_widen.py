"""Tests of weights that are widened for effects that they were not taught."""

import pytest
import torch

from pipeline.pocket.intents import CAMERAS, EFFECTS, LOGITS, NAMED, REGIONS, SPLIT, read
from pipeline.pocket.widen import ABSENT, widened

FEW = len(CAMERAS) + 3 + len(EFFECTS) * (1 + len(REGIONS) + 3 + 3)


def test_what_was_read_is_read() -> None:
    """Logits of the learned effects come out where they belong, and no new effect is read."""
    few = torch.randn(FEW, generator=torch.Generator().manual_seed(4))
    many = widened(few, ABSENT)
    assert many.shape == (LOGITS,)
    before, after = few.split([14, 10, 100, 30, 30]), many.split([14, *SPLIT[2:]])
    for part, wide in zip(before, after, strict=True):
        assert torch.equal(wide[: len(part)], part)
    asked = read(many[None])
    assert asked.present.shape == (1, len(NAMED))
    assert not asked.present[0, len(EFFECTS) :].any()


def test_rows_of_a_weight_are_widened_alike() -> None:
    """A weight's rows move with their bias, and new ones are zero; what is wide already stays."""
    rows = torch.arange(FEW).float()[:, None].expand(-1, 3)
    wide = widened(rows)
    assert torch.equal(wide[:, 0], widened(rows[:, 0]))
    assert int((wide == 0).all(1).sum()) == LOGITS - FEW + 1
    assert torch.equal(widened(wide), wide)


def test_others_are_refused() -> None:
    """A number of logits that no number of effects has is told."""
    with pytest.raises(ValueError, match="183 logits"):
        widened(torch.zeros(FEW - 1))
