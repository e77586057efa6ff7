"""The engine over Ray actors: the contract of all engines, and what is its own."""

import asyncio
import importlib.util
import os
import pickle
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import ModelConfig
from pipeline.factory import build as build_pipeline
from pipeline.types import Conditioning
from stream.engine_ray import RayEngine, RayReplica, RaySettings
from stream.errors import StreamError
from stream.ray_actor import outcome
from stream.ray_cluster import RayCluster
from stream.replica import Replica
from tests import test_engine as contract
from tests.conftest import without_client
from tests.fakes import DIE, FakePipeline, build_fake
from tests.test_engine import Make, make, under
from tests.test_engine_process import exited
from tests.test_engine_replicas import chunk, losses, place
from tests.test_server import FAKE, running

__all__ = ["make"]

# The contract, on this file's engine; these two are of the queue, and of threads.
OTHERS = {"test_queue_keeps_a_streams_order_and_lends_urgency", "test_a_commit_gives_way_to_a_more_urgent_chunk"}
globals().update({name: test for name, test in vars(contract).items() if name[:5] == "test_" and name not in OTHERS})


def ray_or_skip() -> None:
    """End a test where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        without_client(os.environ, "Ray", "pip install 'vivant[ray]'")


@pytest.fixture(scope="module")
def idle_actors() -> Iterator[list[Any]]:
    """A cluster of this machine alone, for all tests of this file; gives its actors that nobody uses."""
    ray_or_skip()
    before = dict(os.environ)
    cluster = RayCluster("")
    cluster.thread.submit(cluster.connect).result()
    yield []
    cluster.thread.submit(cluster.disconnect).result()
    cluster.thread.shutdown()
    os.environ.clear()
    os.environ.update(before)


class FrugalReplica(RayReplica):
    """A replica that leaves a well actor to the next one: each costs a second or two to start."""

    idle_actors: list[Any]

    def _take_actor(self) -> Any:
        return self.idle_actors.pop() if self.idle_actors else super()._take_actor()

    def _drop_actor(self) -> None:
        if self._is_dead or self._running is not None or self._info is None:
            super()._drop_actor()
        else:
            self.idle_actors.append(self._actor)


class FrugalEngine(RayEngine):
    """An engine over two actors, its settings aside the one that ships."""

    def __init__(self, idle_actors: list[Any], build: Callable[..., Any]) -> None:
        super().__init__(build, RaySettings(replicas=2, checkpoint_chunks=2))
        self._idle_actors = idle_actors

    def _make(self) -> Replica:
        replica = FrugalReplica(self._build, self._settings.checkpoint_chunks, self._choose)
        replica.idle_actors = self._idle_actors
        return replica

    def pid(self, stream_id: str) -> int:
        """Give the process that a stream is in."""
        home = self.home(stream_id)
        assert isinstance(home, RayReplica)
        assert home.pid is not None
        return home.pid


@pytest.fixture
async def new(idle_actors: list[Any]) -> AsyncIterator[Make]:
    """Give what makes an engine over two actors, not started yet, on a fake pipeline with the options given."""
    engines: list[FrugalEngine] = []

    def unstarted(**options: Any) -> FrugalEngine:
        engines.append(FrugalEngine(idle_actors, partial(build_fake, **options)))
        return engines[-1]

    yield unstarted
    for engine in engines:
        await engine.close()


async def test_an_actors_death_in_a_chunk(make: Make) -> None:
    """An actor killed in the middle of a chunk takes nothing along: its streams go on in the other one with the
    chunks that they would have had, and streams there miss nothing. Another actor takes its place."""
    engine, bare = await make(resumable=True, seconds=(0.1,) * 3), FakePipeline()
    lost = losses(engine)
    state = bare.open(under())
    for stream_id in "ab":
        await engine.open(stream_id, under())
    assert engine.pid("a") != engine.pid("b")
    for number in range(3):
        bare.generate_chunk(state, under("p", number))
        await chunk(engine, "a", "p", number)
    calls = [asyncio.create_task(chunk(engine, stream_id, "q", 7)) for stream_id in "ab"]
    await asyncio.sleep(0.05)
    os.kill(killed := engine.pid("a"), signal.SIGKILL)
    moved, other = await asyncio.gather(*calls)
    wanted = bare.generate_chunk(state, under("q", 7))
    assert np.array_equal(moved.frames, wanted.frames)
    assert (place(moved), place(other)) == (place(wanted), (0, 0, 0))
    assert engine.pid("a") == engine.pid("b") != killed
    os.kill(engine.pid("a"), signal.SIGKILL)
    assert [(await chunk(engine, stream_id)).index for stream_id in "ab"] == [4, 1]
    assert lost == []


async def test_an_idle_actors_death(make: Make) -> None:
    """The death of an actor that nobody waits for is noticed at once; streams that can't be resumed end with a
    reason, others go on, and a call that kills its actor raises."""
    engine = await make()
    lost, died = losses(engine), asyncio.Event()
    engine.on_death(lambda ids, reason: died.set())
    for stream_id in "ab":
        await engine.open(stream_id, under())
    os.kill(engine.pid("a"), signal.SIGKILL)
    async with asyncio.timeout(20):
        await died.wait()
    assert lost == [(["a"], "The machine that made this video was lost.")]
    assert (await chunk(engine, "b")).index == 0
    with pytest.raises(StreamError, match="was lost"):
        await chunk(engine, "b", DIE)


async def test_frames_cross_as_one_buffer(make: Make) -> None:
    """A chunk's frames leave the actor as one contiguous buffer and come here without a copy, in shared memory."""
    engine = await make(width=832, height=480)
    await engine.open("a", under())
    made = await chunk(engine, "a")
    assert made.frames.nbytes == 4 * 480 * 832 * 3
    assert made.frames.flags.c_contiguous
    assert not made.frames.flags.owndata
    assert not made.frames.flags.writeable


