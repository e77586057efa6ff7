from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.errors import CapacityError, ConditioningError, TruncationError
from pipeline.preprocess import cover
from pipeline.types import Chunk, Conditioning, Cut, Mode
from pipeline.wan.frames import to_host
from pipeline.wan.pipeline import Plan, WanPipeline
from tests.wan_parts import HEIGHT, PLAN, WIDTH, asked, go_on, parts, picture, pipeline, running

pytestmark = pytest.mark.usefixtures("one_thread")


def run(model: WanPipeline, conditionings: list[Conditioning]) -> list[Chunk]:
    state = model.open(conditionings[0])
    chunks = []
    for conditioning in conditionings:
        chunks.append(model.generate_chunk(state, conditioning))
        model.commit(state)
    model.close(state)
    return chunks


def frames(chunks: list[Chunk]) -> np.ndarray:
    return np.concatenate([chunk.frames for chunk in chunks])


@pytest.mark.parametrize(
    ("mode", "first_alone", "counts", "latents"),
    [("t2v", False, [5, 8, 8], [2, 2, 2]), ("t2v", True, [1, 8, 8], [1, 2, 2]), ("i2v", False, [9, 8, 8], [3, 2, 2])],
)
def test_frames_and_latents_are_counted_as_they_come(
    mode: Mode, first_alone: bool, counts: list[int], latents: list[int]
) -> None:
    """A causal VAE's first latent is one frame; a picture is a latent and a frame of the first chunk."""
    chunks = run(pipeline(replace(PLAN, first_alone=first_alone)), [asked(mode)] * 3)
    assert [len(chunk.frames) for chunk in chunks] == counts
    assert [chunk.latents for chunk in chunks] == latents
    assert [chunk.first_frame for chunk in chunks] == [0, counts[0], counts[0] + counts[1]]
    assert [chunk.first_latent for chunk in chunks] == [0, latents[0], latents[0] + latents[1]]
    assert chunks[0].frames.shape[1:] == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("decoder", ["tiny", "wan"])
def test_a_take_begins_with_its_picture_as_the_decoder_shows_it(decoder: str) -> None:
    """The first frame is the picture through encoder and decoder, cropped to the frame."""
    networks = parts(decoder=decoder)
    assert networks.encoder is not None
    with torch.inference_mode():
        latent = networks.encoder.encode_image(cover(picture(), WIDTH, HEIGHT))
        shown = to_host(networks.decoder.decode_frames(latent, None)[0])
    chunk = run(pipeline(decoder=decoder), [asked()])[0]
    assert np.array_equal(chunk.frames[:1], shown)


