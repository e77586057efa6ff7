"""A recording is the stream's own packets: every frame, from a keyframe, whole whatever ends it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stream.config import StreamConfig
from stream.errors import StreamError
from stream.recorder import Recorder, Recordings
from stream.recording import RecordingFile
from tests.test_broadcast import STEP, Stage, frame


class Studio:
    """A broadcast and its recorder."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.folder = folder
        self.stage = Stage()
        self.recordings = Recordings.of(StreamConfig(recordings=str(folder), **limits))
        self.told: list[dict[str, Any]] = []
        self.over = asyncio.Event()
        self.recorder = Recorder("test", self.recordings, self.tell)

    def tell(self, message: dict[str, Any]) -> None:
        """Keep what directors are told."""
        self.told.append(message)
        if message["type"] == "recorded":
            self.over.set()

    async def start(self) -> str:
        """Begin; gives the url."""
        return (await self.recorder.start(self.stage.broadcast))["url"]

    async def record(self, frames: int) -> dict[str, Any]:
        """Record so many frames; gives what ``recorded`` tells."""
        await self.start()
        await self.stage.publish(frames)
        return await self.recorder.stop()

    def file(self, url: str) -> Path:
        """Give the file behind a url."""
        assert url.startswith("/recordings/")
        return self.folder / url.removeprefix("/recordings/")

    async def ended(self) -> list[dict[str, Any]]:
        """Publish on until the recording has ended by itself; gives what was told."""
        await self.stage.publish(60)
        async with asyncio.timeout(5):
            await self.over.wait()
        return self.told


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    """A studio that is closed after the test."""
    made = Studio(tmp_path / "recordings")
    yield made
    await made.recorder.close()
    await made.stage.broadcast.close()


def times(path: Path) -> list[int]:
    """Give the time of every frame that can be decoded, in 90 kHz ticks."""
    with av.open(str(path)) as container:
        return [round(float(frame.time or 0) * 90_000) for frame in container.decode(video=0)]


async def test_every_frame_is_recorded(studio: Studio) -> None:
    """From the next frame to the last before the end, at its time; bytes and seconds are those of the file."""
    await studio.stage.publish(3)
    recorded = await studio.record(40)
    path = studio.file(recorded["url"])
    assert times(path) == [STEP * number for number in range(40)]
    assert recorded["bytes"] == path.stat().st_size
    assert recorded["seconds"] == 40 * STEP / 90_000
    assert studio.told == []


async def test_nothing_is_encoded_for_a_recording_while_h264_is_watched(studio: Studio) -> None:
    """It takes the packets of the one encode, which ends with the last who takes them."""
    viewer = studio.stage.broadcast.subscribe("H264")
    await studio.start()
    (feed,) = studio.stage.broadcast._feeds.values()
    assert len(feed.subscriptions) == 2
    viewer.close()
    await studio.stage.publish(2)
    await studio.recorder.stop()
    assert studio.stage.broadcast._feeds == {}


async def test_starting_again_changes_nothing(studio: Studio) -> None:
    """A second start gives the recording under way; after the stop, the next has a name of its own."""
    first = await studio.start()
    assert await studio.start() == first == studio.recorder.url
    await studio.stage.publish(2)
    await studio.recorder.stop()
    assert studio.recorder.url is None
    assert (await studio.record(2))["url"] != first
    assert len(list(studio.folder.iterdir())) == 2


async def test_a_stop_without_a_start(studio: Studio) -> None:
    """Refused with ``wrong_state``."""
    with pytest.raises(StreamError) as refused:
        studio.recorder.stop()
    assert refused.value.code == "wrong_state"


async def test_a_recording_without_a_frame(studio: Studio) -> None:
    """It is told as empty, and leaves no file."""
    recorded = await studio.record(0)
    assert (recorded["bytes"], recorded["seconds"]) == (0, 0)
    assert list(studio.folder.iterdir()) == []


async def test_where_recordings_are_turned_off() -> None:
    """Refused with ``not_supported``, and nothing is encoded for it."""
    stage = Stage()
    recorder = Recorder("test", Recordings.of(StreamConfig(recordings="")), lambda message: None)
    with pytest.raises(StreamError) as refused:
        recorder.start(stage.broadcast)
    assert refused.value.code == "not_supported"
    assert stage.broadcast._feeds == {}
    await stage.broadcast.close()


async def test_a_folder_that_can_not_be_written(studio: Studio) -> None:
    """The start is refused; nothing goes on, and nobody else is told."""
    studio.folder.write_bytes(b"a file in its place")
    with pytest.raises(StreamError) as refused:
        await studio.start()
    assert refused.value.code == "internal"
    assert studio.stage.broadcast._feeds == {}
    assert (studio.recorder.url, studio.told) == (None, [])


