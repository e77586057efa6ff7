"""One encode per stream and codec, packets for everyone who watches."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction

from av.error import FFmpegError

from pipeline.types import Pixels
from stream.clock import VIDEO_CLOCK_HZ
from stream.congestion import BitrateBounds, BitrateControl
from stream.encoder import Codec, EncodedPacket, StreamEncoder, YuvConverter, create_encoder

logger = logging.getLogger(__name__)

QUEUE_FRAMES = 8
KEYFRAME_SPACING_S = 0.5
# Long enough that a frame merely late is not taken for a freeze, short enough for one who joins a pause.
QUIET_FRAMES = Fraction(5, 2)
KEEP_ALIVE_S = 1.0
METER_S = 2.0
RATE_STEPS = 8


class SubscriptionEnded(Exception):
    """The broadcast was closed, or this subscription was."""


class Subscription:
    """One peer's share of the packets: in order, from a keyframe on; when too slow, anew from another."""

    def __init__(self, broadcast: "Broadcast", codec: Codec, is_viewer: bool = False) -> None:
        self.codec: Codec = codec
        self.is_viewer = is_viewer
        self._broadcast = broadcast
        self._packets: deque[EncodedPacket] = deque()
        self._ready = asyncio.Event()
        self._needs_keyframe = True
        self._closed = False

    async def next(self) -> EncodedPacket:
        """Wait for the next packet, ``pts`` in 1/90000 s. Raises SubscriptionEnded; one reader at a time."""
        while not self._packets:
            if self._closed:
                raise SubscriptionEnded
            self._ready.clear()
            await self._ready.wait()
        return self._packets.popleft()

    def request_keyframe(self) -> None:
        """Ask for a keyframe, as a receiver's PLI or FIR does."""
        if not self._closed:
            self._broadcast.request_keyframe(self.codec)

    def report_loss(self, fraction: float) -> None:
        """Pass on the share of packets, 0 to 1, that the receiver missed of late."""
        self._broadcast.report_loss(fraction)

    def report_estimate(self, kbps: int) -> None:
        """Pass on the receiver's own estimate of what its link takes."""
        if not self._closed:
            self._broadcast.report_estimate(self, kbps)

    def close(self) -> None:
        """Leave; a waiting ``next`` raises. Idempotent."""
        if not self._closed:
            self._closed = True
            self._packets.clear()
            self._ready.set()
            self._broadcast.unsubscribe(self)

    def deliver(self, packet: EncodedPacket) -> None:
        """Queue a packet; the broadcast calls this."""
        if self._needs_keyframe and not packet.is_keyframe:
            return
        if len(self._packets) >= QUEUE_FRAMES:
            # What waits is too old to be worth sending, and nothing after a gap can be decoded.
            self._packets.clear()
            self._needs_keyframe = not packet.is_keyframe
            if self._needs_keyframe:
                self.request_keyframe()
                return
        self._needs_keyframe = False
        self._packets.append(packet)
        self._ready.set()


@dataclass(slots=True)
class _Feed:
    encoder: StreamEncoder
    subscriptions: set[Subscription] = field(default_factory=set[Subscription])
    keyframe_wanted: bool = True
    joined: bool = False
    """Whether someone came since the last keyframe: who joins is not made to wait for the spacing."""
    last_keyframe: float = float("-inf")
    sent: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])


