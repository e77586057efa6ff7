from dataclasses import replace
from functools import cache
from typing import cast

import numpy as np
import pytest

from pipeline.errors import CapacityError, ConditioningError, TruncationError
from pipeline.types import Chunk, Conditioning, Mode
from tests.pocket_parts import beginning, conditioning, pipeline
from tests.pocket_parts import made_once as made_once

pytestmark = pytest.mark.usefixtures("made_once")


def run(count: int, latents_per_chunk: int = 1, seed: int = 3) -> list[Chunk]:
    model = pipeline(latents_per_chunk)
    state = model.open(conditioning(seed=seed))
    return [model.generate_chunk(state, conditioning(seed=seed)) for _ in range(count)]


@cache
def four_chunks() -> list[Chunk]:
    """What other runs are compared with, made once."""
    return run(4)


@cache
def two_of_one_step() -> list[Chunk]:
    """Two chunks of quality 1, made once."""
    model, asked = pipeline(), conditioning(quality=1)
    state = model.open(asked)
    return [model.generate_chunk(state, asked) for _ in range(2)]


def frames(chunks: list[Chunk]) -> np.ndarray:
    return np.concatenate([c.frames for c in chunks])


def test_the_first_frame_is_the_picture() -> None:
    """A take begins with the scaled and cropped picture, to the grey level, seen from where its first move has room."""
    model = pipeline()
    state = model.open(conditioning())
    assert np.array_equal(model.generate_chunk(state, conditioning()).frames[0], beginning(model, state))


def test_frames_are_the_same_however_latents_are_chunked() -> None:
    """Four chunks of one latent are two chunks of two."""
    assert np.array_equal(frames(four_chunks()), frames(run(2, latents_per_chunk=2)))


def test_same_seed_same_bytes_beside_another_stream() -> None:
    """What another stream makes in between changes nothing, and another seed gives another video."""
    model = pipeline()
    mine, other = conditioning(), conditioning("night", seed=9, picture_seed=1)
    a, b = model.open(mine), model.open(other)
    made: list[Chunk] = []
    for _ in range(3):
        made.append(model.generate_chunk(a, mine))
        model.generate_chunk(b, other)
    assert np.array_equal(frames(made), frames(four_chunks()[:3]))
    assert not np.array_equal(frames(made), frames(run(3, seed=4)))


def test_truncate_is_never_having_made_what_followed() -> None:
    """Going back to a boundary and on again gives the same bytes, counters and cache."""
    model, asked = pipeline(), conditioning()
    state = model.open(asked)
    made = [model.generate_chunk(state, asked) for _ in range(4)]
    model.commit(state)
    model.truncate(state, 2)
    again = [model.generate_chunk(state, asked) for _ in range(2)]
    assert np.array_equal(frames(made[2:]), frames(again))
    assert [c.first_frame for c in again] == [8, 12]
    assert [c.first_latent for c in again] == [2, 3]
    assert [c.index for c in again] == [2, 3]


def test_truncate_after_another_prompt_forgets_it() -> None:
    """Frames made under a prompt that was overtaken leave no trace."""
    model, asked = pipeline(), conditioning()
    state = model.open(asked)
    made = [model.generate_chunk(state, asked) for _ in range(2)]
    model.generate_chunk(state, conditioning("snow"))
    model.truncate(state, 2)
    made += [model.generate_chunk(state, asked) for _ in range(2)]
    assert np.array_equal(frames(made), frames(four_chunks()))


def test_a_latent_made_again_midway_goes_on_from_what_was_shown() -> None:
    """Left out frames change none of the others nor what follows, and a latent's first frame is any prompt's."""
    model, asked, other = pipeline(), conditioning(), conditioning("snow")
    state = model.open(asked)
    for _ in range(3):
        model.generate_chunk(state, asked)
        model.commit(state)
    made: list[list[Chunk]] = []
    for skip in (0, 2):
        made.append([model.generate_chunk(state, replace(other, skip=skip)), model.generate_chunk(state, other)])
        model.truncate(state, 3)
    assert np.array_equal(made[1][0].frames, made[0][0].frames[2:])
    assert (made[1][0].first_frame, made[1][1].first_frame) == (14, 16)
    assert np.array_equal(made[1][1].frames, made[0][1].frames)
    plain = model.generate_chunk(state, asked).frames
    assert np.array_equal(plain[0], made[0][0].frames[0])
    assert not np.array_equal(plain[1:], made[0][0].frames[1:])
    for skip in (-1, 4):
        with pytest.raises(ConditioningError, match="can't be left out"):
            model.generate_chunk(state, replace(other, skip=skip))


