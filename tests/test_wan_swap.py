from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.errors import ConditioningError, PipelineError, TruncationError
from pipeline.interface import Swapping
from pipeline.types import Chunk, Conditioning, PicturePolicy
from pipeline.wan.frames import to_host
from pipeline.wan.pipeline import WanPipeline
from pipeline.wan.state import WanState
from tests.wan_parts import PLAN, asked, go_on, parts, picture, pipeline, running

pytestmark = pytest.mark.usefixtures("one_thread")
AFTER = replace(asked(), image=picture(1))
ENTRIES = pytest.mark.parametrize("entry", ["first_latent", "clip"])


def taken(model: WanPipeline, chunks: int = 3) -> WanState:
    """A take under the first picture."""
    return running(model, chunks)


def made(entry: str) -> WanPipeline:
    return pipeline(replace(PLAN, image_entry=entry))


def wanted(enter: PicturePolicy, seconds: float = 0.75) -> Conditioning:
    return replace(AFTER, enter=enter, enter_s=seconds)


def frames(chunks: list[Chunk]) -> np.ndarray:
    return np.concatenate([chunk.frames for chunk in chunks])


@ENTRIES
def test_a_flush_keeps_the_last_latents_and_lets_the_rest_go(entry: str) -> None:
    """The window holds the new picture and the chunk made last, read beside it, and nothing else; what comes then is
    decoded as one video with what was before."""
    model = made(entry)
    assert isinstance(model, Swapping)
    state = taken(model)
    latents = [one.clean for one in state.known]
    state = model.swap(state, wanted("flush"))
    assert state.cache.latents == 3
    assert sorted(state.cache.held) == [-1, -1, -1, 0, 1, 2]
    assert torch.equal(state.known[-1].clean, latents[-1])
    encoder = parts(entry).encoder
    assert encoder is not None
    other = made(entry).open(AFTER)
    beginning = state.known[-2].clean
    if entry == "first_latent":
        assert torch.equal(state.cache.stored[:, :, :, 0], other.cache.stored[:, :, :, 0])
        assert torch.equal(beginning, other.known[0].clean)
    chunks = go_on(model, state, 2, AFTER)
    assert [len(chunk.frames) for chunk in chunks] == [8, 8]
    if entry == "clip":
        latents += [one.clean for one in state.known[-2:]]
        with torch.inference_mode():
            whole = to_host(parts(entry).decoder.decode_frames(torch.cat(latents, 2), None)[0])
        assert np.abs(frames(chunks).astype(int) - whole[-16:]).max() <= 1


@ENTRIES
def test_a_blend_goes_from_the_old_video_to_one_that_begins_anew(entry: str) -> None:
    """The old one goes on for a chunk, then stands; the new one is that of a take that begins with the picture, and
    from the end of the fade on there is nothing else."""
    model = made(entry)
    (old,) = go_on(model, taken(model), 1, asked())
    fresh = made(entry)
    new = frames(go_on(fresh, fresh.open(AFTER), 3, AFTER))
    state = model.swap(taken(model), wanted("blend"))
    chunks = go_on(model, state, 3, AFTER)
    mixed = frames(chunks)
    shares = []
    for number in range(12):
        before, after = old.frames[min(number, 7)].astype(float), new[number].astype(float)
        apart = after - before
        shares.append(float(((mixed[number] - before) * apart).sum() / (apart * apart).sum()))
    assert 0 < shares[0] < 0.1
    assert shares == sorted(shares)
    assert shares[5] == pytest.approx(0.5, abs=0.02)
    assert np.array_equal(mixed[12:], new[12:])


@ENTRIES
@pytest.mark.parametrize("enter", ["flush", "blend"])
def test_latents_and_frames_count_on(entry: str, enter: PicturePolicy) -> None:
    """To a stream the take goes on where the one before was."""
    model = made(entry)
    state = taken(model)
    latents, count = state.now.made, state.now.frames
    for chunk in go_on(model, model.swap(state, wanted(enter)), 3, AFTER):
        assert (chunk.first_latent, chunk.first_frame) == (latents, count)
        latents, count = latents + chunk.latents, count + len(chunk.frames)
    assert model._open == 1


@ENTRIES
@pytest.mark.parametrize("enter", ["flush", "blend"])
def test_going_back_stops_at_the_picture(entry: str, enter: PicturePolicy) -> None:
    """To the picture a take goes back bit-equal, and no further: what was before it is gone."""
    model = made(entry)
    state = model.swap(taken(model), wanted(enter))
    straight = go_on(model, deepcopy(state), 3, AFTER)
    latent = state.now.made
    go_on(model, state, 1, AFTER)
    model.generate_chunk(state, AFTER)
    with pytest.raises(TruncationError):
        model.truncate(state, latent - 2)
    model.truncate(state, latent)
    assert np.array_equal(frames(go_on(model, state, 3, AFTER)), frames(straight))


@ENTRIES
@pytest.mark.parametrize("enter", ["flush", "blend"])
def test_a_take_that_came_out_of_another_is_saved(entry: str, enter: PicturePolicy) -> None:
    """Once the fade is over; what it came out of is not needed."""
    model = made(entry)
    state = model.swap(taken(model), wanted(enter))
    go_on(model, state, 1, AFTER)
    if enter == "blend":
        with pytest.raises(PipelineError, match="fading in"):
            model.save(state)
    go_on(model, state, 1, AFTER)
    other = model.open(AFTER)
    model.restore(other, model.save(state))
    assert np.array_equal(frames(go_on(model, state, 2, AFTER)), frames(go_on(model, other, 2, AFTER)))


@ENTRIES
@pytest.mark.parametrize("enter", ["flush", "blend"])
def test_pictures_may_follow_one_another(entry: str, enter: PicturePolicy) -> None:
    """A second one before a chunk was made, or in the midst of a fade, comes in too; a fade is let go in the end."""
    model = made(entry)
    state = model.swap(model.swap(taken(model), wanted(enter)), replace(asked(), enter=enter, enter_s=0.5))
    go_on(model, state, 1, asked())
    state = model.swap(state, wanted(enter))
    go_on(model, state, 6, AFTER)
    assert state.fade is None
    assert len(state.known) < 16


def test_a_picture_that_is_missing_changes_nothing() -> None:
    """A swap that is refused leaves the stream as it was."""
    model = made("clip")
    state = taken(model)
    with pytest.raises(ConditioningError):
        model.swap(state, replace(wanted("flush"), image=None))
    again = made("clip")
    assert np.array_equal(frames(go_on(model, state, 1, asked())), frames(go_on(again, taken(again), 1, asked())))


@pytest.mark.parametrize(("entry", "count"), [("none", 1), ("first_latent", 3), ("clip", 3)])
def test_what_takes_pictures_takes_them_in_every_way(entry: str, count: int) -> None:
    """A model that takes none has nothing but the cut, which is no more than a take."""
    assert len(made(entry).capabilities.picture_policies) == count
