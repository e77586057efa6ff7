"""A peer that is gone is noticed within about 5 s; one that is merely silent is asked and stays."""

import asyncio
import time
from typing import Any, cast

import pytest
from aiortc import RTCIceTransport

from stream import liveness
from stream.config import ServerConfig
from stream.liveness import GONE_AFTER_TICKS, Liveness
from tests.loopback import Client
from tests.site import Site
from tests.test_whep import SDP, viewer


class FakeRequest:
    def add_message_integrity(self, key: bytes) -> None:
        self.key = key


class FakeIce:
    """ICE transport, connection, pair and protocol in one: answers what it is asked, or not."""

    def __init__(self, answers: bool) -> None:
        self.answers = answers
        self.asked = 0
        self.received: list[bytes] = []
        self.remote_password = "password"
        self.remote_addr = ("127.0.0.1", 9)
        self._connection = self.protocol = self
        self._protocols = [self]
        self._nominated = {1: self}

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.append(data)

    def build_request(self, pair: Any, nominate: bool) -> FakeRequest:
        assert not nominate
        return FakeRequest()

    def send_stun(self, message: FakeRequest, addr: tuple[str, int]) -> None:
        assert message.key == b"password"
        self.asked += 1
        if self.answers:
            self.datagram_received(b"answer", addr)


@pytest.fixture(autouse=True)
def short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a tick pass in a hundredth of its time."""
    monkeypatch.setattr(liveness, "TICK_S", 0.005)


def watch(ice: FakeIce) -> tuple[Liveness, asyncio.Event]:
    gone = asyncio.Event()
    return Liveness(cast(RTCIceTransport, ice), gone.set), gone


async def test_who_answers_nothing_is_given_up() -> None:
    """After nine silent ticks, having been asked at most of them."""
    ice = FakeIce(answers=False)
    _, gone = watch(ice)
    async with asyncio.timeout(1):
        await gone.wait()
    assert ice.asked >= 4


async def test_who_only_answers_stays() -> None:
    """A peer that sends nothing by itself, as some do for long, is alive as long as it answers."""
    ice = FakeIce(answers=True)
    watched, gone = watch(ice)
    await asyncio.sleep(5 * GONE_AFTER_TICKS * liveness.TICK_S)
    assert not gone.is_set()
    assert ice.asked > 1
    assert b"answer" in ice.received
    watched.close()
    watched.close()


async def test_who_is_heard_of_is_not_asked() -> None:
    """Any datagram will do, and each is passed on."""
    ice = FakeIce(answers=False)
    watched, gone = watch(ice)
    for _ in range(60):
        ice.datagram_received(b"media", ("127.0.0.1", 9))
        await asyncio.sleep(liveness.TICK_S / 2)
    assert (ice.asked, gone.is_set(), len(ice.received)) == (0, False, 60)
    watched.close()


async def test_a_loop_that_stands_still_gives_nobody_up() -> None:
    """Nobody can be heard meanwhile, so the time does not count."""
    ice = FakeIce(answers=True)
    watched, gone = watch(ice)
    await asyncio.sleep(liveness.TICK_S)
    time.sleep(20 * liveness.TICK_S)  # noqa: ASYNC251 that is the point
    await asyncio.sleep(0)
    await asyncio.sleep(2 * liveness.TICK_S)
    assert not gone.is_set()
    watched.close()


def vanish(client: Client) -> None:
    """Take a client's network away: it sends nothing any more, not even that it goes."""
    connection = client.receiver.transport.transport._connection
    for protocol in connection._protocols:
        protocol.transport.sendto = lambda data, addr=None: None


async def test_a_viewer_that_vanishes_is_noticed_and_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one, whose network is gone: its session ends by itself, long before ICE would notice."""
    monkeypatch.setattr(liveness, "TICK_S", 0.1)
    site = Site(ServerConfig())
    async with site.http:
        live = site.streams.create()
        client = viewer()
        async with site.http.post(f"/whep/{live.id}", data=await client.offer(), headers=SDP) as response:
            await client.accept(await response.text())
        for _ in range(20):
            await live.publish(3)
            if len(client.frames) > 2:
                break
        assert len(client.frames) > 2
        live.left.clear()
        await live.publish(10)
        assert live.viewers == 1
        vanish(client)
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(5):
            await live.left.wait()
        assert asyncio.get_running_loop().time() - began > 0.8
        assert live.viewers == 0
        await client.close()
