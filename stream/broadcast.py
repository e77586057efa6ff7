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
from stream.encoder import Codec, StreamEncoder, YuvConverter, create_encoder
from stream.pacing import Backlog
from stream.packetizer import Packetizer, create_packetizer
from stream.subscription import Subscription, VideoPacket

logger = logging.getLogger(__name__)

KEYFRAME_SPACING_S = 0.5
# Long enough that a frame merely late is not taken for a freeze, short enough for one who joins a pause.
QUIET_FRAMES = Fraction(5, 2)
KEEP_ALIVE_S = 1.0
KEYFRAME_BURST = 2
NEVER = float("-inf")
METER_S = 2.0
# What is encoded beyond the rate aimed at waits at the narrowest link, so no more of it is made meanwhile: an encoder
# takes a while to follow a fall, and a keyframe is many frames' worth. Seconds that it takes to send it.
BACKLOG_S = 0.25
RATE_STEPS = 8

MakeEncoder = Callable[[Codec, Fraction, int, int], StreamEncoder]


@dataclass(slots=True)
class _Feed:
    encoder: StreamEncoder
    packetizer: Packetizer
    subscriptions: set[Subscription] = field(default_factory=set[Subscription])
    keyframe_wanted: bool = True
    joined: bool = False
    """Whether someone came since the last keyframe: who joins need not wait for the spacing, unless many do."""
    keyframes: deque[float] = field(default_factory=lambda: deque([NEVER] * KEYFRAME_BURST, KEYFRAME_BURST))
    """When the last ones were sent, the oldest first."""
    backlog: Backlog = field(default_factory=Backlog)
    sent: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])


class Broadcast:
    """Encodes a stream's frames as they fall due and hands the packets to its subscriptions.

    Encoding runs in a thread of its own; everything else on the event loop that made it. ``take_slot``
    gives the PTS for the last frame sent again while no new one comes; ``make_encoder`` is called as
    :func:`stream.encoder.create_encoder` is.
    """

    def __init__(
        self,
        stream_id: str,
        take_slot: Callable[[], int],
        fps: Fraction,
        bounds: BitrateBounds,
        make_encoder: MakeEncoder = create_encoder,
    ) -> None:
        self._id = stream_id
        self._take_slot = take_slot
        self._fps = fps
        self._bounds = bounds
        self._make_encoder = make_encoder
        self._loop = asyncio.get_running_loop()
        self._control = BitrateControl(bounds)
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

    @property
    def last_frame(self) -> Pixels | None:
        """The frame on air, ``uint8 [H, W, 3]`` RGB, not to be changed; None before the first, and when closed."""
        return self._last

    def subscribe(self, codec: Codec, is_viewer: bool = False, lossless: bool = False) -> Subscription:
        """Add a receiver; its first packet is a keyframe, at once also while the video is frozen.

        One that is ``lossless`` reports nothing of its link, so it has no part in the rate.
        """
        subscription = Subscription(self, codec, is_viewer, lossless)
        if self._closed:
            subscription.close()
            return subscription
        feed = self._feeds.get(codec)
        if feed is None:
            encoder = self._make_encoder(codec, self._fps, self._control.target, self._bounds.ceiling)
            feed = self._feeds[codec] = _Feed(encoder, create_packetizer(codec))
        feed.subscriptions.add(subscription)
        if not lossless:
            subscription.link = self._control.join(id(subscription), is_viewer, self._loop.time())
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
        """Make the next frame of this codec a keyframe; requests within half a second share one.

        Who joins is served at once, but no more than two keyframes are made in half a second for it.
        """
        if feed := self._feeds.get(codec):
            feed.keyframe_wanted = True
            self._wake.set()

    def set_bitrate(self, kbps: int) -> int:
        """Ask for a rate on the wire; gives the one in force, within the configured bounds."""
        return self._control.set_limit(kbps)

    def report_loss(self, subscription: Subscription, fraction: float) -> None:
        """Take the share of packets that a receiver missed of late."""
        self._control.report_loss(id(subscription), fraction, self._loop.time())

    def report_estimate(self, subscription: Subscription, kbps: int) -> None:
        """Take a receiver's own estimate of its link."""
        self._control.report_estimate(id(subscription), kbps, self.measured_kbps())

    @property
    def target_kbps(self) -> int:
        """The rate aimed at now, on the wire."""
        return self._control.target

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
        target = self._control.target
        feeds: dict[Codec, _Feed] = {}
        for codec, feed in self._feeds.items():
            backlog_s = feed.backlog.seconds(target, pts / VIDEO_CLOCK_HZ)
            if backlog_s <= BACKLOG_S or target >= self._control.limit:
                feeds[codec] = feed
        if not feeds:
            return
        keyframes: dict[Codec, bool] = {}
        for codec, feed in feeds.items():
            feed.encoder.set_bitrate(target)
            since = feed.keyframes[0 if feed.joined else -1]
            keyframes[codec] = feed.keyframe_wanted and now - since >= KEYFRAME_SPACING_S
            if keyframes[codec]:
                feed.joined = False
                # Before the encode, so that a request made meanwhile asks for another one.
                feed.keyframe_wanted = False
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"encode-{self._id}")
        packets = await self._loop.run_in_executor(
            self._thread, _encode_all, self._converter, feeds, frame, pts, keyframes
        )
        for codec, packet in packets.items():
            self._distribute(feeds[codec], packet)

    def _distribute(self, feed: _Feed, packet: VideoPacket) -> None:
        now = self._loop.time()
        if packet.is_keyframe:
            feed.keyframes.append(now)
        feed.sent.append((now, packet.encoded.size))
        feed.backlog.add(packet.encoded.size)
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
        waiting = [feed.keyframes[-1] for feed in self._feeds.values() if feed.keyframe_wanted]
        if waiting:
            quiet = self._last_sent + float(QUIET_FRAMES / self._fps)
            return max(quiet, min(waiting) + KEYFRAME_SPACING_S)
        return self._last_sent + KEEP_ALIVE_S


def _encode_all(
    converter: YuvConverter,
    feeds: dict[Codec, _Feed],
    frame: Pixels,
    pts: int,
    keyframes: dict[Codec, bool],
) -> dict[Codec, VideoPacket]:
    picture = converter.convert(frame)
    packets: dict[Codec, VideoPacket] = {}
    for codec, feed in feeds.items():
        encoded = feed.encoder.encode(picture, pts, keyframes[codec])
        if encoded is not None:
            payloads, size = feed.packetizer.payloads(encoded), (picture.width, picture.height)
            packets[codec] = VideoPacket(pts, encoded.is_keyframe, encoded, payloads, size)
    return packets
