"""One encode feeds everyone; a keyframe comes to who needs one, also while the video is frozen."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from fractions import Fraction

import numpy as np
import pytest

from pipeline.types import Pixels
from stream.broadcast import Broadcast
from stream.congestion import BitrateBounds
from stream.encoder import Codec
from stream.subscription import QUEUE_FRAMES, Overrun, Subscription, SubscriptionEnded, VideoPacket

CODECS: list[Codec] = ["H264", "VP8"]
STEP = 5625


def frame(number: int) -> Pixels:
    """A small picture, hard to compress, that differs from its neighbours."""
    return np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)


class Slots:
    """A stand-in for the stream's clock: gives slots after the last one published."""

    def __init__(self) -> None:
        self.pts = 0

    def __call__(self) -> int:
        self.pts += STEP
        return self.pts


class Stage:
    """A broadcast and the frames published into it."""

    def __init__(self) -> None:
        self.slots = Slots()
        self.broadcast = Broadcast("test", self.slots, Fraction(16), BitrateBounds(1000, 300, 4000))
        self.numbers: Iterator[int] = iter(range(10_000))

    async def publish(self, count: int = 1) -> None:
        """Publish frames one slot apart, as fast as they encode."""
        for _ in range(count):
            number = next(self.numbers)
            await self.broadcast.publish(frame(number), number, self.slots())


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage that is closed after the test."""
    made = Stage()
    yield made
    await made.broadcast.close()


async def take(subscription: Subscription, count: int = 1) -> list[VideoPacket]:
    """Wait for packets, not for ever."""
    async with asyncio.timeout(5):
        return [await subscription.next() for _ in range(count)]


@pytest.mark.parametrize("codec", CODECS)
async def test_every_subscription_gets_the_same_packets(stage: Stage, codec: Codec) -> None:
    """Two viewers of one codec share one encode: the very same packets, in order, from a keyframe on."""
    first, second = stage.broadcast.subscribe(codec), stage.broadcast.subscribe(codec)
    await stage.publish(4)
    packets = await take(first, 4)
    assert [id(packet) for packet in packets] == [id(packet) for packet in await take(second, 4)]
    assert [packet.pts for packet in packets] == [STEP, 2 * STEP, 3 * STEP, 4 * STEP]
    assert [packet.is_keyframe for packet in packets] == [True, False, False, False]


async def test_nothing_is_encoded_while_nobody_watches(stage: Stage) -> None:
    """Without a viewer, frames cost nothing, and the measured rate is 0."""
    await stage.publish(3)
    assert stage.broadcast.measured_kbps() == 0
    subscription = stage.broadcast.subscribe("VP8")
    await stage.publish(2)
    assert stage.broadcast.measured_kbps() > 0
    subscription.close()
    assert stage.broadcast.measured_kbps() == 0


@pytest.mark.parametrize("codec", CODECS)
async def test_who_joins_a_frozen_video_sees_its_last_frame(stage: Stage, codec: Codec) -> None:
    """With no frame to come, a joiner gets a keyframe of the last one, at a later slot."""
    await stage.publish(3)
    (packet,) = await take(stage.broadcast.subscribe(codec))
    assert packet.is_keyframe
    assert packet.pts is not None
    assert packet.pts > 3 * STEP
    await stage.publish(1)
    assert stage.slots.pts > packet.pts


async def test_a_second_joiner_of_a_frozen_video_does_not_wait_for_movement(stage: Stage) -> None:
    """While paused, each who joins gets a keyframe soon; those before get it too, at a later time."""
    await stage.publish(1)
    first = stage.broadcast.subscribe("VP8")
    seen = await take(first)
    second = stage.broadcast.subscribe("VP8")
    (packet,) = await take(second)
    assert packet.is_keyframe
    seen += await take(first)
    assert seen[0].pts is not None
    assert seen[1].pts is not None
    assert seen[1].pts > seen[0].pts


async def test_a_frozen_video_is_sent_again_about_once_a_second(stage: Stage) -> None:
    """A receiver that hears nothing for long takes the link for dead; the last frame keeps it alive."""
    subscription = stage.broadcast.subscribe("VP8")
    await stage.publish(1)
    began = asyncio.get_running_loop().time()
    packets = await take(subscription, 2)
    assert not packets[1].is_keyframe
    assert asyncio.get_running_loop().time() - began > 0.8


@pytest.mark.parametrize("codec", CODECS)
async def test_keyframe_requests_share_one_keyframe(stage: Stage, codec: Codec) -> None:
    """Many requests within half a second give one keyframe, and not before half a second after the last."""
    subscription = stage.broadcast.subscribe(codec)
    await stage.publish(1)
    for _ in range(5):
        subscription.request_keyframe()
    await stage.publish(3)
    assert [packet.is_keyframe for packet in await take(subscription, 4)] == [True, False, False, False]
    await asyncio.sleep(0.55)
    await stage.publish(2)
    keyframes = [packet.is_keyframe for packet in await take(subscription, 2)]
    assert keyframes == [True, False]


async def test_a_slow_reader_begins_anew_at_a_keyframe(stage: Stage) -> None:
    """Who does not read for a while loses what waited, asks for a keyframe, and holds up nobody."""
    slow, quick = stage.broadcast.subscribe("VP8"), stage.broadcast.subscribe("VP8")
    for _ in range(12):
        await stage.publish(1)
        await take(quick)
    await asyncio.sleep(0.55)
    await stage.publish(1)
    (packet,) = await take(slow)
    assert packet.is_keyframe
    assert packet.pts is not None
    assert packet.pts >= 13 * STEP


async def test_a_timestamp_that_does_not_rise_is_left_out(stage: Stage) -> None:
    """Whatever the caller does, timestamps on the wire rise strictly."""
    subscription = stage.broadcast.subscribe("H264")
    await stage.publish(2)
    await stage.broadcast.publish(frame(9), 9, STEP)
    await stage.publish(1)
    assert [packet.pts for packet in await take(subscription, 3)] == [STEP, 2 * STEP, 3 * STEP]


async def test_a_lower_frame_rate_is_noticed(stage: Stage) -> None:
    """A run of longer steps makes the encoder count on that rate, at the price of a keyframe."""
    subscription = stage.broadcast.subscribe("VP8")
    await stage.publish(1)
    packets = await take(subscription)
    for number in range(1, 12):
        await stage.broadcast.publish(frame(number), number, STEP + number * 2 * STEP)
        packets += await take(subscription)
    assert [packet.is_keyframe for packet in packets].count(True) == 2


async def test_the_rate_asked_for_is_bounded(stage: Stage) -> None:
    """A wish beyond the configured bounds gives the bound."""
    assert [stage.broadcast.set_bitrate(kbps) for kbps in (1, 1500, 10_000)] == [300, 1500, 4000]


async def test_closing_ends_every_subscription(stage: Stage) -> None:
    """A waiting reader is told, a later subscription is over at once, closing again does nothing."""
    subscription = stage.broadcast.subscribe("VP8")
    waiting = asyncio.create_task(subscription.next(), name="reader")
    await asyncio.sleep(0)
    await stage.broadcast.close()
    with pytest.raises(SubscriptionEnded):
        await waiting
    with pytest.raises(SubscriptionEnded):
        await stage.broadcast.subscribe("VP8").next()
    await stage.publish(1)
    await stage.broadcast.close()


@pytest.mark.parametrize("codec", CODECS)
async def test_who_joins_gets_a_keyframe_with_the_next_frame(stage: Stage, codec: Codec) -> None:
    """Someone who comes just after a keyframe does not wait for the spacing between two."""
    first = stage.broadcast.subscribe(codec)
    await stage.publish(2)
    second = stage.broadcast.subscribe(codec)
    await stage.publish(1)
    packets = await take(first, 3)
    assert [p.is_keyframe for p in packets] == [True, False, True]
    assert (await take(second, 1))[0].pts == packets[-1].pts


async def test_many_who_join_share_keyframes(stage: Stage) -> None:
    """A crowd that comes frame by frame costs two keyframes in half a second, and everyone is served after it."""
    crowd = [stage.broadcast.subscribe("VP8")]
    await stage.publish(1)
    for _ in range(7):
        crowd.append(stage.broadcast.subscribe("VP8"))
        await stage.publish(1)
    packets = await take(crowd[0], 8)
    assert [packet.is_keyframe for packet in packets] == [True, True, *[False] * 6]
    await asyncio.sleep(0.55)
    await stage.publish(1)
    assert all([(await take(late))[0].is_keyframe for late in crowd[2:]])


async def test_a_viewer_asks_for_keyframes_at_its_own_pace(stage: Stage) -> None:
    """Its second request within two seconds waits, and is not forgotten; a director's does not wait."""
    viewer, director = stage.broadcast.subscribe("VP8", is_viewer=True), stage.broadcast.subscribe("VP8")
    await stage.publish(1)
    for subscription in (viewer, viewer, director):
        await asyncio.sleep(0.55)
        subscription.request_keyframe()
        await stage.publish(1)
    seen = [packet.is_keyframe for packet in await take(viewer, 4)]
    assert seen == [True, True, False, True]
    loop = asyncio.get_running_loop()
    assert viewer._request is not None
    assert 0.5 < viewer._request.when() - loop.time() <= 2
    viewer._request_now()
    await asyncio.sleep(0.55)
    await stage.publish(1)
    assert (await take(viewer))[0].is_keyframe


