import numpy as np
import pytest

from pipeline.causal import CausalPipeline
from pipeline.config import ModelConfig
from pipeline.errors import PipelineError
from pipeline.factory import build
from pipeline.interface import Resumable
from pipeline.types import Chunk, Conditioning
from tests import pocket_parts
from tests.pocket_parts import made_once as made_once

PICTURE = np.random.default_rng(2).integers(0, 256, (60, 104, 3), dtype=np.uint8)


@pytest.fixture
def pocket(one_thread: None, made_once: None) -> CausalPipeline:
    return pocket_parts.pipeline()


def under(prompt: str = "snow falls, the camera pans left", seed: int = 3) -> Conditioning:
    return Conditioning("i2v", prompt, PICTURE, seed, quality=3)


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
    state = pocket.open(under())
    for _ in range(chunks):
        pocket.generate_chunk(state, under())
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


@pytest.mark.usefixtures("one_thread")
def test_what_is_saved_is_a_few_megabytes() -> None:
    """That is what a stream of the model that ships takes, with every place of its ring in use."""
    model = build(ModelConfig(threads=1, dtype="float32"))
    assert isinstance(model, CausalPipeline)
    state = model.open(under())
    state.cache.latents = state.cache.ring.shape[2]
    ring = state.cache.ring
    # One of its slots is kept free for what is being written, and not saved.
    assert ring.nbytes * (ring.shape[2] - 1) // ring.shape[2] < len(model.save(state)) < 32e6
