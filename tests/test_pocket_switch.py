from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from pipeline.causal import CausalPipeline
from pipeline.pocket.pose import REST
from pipeline.pocket.switch import blended
from pipeline.schedule import sigmas
from pipeline.state import StreamState
from pipeline.types import Chunk, Conditioning, Policy
from tests.pocket_parts import beginning, conditioning, copied, pipeline
from tests.pocket_parts import made_once as made_once

pytestmark = pytest.mark.usefixtures("one_thread", "made_once")
NEW = "night"
POLICIES = pytest.mark.parametrize("policy", ["auto", "blend", "cut"])


def to(policy: Policy, prompt: str = NEW, over_s: float = 1.0) -> Conditioning:
    return replace(conditioning(prompt, quality=3), policy=policy, over_s=over_s)


OLD = to("auto", "snow falls")


def go_on(model: CausalPipeline, state: StreamState, count: int, asked: Conditioning) -> list[Chunk]:
    return [model.generate_chunk(state, asked) for _ in range(count)]


def running(model: CausalPipeline, chunks: int = 6) -> StreamState:
    return copied(model, _ran(model.format.latents_per_chunk, chunks))


@cache
def _ran(latents_per_chunk: int, chunks: int) -> StreamState:
    model = pipeline(latents_per_chunk)
    state = model.open(OLD)
    go_on(model, state, chunks, OLD)
    return state


@cache
def stayed(latents_per_chunk: int) -> np.ndarray:
    """Two chunks of a stream that never switched, after four."""
    model = pipeline(latents_per_chunk)
    return frames(go_on(model, running(model, 4), 2, OLD))


def frames(chunks: list[Chunk]) -> np.ndarray:
    return np.concatenate([chunk.frames for chunk in chunks])


def test_a_cut_begins_at_rest() -> None:
    """Its first frame is the picture, from where a take begins; of the past nothing is seen, and what comes then
    sees what came since alone."""
    model = pipeline(max_streams=9)
    state = running(model)
    assert state.now.motion.camera.pose != REST
    (chunk,) = go_on(model, state, 1, to("cut"))
    assert np.array_equal(chunk.frames[0], beginning(model, state))
    assert state.cache.seen() == [-1, -1, -1, -1]
    fresh = model.open(OLD)
    fresh.cache.latents = fresh.cache.floor = 6
    from_rest = model._sample(fresh, replace(fresh.now, latents=6), model._text(NEW)[0], sigmas(1))
    assert torch.equal(state.now.last, from_rest)
    go_on(model, state, 2, to("cut"))
    assert state.cache.seen() == [-1, -1, 6, 7]
    assert (chunk.first_latent, chunk.index) == (6, 6)


def test_a_blend_goes_from_one_text_to_the_other() -> None:
    """Latent by latent, by the time at its middle, and what the caches hold stays; then the new one is said alone."""
    model = pipeline(max_streams=9)
    state = running(model)
    go_on(model, state, 1, to("blend"))
    shares = [dict(state.now.travel.said(6 + latent + 0.5)).get(NEW, 0.0) for latent in range(5)]
    assert shares == pytest.approx([0.125, 0.375, 0.625, 0.875, 1.0])
    assert state.cache.seen() == [2, 3, 4, 5]
    one, other = (model._text(prompt)[0] for prompt in ("snow falls", NEW))
    half = blended(lambda prompt: model._text(prompt)[0], (("snow falls", 0.5), (NEW, 0.5)))
    assert torch.allclose(half.pooled, torch.lerp(one.pooled, other.pooled, 0.5), atol=1e-6)
    for mixed, first, second in zip(half.cross, one.cross, other.cross, strict=True):
        for part in (0, 1):
            assert torch.allclose(mixed[0][part], torch.lerp(first[0][part], second[0][part], 0.5), atol=1e-6)
    assert half.asked is other.asked


def test_a_blend_takes_its_time() -> None:
    """What is made differs from both texts' on the way, and the longer way stays closer to the old one."""
    model = pipeline(max_streams=9)
    made = {seconds: running(model) for seconds in (0.0, 0.5, 2.0)}
    stays = running(model)
    go_on(model, stays, 1, OLD)
    apart = []
    for seconds, state in made.items():
        go_on(model, state, 1, to("blend", over_s=seconds))
        apart.append(float((state.now.last - stays.now.last).norm()))
    assert apart[0] > apart[1] > apart[2] > 0


@POLICIES
@pytest.mark.parametrize("latents_per_chunk", [1, 2])
def test_a_switch_taken_back_was_never_made(policy: Policy, latents_per_chunk: int) -> None:
    """Going back to before it gives the old video again, to the byte; to a place in its midst, the rest of it."""
    model = pipeline(latents_per_chunk, max_streams=9)
    state = running(model, 4)
    latent = state.now.latents
    made = go_on(model, state, 4 // latents_per_chunk, to(policy))
    model.truncate(state, latent + 1)
    again = go_on(model, state, 2 // latents_per_chunk, to(policy))
    each = len(made[0].frames) // latents_per_chunk
    assert np.array_equal(frames(again), frames(made)[each : 3 * each])
    model.truncate(state, latent)
    # Had the new prompt left a trace, the old one would come in by the policy.
    assert np.array_equal(frames(go_on(model, state, 2, replace(OLD, policy=policy))), stayed(latents_per_chunk))


@POLICIES
@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_a_stream_that_switched_is_restored(policy: Policy, chunks: int) -> None:
    """In the midst of a switch and after it, and from there back to before it, byte for byte."""
    model = pipeline(max_streams=9)
    state = running(model)
    go_on(model, state, chunks, to(policy))
    other = model.open(OLD)
    model.restore(other, model.save(state))
    asked = to("blend", "wind") if chunks else to(policy)
    assert np.array_equal(frames(go_on(model, state, 2, asked)), frames(go_on(model, other, 2, asked)))
    for one in (state, other):
        model.truncate(one, 6 + chunks - 1)
    assert np.array_equal(frames(go_on(model, state, 2, OLD)), frames(go_on(model, other, 2, OLD)))


@POLICIES
def test_a_prompt_that_stands_switches_nothing(policy: Policy) -> None:
    """Neither the first prompt of a take nor the same one again comes in by a policy."""
    model = pipeline(max_streams=9)
    again = replace(OLD, policy=policy)
    state = model.open(again)
    go_on(model, state, 4, again)
    assert np.array_equal(frames(go_on(model, state, 2, again)), stayed(1))
