"""One receiver's share of a stream's encoded video, and what it says back."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from stream.bandwidth import Probe
from stream.clock import VIDEO_CLOCK_HZ
from stream.congestion import Link
from stream.encoder import Codec, EncodedPacket
from stream.twcc import PacketResult

QUEUE_FRAMES = 8
# A viewer whose link loses all the time would otherwise have everyone pay for a keyframe twice a second.
VIEWER_KEYFRAME_SPACING_S = 2.0
# How far one that may miss nothing can be behind: more is a connection, or a disk, that does not keep up.
LOSSLESS_S = 5
OUTPACED_SHARE = 0.95
LOSSLESS_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class VideoPacket:
    """One encoded frame as everyone gets it: whole, and in RTP payloads.

    ``pts`` is in 1/90000 s, ``size`` the picture's (width, height).
    """

    pts: int
    is_keyframe: bool
    encoded: EncodedPacket
    payloads: list[bytes]
    size: tuple[int, int]


class SubscriptionEnded(Exception):
    """The broadcast was closed, or this subscription was."""


class Overrun(SubscriptionEnded):
    """A lossless subscription was ended because its reader did not keep up."""


class Distributor(Protocol):
    """What a subscription is of: :class:`stream.broadcast.Broadcast`."""

    def request_keyframe(self, codec: Codec) -> None:
        """Make the next frame of this codec a keyframe, as soon as their spacing allows."""
        ...

    def report_loss(self, subscription: "Subscription", fraction: float) -> None:
        """Take the share of packets, 0 to 1, that a receiver missed of late."""
        ...

    def report_estimate(self, subscription: "Subscription", kbps: int) -> None:
        """Take a receiver's own estimate of its link."""
        ...

    @property
    def target_kbps(self) -> int:
        """The rate encoded at."""
        ...

    def unsubscribe(self, subscription: "Subscription") -> None:
        """Take a receiver away; idempotent."""
        ...


class Subscription:
    """One receiver's share of the packets: in order, from a keyframe on; when too slow, anew from another.

    One that is ``lossless`` misses none, and is ended when more than :data:`LOSSLESS_S` or
    :data:`LOSSLESS_BYTES` of them wait.
    """

    def __init__(self, broadcast: Distributor, codec: Codec, is_viewer: bool = False, lossless: bool = False) -> None:
        self.codec: Codec = codec
        self.is_viewer = is_viewer
        self.lossless = lossless
        self.link: Link | None = None
        """What is known of the receiver's link; None for one that reports nothing. The broadcast sets it."""
        self._broadcast = broadcast
        self._packets: deque[VideoPacket] = deque()
        self._waiting_bytes = 0
        self._overrun = False
        self._ready = asyncio.Event()
        self._needs_keyframe = True
        self._requests_from = float("-inf")
        self._request: asyncio.TimerHandle | None = None
        self._closed = False

    async def next(self) -> VideoPacket:
        """Wait for the next packet. Raises SubscriptionEnded, or Overrun; one reader at a time."""
        while not self._packets:
            if self._closed:
                raise Overrun if self._overrun else SubscriptionEnded
            self._ready.clear()
            await self._ready.wait()
        packet = self._packets.popleft()
        self._waiting_bytes -= packet.encoded.size
        return packet

    def request_keyframe(self) -> None:
        """Ask for a keyframe, as a receiver's PLI or FIR does; a viewer's next one waits until 2 s later."""
        if self._closed or self._request is not None:
            return
        loop = asyncio.get_running_loop()
        if self.is_viewer and loop.time() < self._requests_from:
            self._request = loop.call_at(self._requests_from, self._request_now)
        else:
            self._request_now()

    def _request_now(self) -> None:
        self._request = None
        self._requests_from = asyncio.get_running_loop().time() + VIEWER_KEYFRAME_SPACING_S
        self._broadcast.request_keyframe(self.codec)

    def resync(self) -> None:
        """Go on from a new keyframe: after a gap nothing else can be decoded."""
        self._clear()
        self._needs_keyframe = True
        self.request_keyframe()

    def report_loss(self, fraction: float) -> None:
        """Pass on the share of packets, 0 to 1, that the receiver missed of late."""
        if not self._closed:
            self._broadcast.report_loss(self, fraction)

    def report_estimate(self, kbps: int) -> None:
        """Pass on the receiver's own estimate of what its link takes."""
        if not self._closed:
            self._broadcast.report_estimate(self, kbps)

    def report_arrivals(self, results: Sequence[PacketResult]) -> None:
        """Take when packets arrived, by the clock of the event loop and the receiver's."""
        if self.link is not None:
            self.link.report_arrivals(results, asyncio.get_running_loop().time())

    def report_rtt(self, seconds: float) -> None:
        """Take a round trip, as a receiver report tells of it."""
        if self.link is not None:
            self.link.report_rtt(seconds)

    @property
    def link_kbps(self) -> float:
        """The rate that the receiver's link takes."""
        return inf if self.link is None else self.link.rate

    @property
    def is_outpaced(self) -> bool:
        """Whether more is encoded than the receiver's link takes."""
        return self.link_kbps < OUTPACED_SHARE * self._broadcast.target_kbps

    @property
    def link_is_free(self) -> bool:
        """Whether packets are seen to pass the link as fast as they are sent."""
        return self.link is not None and self.link.is_free

    @property
    def link_rtt(self) -> float:
        """The link's round trip in seconds."""
        return 0.0 if self.link is None else self.link.rtt

    def is_probing(self, probe: Probe) -> bool:
        """Tell whether a probe is still to go on."""
        return self.link is not None and self.link.is_probing(probe)

    def next_probe(self) -> Probe | None:
        """Give the probe of the link that is to begin now, if one is due."""
        return None if self.link is None else self.link.next_probe(asyncio.get_running_loop().time())

    def close(self) -> None:
        """Leave; ``next`` raises, of one that is lossless when what waits has been taken. Idempotent."""
        if not self._closed:
            self._closed = True
            if self._request is not None:
                self._request.cancel()
            if not self.lossless or self._overrun:
                self._clear()
            self._ready.set()
            self._broadcast.unsubscribe(self)

    def deliver(self, packet: VideoPacket) -> None:
        """Queue a packet; the broadcast calls this."""
        if self._needs_keyframe and not packet.is_keyframe:
            return
        if self.lossless:
            if self._is_behind(packet):
                self._overrun = True
                self.close()
                return
        elif len(self._packets) >= QUEUE_FRAMES:
            # What waits is too old to be worth sending.
            self._clear()
            if not packet.is_keyframe:
                self.resync()
                return
        self._needs_keyframe = False
        self._packets.append(packet)
        self._waiting_bytes += packet.encoded.size
        self._ready.set()

    def _is_behind(self, packet: VideoPacket) -> bool:
        if not self._packets:
            return False
        waited = packet.pts - self._packets[0].pts
        return waited > LOSSLESS_S * VIDEO_CLOCK_HZ or self._waiting_bytes + packet.encoded.size > LOSSLESS_BYTES

    def _clear(self) -> None:
        self._packets.clear()
        self._waiting_bytes = 0