class Broadcast:
    """Encodes a stream's frames as they fall due and hands the packets to its subscriptions.

    Encoding runs in a thread of its own; everything else on the event loop that made it. ``take_slot``
    gives the PTS for the last frame sent again while no new one comes.
    """

    def __init__(self, stream_id: str, take_slot: Callable[[], int], fps: Fraction, bounds: BitrateBounds) -> None:
        self._id = stream_id
        self._take_slot = take_slot
        self._fps = fps
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._control = BitrateControl(bounds, self._loop.time())
        self._feeds: dict[Codec, _Feed] = {}
        self._converter = YuvConverter()
        self._thread: ThreadPoolExecutor | None = None
        self._turn = asyncio.Lock()
        self._publishing = 0
        self._last: Pixels | None = None
        self._last_pts = -1
        self._last_sent = float("-inf")
        self._steps: deque[int] = deque(maxlen=RATE_STEPS)
        self._wake = asyncio.Event()
        self._refresher: asyncio.Task[None] | None = None
        self._closed = False

    async def publish(self, frame: Pixels, frame_index: int, pts: int) -> None:
        """Encode one frame and queue its packets; returns when they are on their way.

        ``frame`` is ``uint8 [H, W, 3]`` RGB and must not change afterwards; ``pts`` is in 1/90000 s and
        rises strictly. Raises av.error.FFmpegError when an encoder breaks.
        """
        if self._closed:
            return
        logger.debug("stream %s: frame %s at pts %s", self._id, frame_index, pts)
        self._publishing += 1
        try:
            async with self._turn:
                if self._last is not None:
                    self._note_step(pts - self._last_pts)
                self._last = frame
                await self._encode(frame, pts)
        finally:
            self._publishing -= 1

    def subscribe(self, codec: Codec, is_viewer: bool = False) -> Subscription:
        """Add a receiver; its first packet is a keyframe, at once also while the video is frozen."""
        subscription = Subscription(self, codec, is_viewer)
        if self._closed:
            subscription.close()
            return subscription
        feed = self._feeds.get(codec)
        if feed is None:
            encoder = create_encoder(codec, self._fps, self._control.target, self._bounds.ceiling)
            feed = self._feeds[codec] = _Feed(encoder)
        feed.subscriptions.add(subscription)
        if self._refresher is None:
            self._refresher = self._loop.create_task(self._refresh(), name=f"broadcast-{self._id}")
        feed.joined = True
        self.request_keyframe(codec)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Take a receiver away; the last one of a codec takes its encoder along. Idempotent."""
        self._control.forget(id(subscription))
        feed = self._feeds.get(subscription.codec)
        if feed is not None:
            feed.subscriptions.discard(subscription)
            if not feed.subscriptions:
                del self._feeds[subscription.codec]

    def request_keyframe(self, codec: Codec) -> None:
        """Make the next frame of this codec a keyframe; requests within half a second share one."""
        if feed := self._feeds.get(codec):
            feed.keyframe_wanted = True
            self._wake.set()

    def set_bitrate(self, kbps: int) -> int:
        """Ask for a rate on the wire; gives the one in force, within the configured bounds."""
        return self._control.set_limit(kbps)

    def report_loss(self, fraction: float) -> None:
        """Take the share of packets that a receiver missed of late."""
        self._control.report_loss(fraction, self._loop.time())

    def report_estimate(self, subscription: Subscription, kbps: int) -> None:
        """Take a receiver's own estimate of its link."""
        self._control.report_estimate(id(subscription), kbps, self.measured_kbps())

    def measured_kbps(self) -> int:
        """Tell the rate encoded over the last two seconds, of the codec that took most; 0 while unwatched."""
        since = self._loop.time() - METER_S
        sums = [sum(size for at, size in feed.sent if at >= since) for feed in self._feeds.values()]
        return round(max(sums, default=0) * 8 / 1000 / METER_S)

    async def close(self) -> None:
        """End every subscription and free the encoders; idempotent."""
        self._closed = True
        for feed in list(self._feeds.values()):
            for subscription in list(feed.subscriptions):
                subscription.close()
        self._last = None
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.gather(self._refresher, return_exceptions=True)
            self._refresher = None
        if self._thread is not None:
            async with self._turn:
                self._thread.shutdown(wait=False)
                self._thread = None

    async def _encode(self, frame: Pixels, pts: int) -> None:
        self._last_sent = now = self._loop.time()
        if pts <= self._last_pts:
            logger.warning("stream %s: pts %s after %s, frame left out", self._id, pts, self._last_pts)
            return
        self._last_pts = pts
        feeds = dict(self._feeds)
        if not feeds:
            return
        keyframes: dict[Codec, bool] = {}
        for codec, feed in feeds.items():
            feed.encoder.set_bitrate(self._control.target)
            spaced = feed.joined or now - feed.last_keyframe >= KEYFRAME_SPACING_S
            keyframes[codec] = feed.keyframe_wanted and spaced
            if keyframes[codec]:
                feed.joined = False
                # Before the encode, so that a request made meanwhile asks for another one.
                feed.keyframe_wanted = False
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"encode-{self._id}")
        encoders: dict[Codec, StreamEncoder] = {codec: feed.encoder for codec, feed in feeds.items()}
        packets = await self._loop.run_in_executor(
            self._thread, _encode_all, self._converter, encoders, frame, pts, keyframes
        )
        for codec, packet in packets.items():
            self._distribute(feeds[codec], packet)

    def _distribute(self, feed: _Feed, packet: EncodedPacket) -> None:
        now = self._loop.time()
        if packet.is_keyframe:
            feed.last_keyframe = now
        feed.sent.append((now, packet.size))
        while feed.sent[0][0] < now - METER_S:
            feed.sent.popleft()
        for subscription in list(feed.subscriptions):
            subscription.deliver(packet)

    def _note_step(self, step: int) -> None:
        # A held frame makes one long step; only a run of equal ones is another rate.
        self._steps.append(step)
        if len(self._steps) < RATE_STEPS or min(self._steps) <= 0 or max(self._steps) - min(self._steps) > 1:
            return
        fps = Fraction(VIDEO_CLOCK_HZ, max(self._steps))
        if abs(fps - self._fps) > self._fps / 20:
            logger.info("stream %s: encoding at %.4g frames/s", self._id, float(fps))
            self._fps = fps
            for feed in self._feeds.values():
                feed.encoder.set_rate(fps)

    async def _refresh(self) -> None:
        """Send the last frame again where no new one serves a waiting keyframe, or a receiver's patience."""
        while True:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_refresh()):
                    await self._wake.wait()
            async with self._turn:
                deadline = self._next_refresh()
                # A frame that waits for its turn serves better, and has taken its PTS already.
                if deadline is None or self._loop.time() < deadline or self._publishing:
                    continue
                await self._encode_last()

    async def _encode_last(self) -> None:
        assert self._last is not None
        try:
            await self._encode(self._last, self._take_slot())
        except FFmpegError:
            logger.exception("stream %s: the frozen frame could not be encoded", self._id)

    def _next_refresh(self) -> float | None:
        if self._last is None or not self._feeds:
            return None
        waiting = [feed.last_keyframe for feed in self._feeds.values() if feed.keyframe_wanted]
        if waiting:
            quiet = self._last_sent + float(QUIET_FRAMES / self._fps)
            return max(quiet, min(waiting) + KEYFRAME_SPACING_S)
        return self._last_sent + KEEP_ALIVE_S


def _encode_all(
    converter: YuvConverter,
    encoders: dict[Codec, StreamEncoder],
    frame: Pixels,
    pts: int,
    keyframes: dict[Codec, bool],
) -> dict[Codec, EncodedPacket]:
    picture = converter.convert(frame)
    packets: dict[Codec, EncodedPacket] = {}
    for codec, encoder in encoders.items():
        packet = encoder.encode(picture, pts, keyframes[codec])
        if packet is not None:
            packets[codec] = packet
    return packets
