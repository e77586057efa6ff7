import pytest
import torch
from torch import Tensor

from pipeline.bench.baseline import EagerTransformer, Rollout
from pipeline.schedule import FlowSchedule
from pipeline.wan.sampler import Guide, Sampler, draw
from pipeline.wan.window import WindowCache, WindowShape
from tests.wan_parts import CONFIG, embed, on_meta, parts

GRID, SIZE, WINDOW = (2, 4), (4, 8), 6
STEPS = (1000.0, 625.0)
TEXT = embed("the leaves sway")


def theirs(sink: int, context_noise: float) -> Rollout:
    """The baseline with our weights."""
    network = on_meta(lambda: EagerTransformer(CONFIG))
    network.load_state_dict(parts().transformer.state_dict())
    return Rollout(network, FlowSchedule(5.0), STEPS, TEXT, WINDOW, sink, GRID[0] * GRID[1], context_noise)


def noise(first: int, count: int) -> Tensor:
    latents = range(first, first + count)
    return torch.stack([draw(3, latents, step, (SIZE, torch.device("cpu"))) for step in range(len(STEPS))])


@torch.inference_mode()
@pytest.mark.parametrize(("sink", "count", "context_noise"), [(1, 2, 0.0), (0, 3, 50.0), (2, 1, 0.0)])
def test_it_makes_the_latents_that_we_make(sink: int, count: int, context_noise: float) -> None:
    """Chunk after chunk, long after its buffer began to be shifted, it agrees with ours placed absolutely."""
    ours = Sampler(parts().transformer, FlowSchedule(5.0), STEPS, "absolute", context_noise)
    guide = Guide(parts().transformer.cross_keys_values(TEXT))
    cache = WindowCache(CONFIG, WindowShape(WINDOW, sink, GRID))
    rollout = theirs(sink, context_noise)
    for chunk in range(5):
        draws = noise(chunk * count, count)
        seen = cache.see(count, "absolute")
        expected = ours.sample(draws[0], draws.__getitem__, guide, seen)
        cache.append(ours.read(expected, guide, seen), count)
        made = rollout.sample(draws[0], draws.__getitem__)
        rollout.read(made)
        assert rollout.made == cache.latents
        torch.testing.assert_close(made, expected, atol=2e-5, rtol=2e-5)


def test_its_parameters_are_the_published_ones() -> None:
    """Names and shapes are ours, so that any checkpoint fits and random weights are the same."""
    mine, ours = (network.state_dict() for network in (theirs(0, 0.0).network, parts().transformer))
    assert {name: value.shape for name, value in mine.items()} == {name: value.shape for name, value in ours.items()}
    again = on_meta(lambda: EagerTransformer(CONFIG)).state_dict()
    assert all(torch.equal(again[name], value) for name, value in ours.items())
