from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from safetensors.torch import save

from pipeline.causal import CausalPipeline
from pipeline.config import ModelConfig
from pipeline.errors import PipelineError
from pipeline.factory import build
from pipeline.interface import Resumable
from pipeline.state import StreamState
from pipeline.types import Chunk, Conditioning
from tests import pocket_parts
from tests.pocket_parts import made_once as made_once

PICTURE = np.random.default_rng(2).integers(0, 256, (60, 104, 3), dtype=np.uint8)


@pytest.fixture
def pocket(one_thread: None, made_once: None) -> CausalPipeline:
    return pocket_parts.pipeline()


def under(prompt: str = "snow falls, the camera pans left", seed: int = 3) -> Conditioning:
    return Conditioning("i2v", prompt, PICTURE, seed, quality=2)


def ran(pocket: CausalPipeline, chunks: int = 13) -> StreamState:
    """A stream of so many chunks, the last one pending."""
    return pocket_parts.copied(pocket, _ran(chunks))


@cache
def _ran(chunks: int) -> StreamState:
    model = pocket_parts.pipeline()
    state = model.open(under())
    for _ in range(chunks):
        model.generate_chunk(state, under())
    return state


def same(ours: Chunk, theirs: Chunk) -> bool:
    numbers = (ours.index, ours.first_frame, ours.first_latent) == (
        theirs.index,
        theirs.first_frame,
        theirs.first_latent,
    )
    return numbers and np.array_equal(ours.frames, theirs.frames)


@pytest.mark.parametrize(("chunks", "committed"), [(0, True), (2, False), (13, True)])
def test_a_restored_stream_is_the_saved_one(pocket: CausalPipeline, chunks: int, committed: bool) -> None:
    """A stream restored elsewhere makes the bytes that the saved one makes, after going back too; when young,
    with a commit pending, and when its ring has been overwritten."""
    assert isinstance(pocket, Resumable)
    state = ran(pocket, chunks)
    if committed:
        pocket.commit(state)
    saved = pocket.save(state)
    other = pocket.open(under())
    pocket.restore(other, saved)
    for step in range(2):
        if step and chunks > 8:
            pocket.truncate(state, chunks - 7)
            pocket.truncate(other, chunks - 7)
        prompt = f"the camera tilts up {step}"
        assert same(pocket.generate_chunk(other, under(prompt)), pocket.generate_chunk(state, under(prompt)))
    pocket.close(state)
    pocket.close(other)


def test_another_streams_bytes_are_refused(pocket: CausalPipeline) -> None:
    """What was saved under another seed is refused."""
    state, other = pocket.open(under(seed=3)), pocket.open(under(seed=4))
    with pytest.raises(PipelineError, match="this seed"):
        pocket.restore(other, pocket.save(state))
    pocket.close(state)
    pocket.close(other)


def contexts(state: StreamState) -> torch.Tensor:
    """What the next latent sees of the past, keys and values."""
    return state.cache.ring[:, :, state.cache.seen()]


def test_what_is_saved_is_two_megabytes(pocket: CausalPipeline) -> None:
    """That is what a stream takes, whatever its network, with all that it may go back over; its ring takes 14 to 24."""
    state = ran(pocket)
    assert len(state.known) == state.cache.slots
    assert 1.9e6 < len(pocket.save(state)) < 2.1e6
    pocket.close(state)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_contexts_read_again_are_the_same_bits(dtype: str) -> None:
    """In the model that ships a latent's context follows from the latent and the picture alone."""
    model = build(ModelConfig(threads=1, dtype=dtype, width=208, height=120))
    assert isinstance(model, CausalPipeline)
    state = model.open(under())
    for _ in range(5):
        model.generate_chunk(state, under())
    model.commit(state)
    other = model.open(under())
    model.restore(other, model.save(state))
    assert torch.equal(contexts(state), contexts(other))
    assert other.read_from == 1


def test_going_back_reads_again_what_is_missing(pocket: CausalPipeline) -> None:
    """A restored stream has read its window; where it goes back further it reads what it needs there, to the bit."""
    state = ran(pocket)
    pocket.commit(state)
    other = pocket.open(under())
    pocket.restore(other, pocket.save(state))
    for latent in (11, 6):
        for one in (state, other):
            pocket.truncate(one, latent)
        assert torch.equal(contexts(state), contexts(other))
    pocket.close(state)
    pocket.close(other)


def test_a_picture_after_going_back_has_a_whole_window(pocket: CausalPipeline) -> None:
    """As far back as one can go there are latents enough for another picture to be read beside."""
    state = ran(pocket)
    pocket.truncate(state, 5)
    known = list(state.known)
    pocket.swap(state, replace(under(), enter="flush"))
    with torch.inference_mode():
        for slot, clean in zip(state.cache.seen(), known[-4:], strict=True):
            read = pocket._passes.read(clean, state.scene)
            assert all(torch.equal(state.cache.ring[layer, 0, slot], k) for layer, (k, _) in enumerate(read))
    pocket.close(state)


def test_bytes_of_something_else_are_refused(pocket: CausalPipeline) -> None:
    """Bytes that another model saved are told from one's own."""
    state = pocket.open(under())
    with pytest.raises(PipelineError, match="not one of this model"):
        pocket.restore(state, save({"ring": torch.zeros(1)}))
    pocket.close(state)
