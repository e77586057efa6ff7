from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from stream.config import StreamConfig
from stream.errors import StreamError
from stream.live import LiveStream
from stream.protocol import SetMode, Start
from stream.registry import Streams
from tests.fake_engine import FakeEngine
from tests.fakes import FakeClock, FakeDirector, FakePipeline, FakeSink, settle


class House:
    """A registry on a fake engine; streams run in t2v, so that none needs a picture."""

    def __init__(self, max_streams: int = 3) -> None:
        self.clock = FakeClock()
        self.engine = FakeEngine(self.clock, FakePipeline(modes=("t2v",)), (0.08, 0.08, 0.08))
        config = replace(StreamConfig(), max_streams=max_streams)
        self.sinks: list[FakeSink] = []
        self.streams = Streams(self.engine, config, self._sink, {}, timer=self.clock)

    def _sink(self, stream_id: str, take_slot: object) -> FakeSink:
        self.sinks.append(FakeSink(self.clock))
        return self.sinks[-1]

    async def running(self) -> LiveStream:
        stream = self.streams.create()
        director = FakeDirector()
        stream.attach_director(director)
        await stream.handle(director, Start(id=1, seed=1))
        return stream


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    await house.streams.close()


async def test_streams_are_found_by_id_and_joined_by_token(house: House) -> None:
    """A stream has an id of 8 URL-safe characters or more, and takes only its own token."""
    first, second = house.streams.create(), house.streams.create()
    assert len(first.id) >= 8
    assert first.id.replace("-", "").replace("_", "").isalnum()
    assert house.streams.find(first.id) is first
    assert house.streams.authorise(first.id, first.control_token) is first
    for token in (second.control_token, "", "ü", "\ud800"):
        with pytest.raises(StreamError) as caught:
            house.streams.authorise(first.id, token)
        assert caught.value.code == "unauthorized"
    with pytest.raises(StreamError) as caught:
        house.streams.find("nobody")
    assert caught.value.code == "not_found"
    assert list(house.streams) == [first, second]


async def test_a_full_machine_makes_no_more() -> None:
    """When running streams fill the machine, a new one is refused with how many are ahead."""
    house = House(max_streams=5)
    for _ in range(3):
        await house.running()
    assert house.streams.running == 3
    with pytest.raises(StreamError) as caught:
        house.streams.create()
    assert (caught.value.code, caught.value.status, caught.value.extra["ahead"]) == ("at_capacity", 503, 3)
    assert caught.value.extra["retry_after"] > 0
    await house.streams.close()


async def test_idle_streams_are_bounded_too(house: House) -> None:
    """No more streams are held than the configured limit, running or not."""
    for _ in range(3):
        house.streams.create()
    with pytest.raises(StreamError, match="at most 3"):
        house.streams.create()


async def test_not_before_the_model_is_ready(house: House) -> None:
    """Until the engine is ready a stream is refused as at capacity, for a client to try again."""
    house.engine.ready = False
    with pytest.raises(StreamError) as caught:
        house.streams.create()
    assert (caught.value.code, caught.value.retryable) == ("at_capacity", True)


async def test_a_lonely_stream_ends(house: House) -> None:
    """A stream that nobody came to, or that its last director left, ends after the grace and is forgotten."""
    never, left = house.streams.create(), house.streams.create()
    director = FakeDirector()
    left.attach_director(director)
    await house.clock.advance(20)
    left.detach_director(director)
    await house.clock.advance(11)
    assert (never.state, left.state, len(house.streams)) == ("ended", "idle", 1)
    await house.clock.advance(20)
    assert (left.state, len(house.streams)) == ("ended", 0)


async def test_company_keeps_a_stream_alive(house: House) -> None:
    """A director who comes back in time, or a viewer, keeps a stream; the last to leave starts the wait."""
    directed, watched = house.streams.create(), house.streams.create()
    await house.clock.advance(29)
    directed.attach_director(FakeDirector())
    leave = watched.add_viewer()
    await house.clock.advance(100)
    assert (directed.state, watched.state) == ("idle", "idle")
    leave()
    await house.clock.advance(29)
    assert watched.state == "idle"
    await house.clock.advance(2)
    assert (directed.state, watched.state) == ("idle", "ended")


async def test_an_unattended_stream_waits_longer(house: House) -> None:
    """One made to run by itself ends 600 s after it was made, its last viewer left, or a command came over HTTP."""
    never, watched, commanded = (house.streams.create(unattended=True) for _ in range(3))
    await house.clock.advance(500)
    watched.add_viewer()()
    director = FakeDirector()
    commanded.attach_director(director, is_peer=False)
    assert commanded.directors == 0
    commanded.detach_director(director)
    await house.clock.advance(101)
    assert (never.state, watched.state, commanded.state) == ("ended", "idle", "idle")
    leave = watched.add_viewer()
    await house.clock.advance(500)
    assert (watched.state, commanded.state) == ("idle", "ended")
    leave()
    await house.clock.advance(599)
    assert watched.state == "idle"
    await house.clock.advance(2)
    assert (watched.state, len(house.streams)) == ("ended", 0)


async def test_a_command_without_a_peer_does_not_keep_its_director(house: House) -> None:
    """A director without a peer does not count: the grace of a stream of directors runs while it is there."""
    stream = house.streams.create()
    stream.attach_director(FakeDirector(), is_peer=False)
    await house.clock.advance(31)
    assert stream.state == "ended"


async def test_an_engine_that_dies_ends_what_it_ran(house: House) -> None:
    """Streams whose state died with the engine end with the reason; an idle one lives on and can start."""
    running, idle = await house.running(), house.streams.create()
    director, other = FakeDirector(), FakeDirector()
    running.attach_director(director)
    idle.attach_director(other)
    await settle()
    house.engine.die("it died")
    await settle()
    assert director.goodbyes == ["it died"]
    assert other.goodbyes == []
    await idle.handle(other, Start(id=1))
    assert idle.state == "live"


async def test_a_failure_is_its_streams_own(house: House) -> None:
    """A stream whose encoder breaks ends and frees its capacity; the one beside it goes on."""
    broken, good = await house.running(), await house.running()
    house.sinks[0].error = OSError("broken")
    await house.clock.advance(1.0)
    assert broken.state == "ended"
    assert (len(house.streams), good.state, house.streams.running) == (1, "live", 1)


async def test_closing_says_goodbye_to_all(house: House) -> None:
    """Closing ends every stream with a goodbye, frees all, and refuses new streams; twice is fine."""
    directors = []
    for _ in range(2):
        stream = await house.running()
        directors.append(FakeDirector())
        stream.attach_director(directors[-1])
    await house.streams.close("server_shutdown")
    await house.streams.close()
    assert [director.goodbyes for director in directors] == [["server_shutdown"], ["server_shutdown"]]
    assert (len(house.streams), [sink.closed for sink in house.sinks]) == (0, [1, 1])
    with pytest.raises(StreamError):
        house.streams.create()


async def test_modes_of_the_model_decide_how_a_stream_begins(house: House) -> None:
    """A stream begins idle, in i2v where the model can, else in t2v."""
    stream = house.streams.create()
    assert (stream.state_message()["state"], stream.state_message()["mode"]) == ("idle", "t2v")
    director = FakeDirector()
    stream.attach_director(director)
    await stream.handle(director, SetMode(id=1, mode="i2v"))
    assert director.messages[-1]["code"] == "not_supported"
