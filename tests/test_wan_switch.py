from copy import deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.networks.rope import rotations
from pipeline.travel import alone
from pipeline.types import Chunk, Conditioning, ImageEntry, Mode, Policy
from pipeline.wan.pipeline import WanPipeline
from pipeline.wan.plan import Plan
from pipeline.wan.sampler import Guide
from pipeline.wan.state import WanState
from pipeline.wan.texts import Texts
from pipeline.wan.window import WindowCache
from tests import wan_parts
from tests.wan_parts import CONFIG, PLAN, asked, embed, go_on, parts, pipeline

pytestmark = pytest.mark.usefixtures("one_thread")
LONG = replace(PLAN, window=8, max_streams=9)
OLD, NEW, OTHER = "the leaves sway", "a storm of snow falls over mountains", "night and rain"
HARD: tuple[Policy, ...] = ("recache", "flush", "cut")
EVERY: tuple[Policy, ...] = ("auto", "blend", *HARD)
ENTRIES = pytest.mark.parametrize(("mode", "entry"), [("t2v", "none"), ("i2v", "first_latent")])
POLICIES = pytest.mark.parametrize("policy", EVERY)
FULL = 5
"""Chunks until the window has rolled."""


def to(policy: Policy, prompt: str = NEW, mode: Mode = "t2v", over_s: float = 1.25) -> Conditioning:
    return replace(asked(mode, prompt), policy=policy, over_s=over_s)


def running(model: WanPipeline, chunks: int = FULL, mode: Mode = "t2v") -> WanState:
    return wan_parts.running(model, chunks, mode, OLD)


def made(policy: Policy, plan: Plan = LONG) -> tuple[WanPipeline, WanState]:
    """A stream whose last chunk is the first under another prompt, not read yet."""
    model = pipeline(plan)
    state = running(model)
    model.generate_chunk(state, to(policy))
    return model, state


def held(state: WanState) -> list[int]:
    """The latents that the chunk made last saw."""
    assert state.pending is not None
    assert state.pending.seen.past is not None
    return [state.cache.held[int(slot)] for slot in state.pending.seen.past.slots]


@cache
def gone_on(entry: ImageEntry, mode: Mode, *wanted: Policy) -> list[Chunk]:
    """What a stream that never switched makes: two chunks under the old prompt, then one by each policy."""
    model = pipeline(replace(LONG, image_entry=entry))
    state = running(model, FULL, mode)
    chunks = go_on(model, state, 2, asked(mode, OLD))
    for policy, prompt in zip(wanted, (OTHER, NEW), strict=False):
        chunks += go_on(model, state, 1, to(policy, prompt, mode))
    return chunks


def assert_alike(ours: list[Chunk], theirs: list[Chunk]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one.frames, other.frames)
        assert (one.index, one.first_latent, one.cuts) == (other.index, other.first_latent, other.cuts)


def at(places: list[int], state: WanState) -> torch.Tensor:
    grid = state.cache.shape.grid
    return rotations(torch.tensor(places, dtype=torch.float64), *grid, CONFIG.head_dim)


def test_a_flush_sees_the_sink_and_the_last_latents() -> None:
    """Nothing else of ten latents is seen, nothing is read again, and the window fills up behind that."""
    model, state = made("flush")
    before = running(pipeline(LONG))
    assert held(state) == [0, 8, 9]
    assert torch.equal(state.cache.stored, before.cache.stored)
    seen = []
    for _ in range(3):
        model.generate_chunk(state, to("flush"))
        seen.append(held(state))
    assert seen == [[0, 8, 9, 10, 11], [0, 9, 10, 11, 12, 13], [0, 11, 12, 13, 14, 15]]


