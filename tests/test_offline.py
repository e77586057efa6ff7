"""Takes made without a stream, by a pipeline whose pixels tell what made them, and by pocket's own code."""

import numpy as np
import pytest

from pipeline.errors import ConditioningError
from pipeline.offline import Shot, TimedPrompt, generate, parse_prompt
from stream.control import Snapshot
from stream.protocol import SetPrompt, Start
from tests import pocket_parts
from tests.fakes import REFUSE, FakePipeline
from tests.pocket_parts import made_once as made_once
from tests.studio import Studio, opened

RED = np.full((32, 64, 3), (200, 0, 0), np.uint8)


def shot(*prompts: TimedPrompt, quality: int = 0) -> Shot:
    """A shot of a red picture under seed 5."""
    return Shot(prompts or (TimedPrompt(0, "x"),), RED, 5, quality)


def test_a_prompt_holds_from_the_first_chunk_at_its_second_or_later() -> None:
    """Prompts given for 0 s and 0.3 s are heard by the chunks at 0 s and 0.5 s, whatever their order."""
    chunks = list(generate(FakePipeline(), shot(TimedPrompt(0.3, "snow falls"), TimedPrompt(0.0, "pan")), 16))
    assert [chunk.revision for chunk in chunks] == [1, 1, 2, 2]
    lengths = [int(chunk.frames[0, 0, 1, 1]) for chunk in chunks]
    assert lengths == [3, 3, 10, 10]
    assert {int(chunk.frames[0, 0, 1, 0]) for chunk in chunks} == {5}


@pytest.mark.parametrize("quality", [0, 1, 2])
def test_a_prompt_holds_from_its_second_at_every_rate(quality: int) -> None:
    """A prompt for 0.5 s is heard from the third chunk on, however few frames a chunk has."""
    chunks = list(generate(FakePipeline(), shot(TimedPrompt(0.5, "pan"), quality=quality), 12))
    assert [chunk.revision for chunk in chunks][:4] == [0, 0, 1, 1][: len(chunks)]


@pytest.mark.parametrize("frames", [1, 4, 5, 16, 81])
def test_there_are_exactly_as_many_frames_as_wanted(frames: int) -> None:
    """Frames follow each other from 0, the last chunk is cut, and no chunk more is made."""
    pipeline = FakePipeline()
    made = np.concatenate([chunk.frames for chunk in generate(pipeline, shot(), frames)])
    assert [int(frame[0, 0, 0]) for frame in made] == list(range(frames))
    assert [name for name, _ in pipeline.calls].count("generate") == -(-frames // 4)


def test_every_chunk_is_committed_and_the_take_is_closed() -> None:
    """The pipeline is driven as the server drives it, and its place is given back."""
    pipeline = FakePipeline()
    list(generate(pipeline, shot(), 8))
    assert [name for name, _ in pipeline.calls] == ["open", *["generate", "commit"] * 2, "close"]


def test_without_a_picture_it_is_made_from_text() -> None:
    """A shot without a picture asks the model for text to video."""
    pipeline = FakePipeline(modes=("t2v",))
    assert len(list(generate(pipeline, Shot((TimedPrompt(0, "x"),), None, 1), 4))) == 1
    with pytest.raises(ConditioningError):
        list(generate(FakePipeline(modes=("i2v",)), Shot((TimedPrompt(0, "x"),), None, 1), 4))


def test_a_refused_prompt_closes_the_take() -> None:
    """An error of the pipeline passes through, and its place is given back all the same."""
    pipeline = FakePipeline()
    with pytest.raises(ConditioningError):
        list(generate(pipeline, shot(TimedPrompt(0, "x"), TimedPrompt(0.5, REFUSE)), 16))
    assert pipeline.calls[-1] == ("close", None)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("0:the camera pans left", TimedPrompt(0.0, "the camera pans left")),
        ("4.5:snow: heavy", TimedPrompt(4.5, "snow: heavy")),
        ("pan left", TimedPrompt(0.0, "pan left")),
        ("style: snow", TimedPrompt(0.0, "style: snow")),
    ],
)
def test_prompts_are_read(text: str, prompt: TimedPrompt) -> None:
    """What stands before the first colon is a second, when it is a number."""
    assert parse_prompt(text) == prompt


@pytest.mark.parametrize("text", ["-1:pan", "nan:pan", "inf:pan"])
def test_impossible_seconds_are_refused(text: str) -> None:
    """A prompt cannot begin before the video or never."""
    with pytest.raises(ValueError, match="cannot begin"):
        parse_prompt(text)


@pytest.mark.usefixtures("made_once")
async def test_the_frames_are_those_of_a_stream() -> None:
    """A stream whose prompt changes while it plays sends, byte for byte, what the same prompts give off line.

    The new one's from the frame on from which it shows; that may lie midway in the latent which it begins with.
    """
    studio = Studio(pipeline=pocket_parts.pipeline())
    log: list[tuple[int, Snapshot]] = []
    studio.stream.generation.on_chunk = lambda frame: log.append((frame.index, opened(frame)))
    try:
        await studio.upload()
        await studio.do(SetPrompt, prompt="pan left")
        await studio.do(Start, seed=11)
        await studio.clock.advance(0.5)
        await studio.do(SetPrompt, prompt="night")
        await studio.clock.advance(0.5)
    finally:
        await studio.close()
    shown, image = np.stack(studio.sink.pixels), log[0][1].conditioning.image
    assert list(dict.fromkeys(snapshot.conditioning.prompt for _, snapshot in log)) == ["pan left", "night"]
    first, asked = next((first, opens.conditioning) for first, opens in log if opens.conditioning.prompt == "night")
    timed = [TimedPrompt(0.0, "pan left"), TimedPrompt((first - asked.skip) / 16, "night")]
    before, after = (
        np.concatenate([chunk.frames for chunk in generate(pocket_parts.pipeline(), Shot(some, image, 11), len(shown))])
        for some in (timed[:1], timed)
    )
    assert np.array_equal(np.concatenate([before[:first], after[first:]]), shown)
    assert not np.array_equal(before[first], after[first])
