import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from stream.engine_process import ProcessEngine
from stream.errors import StreamError
from tests.fakes import DIE, build_fake, settle
from tests.gate import Gate
from tests.test_engine import under


@pytest.fixture
async def process_engine() -> AsyncIterator[ProcessEngine]:
    engine = ProcessEngine(build_fake)
    await engine.start()
    yield engine
    await engine.close()


@pytest.fixture
async def gated_engine(gate: Gate) -> AsyncIterator[ProcessEngine]:
    """An engine, not started, whose model stands at the gate in its warm-up."""
    engine = ProcessEngine(partial(build_fake, stages=("one",), gate=gate.port))
    yield engine
    await engine.close()


async def lost_streams(engine: ProcessEngine) -> list[tuple[list[str], str]]:
    lost: list[tuple[list[str], str]] = []
    engine.on_death(lambda ids, reason: lost.append((ids, reason)))
    return lost


async def exited(pid: int) -> None:
    """Wait until a process that need not be our child is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        gone = await asyncio.to_thread(select.select, [descriptor], [], [], 20.0)
        assert gone[0], "the process lives on"
    finally:
        os.close(descriptor)


async def test_a_killed_process_ends_its_streams_and_no_others(process_engine: ProcessEngine) -> None:
    """Killing the process tells which streams are lost; a fresh process serves streams opened later."""
    died = asyncio.Event()
    lost = await lost_streams(process_engine)
    process_engine.on_death(lambda ids, reason: died.set())
    await process_engine.open("a", under())
    await process_engine.open("b", under())
    first = process_engine.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(10):
        await died.wait()
    assert [ids for ids, _ in lost] == [["a", "b"]]
    assert lost[0][1]
    await process_engine.open("c", under())
    assert (await process_engine.generate("c", under(), 0.0)).index == 0
    assert process_engine.pid not in (None, first)
    with pytest.raises(StreamError):
        await process_engine.generate("a", under(), 0.0)
    assert process_engine.ready


async def test_a_process_that_dies_in_a_chunk(process_engine: ProcessEngine) -> None:
    """A death in the middle of a chunk raises internal, retryable, for all who wait."""
    lost = await lost_streams(process_engine)
    await process_engine.open("a", under())
    await process_engine.open("b", under())
    results = await asyncio.gather(
        process_engine.generate("a", under(DIE), 0.0),
        process_engine.generate("b", under(), 1.0),
        return_exceptions=True,
    )
    assert [isinstance(result, StreamError) and result.retryable for result in results] == [True, True]
    assert [ids for ids, _ in lost] == [["a", "b"]]
    await process_engine.open("c", under())


def kill(engine: ProcessEngine) -> None:
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)


async def test_a_start_after_a_death_tells_its_stages_too(gated_engine: ProcessEngine, gate: Gate) -> None:
    """A process that takes a dead one's place tells its stages, and the engine is ready when they are over."""
    told: asyncio.Queue[str] = asyncio.Queue()
    gated_engine.on_stage(told.put_nowait)
    starting = asyncio.create_task(gated_engine.start())
    await gate.let_pass()
    await starting
    assert [await told.get(), await told.get()] == ["building", "one"]
    kill(gated_engine)
    assert [await told.get(), await told.get()] == ["building", "one"]
    assert (gated_engine.stage, gated_engine.ready) == ("one", False)
    opening = asyncio.create_task(gated_engine.open("a", under()))
    await gate.let_pass()
    await opening
    assert (gated_engine.stage, gated_engine.ready) == ("", True)


async def test_a_process_that_dies_in_its_warm_up(gated_engine: ProcessEngine) -> None:
    """A start whose process dies raises internal and leaves no stage behind."""
    told: asyncio.Queue[str] = asyncio.Queue()
    gated_engine.on_stage(told.put_nowait)
    starting = asyncio.create_task(gated_engine.start())
    assert [await told.get(), await told.get()] == ["building", "one"]
    kill(gated_engine)
    with pytest.raises(StreamError, match="process ended"):
        await starting
    assert (gated_engine.stage, gated_engine.ready) == ("", False)


async def test_a_process_that_dies_again_in_its_warm_up(gated_engine: ProcessEngine, gate: Gate) -> None:
    """When the process that took a dead one's place dies in its warm-up, the next call starts another, told again."""
    told: asyncio.Queue[str] = asyncio.Queue()
    starting = asyncio.create_task(gated_engine.start())
    await gate.let_pass()
    await starting
    gated_engine.on_stage(told.put_nowait)
    kill(gated_engine)
    assert [await told.get(), await told.get()] == ["building", "one"]
    unlucky = await gate.arrival()
    kill(gated_engine)
    while gated_engine.stage:
        await settle()
    unlucky.close()
    assert not gated_engine.ready
    opening = asyncio.create_task(gated_engine.open("a", under()))
    await gate.let_pass()
    await opening
    assert (told.qsize(), gated_engine.stage, gated_engine.ready) == (2, "", True)


async def test_closing_ends_the_process(process_engine: ProcessEngine) -> None:
    """After close the process is gone, also when it was in the middle of a call."""
    pid = process_engine.pid
    assert pid is not None
    await process_engine.close()
    await exited(pid)


ORPHAN = """
import asyncio
from functools import partial
from stream.engine_process import ProcessEngine
from tests.fakes import build_fake
from tests.test_engine import under

async def main():
    engine = ProcessEngine(partial(build_fake, seconds=(60.0, 60.0, 60.0)))
    await engine.start()
    await engine.open("a", under())
    generating = asyncio.create_task(engine.generate("a", under(), 0.0))
    await asyncio.sleep(0.1)
    print(engine.pid, flush=True)
    await generating

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_no_process_outlives_its_parent(tmp_path: Path) -> None:
    """When the parent is killed outright, in the middle of a chunk, its child ends by itself."""
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment)  # noqa: ASYNC220
    assert parent.stdout is not None
    with parent, parent.stdout:
        child = int(await asyncio.to_thread(parent.stdout.readline))
        parent.kill()
        await asyncio.to_thread(parent.wait)
    await exited(child)
