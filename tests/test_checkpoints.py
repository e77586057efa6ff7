import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import PipelineError
from stream.checkpoint_folder import Bounds, CheckpointFolder
from stream.checkpoints import Checkpoints, resume_folder
from stream.config import StreamConfig
from stream.errors import StreamError
from stream.kept import Kept
from stream.live import LiveStream
from stream.protocol import Bookmark, Configure, Pause, Reset, Rewind, SetPrompt, Start, Stop, UploadImage
from stream.registry import Streams
from tests.fake_engine import FakeEngine
from tests.fakes import FakeClock, FakeDirector, FakePipeline, FakeSink, ResumableFake, settle
from tests.studio import png

PATIENCE_S = 10


class Restarting:
    """A server that can be killed and comes back over the same folder."""

    def __init__(self, path: Path, pipeline: FakePipeline | None = None, **settings: Any) -> None:
        self.path = path
        self.config = replace(StreamConfig(), checkpoint_s=2.0, **settings)
        self.model = "a model"
        self.pipeline: FakePipeline = pipeline or ResumableFake()
        self.start()

    def start(self) -> None:
        """Start the server."""
        self.clock = FakeClock()
        self.engine = FakeEngine(self.clock, self.pipeline, (0.05, 0.05, 0.05))
        self.folder = CheckpointFolder(self.path, Bounds(600.0, self.config.resume_bytes))
        checkpoints = Checkpoints(self.folder, lambda: self.model, self.config.checkpoint_s)
        self.sinks: list[FakeSink] = []
        self.streams = Streams(self.engine, self.config, self._sink, {}, timer=self.clock, checkpoints=checkpoints)
        self.director = FakeDirector()
        self.last_id = 0

    async def kill(self) -> None:
        """Kill it: nothing is told, nothing written any more; and start it again."""
        # What a killed process does not do.
        for does in ("write", "release", "forget"):
            setattr(self.folder, does, lambda _: None)
        await self.streams.close()
        self.start()

    def _sink(self, stream_id: str, take_slot: object) -> FakeSink:
        self.sinks.append(FakeSink(self.clock))
        return self.sinks[-1]

    @property
    def sink(self) -> FakeSink:
        """The newest stream's."""
        return self.sinks[-1]

    async def do(self, stream: LiveStream, kind: type, **values: Any) -> int:
        """Give a command."""
        self.last_id += 1
        await stream.handle(self.director, kind(id=self.last_id, **values))
        return self.last_id

    async def live(self, seed: int = 7) -> LiveStream:
        """A stream that plays."""
        stream = self.streams.create()
        stream.attach_director(self.director)
        await self.upload(stream)
        await self.do(stream, Start, seed=seed)
        await self.clock.advance(1.0)
        assert stream.state == "live"
        return stream

    async def upload(self, stream: LiveStream, red: int = 100) -> None:
        """Give a picture."""
        self.last_id += 1
        data = png(red)
        message = UploadImage(self.last_id, len(data), "image/png", "")
        await stream.handle(self.director, message)
        await stream.upload_complete(self.director, message, data)

    async def back(self, stream: LiveStream) -> LiveStream:
        """Come back to a stream after a restart, or after its end."""
        resumed = await self.streams.rejoin(stream.id, stream.control_token)
        resumed.attach_director(self.director)
        return resumed

    async def play(self, stream: LiveStream, seconds: float) -> None:
        """Let time pass, step by step, so that the disk keeps up with it."""
        for _ in range(round(seconds * 10)):
            await self.clock.advance(0.1)
            await self.written(stream)

    async def written(self, stream: LiveStream) -> None:
        """Wait until what is being kept of a stream is on the disk."""
        await settle()
        while (writing := stream.checkpoint._writing) is not None and not writing.done():
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.wait({writing})
            await settle()

    def frames(self) -> dict[int, tuple[int, tuple[int, ...]]]:
        """PTS, and what the model put into its pixels, of each frame that was sent, by index; revisions left out."""
        told = zip(self.sink.frames, self.sink.pixels, strict=True)
        return {index: (pts, (int(pixels[0, 0, 0]), *map(int, pixels[0, 1]))) for (_, index, pts), pixels in told}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Restarting]:
    server = Restarting(tmp_path)
    yield server
    await server.streams.close()


async def refused(asked: Awaitable[object]) -> str:
    with pytest.raises(StreamError) as caught:
        await asked
    return caught.value.code