def test_a_cut_places_what_comes_away_from_what_was() -> None:
    """It sees what a flush sees, from as far as the trained range goes; what comes then stands close to it, and none
    ever leaves that range."""
    model, state = made("cut")
    assert held(state) == [0, 8, 9]
    assert state.pending is not None
    assert torch.equal(state.pending.seen.rotation, at([16, 17], state))
    model.generate_chunk(state, to("cut"))
    past = state.pending.seen.past
    assert past is not None
    assert held(state) == [0, 8, 9, 10, 11]
    assert torch.equal(past.rotation, at([0, 1, 2, 16, 17], state))
    assert torch.equal(state.pending.seen.rotation, at([18, 19], state))
    for _ in range(4):
        model.generate_chunk(state, to("cut"))
    past = state.pending.seen.past
    assert past is not None
    assert torch.equal(past.rotation, at([0, *range(14, 19)], state))
    assert torch.equal(state.pending.seen.rotation, at([19, 20], state))


def test_a_second_cut_is_one_too() -> None:
    """What the first one left stands close before the gap then."""
    model, state = made("cut")
    model.generate_chunk(state, to("cut", OTHER))
    assert state.pending is not None
    past = state.pending.seen.past
    assert past is not None
    assert held(state) == [0, 10, 11]
    assert torch.equal(past.rotation, at([0, 1, 2], state))
    assert torch.equal(state.pending.seen.rotation, at([16, 17], state))


def test_a_recache_reads_what_is_seen_under_the_new_text() -> None:
    """The window holds the same clean latents, each read as if the new prompt had been there; the one before it stays
    as it was while it can be gone back to, and is let go then."""
    model = pipeline(LONG)
    state = running(model)
    before, stored, known = state.cache, state.cache.stored.clone(), state.known
    model.generate_chunk(state, to("recache"))
    # Latent 4 is of a group whose other latent is not seen.
    assert held(state) == [0, 5, 6, 7, 8, 9]
    network = parts().transformer
    with torch.inference_mode():
        guide = Guide(network.cross_keys_values(embed(NEW)))
        expected = WindowCache(CONFIG, state.cache.shape)
        for one in known:
            if one.first in (0, 4, 6, 8):
                expected.latents = one.first
                seen = expected.see(2, "relative")
                expected.append(model._samplers[0].read(one.clean, guide, seen), 2)
    assert torch.equal(state.cache.stored, expected.stored)
    assert not torch.equal(state.cache.stored, stored)
    assert torch.equal(before.stored, stored)
    assert any(one.cache is before for one in state.past)
    go_on(model, state, 2, to("recache"))
    assert all(one.cache is state.cache for one in state.past)


def test_a_blend_lets_the_text_travel() -> None:
    """Each chunk of the way has a text further on it, by the time at its middle; nothing of the past is touched."""
    model = pipeline(LONG)
    state, plain = running(model), running(pipeline(LONG))
    shares = []
    for _ in range(4):
        go_on(model, state, 1, to("blend"))
        shares.append(dict(state.known[-1].said).get(NEW, 0.0))
    # A chunk lasts half a second, the blend 1.25 s.
    assert shares == pytest.approx([0.2, 0.6, 1.0, 1.0])
    model.generate_chunk(plain, to("auto", OLD))
    assert plain.pending is not None
    assert state.now.course.past == plain.now.course.past
    text = model._texts.mixed(((OLD, 0.75), (NEW, 0.25)))
    padded = torch.zeros(1, 8, 8)
    padded[:, :4] = embed(OLD)
    assert torch.allclose(text, padded * 0.75 + embed(NEW) * 0.25, atol=1e-6)


def test_a_blend_begins_with_what_is_said_then() -> None:
    """Another prompt in its midst comes out of the mixture, and a blend over no time is a swap."""
    model, state = made("blend")
    model.generate_chunk(state, to("blend", OTHER, over_s=1.0))
    assert dict(state.known[-1].said) == pytest.approx({OLD: 0.45, NEW: 0.3, OTHER: 0.25})
    model.generate_chunk(state, to("blend", OLD, over_s=0.0))
    assert state.known[-1].said == alone(OLD)


