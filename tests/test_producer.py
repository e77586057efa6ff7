import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from pipeline.errors import ConditioningError
from pipeline.types import Capabilities, Chunk
from stream.capacity import Timing
from stream.control import Control, Snapshot
from stream.engine import ThreadEngine
from stream.errors import StreamError
from stream.generation_time import GenerationTime
from stream.pace import Pace
from stream.playout import DueFrame, PlayoutBuffer
from stream.producer import ChunkProducer
from tests.fake_engine import FakeEngine
from tests.fakes import FAIL, REFUSE, STICK, AbandoningFake, FakeClock, FakePicture, FakePipeline, settle


class Stage:
    """A producer between a fake engine and a playout that is watched."""

    def __init__(self, buffer_s: float = 0.05, pipeline: FakePipeline | None = None, chunk_s: float = 0.1) -> None:
        self.clock = FakeClock()
        seconds = (chunk_s, 0.8 * chunk_s, 0.6 * chunk_s)
        self.engine = FakeEngine(self.clock, pipeline or FakePipeline(), seconds)
        self.playout = PlayoutBuffer(self.clock)
        self.control: Control[FakePicture, str] = Control("i2v")
        self.quality = 0
        self.made: list[tuple[int, float, Timing]] = []
        times = GenerationTime(self.engine.chunk_seconds)
        self.pace = Pace(buffer_s, lambda: self.quality, times, self._note)
        self.producer = ChunkProducer("s", self.engine, self.playout, self.control, self.pace)
        self.frames: list[DueFrame] = []
        self.sent_at: list[float] = []
        self.log: list[tuple[int, Snapshot]] = []
        self.tasks: list[asyncio.Task[None]] = []

    def _note(self, chunk: Chunk, seconds: float, timing: Timing) -> None:
        self.made.append((chunk.quality, round(seconds, 3), timing))

    def start(self, seed: int = 1) -> "asyncio.Task[None]":
        self.control.set_picture(FakePicture(10), "picture")
        self.control.begin_take(seed, "start")
        self.playout.run()
        producing = asyncio.create_task(self.producer.run())
        self.tasks += [producing, asyncio.create_task(self._pump())]
        return producing

    async def _pump(self) -> None:
        while True:
            frame = await self.playout.next_frame()
            self.frames.append(frame)
            self.sent_at.append(round(self.clock.time() - 1000, 4))
            if frame.opens is not None:
                self.log.append((frame.index, frame.opens))

    def prompt(self, text: str) -> None:
        self.control.set_prompt(text, "auto", text)
        self.producer.overtake()

    @property
    def revisions(self) -> list[int]:
        return [int(frame.pixels[0, 0, 1]) for frame in self.frames]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async for stage in staged(Stage()):
        yield stage


@pytest.fixture
async def slow() -> AsyncIterator[Stage]:
    """Chunks of three latents, 0.75 s, made in 0.22 s."""
    async for stage in staged(Stage(0.12, FakePipeline(latents_per_chunk=3), 0.22)):
        yield stage


async def staged(stage: Stage) -> AsyncIterator[Stage]:
    yield stage
    # Nobody moves the clock any more.
    stage.engine.close_s = 0.0
    for task in stage.tasks:
        task.cancel()
    await asyncio.wait(stage.tasks)


async def test_chunks_are_made_just_in_time(stage: Stage) -> None:
    """Each chunk is begun when what waits lasts for its making and the buffer, and no frame is ever late."""
    stage.start()
    await stage.clock.advance(5)
    assert stage.playout.underruns == 0
    assert stage.sent_at == [round(0.1 + number / 16, 4) for number in range(len(stage.frames))]
    # A take that begins has no time to miss, and must not push aside other streams.
    assert stage.engine.calls[1][2] - 1000 == pytest.approx(0.1)
    deadlines = [call[2] - 1000 for call in stage.engine.calls if call[0] == "generate"]
    assert deadlines[2:] == pytest.approx([0.1 + 0.25 * number for number in range(2, len(deadlines))])
    assert stage.playout.buffered <= 0.25 + 0.05 + 1e-6