async def test_a_stream_goes_on_after_its_server_was_killed(server: Restarting) -> None:
    """From its last checkpoint, a few seconds old at most, it makes frame for frame what it would have made: index,
    timestamp, and what the model makes of its state; and it is the same stream to its people."""
    before = await server.live()
    await server.do(before, SetPrompt, prompt="wind")
    await server.do(before, Configure, fps=None, bitrate_kbps=1200, latency="smooth")
    await server.play(before, 8.0)
    told, last = server.frames(), max(server.frames())
    await server.kill()
    stream = await server.back(before)
    assert (stream.id, stream.control_token, stream.state) == (before.id, before.control_token, "live")
    assert stream.state_message()["prompt"] == "wind"
    assert stream.generation.delivery.latency == "smooth"
    assert stream.generation.delivery.bitrate_kbps == 1200
    first = stream.state_message()["frame"] + 1
    assert last - 16 * (2.0 + 1.0 + 1.5) < first <= last + 1
    await server.play(stream, 4.0)
    again = server.frames()
    assert min(again) == first
    common = set(told) & set(again)
    assert len(common) > 4
    assert all(told[index] == again[index] for index in common)
    assert sorted(again) == list(range(first, max(again) + 1))
    pts = [again[index][0] for index in sorted(again)]
    assert all(later - sooner == 5625 for sooner, later in pairwise(pts))
    assert max(again) > last


async def test_it_goes_on_after_nobody_was_left(server: Restarting) -> None:
    """A stream that ended since its people were gone goes on when one comes back, with its picture."""
    before = await server.live()
    await server.play(before, 3.0)
    before.detach_director(server.director)
    await server.clock.advance(60.0)
    await before.end("waited for")
    assert len(server.streams) == 0
    stream = await server.back(before)
    await server.clock.advance(1.0)
    assert stream.state == "live"
    assert stream.generation.control.picture is not None
    assert int(server.sink.pixels[-1][1, 1, 0]) == (100 + int(server.sink.pixels[-1][0, 0, 0])) % 256


async def test_who_comes_twice_finds_one_stream(server: Restarting) -> None:
    """Two who come back at once direct the same stream."""
    before = await server.live()
    await server.play(before, 3.0)
    await server.kill()
    one, other = await asyncio.gather(server.back(before), server.back(before))
    assert one is other
    assert len(server.streams) == 1


async def test_only_its_own_token_opens_it(server: Restarting) -> None:
    """Another token is refused, and so is a stream that nobody knows; neither loads anything."""
    before = await server.live()
    await server.play(before, 3.0)
    await server.kill()
    for token in ("", "ü", "\ud800", server.folder.token_sha256(before.id) or "x"):
        assert await refused(server.streams.rejoin(before.id, token)) == "unauthorized"
    assert await refused(server.streams.rejoin("../stream", before.control_token)) == "not_found"
    assert len(server.streams) == 0
    await server.back(before)


async def test_another_model_does_not_go_on_with_it(server: Restarting) -> None:
    """Other weights or settings: it says so, a fresh stream can be had, and under the old ones it goes on again."""
    before = await server.live()
    await server.play(before, 3.0)
    server.model, was = "another model", server.model
    await server.kill()
    with pytest.raises(StreamError, match="has another model now") as caught:
        await server.back(before)
    assert caught.value.code == "wrong_state"
    await server.live()
    server.model = was
    await server.kill()
    await server.back(before)


async def test_paused_it_shows_a_frame_and_stands(server: Restarting) -> None:
    """A stream that was paused has something on the screen, and stands there."""
    before = await server.live()
    await server.play(before, 3.0)
    await server.do(before, Pause)
    await server.written(before)
    await server.kill()
    stream = await server.back(before)
    await server.clock.advance(2.0)
    assert stream.state == "paused"
    assert len(server.sink.frames) == 1


async def test_stopped_it_is_as_it_was(server: Restarting) -> None:
    """A stream that was stopped keeps picture, prompt and frame number; what was changed since the stop too."""
    before = await server.live()
    await server.play(before, 3.0)
    await server.do(before, Stop)
    await server.do(before, SetPrompt, prompt="later")
    await server.written(before)
    last = max(server.frames())
    await server.kill()
    stream = await server.back(before)
    message = stream.state_message()
    assert (message["state"], message["prompt"], message["frame"]) == ("idle", "later", last)
    assert message["image"] is not None
    await server.do(stream, Start, seed=1)
    await server.clock.advance(1.0)
    assert min(server.frames()) == last + 1


