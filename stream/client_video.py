"""The receiving end of a client's video: frames by their RTP timestamps, and when each came and was decoded."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import av
from aiortc import RTCRtpReceiver
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtpPacket

from stream.clock import Alarm

logger = logging.getLogger(__name__)

RTP_MODULO = 1 << 32
MAPPER = "_RTCRtpReceiver__timestamp_mapper"
FRAMES_WAITING = 64


def unwrap(timestamp: int, near: int) -> int:
    """Give an RTP timestamp without its wrap at 2^32: the value nearest to ``near`` (RFC 3550 section 5.1).

    >>> unwrap(5, near=2**32 - 10), unwrap(2**32 - 10, near=5)
    (4294967301, -10)
    """
    half = RTP_MODULO // 2
    return near + (timestamp - near + half) % RTP_MODULO - half


@dataclass(slots=True)
class Arrival:
    """The packets of one frame, times in seconds of the event loop.

    ``timestamp`` is unwrapped, in 1/90000 s. ``arrived`` is when the last packet came, a retransmitted one
    too; ``size`` is bytes of RTP payload. ``decoded`` is None until the frame was handed out, which aiortc
    does only after the first packet of the next frame came.
    """

    timestamp: int
    began: float
    arrived: float
    size: int
    decoded: float | None = None


class Arrivals:
    """Every frame that came, by its RTP timestamp."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._frames: dict[int, Arrival] = {}
        self._last = 0
        self._decoded: int | None = None

    def packet(self, timestamp: int, size: int) -> None:
        """Note a packet with this RTP timestamp and so many bytes of payload."""
        now = self._now()
        known = self._frames.get(timestamp)
        if known is not None:
            known.arrived = now
            known.size += size
            return
        self._last = unwrap(timestamp, self._last) if self._frames else timestamp
        self._frames[timestamp] = Arrival(self._last, now, now, size)

    def decode(self, timestamp: int) -> Arrival | None:
        """Note that the frame of this RTP timestamp was decoded; None where no packet of it was seen."""
        arrival = self.find(timestamp)
        if arrival is not None and arrival.decoded is None:
            arrival.decoded = self._now()
            self._decoded = arrival.timestamp
        return arrival

    def missed(self, timestamp: int) -> bool:
        """Tell whether the video has gone on without the frame of this RTP timestamp, which will not come now."""
        found = self.find(timestamp)
        if self._decoded is None or (found is not None and found.decoded is not None):
            return False
        return unwrap(timestamp, self._decoded) < self._decoded

    def find(self, timestamp: int) -> Arrival | None:
        """Give the frame of an RTP timestamp, wrapped or not."""
        return self._frames.get(timestamp % RTP_MODULO)

    def all(self) -> list[Arrival]:
        """Give all frames in the order of their first packets."""
        return list(self._frames.values())


class _RtpTimestamps:
    """Stands in for aiortc's mapper: frames keep the sender's timestamps, unwrapped, as their ``pts``."""

    def __init__(self) -> None:
        self._last: int | None = None

    def map(self, timestamp: int) -> int:
        """Give the ``pts`` of the frame with this RTP timestamp."""
        self._last = timestamp if self._last is None else unwrap(timestamp, self._last)
        return self._last


def watch_packets(receiver: RTCRtpReceiver, arrivals: Arrivals, arrived: Callable[[], None]) -> None:
    """Note every video packet, and let decoded frames keep their RTP timestamps; ``arrived`` follows each packet.

    aiortc starts the ``pts`` of its frames at 0 and does not tell the origin; nor does it tell when a
    frame's packets came. To be removed when it does.
    """
    if MAPPER not in vars(receiver):
        raise RuntimeError(f"aiortc has no {MAPPER} any more; frames would lose their RTP timestamps")
    vars(receiver)[MAPPER] = _RtpTimestamps()
    handle = receiver._handle_rtp_packet

    async def handle_rtp_packet(packet: RtpPacket, arrival_time_ms: int) -> None:
        if packet.payload:
            arrivals.packet(packet.timestamp, len(packet.payload))
            arrived()
        await handle(packet, arrival_time_ms=arrival_time_ms)

    receiver._handle_rtp_packet = handle_rtp_packet


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """A decoded frame, whose ``pts`` is its RTP timestamp unwrapped; times as in :class:`Arrival`."""

    picture: av.VideoFrame
    rtp_timestamp: int
    arrived: float
    decoded: float


class VideoReceiver:
    """Takes the frames of one receiver as they come; ``alarm`` rings at every packet and frame, and at the end.

    ``on_frame`` is called on the loop with each frame, and must be quick.
    """

    def __init__(
        self, receiver: RTCRtpReceiver, alarm: Alarm, on_frame: Callable[[ReceivedFrame], None] | None
    ) -> None:
        self.arrivals = Arrivals(asyncio.get_running_loop().time)
        self.ended = False
        self.size = (0, 0)
        """Width and height of the last frame."""
        self._alarm = alarm
        self._on_frame = on_frame
        self._reader: asyncio.Task[None] | None = None
        self._queues: set[asyncio.Queue[ReceivedFrame]] = set()
        watch_packets(receiver, self.arrivals, alarm.ring)

    def read(self, track: MediaStreamTrack) -> None:
        """Take frames from this track until it ends or :meth:`close` is called."""
        self._reader = asyncio.create_task(self._read(track), name=f"client-video-{track.id}")
        self._reader.add_done_callback(lambda _: self._end())

    async def frames(self) -> AsyncIterator[ReceivedFrame]:
        """Give the frames from now on, until the video ends; the oldest of 64 that wait is dropped."""
        queue: asyncio.Queue[ReceivedFrame] = asyncio.Queue(FRAMES_WAITING)
        self._queues.add(queue)
        try:
            while True:
                while not queue.empty():
                    yield queue.get_nowait()
                if self.ended:
                    return
                await self._alarm.wait()
        finally:
            self._queues.discard(queue)

    async def close(self) -> None:
        """Take no more frames; idempotent. Raises what ``on_frame`` raised."""
        self._end()
        reader, self._reader = self._reader, None
        if reader is None:
            return
        reader.cancel()
        await asyncio.wait({reader})
        if not reader.cancelled():
            reader.result()

    def _end(self) -> None:
        self.ended = True
        self._alarm.ring()

    async def _read(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                picture = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(picture, av.VideoFrame)
            assert picture.pts is not None
            self.size = (picture.width, picture.height)
            arrival = self.arrivals.decode(picture.pts)
            if arrival is None or arrival.decoded is None:
                logger.warning("a frame of pts %s, of which no packet was seen", picture.pts)
                continue
            self._hand_on(ReceivedFrame(picture, picture.pts % RTP_MODULO, arrival.arrived, arrival.decoded))

    def _hand_on(self, frame: ReceivedFrame) -> None:
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(frame)
        if self._on_frame is not None:
            self._on_frame(frame)
        self._alarm.ring()
