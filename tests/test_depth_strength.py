"""Depth that a busy machine gives up, and takes back: little by little, and the same again from the same state."""

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save

from pipeline.causal import CausalPipeline
from pipeline.pocket.decoder import Motion
from pipeline.pocket.depth import Depth
from pipeline.pocket.depth_strength import FADE, Strength
from pipeline.pocket.drawn.drawing import Wish
from pipeline.pocket.endless import jump
from pipeline.pocket.latents import CAMERA, CHANNELS, GRID, camera_field
from pipeline.pocket.layers_network import LayersNetwork
from pipeline.pocket.looking import Finder
from pipeline.pocket.measure import Plane
from pipeline.pocket.parallax import seen
from pipeline.pocket.pose import REST
from pipeline.pocket.view import NOMINAL, View
from pipeline.replay import replay
from pipeline.state import StreamState
from stream.protocol import SetPrompt
from tests.pocket_parts import decoder_of, ids, network
from tests.pocket_parts import made_once as made_once
from tests.studio import Studio
from tests.test_depth import PAN, deep, depth, places
from tests.test_layers import DARK
from tests.test_replay import film, frames

pytestmark = pytest.mark.usefixtures("made_once", "one_thread")

FULL, NO_DEPTH, SLOWER = 0, 1, 2


def pocket(parallax: float = 1.0) -> CausalPipeline:
    small = network()
    torch.manual_seed(1)
    return CausalPipeline(
        small,
        ids,
        steps=1,
        latents_per_chunk=1,
        max_streams=99,
        finder=Finder(LayersNetwork()),
        views=(View(208, 120),),
        parallax=parallax,
    )


shared = cache(pocket)


def begun(model: CausalPipeline, is_deep: bool = True) -> StreamState:
    """A stream of a picture of near and far; or the same picture as a flat one."""
    state = model.open(DARK)
    state.canvas = replace(state.canvas, depth=Depth(depth().near, None) if is_deep else None)
    return state


def made(model: CausalPipeline, state: StreamState, qualities: Sequence[int]) -> np.ndarray:
    """The frames of a chunk of each quality; of fewer than four the first is taken."""
    chunks = [model.generate_chunk(state, replace(DARK, quality=quality)).frames.copy() for quality in qualities]
    return np.stack([chunk if len(chunk) == 4 else chunk[:1].repeat(4, 0) for chunk in chunks])


def strengths(model: CausalPipeline, state: StreamState, qualities: Sequence[int]) -> list[int]:
    """How much of depth is there after a chunk of each quality."""
    told: list[int] = []
    for quality in qualities:
        made(model, state, [quality])
        told.append(state.now.motion.depth.now)
    return told


def pan() -> torch.Tensor:
    """A latent of a pan and nothing else."""
    latent = torch.zeros(CHANNELS, *GRID)
    latent[CAMERA] = camera_field(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))[0]
    return latent


def panned(strengths: Sequence[Strength]) -> list[Plane]:
    """Frames of a pan across the cat and the plain, of latents of these strengths, from a camera that has moved."""
    latent, motion, out = pan(), moving(), list[Plane]()
    for strength in strengths:
        frames, motion = decoder_of(view=NOMINAL).decode(replace(motion, depth=strength), latent, deep(), 4)
        out += [frame.mean(2, dtype=np.float32) for frame in frames.numpy()[:, ::4, ::4]]
    return out


@cache
def moving() -> Motion:
    """A camera in the midst of a pan."""
    motion, latent = Motion.at_rest(), pan()
    for _ in range(36):
        motion = decoder_of(view=NOMINAL).decode(motion, latent, deep(), 4, first=4)[1]
    return motion


def going(strength: Strength, latents: int, is_wanted: bool) -> list[Strength]:
    """The strengths of latents of a camera that is not at home."""
    out: list[Strength] = []
    for _ in range(latents):
        strength = strength.towards(is_wanted, False)
        out.append(strength)
        strength = strength.after()
    return out


def test_depth_goes_before_the_frame_rate_and_only_where_there_is_any() -> None:
    """Its rung is there only with depth; below it nothing has any, and without it all is as it was."""
    levels = shared().capabilities.quality
    assert [(level.name, level.fps) for level in levels[:3]] == [("full", 16), ("no depth", 16), ("12 fps", 12)]
    assert [rung.depth for rung in shared()._rungs] == [True, False, False, False]
    flat = shared(0.0)
    assert [level.name for level in flat.capabilities.quality] == ["full", "12 fps", "8 fps"]