async def test_bookmarks_come_along(server: Restarting) -> None:
    """What was kept before the restart can be gone back to after it."""
    before = await server.live()
    await server.play(before, 1.0)
    await server.do(before, Bookmark, name="early")
    await _until(server, lambda: bool(before.bookmarks.all))
    await server.do(before, SetPrompt, prompt="later, and longer")
    await server.play(before, 5.0)
    await server.kill()
    stream = await server.back(before)
    (mark,) = stream.bookmarks.all
    assert mark.described() == before.bookmarks.all[0].described()
    await server.play(stream, 1.0)
    await server.do(stream, Rewind, bookmark=mark.id)
    await server.play(stream, 1.0)
    assert stream.state_message()["prompt"] == ""
    assert server.sink.pixels[-1][0, 1, 2] < 16


async def _until(server: Restarting, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.005)
            await server.clock.advance(0.0)


async def test_a_stream_that_was_deleted_is_gone(server: Restarting) -> None:
    """Nobody goes on with it, whether it was live or only kept."""
    live, kept = await server.live(), await server.live()
    await server.play(live, 3.0)
    await server.written(kept)
    await server.streams.forget(live.id, live.control_token)
    await server.kill()
    assert await refused(server.back(live)) == "not_found"
    assert await refused(server.streams.forget(kept.id, "x")) == "unauthorized"
    await server.streams.forget(kept.id, kept.control_token)
    assert await refused(server.back(kept)) == "not_found"
    assert [path for path in server.path.iterdir() if path.is_dir()] == []


async def test_what_ends_it_again_and_again_is_given_up(server: Restarting) -> None:
    """A stream goes on three times from one checkpoint; a newer one counts anew."""
    before = await server.live()
    await server.play(before, 3.0)
    for _ in range(3):
        await server.kill()
        await server.written(await server.back(before))
    await server.play(server.streams.find(before.id), 4.0)
    for _ in range(3):
        await server.kill()
        await server.written(await server.back(before))
    await server.kill()
    with pytest.raises(StreamError, match="ended 3 times"):
        await server.back(before)
    assert await refused(server.back(before)) == "not_found"


async def test_a_command_brings_a_checkpoint(server: Restarting) -> None:
    """One every interval, and one a second after a command."""
    stream = await server.live()
    await server.play(stream, 2.9)
    saves = [call for call in server.engine.calls if call[0] == "save"]
    assert 2 <= len(saves) <= 3
    await server.do(stream, SetPrompt, prompt="wind")
    await server.play(stream, 1.0)
    assert len([call for call in server.engine.calls if call[0] == "save"]) == len(saves) + 1
    await server.kill()
    assert (await server.back(stream)).state_message()["prompt"] == "wind"


async def test_a_take_that_begins_is_not_mixed_with_the_last(server: Restarting) -> None:
    """After a reset either the old take is kept, as it was, or the new one."""
    before = await server.live(seed=7)
    await server.play(before, 2.9)
    await server.do(before, Reset, seed=9)
    await server.play(before, 2.0)
    await server.kill()
    stream = await server.back(before)
    await server.clock.advance(1.0)
    assert stream.generation.control.seed == 9
    assert {int(pixels[0, 1, 0]) for pixels in server.sink.pixels} == {9}


async def test_what_is_thrown_away_meanwhile_is_not_kept(server: Restarting) -> None:
    """A command that has frames made again while the model is being saved leaves the checkpoint before as it is."""
    before = await server.live()
    await server.do(before, Configure, fps=None, bitrate_kbps=None, latency="smooth")
    await server.play(before, 4.0)
    server.engine.save_s = 0.2
    saves = server.engine.calls.count(("save",))
    while server.engine.calls.count(("save",)) == saves:
        await server.play(before, 0.1)
    held = before.checkpoint._newest
    await server.do(before, SetPrompt, prompt="wind")
    assert server.engine.calls[-1][0] == "truncate" or before.generation._producer._rewind is not None
    await server.clock.advance(0.3)
    assert before.checkpoint._newest is held
    server.engine.save_s = 0.0
    await server.play(before, 2.0)
    told = server.frames()
    await server.kill()
    stream = await server.back(before)
    await server.play(stream, 2.0)
    again = server.frames()
    common = set(told) & set(again)
    assert common
    assert all(told[index] == again[index] for index in common)


