"""Pocket gives up what it makes, at any moment, as if it had not begun."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from pipeline.causal import CausalPipeline
from pipeline.errors import AbandonedError
from pipeline.saving import save_state
from pipeline.state import StreamState
from tests.pocket_parts import conditioning, pipeline


@pytest.fixture
def model() -> Iterator[CausalPipeline]:
    """A pipeline whose parts heed nobody any more when a test is over: tests may share them."""
    made = pipeline()
    yield made
    made.heed(lambda: False)


def given_up_at(model: CausalPipeline, call: Callable[[], object]) -> int:
    """Give a call up at its first moment, then at its second and so on until it returns; how many there were."""
    moment = 0
    while True:
        left = iter(range(moment))
        model.heed(lambda left=left: next(left, None) is None)
        try:
            call()
        except AbandonedError:
            moment += 1
            continue
        return moment


def saved(model: CausalPipeline, state: StreamState) -> tuple[bytes, int, bool]:
    return save_state(state), state.cache.latents, state.pending is not None


def test_a_chunk_given_up_at_any_moment_was_never_begun(model: CausalPipeline) -> None:
    """Before each layer and each frame: the state is that of before, and the chunk comes out as it would have."""
    asked, other = conditioning("the camera pans left, snow falls"), conditioning("night falls")
    state = model.open(asked)
    wanted = [model.generate_chunk(state, under).frames for under in (asked, asked, other)]
    state = model.open(asked)
    assert np.array_equal(model.generate_chunk(state, asked).frames, wanted[0])
    moments = given_up_at(model, lambda: model.generate_chunk(state, asked))
    blocks, frames = len(model._network.transformer.blocks), len(wanted[0])
    # Two steps and the frames; a context that is written by the way stays written.
    assert moments == 2 * blocks + frames
    model.heed(lambda: False)
    model.commit(state)
    before = saved(model, state)
    left = iter(range(2 * blocks))
    model.heed(lambda: next(left, None) is None)
    with pytest.raises(AbandonedError):
        model.generate_chunk(state, other)
    assert saved(model, state) == before
    model.heed(lambda: False)
    assert np.array_equal(model.generate_chunk(state, other).frames, wanted[2])


def test_a_context_given_up_is_written_the_next_time(model: CausalPipeline) -> None:
    """A commit that is broken off leaves the chunk to be committed, and another one does."""
    asked = conditioning()
    state = model.open(asked)
    model.generate_chunk(state, asked)
    before = saved(model, state)
    assert before[2]
    model.heed(lambda: True)
    with pytest.raises(AbandonedError):
        model.commit(state)
    assert saved(model, state) == before
    # Read beside the frames, it has but to be waited for.
    assert given_up_at(model, lambda: model.commit(state)) == 1
    assert (state.pending, state.cache.latents) == (None, 1)


def test_a_decoder_made_later_is_given_up_too(model: CausalPipeline) -> None:
    """The decoder of a size is made when that is first asked for; two steps, and a latent's frames."""
    model.heed(lambda: False)
    state = model.open(conditioning())
    moments = given_up_at(model, lambda: model.generate_chunk(state, conditioning()))
    assert moments == 2 * len(model._network.transformer.blocks) + 4
