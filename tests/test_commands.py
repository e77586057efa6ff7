import asyncio
import hashlib
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from av import VideoFrame

from stream.errors import StreamError
from stream.protocol import (
    Configure,
    Hello,
    Pause,
    Ping,
    Prepare,
    RecordStart,
    Reset,
    Resume,
    SetMode,
    SetPrompt,
    Start,
    Stop,
    UseCameraFrame,
    UseFrame,
)
from tests.fakes import SwappingFake
from tests.studio import Studio, png


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    studio = Studio()
    yield studio
    await studio.close()


@pytest.fixture
async def both_modes() -> AsyncIterator[Studio]:
    studio = Studio(modes=("t2v", "i2v"))
    yield studio
    await studio.close()


async def test_upload_then_start(studio: Studio) -> None:
    """A picture and a start given before any frame are answered with frame 0 and its timestamp."""
    upload = await studio.upload(120)
    start = await studio.do(Start, seed=7)
    await studio.clock.advance(1.0)
    uploaded, applied = [message for message in studio.director.messages if message.get("id") == upload]
    assert (uploaded["type"], uploaded["width"], uploaded["height"]) == ("image_uploaded", 80, 40)
    assert (uploaded["cropped"], uploaded["sha256"]) == ([0, 0, 0, 0], hashlib.sha256(png(120)).hexdigest())
    assert (applied["type"], applied["frame"]) == ("image_applied", 0)
    started = studio.answer(start)
    assert (started["type"], started["frame"]) == ("started", 0)
    studio.assert_names_a_frame(started)
    state = studio.director.of("state")[-1]
    assert (state["state"], state["mode"], state["image"]["width"]) == ("live", "i2v", 80)
    assert studio.sink.pixels[0][5, 5, 0] == 120


async def test_hello(studio: Studio) -> None:
    """A hello is answered with the stream's id, the capabilities and the state."""
    welcome = studio.answer(await studio.do(Hello, protocol=1))
    assert (welcome["type"], welcome["stream"]) == ("welcome", "s")
    assert welcome["capabilities"] == {"model": "fake"}
    assert welcome["state"]["state"] == "idle"


async def test_a_prompt_is_applied_by_its_first_frame(studio: Studio) -> None:
    """A prompt is accepted at once and applied when its first frame is sent, which is made under it."""
    await studio.go_live()
    prompt = await studio.do(SetPrompt, prompt="snow!")
    assert studio.answer(prompt)["type"] == "prompt_accepted"
    await studio.clock.advance(0.6)
    applied = studio.answer(prompt)
    assert applied["type"] == "prompt_applied"
    studio.assert_names_a_frame(applied)
    lengths = [int(pixels[0, 1, 1]) for pixels in studio.sink.pixels]
    assert lengths.index(5) == applied["frame"]
    assert studio.director.of("state")[-1]["prompt"] == "snow!"


async def test_an_overtaken_prompt_is_applied_with_the_later_one(studio: Studio) -> None:
    """Two prompts before one chunk are both applied, with the same frame."""
    await studio.go_live()
    first = await studio.do(SetPrompt, prompt="one")
    second = await studio.do(SetPrompt, prompt="three")
    await studio.clock.advance(0.6)
    assert studio.answer(first)["type"] == studio.answer(second)["type"] == "prompt_applied"
    assert studio.answer(first)["frame"] == studio.answer(second)["frame"]


async def test_pause_freezes_at_once_and_resume_goes_on(studio: Studio) -> None:
    """Pause names the last frame sent, resume the next one; again, each is answered and changes nothing."""
    await studio.go_live()
    last = studio.sink.frames[-1][1]
    paused = studio.answer(await studio.do(Pause))
    assert (paused["type"], paused["frame"]) == ("paused", last)
    studio.assert_names_a_frame(paused)
    await studio.clock.advance(3.0)
    assert studio.sink.frames[-1][1] == last
    assert studio.answer(await studio.do(Pause))["frame"] == last
    resume = await studio.do(Resume)
    await studio.clock.advance(0.5)
    assert (studio.answer(resume)["type"], studio.answer(resume)["frame"]) == ("resumed", last + 1)
    studio.assert_names_a_frame(studio.answer(resume))
    again = await studio.do(Resume)
    await studio.clock.advance(0.2)
    assert studio.answer(again)["type"] == "resumed"
    assert [message["state"] for message in studio.director.of("state")][-2:] == ["paused", "live"]


