import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stream.engine_process import ProcessEngine
from stream.errors import StreamError
from tests.fakes import DIE, FakePipeline
from tests.test_engine import under


@pytest.fixture
async def process_engine() -> AsyncIterator[ProcessEngine]:
    engine = ProcessEngine(FakePipeline)
    await engine.start()
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
from tests.fakes import FakePipeline
from tests.test_engine import under

async def main():
    engine = ProcessEngine(partial(FakePipeline, seconds=(60.0, 60.0, 60.0)))
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
