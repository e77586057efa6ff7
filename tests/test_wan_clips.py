from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pipeline.errors import CapacityError, ConditioningError, TruncationError
from pipeline.types import Chunk, Conditioning
from pipeline.wan.clips import ClipPipeline, ClipPlan
from tests.wan_parts import HEIGHT, WIDTH, asked, parts

PLAN = ClipPlan("toy", "", WIDTH, HEIGHT, Fraction(16), 3, 3, 3.0, 5.0, "")


def pipeline(sees: bool = True, plan: ClipPlan = PLAN) -> ClipPipeline:
    return ClipPipeline(parts("clip" if sees else "none"), plan)


def run(model: ClipPipeline, conditionings: list[Conditioning]) -> list[Chunk]:
    state = model.open(conditionings[0])
    chunks = [model.generate_chunk(state, conditioning) for conditioning in conditionings]
    model.close(state)
    return chunks


def test_a_clip_goes_on_from_the_last_frame_which_is_shown_once() -> None:
    """The first clip has its first latent's frame, each that follows leaves it out; counts have no gap."""
    first, second = run(pipeline(), [asked()] * 2)
    assert (len(first.frames), len(second.frames)) == (9, 8)
    assert (second.first_frame, second.first_latent) == (9, 3)
    other = run(pipeline(), [asked(), replace(asked(), seed=3)])[1]
    assert np.array_equal(second.frames, other.frames)


def test_text_alone_makes_clips_that_stand_alone() -> None:
    """A T2V network has nothing to go on from: every clip is whole."""
    chunks = run(pipeline(sees=False), [asked("t2v")] * 2)
    assert [len(chunk.frames) for chunk in chunks] == [9, 9]
    assert not np.array_equal(chunks[0].frames, chunks[1].frames)


def test_guidance_moves_away_from_what_is_not_wanted() -> None:
    """Guidance, its strength and the negative prompt reach the frames; without guidance the last has no say."""

    def frames(**change: object) -> np.ndarray:
        return run(pipeline(plan=replace(PLAN, **change)), [asked()])[0].frames

    base = frames()
    assert not np.array_equal(base, frames(guidance=2.0))
    assert not np.array_equal(base, frames(negative_prompt="blurred"))
    assert np.array_equal(frames(guidance=1.0), frames(guidance=1.0, negative_prompt="blurred"))


def test_same_seed_same_bytes_and_the_prompt_of_each_clip_counts() -> None:
    """A run can be repeated; another prompt for the second clip changes that one alone."""
    once, again = (run(pipeline(), [asked()] * 2) for _ in range(2))
    turned = run(pipeline(), [asked(), asked(prompt="snow falls")])
    assert np.array_equal(once[1].frames, again[1].frames)
    assert np.array_equal(once[0].frames, turned[0].frames)
    assert not np.array_equal(once[1].frames, turned[1].frames)


def test_the_last_clip_can_be_made_again() -> None:
    """Taken back, it is made as if it had never been; any other place is refused."""
    model, state = (made := pipeline()), made.open(asked())
    model.generate_chunk(state, asked())
    model.generate_chunk(state, asked(prompt="snow falls"))
    model.truncate(state, 3)
    again = model.generate_chunk(state, asked())
    assert np.array_equal(again.frames, run(pipeline(), [asked()] * 2)[1].frames)
    with pytest.raises(TruncationError):
        model.truncate(state, 0)


def test_it_makes_one_stream_and_refuses_what_it_cannot() -> None:
    """A second stream, a missing picture, another mode and another quality are refused."""
    model = pipeline()
    state = model.open(asked())
    with pytest.raises(CapacityError):
        model.open(asked())
    for wrong in (asked("t2v"), replace(asked(), image=None), asked(quality=1)):
        with pytest.raises(ConditioningError):
            model.generate_chunk(state, wrong)
    assert np.array_equal(model.generate_chunk(state, asked()).frames, run(pipeline(), [asked()])[0].frames)
    model.close(state)
    model.close(state)
    model.close(model.open(asked()))


def test_warming_up_tells_what_a_clip_takes_and_takes_no_place() -> None:
    """A step is timed, not a clip; the stream's place is free after it."""
    model = pipeline()
    (seconds,) = model.warm_up()
    assert seconds > 0
    model.close(model.open(asked()))