async def test_one_viewers_loss_does_not_lower_what_others_get(stage: Stage) -> None:
    """Of three viewers one may lose everything: the rate stays; when all do, it falls."""
    viewers = [stage.broadcast.subscribe("VP8", is_viewer=True) for _ in range(3)]
    await asyncio.sleep(1.05)
    viewers[0].report_loss(0.9)
    assert stage.broadcast._control.target == 1000
    for viewer in viewers:
        viewer.report_loss(0.9)
    assert stage.broadcast._control.target == 750
    for viewer in viewers:
        viewer.close()
        viewer.report_loss(0.9)
    assert stage.broadcast._control.target == 1000


async def test_who_does_not_read_holds_up_nobody(stage: Stage) -> None:
    """Fifty viewers that never take a packet cost the one who does nothing: no more than a few frames are kept."""
    dead = [stage.broadcast.subscribe("VP8", is_viewer=True) for _ in range(50)]
    reader = stage.broadcast.subscribe("VP8")
    began = asyncio.get_running_loop().time()
    for _ in range(20):
        await stage.publish(1)
        await take(reader)
    assert asyncio.get_running_loop().time() - began < 2
    assert all(len(viewer._packets) <= QUEUE_FRAMES for viewer in dead)


async def test_who_may_miss_nothing_gets_all(stage: Stage) -> None:
    """A lossless subscription keeps what others would throw away, in order, and has no part in the rate."""
    whole = stage.broadcast.subscribe("H264", lossless=True)
    await stage.publish(3 * QUEUE_FRAMES)
    packets = await take(whole, 3 * QUEUE_FRAMES)
    assert [packet.pts for packet in packets] == [STEP * n for n in range(1, 3 * QUEUE_FRAMES + 1)]
    assert packets[0].size == (64, 48)
    assert not stage.broadcast._control._links