def test_the_best_rung_is_as_if_there_were_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit."""
    ours = made(shared(), begun(shared()), [FULL] * 4)
    monkeypatch.setattr(Motion, "deepened", lambda motion, is_wanted: motion)
    assert np.array_equal(ours, made(shared(), begun(shared()), [FULL] * 4))


def test_without_depth_from_the_start_the_picture_is_flat() -> None:
    """To the bit, from the first frame on: a camera at home shows no depth, so that nothing has to go first."""
    ours = made(shared(), begun(shared()), [NO_DEPTH] * 3)
    assert np.array_equal(ours, made(shared(), begun(shared(), is_deep=False), [FULL] * 3))
    assert not np.array_equal(ours, made(shared(), begun(shared()), [FULL] * 3))


def test_a_flat_picture_is_made_as_fast_as_one() -> None:
    """With no strength the places are the very ones that a flat picture has, which are sampled faster."""
    plain, *_ = places(PAN, depth())
    assert seen(plain, PAN, depth(), 0.0) == (plain, None)


def test_it_goes_and_comes_by_even_steps() -> None:
    """Within two seconds, both ways, from wherever it is; at a slower rate as quickly."""
    model, state = shared(), begun(shared())
    assert strengths(model, state, [FULL] * 2 + [NO_DEPTH] * 3 + [FULL] * 2) == [8, 8, 7, 6, 5, 6, 7]
    assert strengths(model, state, [SLOWER] * 4 + [NO_DEPTH] * 5) == [6, 5, 4, 3, 2, 1, 0, 0, 0]
    flat = begun(model, is_deep=False)
    flat.now, flat.known, flat.cache = state.now, state.known, state.cache
    assert np.array_equal(made(model, state, [NO_DEPTH]), made(model, flat, [NO_DEPTH]))


@pytest.mark.parametrize("is_wanted", [False, True], ids=["goes", "comes"])
def test_nothing_jumps(is_wanted: bool) -> None:
    """In a pan no frame differs more from the one before than those around it do; at once it would."""
    begin, end = Strength(*[0 if is_wanted else FADE] * 2), Strength(*[FADE if is_wanted else 0] * 2)
    softly = [begin, *going(begin, FADE, is_wanted), end]
    assert jump(panned([begin, begin, end, end])) > 1.6
    assert jump(panned(softly)) < 1.25


def test_between_latents_it_goes_on_where_it_was() -> None:
    """One latent ends with as much of depth as the next one begins with, and it goes ever so far and no farther."""
    way = [Strength(), *going(Strength(), FADE + 2, False)]
    assert all(a.at(1.0) == b.at(0.0) for a, b in pairwise(way))
    shown = [strength.at(share) for strength in way for share in (0.0, 0.5)]
    assert shown == sorted(shown, reverse=True)
    assert (shown[0], shown[-1]) == (1.0, 0.0)
    assert max(a - b for a, b in pairwise(shown)) < 0.1


def test_at_home_all_of_it_goes_at_once_unless_something_drawn_moves_the_camera() -> None:
    """Nothing of it is seen there; a dolly that is drawn shows it from a camera that stands still."""
    still = Motion.at_rest()
    assert still.camera.pose == REST
    assert still.deepened(False).depth == Strength(0, 0)
    assert still.wishing({"dolly": Wish()}, 1).deepened(False).depth == Strength(FADE, FADE - 1)
    assert moving().deepened(False).depth == Strength(FADE, FADE - 1)


def test_the_same_again_from_the_midst_of_it() -> None:
    """Going back and making again, and restoring elsewhere, give the same frames while depth goes."""
    model, other = shared(), pocket()
    state, qualities = begun(model), [NO_DEPTH, SLOWER, NO_DEPTH, FULL]
    made(model, state, [FULL, FULL, NO_DEPTH])
    saved = model.save(state)
    after = begun(other)
    other.restore(after, saved)
    first = made(model, state, qualities)
    assert np.array_equal(made(other, after, qualities), first)
    model.truncate(state, 3)
    assert state.now.motion.depth.now == FADE - 1
    assert np.array_equal(made(model, state, qualities), first)


def test_what_was_saved_before_has_all_of_it() -> None:
    """A stream that was saved when none was ever given up is restored with its depth."""
    model, state = shared(), begun(shared())
    made(model, state, [FULL] * 2)
    parts = load(model.save(state))
    told = parts["numbers"].numpy().tobytes()
    assert told.count(b', "depth": 8') == 3
    older = torch.frombuffer(bytearray(told.replace(b', "depth": 8', b"")), dtype=torch.uint8)
    after = begun(model)
    model.restore(after, save({**parts, "numbers": older}))
    assert after.now.motion.depth == Strength()
    assert np.array_equal(made(model, after, [FULL]), made(model, state, [FULL]))


async def direct_rungs(studio: Studio) -> None:
    """A pan whose machine gets busy, gets busier, and has time again before all of depth is gone."""
    await studio.go_live()
    await studio.do(SetPrompt, prompt="pan left")
    for level, seconds in ((0, 1.0), (1, 0.9), (2, 0.6), (0, 1.0)):
        studio.capacity.level = level
        await studio.clock.advance(seconds)


async def test_a_log_makes_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that gave up some of its depth and took it back is made again from its log, byte for byte."""
    assert DARK.image is not None
    drawn = io.BytesIO()
    Image.fromarray(DARK.image).save(drawn, "PNG")
    monkeypatch.setattr("tests.studio.png", lambda red: drawn.getvalue())
    session, sent = await film(tmp_path, pocket(), direct_rungs)
    assert {chunk.quality for chunk in session.chunks} == {0, 1, 2}
    remade = list(replay(pocket(), session))
    assert all(made.is_same for made in remade)
    assert np.array_equal(frames(remade), sent)
    monkeypatch.setattr(Motion, "deepened", lambda motion, is_wanted: motion)
    assert not all(made.is_same for made in replay(pocket(), session))
