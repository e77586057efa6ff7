"""A push offers what browsers offer, and follows what a far end tells of its packets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from itertools import pairwise
from struct import pack, unpack_from

import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import unpack_header_extensions
from aiortc.sdp import SessionDescription

from stream.broadcast import Broadcast
from stream.clock import VIDEO_CLOCK_HZ
from stream.congestion import BitrateBounds
from stream.extensions import AT_ONCE, OFFERED_IDS, PLAYOUT_DELAY, TRANSPORT_CC, accept_extensions
from stream.ice import connection_configuration
from stream.link import LinkEvents, LinkSettings
from stream.network import Network, use_network
from stream.push import PushLink
from stream.subscription import Subscription
from tests.test_twcc import message

FPS = Fraction(50)
WIDE_KBPS, NARROW_KBPS = 100_000.0, 600.0
FEEDBACK_S = 0.05
LARGE_DELTAS = 0x4000
NUMBER = next(number for number, uri in OFFERED_IDS.items() if uri == TRANSPORT_CC)
DELAY = next(number for number, uri in OFFERED_IDS.items() if uri == PLAYOUT_DELAY)


class FarEnd:
    """Takes an offer and, where it agrees, tells when each packet came: late, as through a link of so many kbit/s."""

    def __init__(self, agrees: bool) -> None:
        self.connection = RTCPeerConnection(connection_configuration([]))
        self.kbps = WIDE_KBPS
        self.extensions: list[dict[int, bytes]] = []
        self.came = asyncio.Event()
        self._told = asyncio.Event()
        self._agrees = agrees
        self._passed = 0.0
        self._arrivals: list[tuple[int, float]] = []
        self._loop = asyncio.get_running_loop()
        self._telling = self._loop.create_task(self._tell(), name="far-end")

    async def answer(self, offer: str) -> str:
        """Answer, and note from now on what comes."""
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        (transceiver,) = self.connection.getTransceivers()
        if self._agrees:
            accept_extensions(transceiver, SessionDescription.parse(offer).media[0])
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        self._transport = transceiver.receiver.transport
        self._transport._handle_rtp_data = self._note
        return self.connection.localDescription.sdp

    async def _note(self, data: bytes, arrival_time_ms: int) -> None:
        profile, words = unpack_from("!HH", data, 12)
        found = dict(unpack_header_extensions(profile, data[16 : 16 + 4 * words]))
        self.extensions.append(found)
        self._passed = max(self._passed, self._loop.time()) + len(data) / (self.kbps * 125)
        if NUMBER in found:
            self._arrivals.append((unpack_from("!H", found[NUMBER])[0], self._passed))
        self.came.set()

    async def _tell(self) -> None:
        """Report some times a second what came by then (the draft's section 3.1): nothing is lost on the way."""
        while True:
            await asyncio.sleep(FEEDBACK_S)
            due = [arrival for arrival in self._arrivals if arrival[1] <= self._loop.time()]
            del self._arrivals[: len(due)]
            if due:
                reference = int(due[0][1] / 0.064)
                steps = [round(at / 0.00025) for at in (reference * 0.064, *(at for _, at in due))]
                deltas = b"".join(pack("!h", after - before) for before, after in pairwise(steps))
                feedback = message(due[0][0], len(due), reference, (LARGE_DELTAS | len(due),), deltas)
                await self._transport._send_rtp(feedback)
                self._told.set()

    async def tell_until(self, holds: Callable[[], bool]) -> None:
        """Wait until what is told has an effect."""
        async with asyncio.timeout(10):
            while not holds():
                self._told.clear()
                await self._told.wait()

    async def close(self) -> None:
        self._telling.cancel()
        await asyncio.gather(self._telling, return_exceptions=True)
        await self.connection.close()


class Pushing:
    """A broadcast of noise, a push of it, and its far end."""

    def __init__(self) -> None:
        use_network(Network(loopback=True))
        self.pts = 0
        self.broadcast = Broadcast("test", self.take_slot, FPS, BitrateBounds(2000, 300, 2000))
        self.lost: list[str] = []
        settings = LinkSettings(lambda: connection_configuration([]), 10)
        self.link = PushLink(self.broadcast, settings, LinkEvents(self.lost.append))
        self.ends: list[FarEnd] = []
        self._sending = asyncio.create_task(self._send(), name="noise")

    def take_slot(self) -> int:
        self.pts += int(VIDEO_CLOCK_HZ / FPS)
        return self.pts

    async def to(self, agrees: bool) -> tuple[FarEnd, Subscription]:
        """Push to a far end until the first packet is there."""
        end = FarEnd(agrees)
        self.ends.append(end)
        await self.link.accept(await end.answer(await self.link.offer()))
        await asyncio.wait_for(end.came.wait(), 10)
        assert self.link._video is not None
        assert self.link._video.subscription is not None
        return end, self.link._video.subscription

    async def _send(self) -> None:
        noise = np.random.default_rng(1).integers(0, 255, (8, 96, 160, 3), np.uint8)
        number = 0
        while True:
            await asyncio.sleep(float(1 / FPS))
            await self.broadcast.publish(noise[number % len(noise)], number, self.take_slot())
            number += 1

    async def close(self) -> None:
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)
        await self.link.close()
        await asyncio.gather(*(end.close() for end in self.ends))
        await self.broadcast.close()


@pytest.fixture
async def pushing() -> AsyncIterator[Pushing]:
    """A push that is closed afterwards."""
    made = Pushing()
    yield made
    await made.close()


async def test_feedback_and_playout_delay_are_offered(pushing: Pushing) -> None:
    """Both extensions under numbers of their own; the RTCP message for the video, not for its RTX."""
    lines = (await pushing.link.offer()).splitlines()
    assert {f"a=extmap:{NUMBER} {TRANSPORT_CC}", f"a=extmap:{DELAY} {PLAYOUT_DELAY}"} < set(lines)
    numbers = [line.split()[0] for line in lines if line.startswith("a=extmap:")]
    assert len(numbers) == len(set(numbers))
    video = {line.split(":")[1].split()[0] for line in lines if line.startswith("a=rtpmap:") and "rtx" not in line}
    assert {line.split(":")[1].split()[0] for line in lines if line.endswith(" transport-cc")} == video


async def test_the_rate_follows_what_the_far_end_tells(pushing: Pushing) -> None:
    """Packets are numbered and ask to be shown at once; when they are told to queue, the rate falls to fit."""
    end, subscription = await pushing.to(agrees=True)
    assert all(set(found) >= {NUMBER, DELAY} and found[DELAY] == AT_ONCE for found in end.extensions)
    await end.tell_until(lambda: subscription.link_is_free)
    assert pushing.broadcast.target_kbps == 2000
    end.kbps = NARROW_KBPS
    await end.tell_until(lambda: pushing.broadcast.target_kbps < NARROW_KBPS)
    assert not subscription.link_is_free
    assert pushing.lost == []


async def test_a_far_end_that_agrees_to_nothing(pushing: Pushing) -> None:
    """Gets its video with neither, and its reports are all that is known of it."""
    end, subscription = await pushing.to(agrees=False)
    assert all(not {NUMBER, DELAY} & set(found) for found in end.extensions)
    assert subscription.link is not None
    assert not subscription.link.is_measured
