"""What a Wan pipeline's first chunks leave ready: on a GPU every length of past that a stream sees is a graph."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.types import Policy
from pipeline.wan.plan import Plan
from pipeline.wan.sampler import Guide, Sampler
from pipeline.wan.warming import rounds
from pipeline.wan.window import Seen
from tests import wan_parts
from tests.wan_parts import PLAN, go_on, pipeline

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = set[tuple[int, int, bool]]()
PLANS = {
    "with a sink": PLAN,
    "without": replace(PLAN, window=8, sink=0),
    "frame-wise": replace(PLAN, latents_per_chunk=1, window=5),
    "after a latent alone": replace(PLAN, first_alone=True),
}


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note what each call of the network is of: latents, those of the past that they see, whether they are read."""
    flow = Sampler.flow

    def noting(self: Sampler, latents: Tensor, at: Tensor, guide: Guide, seen: Seen, keep: bool = True) -> Any:
        LENGTHS.add((latents.shape[2], 0 if seen.past is None else len(seen.past.slots), keep))
        return flow(self, latents, at, guide, seen, keep)

    monkeypatch.setattr(Sampler, "flow", noting)
    monkeypatch.setattr("pipeline.wan.warming.may_record", lambda device: True)
    LENGTHS.clear()


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_no_prompt_meets_a_length_that_was_not_made(plan: Plan) -> None:
    """Whatever policies prompts come in by, once the window is full: nothing is recorded while somebody watches."""
    model = pipeline(plan=plan)
    model.warm_up()
    ready = {*LENGTHS}
    asked = wan_parts.asked()
    state = model.open(asked)
    courses: Sequence[Sequence[Policy]] = (("recache", "recache"), ("flush", "recache"), ("cut",), ("flush", "flush"))
    number = 0
    for policies in courses:
        go_on(model, state, plan.window // plan.latents_per_chunk + 1, asked)
        for policy in policies:
            number += 1
            asked = replace(asked, prompt=f"prompt {number}", policy=policy)
            go_on(model, state, 1, asked)
    assert ready >= LENGTHS


def test_a_full_window_is_not_filled_again() -> None:
    """Of 1.3B's plan thirteen chunks are made, not one for every policy and length."""
    plan = replace(PLAN, window=12, sink=3, latents_per_chunk=3)
    made = rounds(plan, ("auto", "blend", "recache", "flush", "cut"), 3, torch.device("cuda"))
    assert len(made) == 4 + 1 + 2 + 6