@pytest.mark.parametrize("decoder", ["tiny", "wan"])
def test_chunks_are_decoded_as_one_video(decoder: str) -> None:
    """The frames of a stream are those of all its latents decoded in one go."""
    model = pipeline(decoder=decoder)
    state = model.open(asked("t2v"))
    latents, streamed = [], []
    for _ in range(4):
        streamed.append(model.generate_chunk(state, asked("t2v")).frames)
        assert state.pending is not None
        latents.append(state.pending.clean)
    with torch.inference_mode():
        whole = to_host(parts(decoder=decoder).decoder.decode_frames(torch.cat(latents, 2), None)[0])
    # Rounding may differ by the grouping; a seam would not be a grey level.
    assert np.abs(np.concatenate(streamed).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("entry", ["first_latent", "clip"])
def test_same_seed_and_commands_same_bytes_whatever_the_others_do(entry: str) -> None:
    """Two streams that take turns make what each makes alone; another seed makes another video."""
    plan = replace(PLAN, image_entry=entry)
    model = pipeline(plan)
    one, other = [asked(seed=1), asked(seed=1, prompt="snow falls")] * 2, [asked(seed=2)] * 4
    states = model.open(one[0]), model.open(other[0])
    made: tuple[list[Chunk], list[Chunk]] = ([], [])
    for pair in zip(one, other, strict=True):
        for state, chunks, conditioning in zip(states, made, pair, strict=True):
            chunks.append(model.generate_chunk(state, conditioning))
            model.commit(state)
    assert np.array_equal(frames(made[0]), frames(run(pipeline(plan), one)))
    assert np.array_equal(frames(made[1]), frames(run(pipeline(plan), other)))
    assert not np.array_equal(frames(made[1]), frames(run(pipeline(plan), [asked(seed=1)] * 4)))


@pytest.mark.parametrize("committed", [0, 1])
def test_truncating_is_never_having_made_what_followed(committed: int) -> None:
    """A chunk on its way, and the one before it, can be taken back: what is made then is as if they never were."""
    model, wanted = pipeline(), asked(prompt="snow falls")
    state = running(model, 4)
    straight = go_on(pipeline(), deepcopy(state), 2, wanted)
    back = state.now.made
    for _ in range(1 + committed):
        model.commit(state)
        model.generate_chunk(state, asked())
    model.truncate(state, back)
    again = go_on(model, state, 2, wanted)
    assert np.array_equal(frames(again), frames(straight))
    assert [chunk.first_frame for chunk in again] == [chunk.first_frame for chunk in straight]


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("decoder", ["tiny", "wan"])
def test_a_chunk_can_be_cut(decoder: str, committed: bool) -> None:
    """What stays of it stays as it is: frames go on from there as one video, and the window holds no more."""
    model = pipeline(decoder=decoder)
    state = model.open(asked("t2v"))
    chunks, latents = [], []
    for _ in range(4):
        model.commit(state)
        chunks.append(model.generate_chunk(state, asked("t2v")))
        assert state.pending is not None
        latents.append(state.pending.clean)
    if committed:
        model.commit(state)
    assert chunks[3].cuts == (Cut(4, 1),)
    uncut = deepcopy(state)
    model.truncate(state, 7)
    model.commit(uncut)
    for latent in state.cache.kept(2):
        held, wanted = (cache.stored[:, :, :, cache.held.index(latent)] for cache in (state.cache, uncut.cache))
        assert torch.equal(held, wanted)
    after = model.generate_chunk(state, asked("t2v", prompt="snow falls"))
    assert (after.first_latent, after.first_frame, after.index) == (7, chunks[3].first_frame + 4, 4)
    assert state.pending is not None
    kept = torch.cat([*latents[:3], latents[3][:, :, :1], state.pending.clean], 2)
    with torch.inference_mode():
        whole = to_host(parts(decoder=decoder).decoder.decode_frames(kept, None)[0])
    streamed = np.concatenate([frames(chunks[:3]), chunks[3].frames[:4], after.frames])
    assert np.abs(streamed.astype(int) - whole).max() <= 1


def test_a_cut_is_of_a_full_window() -> None:
    """Until its window is full a stream has no cuts, nor in its first chunk: nothing is recorded for it alone."""
    chunks = run(pipeline(), [asked()] * 4)
    assert [chunk.cuts for chunk in chunks] == [(), (Cut(4, 1),), (Cut(4, 1),), (Cut(4, 1),)]
    wide = run(pipeline(replace(PLAN, window=10)), [asked()] * 5)
    assert [len(chunk.cuts) for chunk in wide] == [0, 0, 0, 1, 1]


def test_the_first_chunk_can_be_taken_back_too() -> None:
    """Before its first chunk a take has its picture and nothing else."""
    model = pipeline()
    state = model.open(asked())
    model.generate_chunk(state, asked(prompt="one"))
    model.truncate(state, 0)
    again = model.generate_chunk(state, asked())
    assert np.array_equal(again.frames, run(pipeline(), [asked()])[0].frames)


def test_it_says_where_it_cannot_go_back_to() -> None:
    """A place ahead or too far back is refused, and the stream goes on as if not asked."""
    model = pipeline()
    state, straight = running(model, 4), running(model, 4)
    for latent in (0, 6, 10):
        with pytest.raises(TruncationError):
            model.truncate(state, latent)
    ours, theirs = (model.generate_chunk(one, asked()).frames for one in (state, straight))
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"mode": "t2v"}, "does i2v, not t2v"), ({"image": None}, "a picture is needed"), ({"quality": 2}, "0..1")],
)
def test_what_it_cannot_do_is_refused_and_nothing_is_lost(change: dict[str, object], told: str) -> None:
    """A refused chunk leaves the stream as it was."""
    model = pipeline(replace(PLAN, image_entry="clip"))
    state = model.open(asked())
    first = model.generate_chunk(state, asked())
    with pytest.raises(ConditioningError, match=told):
        model.generate_chunk(state, replace(asked(), **change))
    chunks = [first, model.generate_chunk(state, asked())]
    assert np.array_equal(frames(chunks), frames(run(pipeline(replace(PLAN, image_entry="clip")), [asked()] * 2)))