async def test_stop_and_start_again(studio: Studio) -> None:
    """Stop makes idle and names the last frame sent; the next start is a new take whose index goes on."""
    await studio.go_live()
    stopped = studio.answer(await studio.do(Stop))
    last = studio.sink.frames[-1][1]
    assert (stopped["type"], stopped["frame"], studio.stream.state) == ("stopped", last, "idle")
    await studio.clock.advance(2.0)
    assert studio.sink.frames[-1][1] == last
    assert studio.engine.pipeline.open_states == 0
    assert studio.answer(await studio.do(Stop))["frame"] == last
    start = await studio.do(Start, seed=9)
    await studio.clock.advance(0.6)
    assert studio.answer(start)["frame"] == last + 1
    assert studio.sink.pixels[last + 1][0, 0, 0] == 0
    assert studio.sink.pixels[last + 1][0, 1, 0] == 9


async def test_reset_begins_anew_under_the_same_seed(studio: Studio) -> None:
    """Reset is a new take from its frame on, under the same seed or the one given; nobody waits behind it."""
    await studio.go_live(seed=7)
    reset = await studio.do(Reset)
    ping = await studio.do(Ping, t=3.5)
    assert studio.answer(ping)["type"] == "pong"
    await studio.clock.advance(1.0)
    frame = studio.answer(reset)["frame"]
    assert studio.answer(reset)["type"] == "reset_applied"
    studio.assert_names_a_frame(studio.answer(reset))
    assert list(studio.sink.pixels[frame][0, 1]) == [7, 0, 0]
    assert studio.sink.pixels[frame][0, 0, 0] == 0
    again = await studio.do(Reset, seed=8)
    await studio.clock.advance(1.0)
    assert studio.sink.pixels[studio.answer(again)["frame"]][0, 1, 0] == 8


async def test_reset_before_start(studio: Studio) -> None:
    """A reset while idle is applied with the first frame, and its seed is the one of a start without."""
    await studio.upload()
    reset = await studio.do(Reset, seed=11)
    prompt = await studio.do(SetPrompt, prompt="x")
    assert studio.answer(prompt)["type"] == "prompt_accepted"
    await studio.do(Start)
    await studio.clock.advance(0.5)
    assert (studio.answer(reset)["frame"], studio.answer(prompt)["frame"]) == (0, 0)
    assert studio.sink.pixels[0][0, 1, 0] == 11


async def test_a_live_picture_is_a_hard_cut(studio: Studio) -> None:
    """A picture that comes while live is shown from the next chunk on, and the index goes on."""
    await studio.go_live()
    upload = await studio.upload(222)
    await studio.clock.advance(1.0)
    applied = studio.answer(upload)
    assert applied["type"] == "image_applied"
    assert studio.sink.pixels[applied["frame"]][5, 5, 0] == 222
    assert studio.sink.pixels[applied["frame"] - 1][5, 5, 0] != 222
    assert [index for _, index, _ in studio.sink.frames] == list(range(len(studio.sink.frames)))


async def test_a_picture_in_t2v_waits_for_the_mode(both_modes: Studio) -> None:
    """In t2v a picture is kept; it is applied with the frame by which the mode turns."""
    studio = both_modes
    await studio.do(SetMode, mode="t2v")
    await studio.do(Start)
    await studio.clock.advance(0.5)
    upload = await studio.upload(99)
    await studio.clock.advance(1.0)
    assert studio.answer(upload)["type"] == "image_uploaded"
    mode = await studio.do(SetMode, mode="i2v")
    assert studio.answer(mode)["type"] == "mode_changed"
    await studio.clock.advance(1.0)
    assert studio.answer(mode)["type"] == "mode_applied"
    assert (studio.answer(upload)["type"], studio.answer(upload)["frame"]) == (
        "image_applied",
        studio.answer(mode)["frame"],
    )


async def test_refusals(studio: Studio) -> None:
    """What can't be done is refused with its code, and the stream goes on unchanged."""
    assert studio.error_code(await studio.do(Start)) == "no_image"
    assert studio.error_code(await studio.do(Pause)) == "wrong_state"
    assert studio.error_code(await studio.do(Resume)) == "wrong_state"
    assert studio.error_code(await studio.do(SetMode, mode="t2v")) == "not_supported"
    assert studio.error_code(await studio.do(SetPrompt, prompt="x", policy="flush")) == "not_supported"
    assert studio.error_code(await studio.do(Hello, protocol=2)) == "unsupported_protocol"
    assert studio.error_code(await studio.do(RecordStart)) == "not_supported"
    for kind in (UseFrame, UseCameraFrame):
        assert studio.error_code(await studio.do(kind)) == "wrong_state"
    await studio.go_live()
    assert studio.error_code(await studio.do(Start)) == "wrong_state"
    assert studio.director.of("state")[-1]["prompt"] == ""


