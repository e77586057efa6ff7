import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import pytest

from pipeline.errors import CapacityError
from pipeline.types import Chunk, Conditioning
from stream.engine_replicas import ReplicatedEngine
from stream.errors import StreamError
from tests.fake_replica import FakeReplicas
from tests.fakes import DIE, FAIL, FakePipeline, FakeState, ResumableFake, SwappingFake, settle
from tests.test_engine import neighbours, under

MakePipeline = Callable[[int], FakePipeline]
Start = Callable[..., Awaitable[FakeReplicas]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Give what starts an engine on thread replicas."""
    engines: list[FakeReplicas] = []

    async def started(count: int = 2, make: MakePipeline = lambda number: ResumableFake()) -> FakeReplicas:
        engines.append(FakeReplicas(count, make))
        await engines[-1].start()
        return engines[-1]

    yield started
    for engine in engines:
        await engine.close()


def losses(engine: ReplicatedEngine) -> list[tuple[list[str], str]]:
    lost: list[tuple[list[str], str]] = []
    engine.on_death(lambda ids, reason: lost.append((ids, reason)))
    return lost


async def chunk(engine: ReplicatedEngine, stream_id: str, prompt: str = "", revision: int = 0) -> Chunk:
    made = await engine.generate(stream_id, under(prompt, revision), 0.0)
    await engine.commit(stream_id)
    return made


def place(chunk: Chunk) -> tuple[int, int, int]:
    return chunk.index, chunk.first_frame, chunk.first_latent


async def test_streams_spread_by_measured_load(start: Start) -> None:
    """A stream goes where the least time is taken: a replica half as fast gets half as many, a busy one none."""
    engine = await start(2, lambda number: ResumableFake(seconds=((0.02, 0.05)[number],) * 3))
    for stream_id in "abc":
        await engine.open(stream_id, under())
    assert [engine.number(stream_id) for stream_id in "abc"] == [0, 0, 1]
    # The stream of the slow one is asked for nothing more, those of the fast one take all of its time.
    engine.made[1].load.closed("c")
    for number in range(12):
        await chunk(engine, "ab"[number % 2])
    await engine.open("d", under())
    assert engine.number("d") == 1


async def test_they_are_one_engine(start: Start) -> None:
    """Together they have the places of all and the time of the slowest, and count all that they spend."""
    engine = await start(2, lambda number: ResumableFake(seconds=((0.01, 0.03)[number],) * 3, max_streams=1))
    assert (engine.capabilities.max_streams, engine.chunk_seconds[0], engine.replicas) == (2, 0.03, 2)
    for stream_id in "ab":
        await engine.open(stream_id, under())
        await chunk(engine, stream_id)
    assert {engine.number("a"), engine.number("b")} == {0, 1}
    assert engine.busy_s >= 0.04
    with pytest.raises(CapacityError):
        await engine.open("c", under())
    await engine.close_stream("a")
    await engine.open("c", under())


@pytest.mark.parametrize("chunks", [0, 1, 2, 5])
async def test_a_stream_goes_on_as_if_nothing_had_been(start: Start, chunks: int) -> None:
    """After its replica's death a stream's next chunks are the very ones that they would have been, whether it
    stood before its first checkpoint, at one or after one; nobody is told of a loss."""
    engine, bare = await start(), FakePipeline()
    lost = losses(engine)
    state = bare.open(under())
    await engine.open("a", under())
    for number in range(chunks):
        bare.generate_chunk(state, under("p", number))
        await chunk(engine, "a", "p", number)
    engine.made[0].die()
    for number in range(3):
        wanted = bare.generate_chunk(state, under("q", number))
        got = await chunk(engine, "a", "q", number)
        assert np.array_equal(got.frames, wanted.frames)
        assert place(got) == place(wanted)
    assert (engine.number("a"), lost) == (1, [])


async def test_no_more_is_made_again_than_since_the_checkpoint(start: Start) -> None:
    """With a checkpoint every two chunks, at most the chunks after it are made again, and it is taken by the way."""
    engine = await start()
    await engine.open("a", under())
    for _ in range(7):
        await chunk(engine, "a")
    saves = [latents for method, latents in engine.made[0].pipeline.calls if method == "save"]
    assert saves == [2, 4, 6]
    engine.made[0].die()
    await chunk(engine, "a")
    assert engine.made[1].made() == 2


async def test_going_back_is_remembered(start: Start) -> None:
    """A truncation after the last checkpoint, to before it, stands after a death too."""
    engine = await start()
    await engine.open("a", under())
    for _ in range(5):
        await chunk(engine, "a")
    await engine.truncate("a", 2)
    engine.made[0].die()
    assert place(await chunk(engine, "a")) == (5, 8, 2)


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_take_that_came_out_of_another_goes_on_too(start: Start, after: int) -> None:
    """It stays where the one before was; after a death it is as it was, checkpoint before the swap or after."""
    engine = await start(2, lambda number: SwappingFake())
    lost = losses(engine)
    await engine.open("a", under())
    for _ in range(3):
        await chunk(engine, "a")
    other = Conditioning("i2v", "", np.full((3, 4, 3), 90, np.uint8), 1, enter="blend", enter_s=0.5)
    await engine.open("a", other)
    for _ in range(after):
        await engine.generate("a", other, 0.0)
        await engine.commit("a")
    home = engine.number("a")
    engine.made[home].die()
    made = await engine.generate("a", other, 0.0)
    assert place(made) == (3 + after, 12 + 4 * after, 3 + after)
    assert made.frames[0, 9, 9, 0] == 90 + 12 + 4 * after
    assert (engine.number("a"), lost) == (1 - home, [])
    calls = [name for name, _ in engine.made[1 - home].pipeline.calls]
    assert ("swap" in calls) == (after == 0)


async def test_other_streams_do_not_notice(start: Start) -> None:
    """A death moves its own streams only; a stream elsewhere stays where it is and misses nothing."""
    engine = await start()
    for stream_id in "ab":
        await engine.open(stream_id, under())
        await chunk(engine, stream_id)
    engine.made[0].die()
    assert (await chunk(engine, "b")).index == 1
    assert (await chunk(engine, "a")).index == 1
    assert (engine.number("a"), engine.number("b")) == (1, 1)


async def test_a_death_in_a_chunk_is_no_error(start: Start) -> None:
    """Calls under way or waiting at a replica that dies are carried out by another, in their order."""
    engine = await start(2, lambda number: ResumableFake(seconds=(0.05,) * 3))
    one, other = await neighbours(engine, 2)
    calls = [asyncio.create_task(engine.generate(stream_id, under(), 0.0)) for stream_id in (one, one, other)]
    await settle()
    engine.made[engine.number(one)].die()
    assert [made.index for made in await asyncio.gather(*calls)] == [0, 1, 0]


async def test_a_call_that_nobody_awaits_counts_too(start: Start) -> None:
    """A chunk whose caller went away while it was made is a chunk of the stream, after a death as well."""
    engine = await start(2, lambda number: ResumableFake(seconds=(0.03,) * 3))
    await engine.open("a", under())
    forgotten = asyncio.create_task(engine.generate("a", under(), 0.0))
    await settle()
    forgotten.cancel()
    assert (await chunk(engine, "a")).index == 1
    engine.made[0].die()
    assert (await chunk(engine, "a")).index == 2


async def test_a_model_that_cannot_be_resumed_ends_its_streams(start: Start) -> None:
    """Streams of a model that saves nothing are lost with a reason; those elsewhere go on."""
    engine = await start(2, lambda number: FakePipeline())
    lost = losses(engine)
    for stream_id in "ab":
        await engine.open(stream_id, under())
    engine.made[0].die()
    assert lost == [(["a"], "The machine was lost.")]
    with pytest.raises(StreamError, match="does not hold"):
        await chunk(engine, "a")
    assert (await chunk(engine, "b")).index == 0


async def test_another_takes_its_place(start: Start) -> None:
    """A replica that died is started again; when it was the only one its streams wait for that."""
    engine = await start(1)
    lost = losses(engine)
    await engine.open("a", under())
    await chunk(engine, "a")
    engine.made[0].die()
    assert not engine.ready
    assert (await chunk(engine, "a")).index == 1
    assert (engine.number("a"), engine.ready, engine.replicas, lost) == (1, True, 1, [])


async def test_a_death_that_nobody_notices(start: Start) -> None:
    """A replica that dies without a stream is started again all the same."""
    engine = await start()
    engine.made[0].die()
    async with asyncio.timeout(5):
        while engine.replicas < 2:
            await settle()
    assert len(engine.made) == 3


async def test_a_stream_that_kills_ends(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """A call that a second replica dies of is not tried a third time: its stream ends, all others go on."""
    engine = await start(2)
    lost = losses(engine)
    for stream_id in "abcd":
        await engine.open(stream_id, under())
        await chunk(engine, stream_id)
    with pytest.raises(StreamError):
        await chunk(engine, "a", DIE)
    assert [ids for ids, _ in lost] == [["a"]]
    assert [(await chunk(engine, stream_id)).index for stream_id in "bcd"] == [1, 1, 1]
    while engine.replicas < 2:
        await settle()
    assert len(engine.made) == 4


async def test_a_failure_is_not_a_death(start: Start) -> None:
    """What a model raises is told to who asked, where the stream is, and nothing is tried again."""
    engine = await start(2, lambda number: FailingFake())
    await engine.open("a", under())
    with pytest.raises(StreamError, match="asked to fail"):
        await chunk(engine, "a", FAIL)
    assert engine.made[0].made() == 1
    assert (await chunk(engine, "a")).index == 0


class FailingFake(ResumableFake):
    """The fake with a failure that is named."""

    def generate_chunk(self, state: FakeState, conditioning: Conditioning) -> Chunk:
        """Fail by prompt."""
        try:
            return super().generate_chunk(state, conditioning)
        except ZeroDivisionError as error:
            raise StreamError("internal", str(error)) from error


async def test_a_checkpoint_that_fails_harms_nobody(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Where no checkpoint can be taken the stream goes on, and after a death from an older one."""
    engine = await start(2, lambda number: ForgetfulFake())
    await engine.open("a", under())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await chunk(engine, "a")
    assert "no checkpoint: internal: disk full" in caplog.text
    engine.made[0].die()
    assert (await chunk(engine, "a")).index == 3


class ForgetfulFake(ResumableFake):
    """The fake whose saving fails."""

    def save(self, state: FakeState) -> bytes:
        """Fail."""
        raise StreamError("internal", "disk full")


async def test_none_of_them_starts_alone(caplog: pytest.LogCaptureFixture) -> None:
    """When one of them can't be warmed up, or makes another format, the start fails with its error."""
    engine = FakeReplicas(2, lambda number: ResumableFake(width=(64, 32)[number]))
    with pytest.raises(StreamError, match="width=32"):
        await engine.start()
    await engine.close()
    with pytest.raises(StreamError):
        await engine.open("a", under())


async def test_a_closed_stream_is_left_out_of_a_move(start: Start) -> None:
    """A stream that is closed while it waits for another replica is gone, and so is its load."""
    engine = await start(1)
    await engine.open("a", under())
    engine.made[0].die()
    await engine.close_stream("a")
    await engine.open("b", under())
    assert (engine.home("a"), engine.made[1].load.streams) == (None, 1)
    with pytest.raises(StreamError, match="does not hold"):
        await chunk(engine, "a")
