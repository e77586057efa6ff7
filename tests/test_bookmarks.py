import asyncio
import io
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stream.bookmarks import thumbnail
from stream.errors import StreamError
from stream.parsing import dump
from stream.protocol import MESSAGE_BYTES, Bookmark, Fork, Hello, Pause, Reset, Resume, Rewind, SetPrompt, Stop
from tests.fakes import FakeDirector, FakePipeline, ResumableFake
from tests.studio import Studio


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    studio = Studio(pipeline=ResumableFake())
    yield studio
    await studio.close()


async def answered(studio: Studio, message_id: int) -> dict[str, Any]:
    """Give the reply to a command that a thread has a part in."""
    async with asyncio.timeout(10):
        while not any(message.get("id") == message_id for message in studio.director.messages):
            await asyncio.sleep(0.005)
            await studio.clock.advance(0.0)
    return studio.answer(message_id)


async def kept(studio: Studio, name: str = "") -> dict[str, Any]:
    reply = await answered(studio, await studio.do(Bookmark, name=name))
    assert reply["type"] == "bookmarked", reply
    return reply


def latents(studio: Studio) -> list[int]:
    """The latent of each frame that was sent."""
    return [int(pixels[0, 1, 2]) for pixels in studio.sink.pixels]


async def test_a_bookmark_tells_of_its_moment(studio: Studio) -> None:
    """Its reply has what a person knows it by: name, frame, picture, prompt; the other directors are told too."""
    await studio.go_live(seed=7)
    other = FakeDirector()
    studio.stream.attach_director(other)
    await studio.do(SetPrompt, prompt="wind")
    await studio.clock.advance(1.0)
    frame = studio.stream.generation.shown.frame
    told = await kept(studio, "before the snow")
    assert (told["name"], told["prompt"], told["mode"], told["seed"]) == ("before the snow", "wind", "i2v", 7)
    assert told["frame"] == frame
    with Image.open(io.BytesIO(b64decode(told["thumbnail"].partition(",")[2]))) as picture:
        assert picture.size == (64, 32)
    news = other.of("bookmarked")
    assert news == [{key: value for key, value in told.items() if key != "id"}]


async def test_who_comes_later_is_told_of_all(studio: Studio) -> None:
    """After the welcome each bookmark follows, the oldest first, in a message of its own that a channel can hold."""
    await studio.go_live()
    kept_before = [await kept(studio, str(number)) for number in range(3)]
    late = FakeDirector()
    studio.stream.attach_director(late)
    await studio.do(Hello, director=late, protocol=1)
    told = [message["type"] for message in late.messages]
    assert told == ["welcome", "bookmarked", "bookmarked", "bookmarked", "directors"]
    assert late.of("bookmarked") == [{key: told[key] for key in told if key != "id"} for told in kept_before]
    assert all(len(dump(message)) <= MESSAGE_BYTES for message in late.messages)


async def test_a_rewind_goes_on_from_there(studio: Studio) -> None:
    """The model's state, prompt and picture are those of then; frame indices go on, and the reply names the first."""
    await studio.go_live()
    await studio.do(SetPrompt, prompt="wind")
    await studio.clock.advance(1.0)
    mark = await kept(studio)
    before = max(latents(studio))
    await studio.do(SetPrompt, prompt="a long prompt of snow")
    await studio.clock.advance(5.0)
    rewind = await studio.do(Rewind, bookmark=mark["bookmark"])
    await studio.clock.advance(1.0)
    applied = studio.answer(rewind)
    assert applied["type"] == "rewind_applied"
    studio.assert_names_a_frame(applied)
    first = studio.sink.pixels[applied["frame"]]
    assert before <= int(first[0, 1, 2]) <= before + 3
    assert int(first[0, 1, 1]) == len("wind")
    assert studio.stream.state_message()["prompt"] == "wind"
    assert [index for _, index, _ in studio.sink.frames] == list(range(len(studio.sink.frames)))
    await studio.do(SetPrompt, prompt="go on")
    await studio.clock.advance(1.0)
    assert int(studio.sink.pixels[-1][0, 1, 1]) == len("go on")