async def test_i2v_without_a_picture_while_live(both_modes: Studio) -> None:
    """Turning to i2v while live, with no picture, is refused; while idle it is not."""
    studio = both_modes
    await studio.do(SetMode, mode="t2v")
    await studio.do(Start)
    await studio.clock.advance(0.5)
    assert studio.error_code(await studio.do(SetMode, mode="i2v")) == "no_image"
    await studio.do(Stop)
    assert studio.answer(await studio.do(SetMode, mode="i2v"))["type"] == "mode_changed"


async def test_capacity_is_taken_and_freed(studio: Studio) -> None:
    """Start and resume take capacity or are refused with who is ahead; pause, stop and the end free it."""
    for other in "abcd":
        studio.capacity.admit(other)
    await studio.upload()
    refused = studio.answer(await studio.do(Start))
    assert (refused["code"], refused["ahead"], studio.stream.state) == ("at_capacity", 4, "idle")
    studio.capacity.release("d")
    await studio.do(Start)
    assert studio.capacity.running == 4
    await studio.clock.advance(0.5)
    await studio.do(Pause)
    studio.capacity.admit("a")
    assert studio.capacity.running == 3
    await studio.do(Resume)
    await studio.do(Stop)
    assert studio.capacity.running == 3
    await studio.do(Start)
    await studio.stream.end("enough")
    assert studio.capacity.running == 3


async def test_pause_before_the_first_frame(studio: Studio) -> None:
    """A pause right after a start freezes on the first frame: both are answered, in order, naming it."""
    await studio.upload()
    start, pause = await studio.do(Start), await studio.do(Pause)
    await studio.clock.advance(2.0)
    assert [studio.answer(number)["frame"] for number in (start, pause)] == [0, 0]
    assert (len(studio.sink.frames), studio.stream.state) == (1, "paused")
    resume = await studio.do(Resume)
    await studio.clock.advance(0.2)
    assert studio.answer(resume)["frame"] == 1


async def test_a_resume_overtakes_a_pause_that_waits(studio: Studio) -> None:
    """Start, pause and resume before the first frame are all answered with it, and the stream stays live."""
    await studio.upload()
    commands = [await studio.do(kind) for kind in (Start, Pause, Resume)]
    await studio.clock.advance(1.0)
    assert [studio.answer(number)["type"] for number in commands] == ["started", "paused", "resumed"]
    assert [studio.answer(number)["frame"] for number in commands] == [0, 0, 0]
    assert (studio.stream.state, len(studio.sink.frames) > 10) == ("live", True)


async def test_stop_before_the_first_frame(studio: Studio) -> None:
    """A start that a stop overtakes is answered all the same, with the frame of the stop."""
    await studio.upload()
    start, stop = await studio.do(Start), await studio.do(Stop)
    await studio.clock.advance(2.0)
    assert [studio.answer(number)["type"] for number in (start, stop)] == ["started", "stopped"]
    assert [studio.answer(number)["frame"] for number in (start, stop)] == [0, 0]
    assert studio.sink.frames == []
    assert studio.answer(stop)["rtp_timestamp"] is None


async def test_configure(studio: Studio) -> None:
    """Values are clamped to what there is and told; a lower rate comes with an even, larger step."""
    await studio.go_live()
    values = studio.answer(await studio.do(Configure, fps=9, bitrate_kbps=10**9, latency="smooth"))
    assert values | {"id": 0} == {
        "type": "configured", "id": 0, "fps": 8, "bitrate_kbps": 4000, "latency": "smooth",
    }  # fmt: skip
    assert studio.sink.kbps == 4000
    assert studio.answer(await studio.do(Configure))["fps"] == 8
    await studio.clock.advance(3.0)
    steps = [later[2] - earlier[2] for earlier, later in pairwise(studio.sink.frames)]
    assert set(steps) == {5625, 11250}
    assert steps == sorted(steps)
    assert studio.stream.stats()["buffered_ms"] > 700


class OneFrame:
    """A publisher that has sent one frame, or none."""

    def __init__(self, newest: VideoFrame | None) -> None:
        self.newest = newest
        self.dismissed = False

    def describe(self) -> dict[str, Any]:
        """Say that it is there."""
        return {"state": "connecting" if self.newest is None else "live"}

    def dismiss(self) -> None:
        """Note that the stream has ended."""
        self.dismissed = True


def camera_frame(red: int, width: int = 640, height: int = 480) -> VideoFrame:
    return VideoFrame.from_ndarray(np.full((height, width, 3), (red, 0, 0), np.uint8), format="rgb24")


