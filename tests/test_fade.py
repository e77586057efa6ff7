"""A picture comes into a take of pocket's by flush or by cross-fade: what moves goes on moving."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.causal import CausalPipeline
from pipeline.errors import PipelineError, TruncationError
from pipeline.interface import Swapping
from pipeline.pocket.arrival import arrived, told
from pipeline.pocket.canvas import Canvas
from pipeline.pocket.decoder import Motion
from pipeline.pocket.fade import Fade, fade_from
from pipeline.pocket.latents import GRID
from pipeline.state import StreamState
from pipeline.types import Chunk, PicturePolicy
from tests.pocket_parts import VIEW, conditioning, pipeline
from tests.pocket_parts import made_once as made_once

pytestmark = pytest.mark.usefixtures("one_thread", "made_once")

BEFORE, AFTER = conditioning(), conditioning(picture_seed=1)
NOTHING = torch.empty(0)
EMPTY = Canvas(NOTHING, NOTHING, NOTHING, NOTHING)


def taken(model: CausalPipeline, chunks: int = 3) -> StreamState:
    """A take that moves."""
    state = model.open(BEFORE)
    for _ in range(chunks):
        model.generate_chunk(state, BEFORE)
        model.commit(state)
    return state


def go_on(model: CausalPipeline, state: StreamState, chunks: int) -> list[Chunk]:
    """Make chunks under the other picture."""
    made = []
    for _ in range(chunks):
        made.append(model.generate_chunk(state, AFTER))
        model.commit(state)
    return made


def shown(model: CausalPipeline, state: StreamState, motion: Motion, canvas: Canvas) -> np.ndarray:
    """The frames of the latent made last from a state of the decoder, over a picture."""
    row = told(motion.drawing, model._text(AFTER.prompt)[0].asked, canvas)
    latent = arrived(state.now.last[0, :, 0], motion.recent, torch.zeros(5, *GRID), row)
    return model._decoders.of(VIEW).decode(motion, latent, canvas, 4)[0].numpy()


def test_flush_keeps_what_moves() -> None:
    """The other picture is seen at once, from where the camera is; latents and frames count on."""
    model = pipeline()
    assert isinstance(model, Swapping)
    state = taken(model)
    motion = state.now.motion
    state = model.swap(state, replace(AFTER, enter="flush"))
    assert state.now.motion is motion
    assert motion.camera.pose != type(motion.camera.pose)()
    (chunk,) = go_on(model, state, 1)
    assert (chunk.first_latent, chunk.first_frame) == (3, 12)
    assert np.array_equal(chunk.frames, shown(model, state, motion, state.canvas))
    anew = model.generate_chunk(model.open(AFTER), AFTER)
    assert not np.array_equal(chunk.frames[0], anew.frames[0])


def test_what_it_sees_of_the_past_is_read_beside_the_new_picture() -> None:
    """After a flush the cache holds the newest latents as if they had been made from the new picture."""
    model = pipeline()
    state = model.swap(taken(model), replace(AFTER, enter="flush"))
    lasts = [boundary.last for boundary in (*state.past, state.now) if boundary.latents]
    with torch.inference_mode():
        for latent, clean in enumerate(lasts):
            read = model._passes.read(clean, state.scene)
            for layer, pair in enumerate(read):
                for part, values in enumerate(pair):
                    assert torch.equal(state.cache.ring[layer, part, latent], values)
    assert state.cache.latents == 3


def test_a_blend_goes_from_one_picture_to_the_other() -> None:
    """Its frames lie between those of both pictures under one motion, nearer to the new one from frame to frame."""
    model = pipeline()
    state = taken(model)
    old, motion = state.canvas, state.now.motion
    state = model.swap(state, replace(AFTER, enter="blend", enter_s=0.5))
    shares: list[float] = []
    for _ in range(3):
        (chunk,) = go_on(model, state, 1)
        sides = [shown(model, state, motion, canvas).astype(float) for canvas in (old, state.canvas)]
        motion = state.now.motion
        for frame, before, after in zip(chunk.frames, *sides, strict=True):
            apart = after - before
            shares.append(float(((frame - before) * apart).sum() / (apart * apart).sum()))
    assert 0 < shares[0] < 0.1
    assert shares[:8] == sorted(shares[:8])
    assert shares[7:] == pytest.approx([1.0] * 5, abs=1e-6)
    assert shares[3] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("enter", ["flush", "blend"])
def test_going_back_stops_at_the_picture(enter: PicturePolicy) -> None:
    """To the picture a take goes back bit-equal, and no further: the state before it is gone."""
    model = pipeline()
    wanted = replace(AFTER, enter=enter, enter_s=0.5)
    straight = go_on(model, model.swap(taken(model), wanted), 2)
    state = model.swap(taken(model), wanted)
    go_on(model, state, 2)
    with pytest.raises(TruncationError):
        model.truncate(state, 2)
    model.truncate(state, 3)
    again = go_on(model, state, 2)
    assert all(np.array_equal(one.frames, other.frames) for one, other in zip(straight, again, strict=True))
    assert model._open == 2


def test_a_state_is_saved_once_the_fade_is_over() -> None:
    """While two pictures are seen there is nothing to go on from; afterwards the new one is all that is needed."""
    model = pipeline()
    state = model.swap(taken(model), replace(AFTER, enter="blend", enter_s=0.3))
    with pytest.raises(PipelineError, match="fading in"):
        model.save(state)
    go_on(model, state, 2)
    saved = model.save(state)
    other = model.open(AFTER)
    model.restore(other, saved)
    assert np.array_equal(go_on(model, state, 1)[0].frames, go_on(model, other, 1)[0].frames)
    with pytest.raises(TruncationError):
        model.truncate(other, 2)


def test_the_old_picture_is_let_go() -> None:
    """When nothing goes back to it any more, a stream holds one picture."""
    model = pipeline()
    state = model.swap(taken(model, 1), replace(AFTER, enter="blend", enter_s=0.25))
    go_on(model, state, 9)
    assert state.fade is not None
    go_on(model, state, 1)
    assert state.fade is None


def test_a_fade_begins_with_what_is_seen() -> None:
    """In the middle of another fade that is the mixture; at the very place of another swap, what was before that."""
    one, other = (
        replace(EMPTY, texture=torch.full((1,), value), rest=torch.zeros(1, dtype=torch.uint8)) for value in (0.0, 8.0)
    )
    running = Fade(one, 4, 4.0)
    assert float(fade_from(other, running, 6, 1.0).before.texture) == 4.0
    assert float(fade_from(other, running, 9, 1.0).before.texture) == 8.0
    assert float(fade_from(other, Fade(one, 4, 0.0), 4, 1.0).before.texture) == 0.0
    assert fade_from(other, None, 4, 0.5).latents == 2.0