@pytest.mark.parametrize("latency", ["low", "smooth"])
async def test_nothing_is_kept_before_what_precedes_it_was_sent(
    server: Restarting, monkeypatch: pytest.MonkeyPatch, latency: str
) -> None:
    """At any moment the stream goes on from a frame that was seen, or the very next: none is passed over."""
    stream, seen = await server.live(), dict[int, int]()
    await server.do(stream, Configure, fps=None, bitrate_kbps=None, latency=latency)
    write = server.folder.write

    def note(one: Kept) -> None:
        seen.setdefault(one.frame, stream.generation.frames_sent)
        write(one)

    monkeypatch.setattr(server.folder, "write", note)
    for number in range(4):
        await server.do(stream, SetPrompt, prompt=f"wind {number}")
        await server.play(stream, 2.6)
    assert len(seen) >= 4
    assert all(frame <= sent for frame, sent in seen.items())
    # The first was taken before this looked.
    assert all(sent <= frame + 2 for frame, sent in [*seen.items()][1:])
    prompt, last = stream.state_message()["prompt"], max(server.frames())
    await server.kill()
    again = await server.back(stream)
    assert again.state_message()["prompt"] == prompt
    assert again.state_message()["frame"] <= last


@pytest.mark.parametrize(("kind", "values"), [(Reset, {"seed": 9}), (Stop, {})])
async def test_a_checkpoint_of_what_is_never_seen_is_left(
    server: Restarting, kind: type, values: dict[str, Any]
) -> None:
    """A checkpoint of which frames before it are thrown away, unseen, is never written."""
    stream = await server.live(seed=7)
    await server.do(stream, Configure, fps=None, bitrate_kbps=None, latency="smooth")
    for _ in range(50):
        if stream.checkpoint._ahead is not None:
            break
        await server.play(stream, 0.1)
    assert stream.checkpoint._ahead is not None
    _, frame, _ = stream.checkpoint._ahead
    held, sent = stream.checkpoint._newest, stream.generation.frames_sent
    assert frame > sent + 4
    assert held is not None
    await server.do(stream, kind, **values)
    assert stream.checkpoint._ahead is None
    await server.clock.advance(0.2)
    assert stream.checkpoint._newest in (held, None)


async def test_what_cannot_be_saved_is_not_kept(tmp_path: Path) -> None:
    """A model whose streams can't be saved, and one that can't just now: the video goes on, and nothing is written."""

    class Fading(ResumableFake):
        def save(self, state: Any) -> bytes:
            self.calls.append(("save", 0))
            raise PipelineError("a picture is fading in")

    for number, pipeline in enumerate((FakePipeline(), Fading())):
        server = Restarting(tmp_path / str(number), pipeline)
        stream = await server.live()
        await server.play(stream, 5.0)
        assert stream.state == "live"
        tried = len([call for call in pipeline.calls if call[0] == "save"])
        assert 4 * number <= tried <= 7 * number
        await server.kill()
        assert await refused(server.back(stream)) == "not_found"
        await server.streams.close()


async def test_a_full_machine_asks_to_come_again(server: Restarting) -> None:
    """Where there is no place for it a stream stays kept, however often that is."""
    server.config = replace(server.config, max_streams=1)
    before = await server.live()
    await server.play(before, 3.0)
    await server.kill()
    other = await server.live()
    for _ in range(5):
        assert await refused(server.back(before)) == "at_capacity"
    await other.end("it makes room")
    assert (await server.back(before)).state == "live"


async def test_a_disk_that_fails_harms_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A stream that can't be kept goes on, with one warning."""
    server = Restarting(tmp_path, resume_bytes=1_048_576)
    server.folder._bounds = Bounds(600.0, 10)
    stream = await server.live()
    await server.play(stream, 8.0)
    assert stream.state == "live"
    assert sum("can't go on after a restart" in record.message for record in caplog.records) == 1
    await server.streams.close()


async def test_a_folder_of_another_server_is_left_alone(server: Restarting, caplog: pytest.LogCaptureFixture) -> None:
    """The second server over a folder says so once, and its streams play."""
    second = Restarting(server.path)
    stream = await second.live()
    await second.play(stream, 4.0)
    assert stream.state == "live"
    assert sum("another server" in record.message for record in caplog.records) == 1
    await second.streams.close()


def test_where_streams_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is where a user's programs keep their state; a folder is that one; empty is none."""
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert resume_folder("auto") == Path("/state/vivant/streams")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert resume_folder("auto") == Path("/home/me/.local/state/vivant/streams")
    assert resume_folder("~/x") == Path("/home/me/x")
    assert resume_folder("") is None
