"""Directors are told what the model understood of the prompt on air, where it tells."""

from dataclasses import replace

from pipeline.types import Chunk, Conditioning, Heard
from stream.protocol import SetPrompt, Start
from tests.fakes import FakePipeline, FakeState
from tests.studio import Studio


class Listening(FakePipeline):
    """A pipeline that understands every prompt's first word."""

    def generate_chunk(self, state: FakeState, conditioning: Conditioning) -> Chunk:
        """As its base makes it, with what was heard."""
        first, _, others = conditioning.prompt.partition(" ")
        words = Heard(tuple(filter(None, [first])), tuple(filter(None, [others])))
        return replace(super().generate_chunk(state, conditioning), heard=words)


async def test_state_tells_what_was_heard() -> None:
    """With the first frame under a prompt every director gets a state with what was understood of it and what not."""
    studio = Studio(pipeline=Listening())
    await studio.upload(50)
    await studio.do(SetPrompt, prompt="snow dogs")
    assert "heard" not in studio.stream.state_message()
    await studio.do(Start, seed=1)
    await studio.clock.advance(1.0)
    told = studio.director.of("state")
    assert told[-1]["heard"] == {"understood": ["snow"], "ignored": ["dogs"]}
    await studio.do(SetPrompt, prompt="rain")
    before = studio.stream.state_message()["heard"]
    await studio.clock.advance(1.0)
    told = studio.director.of("state")
    assert before == {"understood": ["snow"], "ignored": ["dogs"]}
    assert told[-1]["heard"] == {"understood": ["rain"], "ignored": []}
    await studio.close()


async def test_a_state_without_news_is_not_sent() -> None:
    """Chunks made under one prompt send one state for all of them."""
    studio = Studio(pipeline=Listening())
    await studio.upload(50)
    await studio.do(Start, seed=1)
    await studio.clock.advance(1.0)
    before = len(studio.director.of("state"))
    await studio.clock.advance(3.0)
    assert len(studio.director.of("state")) == before
    await studio.close()


async def test_a_model_that_does_not_tell_has_no_heard() -> None:
    """Where a model takes all words as they come, state has no such key."""
    studio = Studio()
    await studio.upload(50)
    await studio.do(Start, seed=1)
    await studio.clock.advance(1.0)
    assert "heard" not in studio.stream.state_message()
    await studio.close()