def test_truncate_refuses_what_it_cannot_reach() -> None:
    """Ahead, before the start, or farther back than is kept: an error, and the stream goes on as it was."""
    model, asked = pipeline(), conditioning()
    state = model.open(asked)
    for _ in range(8 + 2):
        model.generate_chunk(state, asked)
    for latent in (-1, 11, 1):
        with pytest.raises(TruncationError):
            model.truncate(state, latent)
    assert model.generate_chunk(state, asked).first_latent == 10


def test_commit_twice_is_commit_once() -> None:
    """A second commit changes nothing, and a chunk made without one makes it itself."""
    model, asked = pipeline(), conditioning()
    state = model.open(asked)
    made = [model.generate_chunk(state, asked)]
    model.commit(state)
    model.commit(state)
    made.append(model.generate_chunk(state, asked))
    made.append(model.generate_chunk(state, asked))
    assert np.array_equal(frames(made), frames(four_chunks()[:3]))


@pytest.mark.parametrize("quality", [0, 1, 2, 3])
def test_every_quality_lasts_as_long_and_moves_as_fast(quality: int) -> None:
    """A chunk is a quarter of a second at each rate, and its first frame is the same moment."""
    model, asked = pipeline(), conditioning(quality=quality)
    state = model.open(asked)
    chunk = model.generate_chunk(state, asked)
    assert len(chunk.frames) / chunk.fps == model.format.chunk_seconds
    second = model.generate_chunk(state, asked)
    assert second.first_frame == len(chunk.frames)
    if quality in (2, 3):
        assert np.array_equal(second.frames[0], two_of_one_step()[1].frames[0])


def test_a_refused_conditioning_leaves_the_state_as_it_was() -> None:
    """No picture, a mode it lacks, a quality it lacks: an error that says what to do, and nothing moves."""
    model, asked = pipeline(), conditioning()
    state = model.open(asked)
    made = [model.generate_chunk(state, asked)]
    refused = [
        replace(asked, mode=cast(Mode, "v2v")), Conditioning("i2v", "a cat", None, 3), conditioning(quality=7),
    ]  # fmt: skip
    for wrong in refused:
        with pytest.raises(ConditioningError):
            model.generate_chunk(state, wrong)
    with pytest.raises(ConditioningError, match="upload"):
        model.open(refused[1])
    made.append(model.generate_chunk(state, asked))
    assert np.array_equal(frames(made), frames(four_chunks()[:2]))


def test_a_full_model_refuses_and_a_closed_stream_makes_room() -> None:
    """The third stream of two is refused; closing twice frees one place, not two."""
    model = pipeline(max_streams=2)
    first, _ = model.open(conditioning()), model.open(conditioning())
    with pytest.raises(CapacityError):
        model.open(conditioning())
    model.close(first)
    model.close(first)
    model.open(conditioning())
    with pytest.raises(CapacityError):
        model.open(conditioning())


def test_the_prompt_changes_what_comes() -> None:
    """Two prompts from the same picture and seed part ways."""
    model = pipeline()
    last: list[np.ndarray] = []
    for prompt in ("pan left", "night"):
        state = model.open(conditioning(prompt))
        last.append([model.generate_chunk(state, conditioning(prompt)) for _ in range(3)][-1].frames)
    assert not np.array_equal(last[0], last[1])


def test_warm_up_times_every_quality() -> None:
    """One positive number a level, told as a stage, and no place is left taken."""
    model = pipeline(max_streams=1)
    told: list[str] = []
    seconds = model.warm_up(told.append)
    assert told == ["warming up"]
    assert len(seconds) == len(model.capabilities.quality)
    assert min(seconds) > 0
    model.open(conditioning())


def test_a_prompt_that_was_prepared_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text is encoded when it is prepared, and not for its chunks."""
    model, asked = pipeline(), conditioning("snow falls")
    read: list[int] = []
    encode = model._network.read_text
    monkeypatch.setattr(model._network, "read_text", lambda tokens: read.append(1) or encode(tokens))
    model.prepare(replace(asked, image=None))
    model.generate_chunk(model.open(asked), asked)
    assert read == [1]


def test_a_picture_that_was_prepared_is_not_seen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read when it is prepared and not for takes from it, which are as without; another picture is read."""
    model = pipeline()
    first, other = conditioning("pan left"), conditioning("pan left", picture_seed=1)
    read: list[int] = []
    look = model._network.encode_picture
    monkeypatch.setattr(model._network, "encode_picture", lambda picture: read.append(1) or look(picture))
    model.prepare(first)
    takes: list[list[bytes]] = []
    for take in (model, model, pipeline()):
        state = take.open(first)
        takes.append([take.generate_chunk(state, first).frames.tobytes() for _ in range(3)])
        take.close(state)
    assert read == [1, 1]
    assert takes[0] == takes[1] == takes[2]
    read.clear()
    model.prepare(other)
    assert read == [1]
    model.open(first)
    assert read == [1, 1]
