"""One WebRTC connection, whichever way its video goes, and the one that sends a stream to a receiver."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiortc import (
    InvalidStateError,
    RTCConfiguration,
    RTCIceCandidate,
    RTCIceTransport,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.codecs import get_capabilities
from aiortc.exceptions import InternalError, OperationError
from aiortc.sdp import SessionDescription

from stream.broadcast import Broadcast
from stream.dtls import accept_rsa
from stream.encoder import Codec
from stream.extensions import accept_extensions
from stream.feedback import FeedbackHandlers, watch_feedback
from stream.liveness import Liveness
from stream.sdp import UNREADABLE, Offer, Unacceptable, finish_answer
from stream.sender import VideoSender, VideoTrack
from stream.silence import SilentTrack
from stream.subscription import Subscription

logger = logging.getLogger(__name__)

RTP_TIMESTAMP_MODULO = 1 << 32

# RuntimeError is what a StopIteration becomes on its way out of a coroutine.
UNANSWERABLE = (*UNREADABLE, InvalidStateError, InternalError, OperationError, RuntimeError)


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What links have in common: how each is to connect, how long it may take."""

    configure: Callable[[], RTCConfiguration]
    handshake_timeout_s: float


@dataclass(frozen=True, slots=True)
class LinkEvents:
    """Whom to tell: the connection is over and why, once; the RTP timestamp of PTS 0, at the first packet."""

    lost: Callable[[str], None]
    origin: Callable[[int], None] = lambda origin: None
    connected: Callable[[], None] = lambda: None


class Link:
    """A connection that ends when either side closes it, does not connect in time, or falls silent.

    ``connection`` is aiortc's, for what else its owner wants to do with it before it is described.
    """

    def __init__(self, settings: LinkSettings, events: LinkEvents) -> None:
        self._settings = settings
        self._events = events
        self._loop = asyncio.get_running_loop()
        self.connection = RTCPeerConnection(settings.configure())
        accept_rsa(self.connection)
        self.connection.on("connectionstatechange", self._on_connection_state)
        self._transport: RTCIceTransport | None = None
        self._liveness: Liveness | None = None
        self._handshake_timer: asyncio.TimerHandle | None = None
        self._over = False

    async def add_candidates(self, candidates: Iterable[RTCIceCandidate]) -> None:
        """Try more addresses of the other side; does nothing once the link is over."""
        if self._transport is None or self._over:
            return
        for candidate in candidates:
            await self._transport.addRemoteCandidate(candidate)

    async def close(self) -> None:
        """Free the connection; idempotent; ``lost`` is not called any more."""
        self._over = True
        if self._handshake_timer is not None:
            self._handshake_timer.cancel()
        if self._liveness is not None:
            self._liveness.close()
        await self.connection.close()

    def _await_connection(self) -> None:
        self._handshake_timer = self._loop.call_later(self._settings.handshake_timeout_s, self._check_connected)

    def _on_connection_state(self) -> None:
        state = self.connection.connectionState
        if state == "connected" and not self._over:
            if self._handshake_timer is not None:
                self._handshake_timer.cancel()
            if self._liveness is None and self._transport is not None:
                self._liveness = Liveness(self._transport, lambda: self._lose("nothing is heard of it"))
                self._events.connected()
        elif state in ("failed", "closed"):
            self._lose(f"the connection is {state}")

    def _check_connected(self) -> None:
        if self.connection.connectionState != "connected":
            self._lose("it did not connect in time")

    def _lose(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._events.lost(reason)


class SendingLink(Link):
    """A link over which a stream's video goes out, whoever made the offer."""

    def __init__(self, broadcast: Broadcast, settings: LinkSettings, events: LinkEvents) -> None:
        super().__init__(settings, events)
        self._broadcast = broadcast
        self._video: VideoSender | None = None

    async def close(self) -> None:
        """End the video and free the connection; idempotent; ``lost`` is not called any more."""
        self._over = True
        if self._video is not None:
            self._video.close()
        await super().close()

    def _send_video(
        self, sender: RTCRtpSender, codec: Codec, is_viewer: bool, playout_delay_id: int | None = None
    ) -> None:
        def tell(report: Callable[[Subscription], None]) -> None:
            if video.subscription is not None:
                report(video.subscription)

        video = self._video = VideoSender(
            sender,
            lambda: self._broadcast.subscribe(codec, is_viewer),
            self._events.origin,
            lambda: self._lose("the stream has ended"),
        )
        video.playout_delay_id = playout_delay_id
        # The offer has made it final: one for all m-sections.
        self._transport = sender.transport.transport
        watch_feedback(
            sender,
            FeedbackHandlers(
                keyframe=lambda: tell(lambda to: to.request_keyframe()),
                loss=lambda fraction: tell(lambda to: to.report_loss(fraction)),
                estimate_kbps=lambda kbps: tell(lambda to: to.report_estimate(kbps)),
                rtt=lambda seconds: tell(lambda to: to.report_rtt(seconds)),
                arrivals=video.report_arrivals,
            ),
        )


class VideoLink(SendingLink):
    """Answers one offer and sends the video to who made it, director or viewer."""

    async def answer(self, offer: Offer, is_viewer: bool = False) -> str:
        """Answer an offer with all candidates; a viewer that asks for audio gets silence, others no audio.

        Raises Unacceptable when aiortc can't answer it; the link is to be closed then.
        """
        try:
            answer = await self._answer(offer, is_viewer)
        except UNANSWERABLE as error:
            logger.info("offer refused: %r", error)
            raise Unacceptable(f"The offer can't be answered: {error}.") from error
        self._await_connection()
        return answer

    async def _answer(self, offer: Offer, is_viewer: bool) -> str:
        connection = self.connection
        video = connection.addTransceiver(VideoTrack(), direction="sendonly")
        sending = {video}
        if is_viewer and offer.wants_audio:
            audio = connection.addTransceiver(SilentTrack(), direction="sendonly")
            audio.setCodecPreferences([c for c in get_capabilities("audio").codecs if c.mimeType == "audio/opus"])
            sending.add(audio)
        await connection.setRemoteDescription(RTCSessionDescription(sdp=offer.sdp, type="offer"))
        for transceiver in connection.getTransceivers():
            if transceiver not in sending:
                transceiver.direction = "inactive"
        offered = SessionDescription.parse(offer.sdp).media
        playout_delay_id = accept_extensions(video, next(media for media in offered if media.kind == "video"))
        self._send_video(video.sender, offer.codec, is_viewer, playout_delay_id)
        await connection.setLocalDescription(await connection.createAnswer())
        return finish_answer(connection.localDescription.sdp)