def test_places_are_counted_and_given_back_once() -> None:
    """One stream more than there are places is refused; closing twice frees one place."""
    model = pipeline(replace(PLAN, max_streams=1))
    state = model.open(asked())
    with pytest.raises(CapacityError, match="all 1 streams"):
        model.open(asked())
    model.close(state)
    model.close(state)
    model.close(model.open(asked()))
    held = model.open(asked())
    with pytest.raises(CapacityError):
        model.open(asked())
    model.close(held)


def test_prompt_and_picture_reach_the_frames() -> None:
    """Another prompt or another picture makes other frames, in both ways that a picture enters."""
    for entry in ("first_latent", "clip"):
        model = pipeline(replace(PLAN, image_entry=entry))
        base = frames(run(model, [asked()] * 2))
        assert not np.array_equal(base, frames(run(model, [asked(prompt="snow falls")] * 2)))
        other = replace(asked(), image=picture(1))
        assert not np.array_equal(base[12:], frames(run(model, [other] * 2))[12:])


@pytest.mark.parametrize(("entry", "modes"), [("none", ("t2v",)), ("first_latent", ("t2v", "i2v")), ("clip", ("i2v",))])
def test_modes_follow_from_how_a_picture_enters(entry: str, modes: tuple[str, ...]) -> None:
    """A network that must see a picture makes nothing from text alone, one that sees none only that."""
    capabilities = pipeline(replace(PLAN, image_entry=entry)).capabilities
    assert capabilities.modes == modes
    assert capabilities.image_entry == entry


def test_a_quality_costs_less_and_is_measured() -> None:
    """Warming up gives seconds for every rung, whose steps fall."""
    model = pipeline()
    assert len(model.warm_up()) == len(model.capabilities.quality) == 2
    assert [level.name for level in model.capabilities.quality] == ["2 steps", "1 steps"]


def test_the_window_can_hold_what_may_be_taken_back() -> None:
    """The plan's chunk is what the capabilities promise to take back, twice."""
    assert isinstance(PLAN, Plan)
    assert pipeline().capabilities.truncatable_latents == 2 * PLAN.latents_per_chunk


@pytest.mark.parametrize("entry", ["first_latent", "clip"])
def test_drift_is_told_once_a_prompt_has_settled(entry: str) -> None:
    """Chunks tell of it when there is an anchor, and anew under another prompt; likeness where CLIP is loaded."""
    chunks = run(pipeline(replace(PLAN, image_entry=entry)), [asked()] * 9 + [asked(prompt="snow falls")])
    told = [chunk.drift for chunk in chunks]
    assert told[0] is None
    assert told[9] is None
    assert told[8] is not None
    assert (told[8].similarity is not None) == (entry == "clip")


def test_going_back_goes_back_to_the_drift_of_then() -> None:
    """A chunk made again after going back tells the same drift, and is brought back by as much."""
    model = pipeline(replace(PLAN, reanchor=0.001))
    state = running(model, 9)
    back = state.now.made
    once = model.generate_chunk(state, asked())
    model.commit(state)
    model.truncate(state, back)
    again = model.generate_chunk(state, asked())
    assert once.drift is not None
    assert once.drift.is_reanchoring
    assert again.drift == once.drift
    assert np.array_equal(again.frames, once.frames)


def test_reanchoring_reaches_the_frames() -> None:
    """With a threshold that noise passes, later chunks differ from those of a stream that is left alone."""
    made = []
    for threshold in (0.0, 0.001):
        model = pipeline(replace(PLAN, reanchor=threshold))
        state = running(model, 9)
        made.append((state.known[0].clean, go_on(model, state, 2, asked())[-1].frames))
    alone, held = made
    assert torch.equal(alone[0], held[0])
    assert not np.array_equal(alone[1], held[1])


def test_a_prompt_that_was_prepared_is_not_read_again() -> None:
    """The text encoder runs when it is prepared, and not for its chunks; the video is the same."""
    read: list[str] = []
    networks = parts()

    def reading(prompt: str) -> torch.Tensor:
        read.append(prompt)
        return networks.text(prompt)

    model = WanPipeline(replace(networks, text=reading), PLAN)
    model.prepare(asked(prompt="snow falls"))
    made = run(model, [asked(), asked(prompt="snow falls")])
    # Examples are what a distance between prompts is held against.
    assert [one for one in read if one not in model.capabilities.examples] == ["snow falls", "the leaves sway"]
    assert np.array_equal(frames(made), frames(run(pipeline(), [asked(), asked(prompt="snow falls")])))
