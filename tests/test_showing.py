"""What a latent is shown as can be recorded: all that differs from one to the next goes in by tensors."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from pipeline.pocket import showing
from pipeline.pocket.latents import LATENT_SHAPE, WEATHER, screen_grid
from pipeline.pocket.reach import bordered
from pipeline.types import Conditioning
from tests.pocket_parts import conditioning, pipeline
from tests.pocket_parts import made_once as made_once

PROMPTS = ("leaves sway", "night", "drift", "waves, gold")


class Traced:
    """Stands in for a CUDA graph: what was done with the first inputs is done with all others, and nothing else."""

    made = 0

    def __init__(self, function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
        Traced.made += 1
        # By a function of its own: of a method, the tracer counts the object among the inputs.
        self.graph = make_fx(lambda a, b, c, d, e: function(a, b, c, d, e))(*(given.clone() for given in inputs))
        # A tensor that is made of numbers is copied from the host, which a CUDA graph refuses.
        assert not [node for node in self.graph.graph.nodes if "lift_fresh" in str(node.target)]

    def __call__(self, *inputs: Tensor) -> Tensor:
        return self.graph(*inputs)


def frames(variety: float, asked: Sequence[Conditioning]) -> list[np.ndarray]:
    """What two streams see, by turns."""
    model = pipeline(variety=variety)
    states = [model.open(asked[0]), model.open(replace(asked[0], seed=4))]
    return [model.generate_chunk(state, one).frames for one in asked for state in states]


@pytest.mark.usefixtures("made_once")
@pytest.mark.parametrize("variety", [0.0, 1.0])
def test_a_recording_shows_what_is_shown_step_by_step(variety: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """One recording serves all streams, prompts and moments."""
    asked = [conditioning(prompt) for prompt in PROMPTS]
    plain = frames(variety, asked)
    monkeypatch.setattr(showing, "Recorded", Traced)
    monkeypatch.setattr(showing, "may_record", lambda device: True)
    before = Traced.made
    assert np.array_equal(plain, frames(variety, asked))
    assert Traced.made == before + 1


@pytest.mark.usefixtures("made_once")
@pytest.mark.parametrize("variety", [0.0, 1.0])
def test_weather_on_one_side_leaves_the_other_alone(variety: float) -> None:
    """Rain that a transformer spreads from the left is whole there and ends softly in the middle; all else stays."""
    model = pipeline(variety=variety)
    state = model.open(conditioning("rain"))
    spread = torch.sigmoid(-5 * screen_grid()[0])
    made = torch.zeros(LATENT_SHAPE)
    made[0, WEATHER.start, 0], made[0, WEATHER.start + 1, 0] = 0.1 + 0.9 * spread, 0.8
    rain, snow, _ = model._showing.of(state, [made], state.now, None)[WEATHER]
    assert float(rain[:, 36:].max()) == 0
    assert 0.05 < float(rain[:, 28].mean()) < 0.5
    assert float(rain[:, :16].min()) > 0.6
    assert float(snow.min()) > 0.4


def test_weather_ends_softly_where_the_network_cuts_it() -> None:
    """From one cell to the next, 15 px, no more than a quarter of rain goes, though all of it did; even rain stays."""
    cut = torch.zeros(3, 32, 56)
    cut[0, :, :28], cut[1] = 1.4, 0.8
    rain, snow, fog = bordered(cut)
    assert float((rain[:, 1:] - rain[:, :-1]).abs().max()) < 0.25 * 1.4
    assert float(rain[:, :22].min()) > 1.39
    assert float(rain[:, 34:].max()) < 0.01
    torch.testing.assert_close(snow, cut[1])
    assert float(fog.max()) == 0
