"""One receiver's share of a stream's encoded video, and what it says back."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from stream.encoder import Codec, EncodedPacket

QUEUE_FRAMES = 8
# A viewer whose link loses all the time would otherwise have everyone pay for a keyframe twice a second.
VIEWER_KEYFRAME_SPACING_S = 2.0


@dataclass(frozen=True, slots=True)
class VideoPacket:
    """One encoded frame as everyone gets it: whole, and in RTP payloads; ``pts`` in 1/90000 s."""

    pts: int
    is_keyframe: bool
    encoded: EncodedPacket
    payloads: list[bytes]


class SubscriptionEnded(Exception):
    """The broadcast was closed, or this subscription was."""


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

    def unsubscribe(self, subscription: "Subscription") -> None:
        """Take a receiver away; idempotent."""
        ...


class Subscription:
    """One peer's share of the packets: in order, from a keyframe on; when too slow, anew from another."""

    def __init__(self, broadcast: Distributor, codec: Codec, is_viewer: bool = False) -> None:
        self.codec: Codec = codec
        self.is_viewer = is_viewer
        self._broadcast = broadcast
        self._packets: deque[VideoPacket] = deque()
        self._ready = asyncio.Event()
        self._needs_keyframe = True
        self._requests_from = float("-inf")
        self._request: asyncio.TimerHandle | None = None
        self._closed = False

    async def next(self) -> VideoPacket:
        """Wait for the next packet. Raises SubscriptionEnded; one reader at a time."""
        while not self._packets:
            if self._closed:
                raise SubscriptionEnded
            self._ready.clear()
            await self._ready.wait()
        return self._packets.popleft()

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
        self._packets.clear()
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

    def close(self) -> None:
        """Leave; a waiting ``next`` raises. Idempotent."""
        if not self._closed:
            self._closed = True
            if self._request is not None:
                self._request.cancel()
            self._packets.clear()
            self._ready.set()
            self._broadcast.unsubscribe(self)

    def deliver(self, packet: VideoPacket) -> None:
        """Queue a packet; the broadcast calls this."""
        if self._needs_keyframe and not packet.is_keyframe:
            return
        if len(self._packets) >= QUEUE_FRAMES:
            # What waits is too old to be worth sending.
            self._packets.clear()
            if not packet.is_keyframe:
                self.resync()
                return
        self._needs_keyframe = False
        self._packets.append(packet)
        self._ready.set()
