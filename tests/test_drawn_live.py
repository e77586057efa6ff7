"""Drawn effects in a running stream of pocket's, whatever its prompts are read as."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from pipeline.causal import CausalPipeline
from pipeline.pocket.drawn.drawing import Wish
from pipeline.pocket.drawn.wetness import Wetness
from pipeline.pocket.names import DEFAULT_REGION, DRAWN
from pipeline.pocket.view import View
from pipeline.state import StreamState
from pipeline.types import Chunk, Conditioning
from tests.pocket_parts import conditioning, ids, network, picture
from tests.pocket_parts import made_once as made_once

WISHES = {name: Wish(1.0, DEFAULT_REGION[name]) for name in DRAWN}
UNDER = conditioning("pan left")


@pytest.fixture(autouse=True)
def all_is_asked_for(monkeypatch: pytest.MonkeyPatch, one_thread: None, made_once: None) -> None:
    """Every prompt asks for all that is drawn."""
    monkeypatch.setattr("pipeline.pocket.aim.wishes_of", lambda asked: WISHES)


def made(latents_per_chunk: int = 1) -> CausalPipeline:
    return CausalPipeline(
        network(),
        ids,
        steps=1,
        latents_per_chunk=latents_per_chunk,
        max_streams=2,
        views=(View(208, 120),),
        frames_per_latent=2,
    )


def chunks(pipeline: CausalPipeline, state: StreamState, count: int, under: Conditioning = UNDER) -> list[Chunk]:
    return [pipeline.generate_chunk(state, under) for _ in range(count)]


def frames(shown: list[Chunk]) -> np.ndarray:
    return np.concatenate([chunk.frames for chunk in shown])


def test_what_is_streamed_is_what_is_made_at_once() -> None:
    """Latent by latent or three at a time, the frames are the same, and they are drawn on."""
    one, three = made(1), made(3)
    streamed = frames(chunks(one, one.open(UNDER), 6))
    assert np.array_equal(streamed, frames(chunks(three, three.open(UNDER), 2)))
    assert not np.array_equal(streamed[-1], streamed[0])


def test_going_back_and_on_again_draws_the_same() -> None:
    """A stream that is truncated makes the same frames as before."""
    pipeline = made()
    state = pipeline.open(UNDER)
    shown = chunks(pipeline, state, 6)
    pipeline.truncate(state, 2)
    assert state.now.motion.drawn.amounts[0] == pytest.approx(0.6)
    assert np.array_equal(frames(chunks(pipeline, state, 4)), frames(shown[2:]))


def test_a_saved_stream_goes_on_drawing() -> None:
    """Saved in the midst of it and restored, the next frames have the same bytes, as does going back behind that.

    The ground is as wet as it was.
    """
    pipeline = made()
    state, again = pipeline.open(UNDER), pipeline.open(UNDER)
    shown = chunks(pipeline, state, 4)
    state.now = replace(state.now, motion=replace(state.now.motion, wet=Wetness(0.2, 0.5)))
    pipeline.restore(again, pipeline.save(state))
    assert again.now.motion.drawn == state.now.motion.drawn
    assert again.now.motion.wet == Wetness(0.2, 0.5)
    went_on, restored = (frames(chunks(pipeline, one, 2)) for one in (state, again))
    assert np.array_equal(went_on, restored)
    pipeline.truncate(again, 2)
    assert np.array_equal(frames(chunks(pipeline, again, 2)), frames(shown[2:]))


def test_a_stream_saved_before_there_was_anything_drawn_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes tell nothing of it, and nothing is drawn there."""
    pipeline = made()
    state, again = pipeline.open(UNDER), pipeline.open(UNDER)
    with monkeypatch.context() as before:
        before.setattr("pipeline.pocket.aim.wishes_of", lambda asked: {})
        chunks(pipeline, state, 3)
    saved = pipeline.save(state)
    assert b"amounts" not in saved
    pipeline.restore(again, saved)
    assert again.now.motion.drawn.is_empty
    went_on, restored = (frames(chunks(pipeline, one, 2)) for one in (state, again))
    assert np.array_equal(went_on, restored)


def test_another_picture_is_drawn_on_as_it_comes() -> None:
    """What is drawn stays through a cross-fade, on both pictures."""
    pipeline = made()
    state = pipeline.open(UNDER)
    chunks(pipeline, state, 4)
    amounts = state.now.motion.drawn.amounts
    after = replace(UNDER, image=picture(5), enter="blend", enter_s=0.5)
    state = pipeline.swap(state, after)
    assert frames(chunks(pipeline, state, 3, after)).shape == (6, 120, 208, 3)
    assert state.now.motion.drawn.amounts == amounts
    assert state.now.motion.drawn.seed == UNDER.seed


def test_a_cut_draws_anew() -> None:
    """Another prompt that cuts begins with nothing drawn, as all else begins at rest."""
    pipeline = made()
    state = pipeline.open(UNDER)
    chunks(pipeline, state, 4)
    chunks(pipeline, state, 1, replace(UNDER, prompt="pan right", policy="cut"))
    assert state.now.motion.drawn.amounts[0] == pytest.approx(0.3)


LIVE = """
import sys
from dataclasses import replace
import numpy as np
from pipeline import factory
from pipeline.config import ModelConfig
from pipeline.pocket.examples import EXAMPLES
from pipeline.pocket.names import DRAWN
from pipeline.types import Conditioning

model = factory.build(ModelConfig(width=208, height=120, threads=1, shapes=[]))
model.warm_up()
picture = np.random.default_rng(0).integers(0, 256, (120, 208, 3), dtype=np.uint8)
asked = Conditioning("i2v", "", picture, 0)
state, known = model.open(asked), set(sys.modules)
for revision, prompt in enumerate([*EXAMPLES, *DRAWN], 1):
    asked = replace(asked, prompt=prompt, revision=revision)
    for _ in range(2):
        model.generate_chunk(state, asked)
        model.commit(state)
print(sorted(set(sys.modules) - known))
"""


@pytest.mark.slow
def test_no_prompt_imports_anything_while_it_plays() -> None:
    """In a process of its own, whatever is asked for after the warm-up is there: an import may take a second."""
    done = subprocess.run([sys.executable, "-c", LIVE], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "[]"