def test_a_prompt_by_itself_changes_the_text_alone() -> None:
    """Where it is near, ``auto`` leaves the past as it is, as a swap of the text does."""
    model = pipeline(LONG)
    state = running(model)
    model._texts._far = 9.0
    model.generate_chunk(state, to("auto"))
    assert held(state) == [0, 5, 6, 7, 8, 9]
    assert state.known[-1].said == alone(NEW)
    assert state.past[-1].cache is state.cache


def test_a_prompt_from_afar_flushes() -> None:
    """``auto`` flushes where the prompt is far from the one before, and costs no reading."""
    model = pipeline(LONG)
    state = running(model)
    model._texts._far = 0.0
    model.generate_chunk(state, to("auto"))
    assert held(state) == [0, 8, 9]


def test_far_is_held_against_what_has_nothing_in_common() -> None:
    """An encoder with another scale, or whose embeddings all lie in one direction, tells the same prompts apart."""
    words = ("boats at sea", "a fox in snow", "rain on glass", "an old man smiles")
    for common in (0.0, 3.0):

        def encode(prompt: str, common: float = common) -> torch.Tensor:
            return embed(prompt)[:, 1:] * 0.1 + common

        texts = Texts(encode, words)
        assert texts.is_far("a red fox runs", "boats in a storm tonight")
        assert not texts.is_far("a red fox runs in deep snow", "a red fox runs in deep rain")
        assert not texts.is_far("same", "same")


@POLICIES
def test_a_prompt_that_stands_switches_nothing(policy: Policy) -> None:
    """The policy goes with a change: neither the first prompt of a take nor the same one again has one."""
    model = pipeline(LONG)
    state = model.open(to(policy, OLD))
    assert_alike(go_on(model, state, FULL + 2, to(policy, OLD))[FULL:], gone_on("first_latent", "t2v"))
    assert torch.equal(state.cache.stored, running(model, FULL + 2).cache.stored)


@POLICIES
@ENTRIES
@pytest.mark.parametrize("committed", [True, False])
def test_a_switch_taken_back_was_never_made(policy: Policy, mode: Mode, entry: ImageEntry, committed: bool) -> None:
    """Back before the switch all is as it was, to the bit, whether one chunk or two were made since; what comes then
    may be another prompt by another policy."""
    model = pipeline(replace(LONG, image_entry=entry))
    state = running(model, FULL, mode)
    stored, latent = state.cache.stored.clone(), state.now.made
    # The one on its way and the one before it, or one that was read.
    for chunks in (1,) if committed else (1, 2):
        for _ in range(chunks):
            model.generate_chunk(state, to(policy, mode=mode))
        if committed:
            model.commit(state)
        model.truncate(state, latent)
    seen = state.cache.kept(2)
    slots = [state.cache.held.index(one) for one in seen]
    assert torch.equal(state.cache.stored[:, :, :, slots], stored[:, :, :, slots])
    # Had the new prompt left a trace, the old one would come in by the policy.
    after = [to(policy, OLD, mode), to(policy, OLD, mode), to("blend", OTHER, mode), to("recache", NEW, mode)]
    again = [chunk for wanted in after for chunk in go_on(model, state, 1, wanted)]
    assert_alike(again, gone_on(entry, mode, "blend", "recache"))


@POLICIES
def test_a_chunk_of_a_switch_can_be_cut(policy: Policy) -> None:
    """Cut inside the chunk that a prompt came in with, or before the one after that, the stream goes on alike whether
    more was made in between or not; and a second prompt comes in there."""
    model = pipeline(LONG)
    one, other = running(model), running(model)
    latents = [one.now.made + 1]
    for state in (one, other):
        cuts = model.generate_chunk(state, to(policy)).cuts
        if not cuts:
            # After a flush the window is not full for a while.
            go_on(model, state, 2, to(policy))
            cuts = model.generate_chunk(state, to(policy)).cuts
            latents.append(state.now.made - 1)
        assert cuts
    go_on(model, one, 1, to("recache", OTHER))
    for state in (one, other):
        model.truncate(state, latents[-1])
    for wanted in (to(policy, OTHER), to("cut", OLD)):
        assert_alike(go_on(model, one, 2, wanted), go_on(model, other, 2, wanted))