async def test_a_prompt_shows_within_a_chunk_and_its_making(stage: Stage) -> None:
    """Whenever a prompt comes, its first frame is shown after at most a chunk, the making and the buffer."""
    stage.start()
    await stage.clock.advance(1.0)
    for number in range(12):
        before = stage.clock.time()
        stage.prompt("x" * number)
        revision = stage.control.revision
        while revision not in stage.revisions:
            await stage.clock.advance(0.01)
        assert stage.clock.time() - before <= 0.25 + 0.1 + 0.05 + 0.02
        await stage.clock.advance(0.37)
    assert stage.playout.underruns == 0


async def test_each_chunk_is_committed_before_the_next(stage: Stage) -> None:
    """Generate and commit alternate, and a take begins with one open."""
    stage.start()
    await stage.clock.advance(2)
    names = [call[0] for call in stage.engine.calls]
    assert names[0] == "open"
    assert names[1:7] == ["generate", "commit"] * 3


async def test_what_can_be_made_again_in_time_is(stage: Stage) -> None:
    """With a deep buffer a prompt overtakes the chunks that wait, and still nothing is late."""
    stage.pace.buffer_s = 1.0
    stage.start()
    await stage.clock.advance(3)
    shown = len(stage.frames)
    stage.prompt("snow")
    await stage.clock.advance(0.5)
    first = stage.revisions.index(stage.control.revision)
    assert first - shown <= 8
    assert ("truncate", first // 4) in stage.engine.calls
    await stage.clock.advance(2)
    assert stage.playout.underruns == 0
    assert [frame.index for frame in stage.frames] == list(range(len(stage.frames)))


async def test_no_chunk_that_is_due_is_thrown_away(stage: Stage) -> None:
    """With a shallow buffer what waits is shown, because making it again would come late."""
    stage.start()
    await stage.clock.advance(1.0)
    stage.prompt("snow")
    await stage.clock.advance(1.0)
    assert not [call for call in stage.engine.calls if call[0] == "truncate"]


async def test_a_chunk_in_the_making_is_made_again(stage: Stage) -> None:
    """A chunk that was being made when a prompt came is replaced as well when there is time for it."""
    stage.pace.buffer_s = 1.0
    stage.start()
    await stage.clock.advance(0.15)
    stage.prompt("snow")
    await stage.clock.advance(0.06)
    assert ("truncate", 1) in stage.engine.calls
    await stage.clock.advance(1)
    assert stage.revisions[3:5] == [2, 3]


async def test_a_prompt_does_not_wait_for_the_end_of_a_long_chunk(slow: Stage) -> None:
    """Whenever it comes, the chunk on show is cut at the first latent by which its rest can be made again."""
    slow.start()
    await slow.clock.advance(2.0)
    waits = []
    for number in range(24):
        before = slow.clock.time()
        slow.prompt("x" * number)
        revision = slow.control.revision
        while revision % 256 not in slow.revisions:
            await slow.clock.advance(0.01)
        waits.append(slow.clock.time() - before)
        await slow.clock.advance(1.13)
    # The making, the guard and a latent; a chunk on its way may have to be waited for.
    assert max(waits) <= 0.22 + 0.03 + 0.25 + 0.22
    assert sorted(waits)[12] <= 0.22 + 0.03 + 0.125 + 0.05
    assert slow.playout.underruns == 0
    assert [frame.index for frame in slow.frames] == list(range(len(slow.frames)))


async def test_nothing_is_made_again_at_the_cost_of_others(slow: Stage) -> None:
    """Where other streams leave no time for it, a prompt waits for the next chunk."""
    slow.pace.take_spare = lambda: False
    slow.start()
    await slow.clock.advance(2.0)
    for number in range(6):
        slow.prompt("x" * number)
        await slow.clock.advance(1.13)
    assert not [call for call in slow.engine.calls if call[0] == "truncate"]
    assert slow.revisions[-1] == slow.control.revision


def test_reading_a_prompt_is_known_apart() -> None:
    """What the first chunk of a prompt takes beyond the others is not taken for theirs, and fades when it is gone."""
    times = GenerationTime([0.5])
    for _ in range(8):
        times.observe(0, 0.2)
    times.observe(0, 0.26, reads=True)
    assert times.estimate(0) == 0.2
    assert times.reading_s == pytest.approx(0.06)
    times.observe(0, 0.2, reads=True)
    assert times.reading_s == pytest.approx(0.048)


class TwoSpeeds(FakePipeline):
    """The fake, with a second rung that is quicker at the same frame rate."""

    __slots__ = ()

    @property
    def capabilities(self) -> Capabilities:
        told = super().capabilities
        quicker = (told.quality[0], replace(told.quality[0], name="quicker"), told.quality[2])
        return replace(told, quality=quicker)


async def test_a_prompt_is_hurried_where_that_shows_it_sooner() -> None:
    """The chunk that answers is made with less work where a whole latent's time is won by it, and no other is."""
    stage = Stage(0.12, pipeline=TwoSpeeds(latents_per_chunk=3), chunk_s=0.22)
    async for slow in staged(stage):
        slow.start()
        await slow.clock.advance(2.0)
        hurried, waits = 0, []
        for number in range(16):
            before, made = slow.clock.time(), len(slow.made)
            slow.prompt("x" * number)
            revision = slow.control.revision
            while revision not in slow.revisions:
                await slow.clock.advance(0.01)
            waits.append(slow.clock.time() - before)
            # Prompts at every phase of a chunk.
            await slow.clock.advance(1.0 + 0.75 * (number * 0.618 % 1))
            qualities = [quality for quality, _, _ in slow.made[made:]]
            hurried += qualities.count(1)
            assert qualities.count(1) <= 1
        assert 0 < hurried < 16
        assert slow.playout.underruns == 0


class SlowToHelp(TwoSpeeds):
    """The fake, with a second rung that saves its work only after a while."""

    __slots__ = ()

    @property
    def capabilities(self) -> Capabilities:
        told = super().capabilities
        first, second, *more = told.quality
        return replace(told, quality=(first, replace(second, helps_at_once=False), *more))


async def test_no_prompt_is_hurried_by_what_helps_only_after_a_while() -> None:
    """One chunk at a rung that saves its work only after a while is none that is sooner."""
    async for slow in staged(Stage(0.12, pipeline=SlowToHelp(latents_per_chunk=3), chunk_s=0.22)):
        slow.start()
        await slow.clock.advance(2.0)
        for number in range(16):
            slow.prompt("x" * number)
            await slow.clock.advance(1.0 + 0.75 * (number * 0.618 % 1))
        assert {quality for quality, _, _ in slow.made} == {0}


@pytest.mark.parametrize("read_before", [False, True])
async def test_a_prompt_that_was_read_before_is_shown_sooner(read_before: bool) -> None:
    """Where reading takes a latent's time or more, a prompt that the model has read is put before that time."""
    waits: list[float] = []
    stage = Stage(0.5, chunk_s=0.1)
    async for playing in staged(stage):
        playing.pace.time.reading_s = 0.3
        playing.start()
        await playing.clock.advance(2.0)
        if read_before:
            playing.producer.read("rain")
        before, wanted = playing.clock.time(), playing.control.revision + 1
        playing.prompt("rain")
        while wanted not in playing.revisions:
            await playing.clock.advance(0.01)
        waits.append(playing.clock.time() - before)
    assert (waits[0] < 0.4) == read_before


async def test_frame_indices_go_on_over_takes(stage: Stage) -> None:
    """A new picture is a new take from the next chunk on: one open more, no index lost or used twice."""
    stage.start()
    await stage.clock.advance(1.0)
    stage.control.set_picture(FakePicture(77), "cut")
    stage.producer.overtake()
    await stage.clock.advance(2.0)
    assert [frame.index for frame in stage.frames] == list(range(len(stage.frames)))
    assert [call[0] for call in stage.engine.calls].count("open") == 2
    cut = next(position for position, (_, snapshot) in enumerate(stage.log) if snapshot.take == 3)
    first_index = stage.log[cut][0]
    assert stage.frames[first_index].pixels[5, 5, 0] == 77
    assert stage.frames[first_index].pixels[0, 0, 0] == 0
    assert stage.playout.underruns == 0


async def test_a_picture_overtakes_what_waits(stage: Stage) -> None:
    """With a deep buffer a new picture is shown long before what waited would have been."""
    stage.pace.buffer_s = 1.0
    stage.engine.open_s = 0.1
    stage.start()
    await stage.clock.advance(3.0)
    stage.control.set_picture(FakePicture(77), "cut")
    stage.producer.overtake()
    await stage.clock.advance(0.6)
    assert 77 in [frame.pixels[5, 5, 0] for frame in stage.frames[-8:]]
    assert stage.playout.underruns == 0


async def waits_for_prompts(stage: Stage) -> list[float]:
    """How long each of many prompts waits for its first frame, the shortest first."""
    stage.start()
    await stage.clock.advance(2.0)
    waits: list[float] = []
    for number in range(24):
        before = stage.clock.time()
        stage.prompt("x" * number)
        while stage.control.revision not in stage.revisions:
            await stage.clock.advance(0.005)
        waits.append(stage.clock.time() - before)
        # Prompts at every phase of a chunk.
        await stage.clock.advance(1.0 + 0.25 * (number * 0.618 % 1))
    return sorted(waits)


async def test_a_latent_is_made_again_midway_where_that_is_sooner() -> None:
    """A prompt is seen some 0.1 s sooner, nothing is late for it, and a model that can't do it is not asked to."""
    waits: list[list[float]] = []
    for joins_midway in (False, True):
        made = Stage(0.12, FakePipeline(joins_midway=joins_midway), chunk_s=0.2)
        made.quality, made.engine.frames_share = 2, 0.5
        async for stage in staged(made):
            waits.append(await waits_for_prompts(stage))
            skipped = [snapshot.conditioning.skip for _, snapshot in stage.log]
            assert any(skipped) == joins_midway
            assert stage.playout.underruns == 0
            assert {round(later - earlier, 4) for earlier, later in pairwise(stage.sent_at)} == {0.125}
    assert waits[1][12] < waits[0][12] - 0.08
    assert waits[1][-1] < waits[0][-1] - 0.08


async def test_nothing_is_made_again_midway_that_makes_the_next_chunk_late() -> None:
    """Where a chunk takes nearly as long as it plays, half a latent does not last until the next one is there."""
    made = Stage(0.12, FakePipeline(joins_midway=True), chunk_s=0.38)
    made.quality = 2
    async for stage in staged(made):
        await waits_for_prompts(stage)
        assert not any(snapshot.conditioning.skip for _, snapshot in stage.log)
        assert stage.playout.underruns == 0


async def test_a_takes_first_latent_is_not_made_again_midway() -> None:
    """Another prompt may begin it elsewhere, so one that comes in its midst waits for the second."""
    made = Stage(0.12, FakePipeline(joins_midway=True), chunk_s=0.03)
    async for stage in staged(made):
        stage.start()
        await stage.clock.advance(0.04)
        assert len(stage.frames) == 1
        stage.prompt("snow")
        await stage.clock.advance(1.0)
        assert stage.revisions.index(stage.control.revision) == 4


async def test_a_prompt_does_not_wait_for_what_it_makes_useless() -> None:
    """Where the model can give up what it makes, a prompt is seen sooner, in the median and at worst; none is late."""
    waits: list[list[float]] = []
    for can_abandon in (False, True):
        made = Stage(0.12, FakePipeline(joins_midway=True), chunk_s=0.2)
        made.quality, made.engine.seconds = 2, (0.2, 0.2, 0.2)
        made.engine.can_abandon, made.engine.commit_s, made.engine.frames_share = can_abandon, 0.04, 0.5
        async for stage in staged(made):
            waits.append(await waits_for_prompts(stage))
            assert (("abandon",) in stage.engine.calls) == can_abandon
            assert stage.playout.underruns == 0
            assert {round(later - earlier, 4) for earlier, later in pairwise(stage.sent_at)} == {0.125}
    assert waits[1][12] < waits[0][12] - 0.05
    assert waits[1][-1] < waits[0][-1] - 0.04


@pytest.mark.parametrize("quality", [0, 2])
async def test_prompts_without_a_pause_stop_nothing(quality: int) -> None:
    """Who types into a running stream, thirty prompts a second, gets every frame in time, of newer and newer ones."""
    made = Stage(0.12, FakePipeline(joins_midway=True))
    made.engine.can_abandon, made.engine.commit_s, made.quality = True, 0.03, quality
    async for stage in staged(made):
        stage.start()
        await stage.clock.advance(2.0)
        before = stage.control.revision
        for number in range(90):
            stage.prompt("x" * number)
            await stage.clock.advance(1 / 30)
        assert ("abandon",) in stage.engine.calls
        assert stage.playout.underruns == 0
        seen = [revision for revision in stage.revisions if revision > before]
        assert seen == sorted(seen)
        assert len(set(seen)) >= 6
        # No frame of a latent made again midway comes twice, or is missing.
        assert [frame.pixels[0, 0, 0] for frame in stage.frames] == [n % 256 for n in range(len(stage.frames))]
        equals_offline(stage)


async def test_a_prompt_overtakes_one_that_has_to_be_read() -> None:
    """What is given up midway in a latent leaves nothing behind where a prompt that is known comes in before it."""
    made = Stage(1.0, FakePipeline(joins_midway=True))
    made.engine.can_abandon, made.quality = True, 2
    async for stage in staged(made):
        stage.start()
        await stage.clock.advance(2.0)
        for number in range(12):
            made.pace.time.reading_s = 0.4
            stage.prompt("x" * (number + 1))
            await stage.clock.advance(0.02)
            stage.prompt("")
            await stage.clock.advance(1.0 + 0.25 * (number * 0.618 % 1))
        assert stage.engine.calls.count(("abandon",)) >= 6
        assert stage.playout.underruns == 0
        assert [frame.pixels[0, 0, 0] for frame in stage.frames] == [n % 256 for n in range(len(stage.frames))]


async def test_what_is_needed_is_not_given_up() -> None:
    """A chunk whose place no other could fill in time is made to its end, and what was shown is committed."""
    made = Stage(0.02, FakePipeline(), chunk_s=0.2)
    made.engine.can_abandon, made.engine.commit_s = True, 0.02
    async for stage in staged(made):
        await waits_for_prompts(stage)
        assert ("abandon",) not in stage.engine.calls
        assert stage.playout.underruns == 0


async def test_a_stop_gives_up_what_is_made() -> None:
    """Nobody waits for a chunk of a stream that was stopped: it is not made to its end."""
    pipeline = AbandoningFake()
    engine = ThreadEngine(lambda progress: pipeline)
    await engine.start()
    control: Control[FakePicture, str] = Control("i2v")
    control.set_picture(FakePicture(10), "picture")
    control.set_prompt(STICK, "auto", "prompt")
    control.begin_take(1, "start")
    playout = PlayoutBuffer(asyncio.get_running_loop())
    playout.run()
    pace = Pace(0.05, lambda: 0, GenerationTime(engine.chunk_seconds), lambda chunk, seconds, timing: None)
    producing = asyncio.create_task(ChunkProducer("s", engine, playout, control, pace).run())
    await asyncio.to_thread(pipeline.sticks.wait)
    producing.cancel()
    await asyncio.wait({producing})
    assert [name for name, _ in pipeline.calls] == ["warm_up", "open", "stick", "close"]
    await engine.close()


def test_what_frames_left_out_save_is_learned() -> None:
    """An estimate for a part follows what parts took, and parts are not taken for whole chunks."""
    times = GenerationTime([0.2])
    for _ in range(8):
        times.observe(0, 0.2)
    assert times.estimate(0, 0.5) == pytest.approx(0.15)
    for _ in range(24):
        times.observe(0, 0.2, made=0.5)
    assert times.estimate(0, 0.5) == pytest.approx(0.2, abs=0.001)
    for _ in range(24):
        times.observe(0, 0.12, made=0.5)
    assert times.estimate(0, 0.5) == pytest.approx(0.12, abs=0.001)
    assert times.estimate(0) == 0.2


@pytest.mark.parametrize("can_abandon", [False, True])
@pytest.mark.parametrize("joins_midway", [False, True])
@pytest.mark.parametrize("latents", [1, 3])
async def test_streamed_is_offline(latents: int, joins_midway: bool, can_abandon: bool) -> None:
    """The frames shown equal those of a plain run over the log, whatever was given up, thrown away and made again."""
    async for stage in staged(Stage(0.8, FakePipeline(latents_per_chunk=latents, joins_midway=joins_midway))):
        stage.engine.can_abandon, stage.engine.commit_s = can_abandon, 0.03
        await streamed_is_offline(stage)
        assert can_abandon or ("abandon",) not in stage.engine.calls
        assert any(snapshot.conditioning.skip for _, snapshot in stage.log) == joins_midway


async def streamed_is_offline(stage: Stage) -> None:
    stage.start(seed=3)
    for number in range(8):
        await stage.clock.advance(0.31)
        stage.quality = number // 2 % 3
        stage.prompt("p" * number)
        if number == 4:
            stage.control.set_picture(FakePicture(50), "cut")
            stage.producer.overtake()
    await stage.clock.advance(1.0)
    assert any(call[0] == "truncate" for call in stage.engine.calls)
    equals_offline(stage)


def equals_offline(stage: Stage) -> None:
    per_chunk = stage.engine.format.latents_per_chunk
    offline, state, take = FakePipeline(latents_per_chunk=per_chunk), None, None
    for (first_frame, snapshot), (end, following) in pairwise(stage.log):
        if snapshot.take != take:
            take, state = snapshot.take, offline.open(snapshot.conditioning)
        assert state is not None
        chunk = offline.generate_chunk(state, snapshot.conditioning)
        shown = np.stack([frame.pixels for frame in stage.frames[first_frame:end]])
        assert np.array_equal(chunk.frames[: len(shown)], shown)
        skip = snapshot.conditioning.skip
        per_latent = (len(chunk.frames) + skip) // per_chunk
        offline.truncate(state, chunk.first_latent + (skip + len(shown) - following.conditioning.skip) // per_latent)


async def test_quality_changes_at_a_chunk_boundary(stage: Stage) -> None:
    """A lower rung makes fewer frames a chunk from the next chunk on, evenly in time."""
    stage.start()
    await stage.clock.advance(1.0)
    stage.quality = 2
    await stage.clock.advance(2.0)
    gaps = {round(later - earlier, 4) for earlier, later in pairwise(stage.sent_at)}
    assert gaps == {0.0625, 0.125}
    assert stage.playout.underruns == 0


async def test_late_chunks_are_told(stage: Stage) -> None:
    """A chunk that misses its time is told as late; the first of a take never is."""
    stage.start()
    await stage.clock.advance(1.0)
    assert "late" not in {timing for _, _, timing in stage.made}
    stage.engine.seconds = (0.4, 0.4, 0.4)
    await stage.clock.advance(2.0)
    assert "late" in {timing for _, _, timing in stage.made}
    assert stage.playout.underruns > 0


@pytest.mark.parametrize(("prompt", "error"), [(FAIL, StreamError), (REFUSE, ConditioningError)])
async def test_a_failing_generate_ends_the_run(stage: Stage, prompt: str, error: type[Exception]) -> None:
    """What the engine raises comes out of the run, and the stream is closed in the engine."""
    producing = stage.start()
    await stage.clock.advance(0.5)
    stage.prompt(prompt)
    await stage.clock.advance(1.0)
    assert isinstance(producing.exception(), error)
    assert stage.engine.calls[-1] == ("close_stream",)
    assert stage.engine.pipeline.open_states == 0


async def test_a_cancelled_run_closes_its_stream(stage: Stage) -> None:
    """Cancelled while a chunk is made, the run closes what it opened; the next run waits for that."""
    stage.engine.close_s = 0.02
    producing = stage.start()
    await stage.clock.advance(0.05)
    producing.cancel()
    stage.playout.clear()
    stage.control.begin_take(2, "again")
    stage.playout.run()
    stage.tasks.append(asyncio.create_task(stage.producer.run(after=producing)))
    await stage.clock.advance(1.0)
    assert [call[0] for call in stage.engine.calls[:4]] == ["open", "generate", "close_stream", "open"]
    assert stage.frames[0].pixels[0, 1, 0] == 2


async def test_nothing_is_made_while_frozen(stage: Stage) -> None:
    """While frozen no chunk is asked for, and what a command overtakes is made again later."""
    stage.pace.buffer_s = 0.5
    stage.start()
    await stage.clock.advance(1.0)
    stage.playout.freeze()
    await stage.clock.advance(0.5)
    calls = len(stage.engine.calls)
    stage.prompt("snow")
    await stage.clock.advance(2.0)
    assert len(stage.engine.calls) == calls
    shown = len(stage.frames)
    stage.playout.run()
    await stage.clock.advance(1.0)
    assert stage.revisions[shown : shown + 4].count(stage.control.revision) >= 1
    await settle()
