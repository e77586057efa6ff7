"""A stream's log tells who asked what and when it took effect; whatever befalls it, the stream goes on."""

import json
import logging
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stream.config import StreamConfig
from stream.protocol import Configure, Pause, Ping, Reset, Resume, SetPrompt, Stop
from stream.session_log import WAITING, SessionLogs
from tests.fakes import FakeDirector
from tests.studio import Studio, png


def studio_of(folder: Path, **limits: Any) -> Studio:
    """A studio whose sessions are logged."""
    return Studio(sessions=SessionLogs.of(StreamConfig(session_logs=str(folder), **limits), lambda: {"model": "fake"}))


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    """One that logs to the test's folder."""
    made = studio_of(tmp_path)
    yield made
    await made.close()


async def logged(studio: Studio, folder: Path) -> list[dict[str, Any]]:
    """End the stream and give the lines of its log."""
    await studio.close()
    return read(folder)


def read(folder: Path) -> list[dict[str, Any]]:
    """Give the lines of the only log there."""
    (path,) = folder.glob("*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def names(folder: Path) -> list[str]:
    """Give what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


async def test_commands_stand_with_the_frame_of_their_effect(studio: Studio, tmp_path: Path) -> None:
    """Every command that does something has the frame that its answer names, who gave it and when."""
    other = FakeDirector()
    studio.stream.attach_director(other)
    await studio.do(SetPrompt, prompt="pan")
    await studio.go_live(seed=9)
    pan = await studio.do(SetPrompt, prompt="pan left", policy="auto")
    await studio.clock.advance(0.6)
    await studio.do(Configure, other, fps=8)
    await studio.do(Pause, other)
    overtaken = await studio.do(SetPrompt, prompt="night")
    snow = await studio.do(SetPrompt, prompt="snow")
    resume = await studio.do(Resume)
    await studio.do(Ping, t=1)
    await studio.clock.advance(0.6)
    reset = await studio.do(Reset, seed=4)
    await studio.clock.advance(0.6)
    await studio.do(Pause)
    await studio.do(Reset)
    stop = await studio.do(Stop)
    lines = await logged(studio, tmp_path)
    commands = [line for line in lines if line["type"] == "command"]
    told = [(line["command"]["type"], line["frame"], line["by"]) for line in commands]
    frames = {number: studio.answer(number)["frame"] for number in (pan, overtaken, snow, resume, reset, stop)}
    assert frames[overtaken] == frames[snow]
    paused = next(message["frame"] for message in other.of("paused"))
    assert told[:3] == [(kind, 0, "director-1") for kind in ("set_prompt", "upload_image", "start")]
    assert told[3:] == [
        ("set_prompt", frames[pan], "director-1"),
        ("configure", paused, "director-2"),
        ("pause", paused, "director-2"),
        ("resume", frames[resume], "director-1"),
        ("set_prompt", frames[overtaken], "director-1"),
        ("set_prompt", frames[snow], "director-1"),
        ("reset", frames[reset], "director-1"),
        ("pause", frames[stop], "director-1"),
        ("reset", frames[stop], "director-1"),
        ("stop", frames[stop], "director-1"),
    ]
    assert commands[2]["command"] == {"type": "start", "seed": 9}
    assert commands[1]["picture"] == lines[[line["type"] for line in lines].index("conditioning")]["picture"]
    assert commands[3]["given_s"] < commands[3]["applied_s"]


async def test_the_log_is_whole(studio: Studio, tmp_path: Path) -> None:
    """It begins with what tells the model, has a chunk for all frames that were sent, and says how many they are."""
    await studio.go_live()
    await studio.do(SetPrompt, prompt="pan left")
    await studio.clock.advance(1.1)
    lines = await logged(studio, tmp_path)
    first = lines[0]
    assert (first["type"], first["version"], first["stream"], first["model"]) == ("session", 1, "s", "fake")
    assert lines[-1] == {"type": "end", "frames": len(studio.sink.frames)}
    chunks = [line for line in lines if line["type"] == "chunk"]
    assert [chunk["frame"] for chunk in chunks] == list(range(0, len(studio.sink.frames), 4))
    assert [chunk["pts"] for chunk in chunks] == [studio.pts_of(chunk["frame"]) for chunk in chunks]
    assert [line["prompt"] for line in lines if line["type"] == "conditioning"] == ["", "pan left"]


async def test_a_stream_that_never_plays_leaves_no_log(studio: Studio, tmp_path: Path) -> None:
    """Nor does one where logs are off."""
    await studio.upload()
    await studio.do(Configure, fps=8)
    await studio.do(Stop)
    await studio.close()
    assert names(tmp_path) == []
    off = Studio()
    await off.go_live()
    await off.close()
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("limits", "said"),
    [({"session_logs_count": 1}, "session_logs_count"), ({"session_logs_bytes": 1_048_576}, "session_logs_bytes")],
)
async def test_at_its_limit_a_log_ends_and_the_stream_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, limits: dict[str, Any], said: str
) -> None:
    """One warning says why."""
    (tmp_path / "old.jsonl").write_bytes(b"x" * 1_048_000)
    studio = studio_of(tmp_path, **limits)
    await studio.go_live()
    for prompt in "abcdef":
        await studio.do(SetPrompt, prompt=prompt * 100)
        await studio.clock.advance(0.5)
    await studio.close()
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert said in warnings[0]
    assert len(studio.sink.frames) > 60


async def test_a_disk_that_does_not_keep_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """So many lines may wait; then the log ends, and is still a log."""
    studio = studio_of(tmp_path)
    gate = threading.Event()
    studio.stream.services.sessions.thread.submit(gate.wait, 10)
    await studio.go_live()
    await studio.clock.advance(0.25 * WAITING)
    gate.set()
    lines = await logged(studio, tmp_path)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "stream s: its session log ends: the disk is too slow for it"
    ]
    assert [line["type"] for line in lines].count("chunk") <= WAITING
    assert lines[-1]["type"] != "end"
    assert len(studio.sink.frames) > 4 * WAITING


async def test_what_we_got_wrong_ends_the_log_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours is logged with its traceback, once."""
    monkeypatch.setattr("stream.session_log.conditioning_line", lambda *values: {"set": {1}})
    studio = studio_of(tmp_path)
    await studio.go_live()
    await studio.clock.advance(1.0)
    await studio.close()
    (error,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert error.exc_info
    assert len(studio.sink.frames) > 20


async def test_an_upload_tells_its_file(studio: Studio, tmp_path: Path) -> None:
    """The command has what its sender said of the picture, and the hash under which its pixels lie beside the log."""
    await studio.go_live()
    await studio.clock.advance(0.3)
    lines = await logged(studio, tmp_path)
    upload = next(line for line in lines if line["type"] == "command" and line["command"]["type"] == "upload_image")
    assert upload["command"]["size"] == len(png(100))
    assert (tmp_path / "pictures" / f"{upload['picture']}.png").is_file()
