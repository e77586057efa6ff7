"""Several directors of one stream: who is there, who has the baton, who did what."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from stream.protocol import (
    Bookmark,
    Configure,
    HandOver,
    Hello,
    Ping,
    SetPrompt,
    TakeOver,
    UseFrame,
)
from tests.fakes import FakeDirector
from tests.studio import Studio


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    """A stream that plays, with a director, who is director-1."""
    made = Studio()
    await made.go_live()
    yield made
    await made.close()


async def joined(studio: Studio, name: str = "") -> FakeDirector:
    """Let another director come and say hello."""
    director = FakeDirector()
    studio.stream.attach_director(director)
    await studio.do(Hello, director=director, protocol=1, name=name)
    return director


def last(director: FakeDirector) -> dict[str, Any]:
    """Give the last news of who directs."""
    return director.of("directors")[-1]


def code(director: FakeDirector, message_id: int) -> str | None:
    """Give the error's code in the last reply to a command, None where it is no error."""
    reply = [message for message in director.messages if message.get("id") == message_id][-1]
    return reply["code"] if reply["type"] == "error" else None


async def test_everyone_is_told_who_is_there(studio: Studio) -> None:
    """Who comes, says its name, or leaves is told to all; each is told which of them it is."""
    second = await joined(studio, "Ann")
    both = [{"director": "director-1", "name": ""}, {"director": "director-2", "name": "Ann"}]
    assert last(second) == {"type": "directors", "you": "director-2", "directors": both, "baton": None}
    assert last(studio.director) == last(second) | {"you": "director-1"}
    kinds = [message["type"] for message in second.messages]
    assert kinds.index("welcome") < kinds.index("directors")
    studio.stream.detach_director(second)
    assert last(studio.director)["directors"] == both[:1]


async def test_all_direct_while_nobody_has_the_baton(studio: Studio) -> None:
    """As the contract has it: who holds the token commands."""
    second = await joined(studio)
    for director in (studio.director, second):
        assert code(director, await studio.do(SetPrompt, director=director, prompt="rain")) is None


async def test_one_who_has_the_baton_commands_alone(studio: Studio) -> None:
    """The others are refused what changes the video, by name of the holder, and nothing of it happens."""
    second = await joined(studio)
    handed = await studio.do(HandOver, to="director-2")
    assert studio.answer(handed) == {"type": "handed_over", "id": handed, "to": "director-2"}
    assert last(second)["baton"] == last(studio.director)["baton"] == "director-2"
    refused = await studio.do(SetPrompt, prompt="mine")
    assert studio.error_code(refused) == "wrong_state"
    assert "director-2" in studio.answer(refused)["message"]
    assert studio.stream.generation.control.prompt != "mine"
    others: list[tuple[type, dict[str, Any]]] = [
        (Configure, {"fps": 8}),
        (UseFrame, {}),
        (HandOver, {"to": "director-1"}),
    ]
    for command, fields in others:
        sent = await studio.do(command, **fields)
        await studio.captured()
        assert studio.error_code(sent) == "wrong_state"
    assert code(second, await studio.do(SetPrompt, director=second, prompt="theirs")) is None
    assert studio.stream.generation.control.prompt == "theirs"


async def test_what_changes_nothing_stays_free(studio: Studio) -> None:
    """Without the baton one can still say hello, ping and keep a moment."""
    await joined(studio)
    await studio.do(HandOver, to="director-2")
    free: list[tuple[type, dict[str, Any]]] = [(Ping, {"t": 1}), (Hello, {"protocol": 1})]
    for command, fields in free:
        assert studio.answer(await studio.do(command, **fields))["type"] != "error"
    kept = await studio.do(Bookmark)
    replies = [message for message in studio.director.messages if message.get("id") == kept]
    assert all(message.get("code") != "wrong_state" for message in replies)


async def test_the_baton_can_be_taken_and_laid_down(studio: Studio) -> None:
    """Whoever wants it takes it, and is then the only one; handed to nobody, all direct again."""
    second = await joined(studio)
    await studio.do(HandOver, to="director-2")
    taken = await studio.do(TakeOver)
    assert studio.answer(taken)["to"] == "director-1"
    assert code(second, await studio.do(SetPrompt, director=second, prompt="no")) == "wrong_state"
    await studio.do(HandOver)
    assert last(second)["baton"] is None
    assert code(second, await studio.do(SetPrompt, director=second, prompt="yes")) is None


async def test_the_baton_goes_with_nobody(studio: Studio) -> None:
    """When its holder leaves all direct again; it can't be given to one who is not there."""
    second = await joined(studio)
    await studio.do(HandOver, to="director-2")
    studio.stream.detach_director(second)
    assert last(studio.director)["baton"] is None
    assert studio.answer(await studio.do(SetPrompt, prompt="mine"))["type"] != "error"
    assert studio.error_code(await studio.do(HandOver, to="director-2")) == "not_found"


async def test_commands_over_http_are_held_to_it_too(studio: Studio) -> None:
    """One without a peer is none of those who are there, and is refused like others while somebody has the baton."""
    http = FakeDirector()
    studio.stream.attach_director(http, is_peer=False)
    assert [person["director"] for person in (await _told(studio))["directors"]] == ["director-1"]
    await studio.do(TakeOver)
    assert code(http, await studio.do(SetPrompt, director=http, prompt="no")) == "wrong_state"
    assert http.of("directors") == []


async def _told(studio: Studio) -> dict[str, Any]:
    await studio.do(Hello, protocol=1)
    return last(studio.director)
