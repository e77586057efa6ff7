import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import asdict

import pytest

from pipeline.types import Drift
from stream.errors import StreamError
from stream.protocol import (
    Pause,
    Ping,
    Resume,
    SetMode,
    SetPrompt,
    Start,
    Stop,
)
from tests.fakes import FAIL, FakeDirector, settle
from tests.studio import Studio, png


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    studio = Studio()
    yield studio
    await studio.close()


async def test_first_replies_keep_the_order_of_commands(studio: Studio) -> None:
    """What comes while a picture is uploaded is answered after it, though it may take effect before."""
    message = await studio.announce(png(50))
    prompt = await studio.do(SetPrompt, prompt="later")
    start = await studio.do(Start, seed=1)
    ping = await studio.do(Ping, t=1)
    studio.stream.refuse(studio.director, StreamError("bad_message", "No."), 77)
    studio.stream.upload_progress(studio.director, message, 10)
    assert studio.director.replies() == [("upload_progress", message.id)]
    assert studio.stream.state_message()["prompt"] == "later"
    await studio.stream.upload_complete(studio.director, message, png(50))
    await studio.clock.advance(1.0)
    firsts = ("image_uploaded", "prompt_accepted", "started", "pong", "error")
    assert [reply for reply in studio.director.replies() if reply[0] in firsts] == [
        ("image_uploaded", message.id),
        ("prompt_accepted", prompt),
        ("started", start),
        ("pong", ping),
        ("error", 77),
    ]


async def test_a_failed_upload_lets_the_line_go_on(studio: Studio) -> None:
    """An upload given up, or broken, is answered in its turn and leaves the picture in use as it was."""
    await studio.upload(60)
    message = await studio.announce(png(1))
    mode = await studio.do(SetMode, mode="i2v")
    studio.stream.upload_failed(studio.director, message, StreamError("upload_timeout", "Too slow."))
    broken = await studio.announce(b"nonsense")
    await studio.stream.upload_complete(studio.director, broken, b"nonsense")
    assert studio.error_code(message.id) == "upload_timeout"
    assert studio.error_code(broken.id) == "image_unsupported"
    replies = studio.director.replies()
    assert replies.index(("error", message.id)) < replies.index(("mode_changed", mode))
    assert studio.stream.state_message()["image"]["sha256"] == hashlib.sha256(png(60)).hexdigest()


async def test_only_what_is_asked_while_live_is_measured(studio: Studio) -> None:
    """A command that waited for a start or a resume says nothing of how quickly the server reacts."""
    await studio.do(SetPrompt, prompt="early")
    await studio.clock.advance(5.0)
    await studio.go_live()
    await studio.do(Pause)
    await studio.do(SetPrompt, prompt="while paused")
    await studio.clock.advance(5.0)
    await studio.do(Resume)
    await studio.clock.advance(1.0)
    assert studio.stream.stats()["control_latency_ms"] == {"p50": None, "p95": None}
    assert studio.stream.stats()["control_stages_ms"]["making"] == {"p50": None, "p95": None}


async def test_replies_go_to_who_asked_and_state_to_all(studio: Studio) -> None:
    """A second director gets every state and stats, but only the replies to its own commands."""
    second = FakeDirector()
    studio.stream.attach_director(second)
    await studio.go_live()
    own = await studio.do(SetPrompt, director=second, prompt="mine")
    await studio.clock.advance(1.0)
    assert second.replies() == [("prompt_accepted", own), ("prompt_applied", own)]
    assert ("prompt_accepted", own) not in studio.director.replies()
    assert second.of("state") == studio.director.of("state")
    assert second.of("stats")
    assert studio.stream.directors == 2


async def test_one_who_left_is_told_nothing(studio: Studio) -> None:
    """After a director left, nothing is sent to it, and what it says is ignored; leaving twice is fine."""
    await studio.go_live()
    await studio.do(SetPrompt, prompt="bye")
    studio.stream.detach_director(studio.director)
    studio.stream.detach_director(studio.director)
    told = len(studio.director.messages)
    await studio.do(Stop)
    await studio.clock.advance(2.0)
    assert len(studio.director.messages) == told
    assert studio.stream.state == "live"


async def test_stats(studio: Studio) -> None:
    """Stats come about once a second, with the true rates, the latency of commands and the rung in force."""
    assert "drift" not in studio.stream.stats()
    await studio.go_live()
    for number in range(5):
        await studio.do(SetPrompt, prompt=str(number))
        await studio.clock.advance(1.07)
    assert 5 <= len(studio.director.of("stats")) <= 7
    stats = studio.director.of("stats")[-1]
    assert stats["fps_sent"] == pytest.approx(16, abs=0.5)
    assert stats["fps_generated"] == pytest.approx(16, abs=2)
    assert stats["chunk_ms"] == pytest.approx(100, abs=1)
    assert (stats["underruns"], stats["viewers"], stats["bitrate_kbps"]) == (0, 0, 1234)
    assert 0 < stats["control_latency_ms"]["p50"] <= stats["control_latency_ms"]["p95"] < 500
    stages = stats["control_stages_ms"]
    assert set(stages) == {"waiting", "reading", "making", "playout"}
    assert stages["making"]["p50"] == pytest.approx(100, abs=1)
    assert 0 <= stages["waiting"]["p50"] <= 250
    assert (stats["quality"], stats["level"]) == ("full", 0)
    assert stats["drift"] == asdict(Drift(0.0, -0.125, 0.0, 0.0))


async def test_a_failing_model_ends_the_stream(studio: Studio) -> None:
    """When a chunk can't be made the stream ends: goodbye says why, and all is freed."""
    await studio.go_live()
    await studio.do(SetPrompt, prompt=FAIL)
    resume = await studio.do(Resume)
    await studio.clock.advance(2.0)
    await studio.stream.end("again")
    assert studio.stream.state == "ended"
    assert studio.director.goodbyes == ["The model failed."]
    assert studio.director.of("state")[-1]["state"] == "ended"
    assert studio.answer(resume)["type"] == "resumed"
    assert (studio.sink.closed, studio.capacity.running, studio.engine.pipeline.open_states) == (1, 0, 0)
    assert studio.changes[-1] == "ended"


async def test_a_failing_encoder_ends_the_stream(studio: Studio) -> None:
    """When a frame can't be encoded the stream ends with a goodbye."""
    await studio.upload()
    studio.sink.error = OSError("broken")
    start = await studio.do(Start)
    await studio.clock.advance(1.0)
    assert studio.error_code(start) == "internal"
    assert len(studio.director.goodbyes) == 1


async def test_ending_twice(studio: Studio) -> None:
    """Ending again changes nothing; an ended stream takes no director."""
    await studio.go_live()
    await asyncio.gather(studio.stream.end("first"), studio.stream.end("second"))
    await studio.stream.end("third")
    assert studio.director.goodbyes == ["first"]
    with pytest.raises(StreamError):
        studio.stream.attach_director(FakeDirector())


async def test_viewers_are_counted(studio: Studio) -> None:
    """A viewer counts until it leaves, once."""
    leave, stay = studio.stream.add_viewer(), studio.stream.add_viewer()
    leave()
    leave()
    assert studio.stream.viewers == 1
    stay()
    assert studio.stream.viewers == 0


async def test_no_task_is_left(studio: Studio) -> None:
    """After the end no task of the stream runs."""
    await studio.go_live()
    await studio.stream.end("over")
    await settle()
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().endswith("-s")] == []