@pytest.mark.parametrize("policy", ["flush", "cut"])
def test_no_cut_is_told_where_the_past_is_short(policy: Policy) -> None:
    """Until a flushed window is full again its chunks are taken back whole: graphs are recorded for no other length."""
    model = pipeline(LONG)
    told = []
    for chunks in range(4):
        state = running(model)
        go_on(model, state, chunks, to(policy))
        cuts = model.generate_chunk(state, to(policy)).cuts
        told.append(len(cuts))
        if cuts:
            model.truncate(state, state.now.made - 1)
            assert len(state.cache.kept(2, state.now.course.past)) == 6
        model.close(state)
    assert told == [0, 1, 1, 1]


@POLICIES
@ENTRIES
@pytest.mark.parametrize("chunks", [0, 2])
def test_a_stream_that_switched_is_restored(policy: Policy, mode: Mode, entry: str, chunks: int) -> None:
    """Resumed and forked are uninterrupted, byte for byte, in the midst of a switch and later; they go back to before
    it as far as the stream does, and from there on by another policy."""
    model = pipeline(replace(LONG, image_entry=entry))
    state = running(model, FULL, mode)
    go_on(model, state, 1, asked(mode, OTHER))
    go_on(model, state, chunks, to(policy, mode=mode))
    model.generate_chunk(state, to(policy, mode=mode))
    saved = model.save(state)
    other = model.open(asked(mode, "another"))
    model.restore(other, saved)
    back, wanted = [deepcopy(one) for one in (state, other)], to("blend", OTHER, mode)
    assert_alike(*(go_on(model, one, 2, wanted) for one in (state, other)))
    for one in back:
        model.truncate(one, one.past[0].begin.made)
    assert_alike(*(go_on(model, one, 2, wanted) for one in back))


@POLICIES
def test_a_refused_chunk_leaves_no_switch_behind(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that fails in the chunk of a switch leaves the stream as it was before it."""
    model = pipeline(LONG)
    state, straight = running(model), running(model)

    def fail(*_: object) -> None:
        raise PipelineError("no")

    with monkeypatch.context() as patched:
        patched.setattr(model._decoder, "decode", fail)
        with pytest.raises(PipelineError, match="no"):
            model.generate_chunk(state, to(policy))
    assert_alike(go_on(model, straight, 2, asked("t2v", OLD)), go_on(model, state, 2, asked("t2v", OLD)))


@pytest.mark.parametrize("policy", HARD)
def test_every_switch_reaches_the_frames(policy: Policy) -> None:
    """None of them is the swap of the text by another name."""
    model = pipeline(LONG)
    model._texts._far = 9.0
    (plain,), (chunk,) = (go_on(model, running(model), 1, to(one)) for one in ("auto", policy))
    assert not np.array_equal(plain.frames, chunk.frames)


def test_a_stream_that_begins_has_nothing_to_flush() -> None:
    """Early in a take every policy works: what is asked for before the window is full sees what there is."""
    for chunks in (0, 1):
        for policy in EVERY:
            model = pipeline(LONG)
            state = running(model, chunks, "i2v")
            model.generate_chunk(state, to(policy, mode="i2v"))
            assert held(state) == list(range(3 if chunks else 1))


def test_a_model_has_the_policies_that_it_can() -> None:
    """A cut needs places that are free in the trained range, a recache a second window."""
    told = [
        pipeline(one).capabilities.policies for one in (LONG, replace(LONG, window=21), replace(LONG, recaches=False))
    ]
    assert told == [EVERY, ("auto", "blend", "recache", "flush"), ("auto", "blend", "flush", "cut")]