def test_what_leaves_an_actor_is_one_buffer() -> None:
    """Also where a pipeline gives frames that lie apart, there is one buffer beside a header of a few bytes."""
    bare = FakePipeline(width=832, height=480)
    made = bare.generate_chunk(bare.open(under()), under())
    apart = replace(made, frames=made.frames[:, :, ::-1])
    done: Future[Any] = Future()
    done.set_result(apart)
    buffers: list[pickle.PickleBuffer] = []
    header = pickle.dumps(outcome(done), protocol=5, buffer_callback=buffers.append)
    assert [buffer.raw().nbytes for buffer in buffers] == [made.frames.nbytes]
    assert len(header) < 2000


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_pocket_goes_on_after_a_death(idle_actors: list[Any]) -> None:
    """Over two actors with the model that ships, a stream whose actor is killed has the bytes of one that ran in
    peace: from before its first checkpoint, and from after one."""
    model = ModelConfig(threads=1, dtype="float32")
    picture = np.random.default_rng(2).integers(0, 256, (60, 104, 3), dtype=np.uint8)
    engine, bare = FrugalEngine(idle_actors, partial(build_pipeline, model)), build_pipeline(model)
    await engine.start()
    wish = [
        Conditioning("i2v", "the camera pans left" if n < 3 else "snow", picture, 3, n, quality=2) for n in range(7)
    ]
    state = bare.open(wish[0])
    await engine.open("a", wish[0])
    for number, conditioning in enumerate(wish):
        wanted = bare.generate_chunk(state, conditioning)
        if number in (1, 5):
            os.kill(engine.pid("a"), signal.SIGKILL)
        got = await engine.generate("a", conditioning, 0.0)
        await engine.commit("a")
        assert np.array_equal(got.frames, wanted.frames)
        assert place(got) == place(wanted)
    for number in range(4):
        await engine.open(f"more {number}", wish[0])
    homes = [engine.pid(stream_id) for stream_id in ("a", "more 0", "more 1", "more 2", "more 3")]
    assert len(set(homes)) == engine.replicas
    await engine.close()


async def test_nobody_else_can_reach_it(make: Make) -> None:
    """Every port that Ray opens for a cluster of this machine alone is on loopback."""
    engine = await make()
    await engine.open("a", under())
    ours = descendants(os.getpid())
    assert engine.pid("a") in ours
    assert {address for pid in ours for address in listening(pid)} == {"127.0.0.1"}


def descendants(pid: int) -> set[int]:
    """Give the ids of a process's children and theirs."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def listening(pid: int) -> set[str]:
    """Give the IPv4 addresses that a process listens on; what is no loopback address as it stands in /proc."""
    sockets: set[str] = set()
    try:
        for path in Path(f"/proc/{pid}/fd").iterdir():
            sockets.add(os.readlink(path))
    except OSError:
        pass
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                host = fields[1].partition(":")[0]
                found.add("127.0.0.1" if host in ("0100007F", "0000000000000000FFFF00000100007F") else host)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_nothing_outlives_the_server(number: signal.Signals) -> None:
    """A server that is told to end leaves no process and no file of Ray's behind; one that is killed outright no
    model, though Ray's two small agents take up to a minute to notice, and its folder stays."""
    ray_or_skip()
    async with running(*FAKE, "server.port=0", "engine.kind=ray", "engine.replicas=2") as process:
        await process.ready()
        ours = descendants(process.process.pid)
        names = {pid: command_line(pid) for pid in ours}
        assert sum("ModelActor" in name for name in names.values()) == 2
        process.process.send_signal(number)
        status, errors = await process.ended()
        for pid, name in names.items():
            if number is signal.SIGTERM or "Agent" not in name:
                await exited(pid)
    left = take_away_folders(process.process.pid)
    assert status == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    assert "Traceback" not in errors
    assert left == (0 if number is signal.SIGTERM else 1)


def command_line(pid: int) -> str:
    """Give the name and arguments of a process."""
    return Path(f"/proc/{pid}/cmdline").read_text()


def take_away_folders(pid: int) -> int:
    """Remove what a process's cluster left in the temporary folder; give how many folders that were."""
    left = [session.parent for session in Path("/tmp").glob(f"vivant-ray-*/session_*_{pid}")]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def test_machines_are_filled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without GPUs each replica goes to the machine with the fewest, and no other; one that died counts no more."""
    ray_or_skip()
    one, two = "1" * 56, "2" * 56
    monkeypatch.setattr("stream.engine_ray.resources", lambda: ([one, two], 0.0))
    engine = Placing(build_fake, RaySettings())
    places = [engine.place() for _ in range(4)]
    assert places == [(one, False), (two, False), (one, False), (two, False)]
    engine.made(1)._died("gone")
    assert engine.place() == (two, False)


class Placing(RayEngine):
    """An engine that only tells where its replicas would go."""

    def place(self) -> tuple[str, bool]:
        """Make one more; give its machine, and whether another would do."""
        self._make()
        strategy = self._choose(self._made[-1])["scheduling_strategy"]
        return strategy.node_id, strategy.soft

    def made(self, number: int) -> RayReplica:
        """Give a replica that was made."""
        return self._made[number]