@pytest.mark.parametrize(("bound", "most", "packets"), [("LOSSLESS_S", 0.5, 9), ("LOSSLESS_BYTES", 30_000, 50)])
async def test_what_is_kept_for_one_reader_is_bounded(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, bound: str, most: float, packets: int
) -> None:
    """Seconds and bytes have an end: then the reader is told that it did not keep up, and nothing is kept."""
    monkeypatch.setattr(f"stream.subscription.{bound}", most)
    whole, other = stage.broadcast.subscribe("H264", lossless=True), stage.broadcast.subscribe("H264")
    kept, kept_bytes = 0, 0
    for _ in range(60):
        await stage.publish(1)
        await take(other)
        kept, kept_bytes = max(kept, len(whole._packets)), max(kept_bytes, whole._waiting_bytes)
    assert 3 < kept <= packets
    assert bound == "LOSSLESS_S" or kept_bytes <= most
    assert whole._waiting_bytes == 0
    with pytest.raises(Overrun):
        await whole.next()
    again = stage.broadcast.subscribe("H264", lossless=True)
    await stage.publish(2)
    assert (await take(again, 2))[0].is_keyframe


async def test_the_frame_on_air_is_the_last_one_published(stage: Stage) -> None:
    """Also while nobody watches; none before the first, and none when it is over."""
    assert stage.broadcast.last_frame is None
    await stage.publish(2)
    last = stage.broadcast.last_frame
    assert last is not None
    assert np.array_equal(last, frame(1))
    await stage.broadcast.close()
    assert stage.broadcast.last_frame is None


async def test_a_narrow_link_gets_fewer_frames_and_no_backlog(stage: Stage) -> None:
    """What is encoded beyond the rate aimed at is made up for by leaving frames out before they are encoded."""
    director = stage.broadcast.subscribe("H264")
    link = stage.broadcast._control._links[id(director)]
    link.rate = 60.0
    sizes: list[int] = []
    for _ in range(64):
        await stage.publish(1)
        sizes += [packet.encoded.size for packet in await take_all(director)]
    assert 8 < len(sizes) < 64
    assert (sum(sizes) - max(sizes)) * 8 / 1000 / 4 < 60 * 1.1
    link.rate = 1000.0
    await stage.publish(4)
    assert len(await take_all(director)) == 4


async def take_all(subscription: Subscription) -> list[VideoPacket]:
    """Take what waits."""
    return [await subscription.next() for _ in range(len(subscription._packets))]