async def pictured(studio: Studio, message_id: int) -> dict[str, Any]:
    """Wait for the picture, which a thread makes, then for the frame that shows it."""
    async with asyncio.timeout(5):
        while studio.director.replies()[-1:] != [("image_applied", message_id)]:
            await asyncio.gather(*studio.stream._captures)
            await studio.clock.advance(0.25)
    return studio.answer(message_id)


async def test_use_frame(studio: Studio) -> None:
    """The frame on air at the command is the picture of a new take, told of like an uploaded one."""
    await studio.go_live()
    pixels = studio.sink.pixels[-1].copy()
    red = int(pixels[5, 5, 0])
    applied = await pictured(studio, await studio.do(UseFrame))
    studio.assert_names_a_frame(applied)
    shown = next(n for n, (_, frame, _) in enumerate(studio.sink.frames) if frame == applied["frame"])
    assert studio.sink.pixels[shown - 1][5, 5, 0] > red
    # The fake's frames begin with the first pixel of the picture, in which this one has its number.
    assert studio.sink.pixels[shown][5, 5, 0] == pixels[0, 0, 0]
    image = studio.director.of("state")[-1]["image"]
    assert image == {"sha256": hashlib.sha256(pixels.tobytes()).hexdigest(), "width": 64, "height": 32}


async def test_a_picture_that_a_model_can_only_cut_to(studio: Studio) -> None:
    """Another way in is refused with those that there are, for every command; picture and video stay."""
    await studio.go_live()
    studio.stream.guests.add_publisher(OneFrame(camera_frame(200)))
    commands = [
        await studio.upload(red=7, policy="flush"),
        await studio.do(UseFrame, policy="blend"),
        await studio.do(UseCameraFrame, policy="flush", over_s=1.0),
    ]
    await studio.captured()
    for command in commands:
        assert studio.error_code(command) == "not_supported"
        assert "it can cut" in studio.answer(command)["message"]
    await studio.clock.advance(0.5)
    assert studio.sink.pixels[-1][5, 5, 0] > 90
    assert studio.director.of("state")[-1]["image"]["width"] == 80


