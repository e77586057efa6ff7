"""What aiortc pulls: one track per peer, all fed by the stream's one encoder."""

from collections.abc import Callable

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from stream.broadcast import Subscription, SubscriptionEnded
from stream.encoder import EncodedPacket


class PlayoutTrack(MediaStreamTrack):
    """A video track of encoded packets, which aiortc sends as they are, without encoding again.

    It subscribes when the first packet is asked for, which is when the peer has connected: what it gets then
    is a keyframe of that moment, and no packet waited for the handshake.
    """

    kind = "video"

    def __init__(self, subscribe: Callable[[], Subscription]) -> None:
        super().__init__()
        self._subscribe = subscribe
        self.subscription: Subscription | None = None
        self.last_pts: int | None = None

    async def recv(self) -> EncodedPacket:
        """Wait for the next packet, ``pts`` in 1/90000 s. Raises MediaStreamError when the video has ended.

        ``last_pts`` is the PTS of the packet given last: the one being sent while no next one is asked for.
        """
        if self.readyState != "live":
            raise MediaStreamError
        if self.subscription is None:
            self.subscription = self._subscribe()
        try:
            packet = await self.subscription.next()
        except SubscriptionEnded as error:
            self.stop()
            raise MediaStreamError from error
        self.last_pts = packet.pts
        return packet

    def stop(self) -> None:
        """End the track and leave the broadcast; idempotent."""
        if self.subscription is not None:
            self.subscription.close()
        super().stop()
