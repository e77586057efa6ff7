"""A director's peer: its connection, its video, its control channel."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from aiortc import RTCDataChannel

from stream.broadcast import Broadcast
from stream.channel import ChannelLimits, ControlChannel
from stream.link import RTP_TIMESTAMP_MODULO, LinkEvents, LinkSettings, VideoLink
from stream.live import LiveStream, Message
from stream.parsing import dump
from stream.sdp import Offer
from stream.server_messages import goodbye_message

logger = logging.getLogger(__name__)

CHANNEL_LABEL = "control"
UNSENT_BYTES = 4 << 20
FLUSH_S = 0.5
# Between the last message's packet and the end of the association, which could overtake it.
LINGER_S = 0.05
# A message names a frame just published, so its packet is at most a handshake away.
ORIGIN_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class PeerSettings(LinkSettings):
    """What directors have in common besides: what they may send."""

    channel: ChannelLimits


class DirectorPeer:
    """One director's WebRTC peer; a :class:`stream.live.Director` towards its stream.

    Leaves its stream when the connection fails, is closed by either side, or nothing is heard of it for 5 s.
    """

    def __init__(
        self, live: LiveStream, broadcast: Broadcast, settings: PeerSettings, on_closed: Callable[[], None]
    ) -> None:
        self._live = live
        self._settings = settings
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._link = VideoLink(broadcast, settings, LinkEvents(self._on_lost, self._on_origin))
        self._link.connection.on("datachannel", self._on_channel)
        self._channel: RTCDataChannel | None = None
        self._server: asyncio.Task[None] | None = None
        self._origin: int | None = None
        self._held: deque[tuple[Message, int | None]] = deque()
        self._origin_timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    async def accept(self, offer: Offer) -> str:
        """Answer an offer and direct the stream from now on; gives the SDP of the answer.

        Raises StreamError ``bad_offer`` when aiortc can't answer it, ``wrong_state`` when the stream has
        ended; the peer is closed then.
        """
        accepted = False
        try:
            answer = await self._link.answer(offer)
            self._live.attach_director(self)
            accepted = True
            return answer
        finally:
            if not accepted:
                await self.close()

    def send(self, message: Message) -> None:
        """Send a message after those sent before; dropped in silence when the channel is not open."""
        if self._held:
            self._held.append((message, None))
        else:
            self._send_now(message)

    def send_at(self, message: Message, pts: int) -> None:
        """Send a message with the RTP timestamp that the frame of ``pts`` (1/90000 s) has on this video.

        Until the first video packet is out, it and all that follows wait.
        """
        if self._held or self._origin is None:
            self._held.append((message, pts))
            if self._origin_timer is None:
                self._origin_timer = self._loop.call_later(ORIGIN_WAIT_S, self._release)
        else:
            self._send_now(self._stamp(message, pts))

    def goodbye(self, reason: str) -> None:
        """Tell the client why, then close the peer; returns at once."""
        self._release()
        self._send_now(goodbye_message(reason))
        self._begin_close(flush=True)

    async def close(self) -> None:
        """Leave the stream and free the connection; idempotent; waits until it is done."""
        await asyncio.shield(self._begin_close())

    def _begin_close(self, flush: bool = False) -> "asyncio.Task[None]":
        if self._closing is None:
            name = f"peer-close-{self._live.id}"
            self._closing = self._loop.create_task(self._close(flush), name=name)
        return self._closing

    async def _close(self, flush: bool) -> None:
        if self._origin_timer is not None:
            self._origin_timer.cancel()
        self._live.detach_director(self)
        await self._stop_serving()
        if flush:
            await self._flush()
        await self._link.close()
        self._on_closed()
        logger.info("stream %s: a director left", self._live.id)

    async def _stop_serving(self) -> None:
        if self._server is not None:
            self._server.cancel()
            await asyncio.gather(self._server, return_exceptions=True)
            self._server = None

    async def _flush(self) -> None:
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return
        drained = asyncio.Event()
        channel.on("bufferedamountlow", drained.set)
        try:
            async with asyncio.timeout(FLUSH_S):
                if channel.bufferedAmount:
                    await drained.wait()
                await asyncio.sleep(LINGER_S)
        except TimeoutError:
            logger.debug("stream %s: a director did not take the last messages", self._live.id)

    def _on_lost(self, reason: str) -> None:
        logger.info("stream %s: a director is lost, %s", self._live.id, reason)
        self._begin_close()

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label != CHANNEL_LABEL or self._closing is not None:
            logger.debug("stream %s: data channel %r is of no use", self._live.id, channel.label)
            return
        if self._channel is not None and self._channel.readyState == "open":
            return
        control = ControlChannel(self._live, self, self._settings.channel)
        server = self._loop.create_task(control.run(), name=f"control-{self._live.id}")
        self._channel, self._server = channel, server

        def on_message(data: str | bytes) -> None:
            if not control.receive(data):
                logger.warning("stream %s: a director sends faster than it is served", self._live.id)
                self.goodbye("too_fast")

        channel.on("message", on_message)
        # What waited of it is dropped with it, an unfinished upload too; the stream and the video go on.
        channel.on("close", server.cancel)

    def _on_origin(self, origin: int) -> None:
        self._origin = origin
        self._release()

    def _release(self) -> None:
        if self._origin_timer is not None:
            self._origin_timer.cancel()
            self._origin_timer = None
        held, self._held = self._held, deque()
        for message, pts in held:
            self._send_now(message if pts is None else self._stamp(message, pts))

    def _stamp(self, message: Message, pts: int) -> Message:
        if self._origin is None:
            logger.warning("stream %s: %s without its RTP timestamp", self._live.id, message.get("type"))
            return message
        return {**message, "rtp_timestamp": (self._origin + pts) % RTP_TIMESTAMP_MODULO}

    def _send_now(self, message: Message) -> None:
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return
        channel.send(dump(message))
        if channel.bufferedAmount > UNSENT_BYTES:
            logger.warning("stream %s: a director takes no messages", self._live.id)
            self._begin_close()