async def test_a_picture_comes_out_of_the_take_before() -> None:
    """By flush and blend the model's state goes on: frames that wait go, and it goes back to where those began."""
    studio = Studio(pipeline=SwappingFake())
    await studio.go_live()
    await studio.do(Configure, latency="smooth")
    await studio.clock.advance(1.6)
    before, sent = len(studio.engine.pipeline.calls), studio.sink.frames[-1][1]
    applied = await studio.upload(red=200, policy="blend", over_s=0.5)
    await studio.clock.advance(1.0)
    calls = studio.engine.pipeline.calls[before:]
    frame = studio.answer(applied)["frame"]
    assert calls[:2] == [("truncate", frame // 4), ("swap", frame // 4)]
    assert "close" not in [name for name, _ in calls]
    assert sent < frame <= sent + 8
    assert [int(pixels[0, 0, 0]) for pixels in studio.sink.pixels] == list(range(len(studio.sink.pixels)))
    await studio.close()


async def test_a_picture_before_the_start_has_nothing_to_come_out_of() -> None:
    """Whatever its way in, the take begins with it."""
    studio = Studio(pipeline=SwappingFake())
    await studio.upload(policy="blend")
    await studio.do(Start, seed=1)
    await studio.clock.advance(0.5)
    await studio.do(Stop)
    await studio.upload(policy="flush")
    await studio.do(Start, seed=1)
    await studio.clock.advance(0.5)
    assert [name for name, _ in studio.engine.pipeline.calls if name in ("open", "swap")] == ["open", "open"]
    await studio.close()


async def test_use_camera_frame(studio: Studio) -> None:
    """The publisher's newest frame becomes the picture, its size told whole, the pixels reduced."""
    await studio.go_live()
    assert "publisher" not in studio.director.of("state")[-1]
    publisher = OneFrame(None)
    studio.stream.guests.add_publisher(publisher)
    assert studio.director.of("state")[-1]["publisher"] == {"state": "connecting"}
    assert studio.error_code(await studio.do(UseCameraFrame)) == "wrong_state"
    publisher.newest = camera_frame(200)
    command = await studio.do(UseCameraFrame)
    publisher.newest = camera_frame(10)
    applied = await pictured(studio, command)
    studio.assert_names_a_frame(applied)
    shown = next(n for n, (_, frame, _) in enumerate(studio.sink.frames) if frame == applied["frame"])
    assert studio.sink.pixels[shown][5, 5, 0] == 200
    image = studio.director.of("state")[-1]["image"]
    assert (image["width"], image["height"]) == (640, 480)
    picture = studio.stream.generation.control.picture
    assert picture is not None
    assert picture.pixels.shape == (96, 128, 3)
    assert picture.cropped == (0, 80, 0, 80)
    studio.stream.guests.remove(publisher)
    assert "publisher" not in studio.director.of("state")[-1]


async def test_a_camera_frame_before_the_start(studio: Studio) -> None:
    """It stands in for an upload: the start that comes right after it finds a picture."""
    studio.stream.guests.add_publisher(OneFrame(camera_frame(70)))
    command, start = await studio.do(UseCameraFrame), await studio.do(Start, seed=7)
    await asyncio.gather(*studio.stream._captures)
    await studio.clock.advance(1.0)
    assert (studio.answer(command)["type"], studio.answer(command)["frame"]) == ("image_applied", 0)
    assert studio.answer(start)["type"] == "started"
    assert studio.sink.pixels[0][5, 5, 0] == 70


async def test_a_camera_frame_that_is_too_large(studio: Studio) -> None:
    """It is refused like a picture that is, and the one in use stays."""
    await studio.go_live()
    studio.stream.guests.add_publisher(OneFrame(camera_frame(70, 8192, 5120)))
    command = await studio.do(UseCameraFrame)
    await asyncio.gather(*studio.stream._captures)
    assert studio.error_code(command) == "image_too_large"
    assert studio.director.of("state")[-1]["image"]["width"] == 80


async def test_the_end_dismisses_the_publisher() -> None:
    """Who publishes is told that the stream has ended, and nobody can begin any more."""
    studio = Studio()
    publisher = OneFrame(None)
    studio.stream.guests.add_publisher(publisher)
    await studio.close()
    assert publisher.dismissed
    studio.stream.guests.remove(publisher)
    with pytest.raises(StreamError, match="ended"):
        studio.stream.guests.add_publisher(OneFrame(None))


async def test_a_prompt_can_be_read_before_it_is_set(studio: Studio) -> None:
    """Before there is video and while it is made the model reads it, and nothing of the stream changes."""
    studio.engine.prepare_s = 0.03
    idle = await studio.do(Prepare, prompt="snow")
    await studio.clock.advance(0.1)
    assert studio.answer(idle) == {"type": "prepared", "id": idle}
    assert studio.engine.calls == [("prepare", "snow", False)]
    await studio.go_live()
    studio.engine.calls.clear()
    before = studio.stream.state_message()
    asked = await studio.do(Prepare, prompt="rain")
    await studio.clock.advance(0.1)
    assert studio.answer(asked) == {"type": "prepared", "id": asked}
    assert [call for call in studio.engine.calls if call[0] == "prepare"] == [("prepare", "rain", False)]
    assert studio.stream.state_message() | {"frame": 0} == before | {"frame": 0}
    assert studio.stream.generation.control.prompt == ""


async def test_a_prompt_that_cannot_be_read_is_refused_and_the_stream_goes_on(studio: Studio) -> None:
    """An engine that loses the stream meanwhile answers with its error."""
    await studio.go_live()
    studio.engine.prepare_error = StreamError("internal", "The engine does not hold this stream (any more).")
    asked = await studio.do(Prepare, prompt="rain")
    await studio.clock.advance(0.1)
    assert studio.error_code(asked) == "internal"
    assert studio.stream.state == "live"


async def test_a_picture_is_looked_at_before_the_start(studio: Studio) -> None:
    """What is uploaded before there is video the model sees at once, so that a start has less to wait for."""
    await studio.do(SetPrompt, prompt="rain")
    await studio.upload()
    await studio.clock.advance(0.1)
    assert studio.engine.calls == [("prepare", "rain", True)]
    await studio.do(Start, seed=1)
    await studio.clock.advance(1.0)
    studio.engine.calls.clear()
    await studio.upload(red=9)
    await studio.clock.advance(0.1)
    assert [call for call in studio.engine.calls if call[0] == "prepare"] == []


async def test_a_picture_that_cannot_be_looked_at_yet_is_still_taken(studio: Studio) -> None:
    """Whoever uploads it asked for no look, and a start says it again."""
    studio.engine.prepare_error = StreamError("internal", "The engine is not running.")
    upload = await studio.upload()
    await studio.clock.advance(0.1)
    assert studio.answer(upload)["type"] == "image_uploaded"
    assert "error" not in [message["type"] for message in studio.director.messages]
