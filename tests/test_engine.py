import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from pipeline.errors import AbandonedError, CapacityError, ConditioningError, TruncationError
from pipeline.types import Conditioning
from stream.engine import Engine, ThreadEngine
from stream.engine_process import ProcessEngine
from stream.engine_queue import Job, JobQueue
from stream.engine_replicas import ReplicatedEngine
from stream.errors import StreamError
from tests.fakes import FAIL, REFUSE, STICK, FakePipeline, build_fake, settle
from tests.gate import Gate

PICTURE = np.full((6, 8, 3), 40, np.uint8)

Make = Callable[..., Any]


async def neighbours(engine: Engine, count: int) -> list[str]:
    """Open streams until so many are with the same model, and give those: of an engine of one model the first ones."""
    homes: defaultdict[object, list[str]] = defaultdict(list)
    for number in range(engine.capabilities.max_streams):
        stream_id = f"stream {number}"
        await engine.open(stream_id, under())
        together = homes[engine.home(stream_id) if isinstance(engine, ReplicatedEngine) else None]
        together.append(stream_id)
        if len(together) == count:
            return together
    raise AssertionError(f"no {count} streams came together")


def under(prompt: str = "", revision: int = 0, quality: int = 0, seed: int = 1) -> Conditioning:
    return Conditioning("i2v", prompt, PICTURE, seed, revision, quality=quality)


async def all_pass(gate: Gate, models: int) -> None:
    """Let each of so many models pass the gate once: one that passed stands there again for its next stage."""
    standing = [await gate.arrival() for _ in range(models)]
    for writer in standing:
        writer.close()
        await writer.wait_closed()