async def test_one_can_rewind_twice_and_begin_anew(studio: Studio) -> None:
    """A bookmark is not used up; a reset after it begins from the picture, not from the bookmark."""
    await studio.go_live()
    await studio.clock.advance(2.0)
    mark = await kept(studio)
    for _ in range(2):
        await studio.clock.advance(3.0)
        rewind = await studio.do(Rewind, bookmark=mark["bookmark"])
        await studio.clock.advance(1.0)
        assert 0 < int(studio.sink.pixels[studio.answer(rewind)["frame"]][0, 1, 2]) < 16
    reset = await studio.do(Reset)
    await studio.clock.advance(1.0)
    assert int(studio.sink.pixels[studio.answer(reset)["frame"]][0, 1, 2]) == 0
    assert [name for name, *_ in studio.engine.calls if name in ("open", "reopen")] == [
        "open",
        "reopen",
        "reopen",
        "open",
    ]


async def test_an_idle_stream_starts_from_its_bookmark(studio: Studio) -> None:
    """After a stop a rewind is a start from there; while paused it waits for the resume."""
    await studio.go_live()
    await studio.clock.advance(1.0)
    mark = await kept(studio)
    await studio.do(Stop)
    rewind = await studio.do(Rewind, bookmark=mark["bookmark"])
    await studio.clock.advance(1.0)
    assert studio.stream.state == "live"
    assert studio.answer(rewind)["type"] == "rewind_applied"
    await studio.do(Pause)
    again = await studio.do(Rewind, bookmark=mark["bookmark"])
    await studio.clock.advance(1.0)
    assert not [message for message in studio.director.messages if message.get("id") == again]
    await studio.do(Resume)
    await studio.clock.advance(1.0)
    assert studio.answer(again)["type"] == "rewind_applied"


async def test_a_fork_goes_on_elsewhere(studio: Studio) -> None:
    """It takes the bookmark, or this moment, along; only who asked is given the token."""
    await studio.go_live()
    other = FakeDirector()
    studio.stream.attach_director(other)
    await studio.clock.advance(1.0)
    mark = await kept(studio)
    forked = await answered(studio, await studio.do(Fork, bookmark=mark["bookmark"]))
    assert (forked["type"], forked["stream"], forked["control_token"]) == ("forked", "fork", "its token")
    await answered(studio, await studio.do(Fork))
    held = studio.stream.bookmarks.find(mark["bookmark"]).restart
    assert studio.forks[0] is held
    assert studio.forks[1].prompt == held.prompt
    assert not other.of("forked")


async def test_the_newest_are_kept(studio: Studio) -> None:
    """One too many takes the place of the oldest, which can't be gone back to; the stream goes on."""
    await studio.go_live()
    marks = [await kept(studio, str(number)) for number in range(9)]
    gone = await studio.do(Rewind, bookmark=marks[0]["bookmark"])
    assert studio.error_code(gone) == "not_found"
    assert [told["name"] for told in studio.stream.bookmarks.described()] == list("12345678")
    assert studio.stream.state == "live"


async def test_what_cannot_be_kept_is_refused(studio: Studio) -> None:
    """Nothing that plays, a name too long, a model that can't: each says so."""
    assert studio.error_code(await studio.do(Rewind, bookmark="x")) == "not_found"
    assert (await answered(studio, await studio.do(Bookmark)))["code"] == "wrong_state"
    assert (await answered(studio, await studio.do(Fork)))["code"] == "wrong_state"
    await studio.go_live()
    assert (await answered(studio, await studio.do(Bookmark, name="x" * 81)))["code"] == "too_long"
    await studio.do(Reset)
    assert (await answered(studio, await studio.do(Bookmark)))["code"] == "wrong_state"
    plain = Studio(pipeline=FakePipeline())
    await plain.go_live()
    assert (await answered(plain, await plain.do(Bookmark)))["code"] == "not_supported"
    plain.stream.bookmarks = type(plain.stream.bookmarks)(plain.stream.generation.save, plain.pictures, 0)
    with pytest.raises(StreamError, match="keeps no bookmarks"):
        await plain.stream.bookmarks.add("", 0, None)
    await plain.close()


def test_a_thumbnail_is_small() -> None:
    """A frame of any size becomes a few kilobytes, in its shape."""
    noise = np.random.default_rng(0).integers(0, 256, (480, 832, 3), dtype=np.uint8)
    made = thumbnail(noise)
    assert len(made) < 16_000
    with Image.open(io.BytesIO(b64decode(made.partition(",")[2]))) as picture:
        assert picture.size == (160, 92)