async def test_the_longest_recording(tmp_path: Path) -> None:
    """At the limit it ends by itself, all directors are told why, and the file is whole."""
    studio = Studio(tmp_path, recording_s=1.0)
    url = await studio.start()
    (told,) = await studio.ended()
    assert told["type"] == "recorded"
    assert (told["url"], told["seconds"]) == (url, 1.0)
    assert "1 s" in told["reason"]
    assert len(times(studio.file(url))) == 16
    await studio.stage.broadcast.close()


async def test_a_full_disk(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the recording, with an error that says so; what was written can be played, the stream goes on."""
    room = [2]
    write = RecordingFile.write

    def until_full(self: RecordingFile, data: bytes) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise StreamError("at_capacity", "The disk is full.", ahead=0)
        write(self, data)

    monkeypatch.setattr(RecordingFile, "write", until_full)
    url = await studio.start()
    error, recorded = await studio.ended()
    assert (error["type"], error["code"]) == ("error", "at_capacity")
    assert "id" not in error
    assert recorded["url"] == url
    assert recorded["bytes"] == studio.file(url).stat().st_size
    assert len(times(studio.file(url))) == 16
    assert recorded["seconds"] == 1.0
    await studio.stage.publish(2)
    assert studio.stage.broadcast._feeds == {}


async def test_a_disk_that_does_not_keep_up(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream does not wait for the disk: the recording is ended, and says so."""
    monkeypatch.setattr("stream.subscription.LOSSLESS_S", 1)
    await studio.start()
    gate = threading.Event()
    studio.recordings.thread.submit(gate.wait, 10)
    await asyncio.wait_for(studio.stage.publish(60), 5)
    gate.set()
    error, recorded = await studio.ended()
    assert error["code"] == "internal"
    assert "slow" in error["message"]
    assert recorded["type"] == "recorded"


async def test_the_stream_s_end_ends_its_recording(studio: Studio) -> None:
    """The file is whole when the close is over, and the directors are told."""
    url = await studio.start()
    await studio.stage.publish(20)
    await studio.recorder.close()
    (told,) = studio.told
    assert (told["type"], told["url"]) == ("recorded", url)
    assert len(times(studio.file(url))) == 20
    await studio.recorder.close()


async def test_another_size_ends_a_recording(studio: Studio) -> None:
    """An MP4 has one size; the frames before the change are in it."""
    url = await studio.start()
    await studio.stage.publish(5)
    await studio.stage.broadcast.publish(np.zeros((64, 48, 3), np.uint8), 5, studio.stage.slots())
    (told,) = await studio.ended()
    assert "size" in told["reason"]
    assert len(times(studio.file(url))) == 5


async def test_what_a_killed_server_leaves_can_be_played(studio: Studio) -> None:
    """At any moment the file on the disk is whole, and lacks no more than the last second."""
    url = await studio.start()
    await studio.stage.publish(40)
    async with asyncio.timeout(5):
        while len(studio.file(url).read_bytes()) < 20_000:
            await studio.stage.publish(1)
    seen = times(studio.file(url))
    assert seen == [STEP * number for number in range(len(seen))]
    assert len(seen) >= 16
    await studio.recorder.stop()


async def test_a_slow_thread_holds_up_no_command(studio: Studio) -> None:
    """While the disk is busy, start and stop return at once, and are answered in time."""
    gate = threading.Event()
    studio.recordings = replace(studio.recordings, thread=ThreadPoolExecutor(1))
    recorder = Recorder("test", studio.recordings, studio.told.append)
    studio.recordings.thread.submit(gate.wait, 10)
    started, stopped = recorder.start(studio.stage.broadcast), recorder.stop()
    await studio.stage.publish(1)
    assert not started.done()
    gate.set()
    assert (await started)["url"] == (await stopped)["url"]
    studio.recordings.thread.shutdown()


async def test_a_change_of_the_frame_rate_is_recorded(studio: Studio) -> None:
    """The encoder begins anew at another rate; the file goes on, every frame at its time."""
    url = await studio.start()
    await studio.stage.publish(10)
    for number in range(20):
        studio.stage.slots()
        await studio.stage.broadcast.publish(frame(number), number, studio.stage.slots())
    await studio.recorder.stop()
    steps = [later - earlier for earlier, later in pairwise(times(studio.file(url)))]
    assert steps == [STEP] * 9 + [2 * STEP] * 20