@pytest.fixture(params=[ThreadEngine, ProcessEngine], ids=["thread", "process"])
async def new(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Give what makes an engine of each kind, not started yet, on a fake pipeline with the options given."""
    engines: list[Engine] = []

    def make(**options: Any) -> Engine:
        engines.append(request.param(partial(build_fake, **options)))
        return engines[-1]

    yield make
    for engine in engines:
        await engine.close()


@pytest.fixture
def make(new: Make) -> Make:
    """Give what starts an engine of each kind."""

    async def start(**options: Any) -> Engine:
        engine = new(**options)
        await engine.start()
        return engine

    return start


async def test_tells_of_its_model(make: Make) -> None:
    """A started engine is ready and tells format, capabilities and measured seconds by quality."""
    engine = await make(width=32, height=16)
    assert engine.ready
    assert (engine.format.width, engine.capabilities.model, len(engine.chunk_seconds)) == (32, "fake", 3)


async def test_a_start_tells_its_stages(new: Make, gate: Gate) -> None:
    """Each stage of a start is told as it begins, and stands until the next; a ready engine has none."""
    engine = new(stages=("one", "two", "two"), gate=gate.port)
    told: asyncio.Queue[str] = asyncio.Queue()
    engine.on_stage(told.put_nowait)
    assert engine.stage == ""
    starting = asyncio.create_task(engine.start())
    models = engine.replicas or 2
    assert await told.get() == "building"
    for stage in ("one", "two"):
        assert (await told.get(), engine.stage, engine.ready) == (stage, stage, False)
        await all_pass(gate, models)
    # Said again it is nothing new.
    await all_pass(gate, models)
    await starting
    assert (told.empty(), engine.stage, engine.ready) == (True, "", True)


async def test_a_start_called_off_tells_no_more(new: Make, gate: Gate) -> None:
    """What a model still says after its start was called off is told to nobody."""
    engine = new(stages=("one", "two"), gate=gate.port)
    told: asyncio.Queue[str] = asyncio.Queue()
    engine.on_stage(told.put_nowait)
    starting = asyncio.create_task(engine.start())
    assert [await told.get(), await told.get()] == ["building", "one"]
    starting.cancel()
    await asyncio.wait({starting})
    assert engine.stage == ""
    await gate.let_pass()
    await gate.let_pass()
    await settle()
    assert (told.empty(), engine.stage) == (True, "")


async def test_stages_without_a_pause_all_arrive(new: Make) -> None:
    """A thousand stages in a row are all told, in their order, before the start is over."""
    stages = tuple(map(str, range(1000)))
    engine = new(stages=stages)
    told: list[str] = []
    engine.on_stage(told.append)
    await engine.start()
    assert told == ["building", *stages]


async def test_engine_is_the_pipeline(make: Make) -> None:
    """Chunks from an engine equal those of the bare pipeline under the same calls, truncation included."""
    engine, bare = await make(), FakePipeline()
    state = bare.open(under(seed=5))
    await engine.open("a", under(seed=5))
    for number in range(6):
        if number == 4:
            bare.truncate(state, 2)
            await engine.truncate("a", 2)
        conditioning = under("p" * number, number, quality=number % 3, seed=5)
        wanted = bare.generate_chunk(state, conditioning)
        got = await engine.generate("a", conditioning, 0.0)
        await engine.commit("a")
        assert np.array_equal(got.frames, wanted.frames)
        assert (got.first_frame, got.first_latent, got.index) == (
            wanted.first_frame,
            wanted.first_latent,
            wanted.index,
        )
        assert (got.fps, got.revision, got.quality) == (wanted.fps, number, number % 3)


async def test_what_was_saved_goes_on_in_another_stream(make: Make) -> None:
    """A stream that is opened from what another one saved makes what that one would; both go on apart."""
    engine = await make(resumable=True)
    assert engine.is_resumable
    await engine.open("a", under())
    for number in range(3):
        await engine.generate("a", under("p" * number, number), 0.0)
        await engine.commit("a")
    saved = await engine.save("a")
    wanted = await engine.generate("a", under("snow", 3), 0.0)
    await engine.open("b", under(), saved)
    got = await engine.generate("b", under("snow", 3), 0.0)
    assert np.array_equal(got.frames, wanted.frames)
    assert (got.index, got.first_frame, got.first_latent) == (3, 12, 3)
    await engine.close_stream("b")
    assert (await engine.generate("a", under(), 0.0)).index == 4


async def test_what_is_given_up_was_never_begun(make: Make) -> None:
    """A chunk that is given up raises at once, its stream is as before; what else goes on or comes next is made."""
    engine = await make(abandoning=True)
    assert engine.can_abandon
    mine, other = await neighbours(engine, 2)
    first = await engine.generate(mine, under("snow", 1), 0.0)
    await engine.commit(mine)
    engine.abandon(mine)  # Nothing is made now, and the next one must not suffer for it.
    stuck = asyncio.create_task(engine.generate(mine, under(STICK, 2), 0.0))
    waiting = asyncio.create_task(engine.generate(other, under("rain", 7), 0.0))
    await asyncio.sleep(0.05)
    engine.abandon(other)  # It waits behind the one that sticks.
    with pytest.raises(AbandonedError):
        await waiting
    assert not stuck.done()
    engine.abandon(mine)
    with pytest.raises(AbandonedError):
        await asyncio.wait_for(stuck, 3)
    after, theirs = await engine.generate(mine, under("snow", 3), 0.0), await engine.generate(other, under(), 0.0)
    assert (after.index, after.first_latent, theirs.index) == (1, first.latents, 0)
    stuck = asyncio.create_task(engine.generate(mine, under(STICK, 4), 0.0))
    await asyncio.sleep(0.05)
    assert not stuck.done()  # What was given up before is over.
    engine.abandon(mine)
    with pytest.raises(AbandonedError):
        await asyncio.wait_for(stuck, 3)


async def test_a_model_that_makes_to_the_end_is_left_to(make: Make) -> None:
    """Where the model can't give up, a call comes to its end as if nobody had asked."""
    engine = await make()
    assert not engine.can_abandon
    await engine.open("a", under())
    asked = asyncio.create_task(engine.generate("a", under("snow"), 0.0))
    await asyncio.sleep(0)
    engine.abandon("a")
    assert (await asked).index == 0


async def test_a_take_comes_out_of_the_one_before(make: Make) -> None:
    """Where the model can, a take that is not cut to counts on from the one before; where it can't, it begins anew."""
    for swapping, first in ((True, 8), (False, 0)):
        engine = await make(swapping=swapping)
        await engine.open("a", under())
        for _ in range(2):
            await engine.generate("a", under(), 0.0)
        blue = np.full((5, 2, 3), 90, np.uint8)
        other = Conditioning("i2v", "", blue, 1, enter="flush")
        await engine.open("a", other)
        chunk = await engine.generate("a", other, 0.0)
        assert (chunk.first_frame, chunk.frames[0, 9, 9, 0]) == (first, 90 + first)
        await engine.open("a", under())
        assert (await engine.generate("a", under(), 0.0)).first_frame == 0
        await engine.close_stream("a")


async def test_a_model_may_not_be_resumable(make: Make) -> None:
    """It says so, before anything is asked of it."""
    assert not (await make()).is_resumable


async def test_a_picture_reaches_the_model(make: Make) -> None:
    """Each stream is made from its own picture, and from another one after it was changed."""
    engine = await make()
    red, blue = np.full((3, 4, 3), 200, np.uint8), np.full((5, 2, 3), 90, np.uint8)
    await engine.open("a", Conditioning("i2v", "", red, 0))
    await engine.open("b", Conditioning("i2v", "", blue, 0))
    first = await engine.generate("a", Conditioning("i2v", "", red, 0), 0.0)
    second = await engine.generate("b", Conditioning("i2v", "", blue, 0), 0.0)
    again = await engine.generate("a", Conditioning("i2v", "", np.asfortranarray(blue), 0), 0.0)
    assert [chunk.frames[0, 9, 9, 0] for chunk in (first, second, again)] == [200, 90, 94]


@pytest.mark.parametrize(("prompt", "error"), [(REFUSE, ConditioningError), (FAIL, StreamError)])
async def test_a_failure_is_its_streams_own(make: Make, prompt: str, error: type[Exception]) -> None:
    """A call that fails raises a PipelineError as it is and anything else as internal; others go on."""
    engine = await make()
    await engine.open("good", under())
    await engine.open("bad", under())
    with pytest.raises(error) as caught:
        await engine.generate("bad", under(prompt), 0.0)
    if isinstance(caught.value, StreamError):
        assert (caught.value.code, caught.value.retryable) == ("internal", True)
    assert (await engine.generate("good", under(), 0.0)).index == 0


async def test_errors_of_open_and_truncate(make: Make) -> None:
    """Missing picture, no slot left and a boundary ahead raise their own errors; a freed slot serves."""
    engine = await make(max_streams=1)
    with pytest.raises(ConditioningError):
        await engine.open("a", Conditioning("i2v", "", None, 0))
    await engine.open("a", under())
    for number in range(1, engine.capabilities.max_streams):
        await engine.open(f"another {number}", under())
    with pytest.raises(CapacityError):
        await engine.open("b", under())
    with pytest.raises(TruncationError):
        await engine.truncate("a", 3)
    await engine.close_stream("a")
    await engine.close_stream("a")
    await engine.open("b", under())


async def test_a_stream_that_is_not_open_is_refused(make: Make) -> None:
    """A call for a stream that was never opened, or was closed, raises internal; others do not notice."""
    engine = await make()
    with pytest.raises(StreamError, match="hold this stream"):
        await engine.generate("nobody", under(), 0.0)


async def test_the_event_loop_is_never_blocked(make: Make) -> None:
    """While a chunk is made the event loop goes on turning."""
    engine = await make(seconds=(0.2, 0.2, 0.2))
    await engine.open("a", under())
    generating = asyncio.create_task(engine.generate("a", under(), 0.0))
    turns = 0
    while not generating.done():
        await asyncio.sleep(0.002)
        turns += 1
    assert turns > 20


async def test_the_earliest_deadline_goes_first(make: Make) -> None:
    """Among streams that wait for a model the earliest deadline is served first, in whatever order they asked."""
    engine = await make(seconds=(0.02, 0.02, 0.02))
    a, b, c, d = await neighbours(engine, 4)
    order: list[str] = []

    async def ask(stream_id: str, deadline: float) -> None:
        await engine.generate(stream_id, under(), deadline)
        order.append(stream_id)

    async with asyncio.TaskGroup() as group:
        for stream_id, deadline in ((a, 1.0), (b, 9.0), (c, 5.0), (d, 3.0)):
            group.create_task(ask(stream_id, deadline))
    assert order == [a, d, c, b]


async def test_a_cancelled_call_is_left_out(make: Make) -> None:
    """A call whose caller is gone before its turn is not carried out."""
    engine = await make(seconds=(0.05, 0.05, 0.05))
    one, other = await neighbours(engine, 2)
    first = asyncio.create_task(engine.generate(one, under(), 1.0))
    unwanted = asyncio.create_task(engine.generate(other, under(), 2.0))
    await settle()
    unwanted.cancel()
    await asyncio.wait({first, unwanted})
    assert (await engine.generate(other, under(), 0.0)).index == 0


async def test_closing_refuses_what_waits(make: Make) -> None:
    """A closed engine raises for calls that wait and calls that come; closing twice is fine."""
    engine = await make(seconds=(0.1, 0.1, 0.1))
    await engine.open("a", under())
    await engine.open("b", under())
    waiting = [asyncio.create_task(engine.generate(stream_id, under(), 0.0)) for stream_id in "ab"]
    await asyncio.sleep(0.03)
    await engine.close()
    await engine.close()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, StreamError) for result in results)
    with pytest.raises(StreamError):
        await engine.open("c", under())
    await engine.close_stream("a")
    assert not engine.ready


