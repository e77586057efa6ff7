"""Receiving a publisher's video: decoded off the event loop by aiortc, and of it only the newest frame is kept."""

import asyncio
import logging
import queue
from collections.abc import Callable
from typing import Any

from aiortc import MediaStreamTrack, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from stream.link import UNANSWERABLE, Link, LinkEvents, LinkSettings
from stream.sdp import Offer, Unacceptable, finish_answer

logger = logging.getLogger(__name__)

# A decoder that is so many frames behind, half a second or so, never catches up by itself.
BACKLOG_FRAMES = 16
# Publishers answer a request within a frame or two; OBS does not, and sends a keyframe every second or two anyway.
KEYFRAME_WAIT_S = 1.0
H264_IDR, H264_SPS = 5, 7
START_CODE = b"\x00\x00\x01"


class DecodeQueue(queue.Queue[Any]):
    """Takes the place of the queue before aiortc's decoder, which would grow without end.

    What comes before the first keyframe is left out, and when too much waits, all until the next one: a decoder
    makes nothing of it. ``wanted`` is called when a keyframe is missed.
    """

    def __init__(self, wanted: Callable[[], None]) -> None:
        super().__init__()
        self._wanted = wanted
        self.needs_keyframe = True

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Queue a (codec, frame), or the None that ends the decoder; never blocks."""
        if item is not None:
            codec, frame = item
            if self.qsize() >= BACKLOG_FRAMES:
                self.needs_keyframe = True
            elif self.needs_keyframe and is_keyframe(codec.name, frame.data):
                self.needs_keyframe = False
            if self.needs_keyframe:
                self._wanted()
                return
        super().put(item, block, timeout)


def is_keyframe(codec: str, data: bytes) -> bool:
    """Tell whether a whole frame begins a picture anew (RFC 7741 section 4.3; H.264 NAL units with start codes).

    >>> is_keyframe("VP8", b"\\x10"), is_keyframe("VP8", b"\\x11"), is_keyframe("H264", b"\\0\\0\\0\\1\\x65\\x88")
    (True, False, True)
    """
    if codec.upper() == "VP8":
        return bool(data) and not data[0] & 1
    at = data.find(START_CODE)
    while 0 <= at < len(data) - len(START_CODE):
        if data[at + len(START_CODE)] & 0x1F in (H264_IDR, H264_SPS):
            return True
        at = data.find(START_CODE, at + len(START_CODE))
    return False


class IngestLink(Link):
    """Answers one publisher's offer and keeps the newest frame of its video; audio is thrown away unread.

    ``changed`` is called with the first frame and whenever the size of the frames changes.
    """

    def __init__(self, settings: LinkSettings, events: LinkEvents, changed: Callable[[], None]) -> None:
        super().__init__(settings, events)
        self.newest: VideoFrame | None = None
        self._changed = changed
        self._receiver: RTCRtpReceiver | None = None
        self._reader: asyncio.Task[None] | None = None
        self._keyframe_timer: asyncio.TimerHandle | None = None

    async def answer(self, offer: Offer) -> str:
        """Answer an offer with all candidates. Raises Unacceptable when aiortc can't; the link is to be closed then."""
        try:
            answer = await self._answer(offer)
        except UNANSWERABLE as error:
            logger.info("offer refused: %r", error)
            raise Unacceptable(f"The offer can't be answered: {error}.") from error
        self._await_connection()
        return answer

    async def _answer(self, offer: Offer) -> str:
        connection = self.connection
        connection.on("track", self._on_track)
        await connection.setRemoteDescription(RTCSessionDescription(sdp=offer.sdp, type="offer"))
        for transceiver in connection.getTransceivers():
            transceiver.direction = "recvonly"
            self._transport = transceiver.receiver.transport.transport
            if transceiver.kind == "video":
                self._watch(transceiver.receiver)
                continue
            transceiver.receiver._enabled = False
            # Too late for setCodecPreferences, and to make the transceiver before would fix its place in the bundle.
            transceiver._codecs = [codec for codec in transceiver._codecs if codec.name.lower() == "opus"]
        await connection.setLocalDescription(await connection.createAnswer())
        return finish_answer(connection.localDescription.sdp)

    async def close(self) -> None:
        """Free the connection and the last frame; idempotent; ``lost`` is not called any more."""
        self._over = True
        if self._keyframe_timer is not None:
            self._keyframe_timer.cancel()
        await super().close()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        self.newest = None

    def _watch(self, receiver: RTCRtpReceiver) -> None:
        self._receiver = receiver
        receiver._RTCRtpReceiver__decoder_queue = DecodeQueue(self._want_keyframe)  # pyright: ignore

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            self._reader = self._loop.create_task(self._read(track), name="ingest-video")

    async def _read(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                self._lose("its video has ended")
                return
            assert isinstance(frame, VideoFrame)
            known, self.newest = self.newest, frame
            if known is None or (known.width, known.height) != (frame.width, frame.height):
                self._changed()

    def _want_keyframe(self) -> None:
        """Ask for a keyframe by PLI, now and then until one comes."""
        if self._keyframe_timer is None and not self._over:
            self._keyframe_timer = self._loop.call_later(KEYFRAME_WAIT_S, self._may_ask_again)
            task = self._loop.create_task(self._ask(), name="ingest-pli")
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _may_ask_again(self) -> None:
        self._keyframe_timer = None

    async def _ask(self) -> None:
        receiver = self._receiver
        assert receiver is not None
        retransmitted: dict[int, int] = receiver._RTCRtpReceiver__rtx_ssrc  # pyright: ignore
        for source in receiver.getSynchronizationSources():
            if source.source not in retransmitted:
                await receiver._send_rtcp_pli(source.source)