async def test_a_model_that_cannot_be_built(make: Make) -> None:
    """What building the model raises comes out of start as internal."""
    with pytest.raises(StreamError):
        await make(no_such_option=1)


async def test_time_spent_is_counted(make: Make) -> None:
    """The engine's busy seconds grow by what calls take."""
    engine = await make(seconds=(0.05, 0.05, 0.05))
    await engine.open("a", under())
    before = engine.busy_s
    await engine.generate("a", under(), 0.0)
    assert engine.busy_s - before >= 0.05


def job(stream_id: str, deadline: float, method: str = "generate") -> Job:
    return Job(method, stream_id, (), deadline, asyncio.get_running_loop().create_future())


async def test_queue_keeps_a_streams_order_and_lends_urgency() -> None:
    """A stream's jobs keep their order, and an urgent one behind a patient one pulls that forward."""
    queue = JobQueue()
    for item in (job("a", 50.0, "commit"), job("b", 10.0), job("c", 20.0, "commit"), job("a", 5.0)):
        queue.put(item)
    popped = [queue.pop() for _ in range(5)]
    assert [item and (item.stream_id, item.method) for item in popped] == [
        ("a", "commit"),
        ("a", "generate"),
        ("b", "generate"),
        ("c", "commit"),
        None,
    ]


async def test_a_commit_gives_way_to_a_more_urgent_chunk() -> None:
    """A commit is as urgent as its stream's next chunk: another stream's earlier chunk goes first."""
    pipeline = FakePipeline(seconds=(0.03, 0.03, 0.03))
    engine = ThreadEngine(lambda progress: pipeline)
    await engine.start()
    now = asyncio.get_running_loop().time()
    for number, stream_id in enumerate("abc"):
        await engine.open(stream_id, under(revision=number))
    await engine.generate("a", under(revision=10), now + 1)
    await asyncio.gather(
        engine.generate("c", under(revision=12), now),
        engine.commit("a"),
        engine.generate("b", under(revision=11), now + 1.1),
        engine.generate("a", under(revision=13), now + 1.25),
    )
    await engine.close()
    done = [call for call in pipeline.calls if call[0] in ("generate", "commit")]
    assert done[1:] == [("generate", 12), ("generate", 11), ("commit", 1), ("generate", 13)]


async def test_reading_a_prompt_changes_nothing(make: Make) -> None:
    """A model that can't read before it is asked does nothing, before a stream is open and then."""
    engine = await make()
    await engine.prepare("a", under())
    await engine.open("a", under())
    await engine.prepare("a", under())
    await engine.prepare("nobody", under())
    assert (await engine.generate("a", under(), 0.0)).index == 0


async def test_before_a_stream_is_open_only_an_idle_engine_reads() -> None:
    """A picture takes as long to see as several chunks, which streams that are open would miss."""
    read: list[str] = []

    class Reading(FakePipeline):
        def prepare(self, conditioning: Conditioning) -> None:
            read.append(conditioning.prompt)

    engine = ThreadEngine(lambda progress: Reading())
    await engine.start()
    await engine.prepare("a", under("first"))
    await engine.open("a", under())
    await engine.prepare("b", under("of another"))
    await engine.prepare("a", under("its own"))
    await engine.close_stream("a")
    await engine.prepare("b", under("last"))
    await engine.close()
    assert read == ["first", "its own", "last"]
