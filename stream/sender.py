"""Sending encoded video to one receiver: the headers are its own, the payloads are everyone's.

aiortc's sender takes a frame apart for every peer, and builds each packet from objects: 0.7 ms of CPU for a frame at
1.5 Mbit/s and a viewer. Here a frame comes in payloads, and a packet is a header before one of them.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from struct import pack, pack_into
from typing import Any

from aioice.turn import TurnTransport
from aiortc import MediaStreamTrack, RTCRtpSender, clock
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import HeaderExtensions

from stream.subscription import Subscription, SubscriptionEnded, VideoPacket

logger = logging.getLogger(__name__)

VERSION_WITH_EXTENSION = 0x90
VERSION = 0x80
MARKER = 0x80
ABS_SEND_TIME_BYTES = 3
# What a receiver may still ask for again: 2 s at 16 frames/s, longer than any receiver waits.
HISTORY_FRAMES = 32
# Unsent beyond this, our own network is full, and a frame more would only come later.
UNSENT_BYTES = 256 << 10


class VideoTrack(MediaStreamTrack):
    """Stands for the video towards aiortc, which wants a track to negotiate; nothing is pulled from it."""

    kind = "video"

    async def recv(self) -> Any:
        """Never called: :class:`VideoSender` sends in its stead."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class _SentFrame:
    sequence: int
    timestamp: int
    payloads: list[bytes]


class VideoSender:
    """Sends what a subscription brings, in place of aiortc's own loop; RTCP stays aiortc's.

    Replaces ``_run_rtp`` and ``_retransmit`` of a sender that was not started. It subscribes when it is
    started, which is when the peer has connected: what it sends first is a keyframe of that moment. ``origin``
    is called with the RTP timestamp of PTS 0 when the first frame is out, ``ended`` when nothing more is sent.
    """

    def __init__(
        self,
        sender: RTCRtpSender,
        subscribe: Callable[[], Subscription],
        origin: Callable[[int], None],
        ended: Callable[[], None],
    ) -> None:
        self.subscription: Subscription | None = None
        self._sender = sender
        self._subscribe = subscribe
        self._tell_origin = origin
        self._tell_ended = ended
        self._origin = random.getrandbits(32)
        # In the lower half, so that the first wrap-around is not near, which SRTP receivers may miss.
        self._sequence = random.getrandbits(15)
        self._rtx_sequence = random.getrandbits(15)
        self._payload_type = 0
        self._extension = bytearray()
        self._send_time_at: int | None = None
        self._frames: deque[_SentFrame] = deque(maxlen=HISTORY_FRAMES)
        self._packets = self._octets = 0
        sender._run_rtp = self._run
        sender._retransmit = self._retransmit

    def close(self) -> None:
        """Leave the broadcast; idempotent."""
        if self.subscription is not None:
            self.subscription.close()

    async def _run(self, codec: RTCRtpCodecParameters) -> None:
        _set(self._sender, "rtp_started")
        assert codec.payloadType is not None
        self._payload_type = codec.payloadType
        self._prepare_extension()
        try:
            self.subscription = subscription = self._subscribe()
            while True:
                self._send(await subscription.next())
        except (SubscriptionEnded, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self.close()
            # Whoever stops a sender waits for it.
            _set(self._sender, "rtp_exited")
            self._tell_ended()

    def _prepare_extension(self) -> None:
        """Let aiortc lay out the header extension once, and find where in it the time of sending stands."""
        extensions, mid = _private(self._sender, "rtp_header_extensions_map"), _private(self._sender, "mid")
        profile, early = extensions.set(HeaderExtensions(mid=mid, abs_send_time=0))
        _, late = extensions.set(HeaderExtensions(mid=mid, abs_send_time=(1 << 24) - 1))
        if early:
            self._extension = bytearray(pack("!HH", profile, len(early) >> 2) + early)
            changed = [at for at, (a, b) in enumerate(zip(early, late, strict=True)) if a != b]
            self._send_time_at = 4 + changed[0] if changed else None

    def _send(self, packet: VideoPacket) -> None:
        transport = self._sender.transport
        pair = transport.transport._connection._nominated.get(1)
        if transport.state != "connected" or pair is None:
            raise ConnectionError("not connected")
        if _unsent_bytes(pair.protocol.transport) > UNSENT_BYTES:
            logger.debug("a frame is left out, for the network takes no more")
            assert self.subscription is not None
            self.subscription.resync()
            return
        ntp_time = clock.current_ntp_time()
        frame = _SentFrame(self._sequence, (self._origin + packet.pts) & 0xFFFFFFFF, packet.payloads)
        extension = self._stamped_extension(ntp_time)
        protect, sendto, addr = transport._tx_srtp.protect, pair.protocol.transport.sendto, pair.remote_addr
        for number in range(len(frame.payloads)):
            sendto(protect(self._packet(frame, number, extension)), addr)
        self._sequence = (self._sequence + len(frame.payloads)) & 0xFFFF
        self._count(frame, ntp_time)
        if self._frames[0] is frame:
            self._tell_origin(self._origin)

    def _packet(self, frame: _SentFrame, number: int, extension: bytes) -> bytes:
        is_last = number == len(frame.payloads) - 1
        header = pack(
            "!BBHLL",
            VERSION_WITH_EXTENSION if extension else VERSION,
            self._payload_type | (MARKER if is_last else 0),
            (frame.sequence + number) & 0xFFFF,
            frame.timestamp,
            self._sender._ssrc,
        )
        return header + extension + frame.payloads[number]

    def _stamped_extension(self, ntp_time: int) -> bytes:
        if self._send_time_at is not None:
            send_time = ((ntp_time >> 14) & 0xFFFFFF).to_bytes(ABS_SEND_TIME_BYTES, "big")
            pack_into("3s", self._extension, self._send_time_at, send_time)
        return bytes(self._extension)

    def _count(self, frame: _SentFrame, ntp_time: int) -> None:
        """Keep for retransmission, and in step what aiortc's sender reports say."""
        self._frames.append(frame)
        self._packets += len(frame.payloads)
        self._octets += sum(map(len, frame.payloads))
        for name, value in (
            ("ntp_timestamp", ntp_time),
            ("rtp_timestamp", frame.timestamp),
            ("packet_count", self._packets),
            ("octet_count", self._octets),
        ):
            setattr(self._sender, f"_RTCRtpSender__{name}", value)

    async def _retransmit(self, sequence_number: int) -> None:
        """Send a packet again that was reported lost, in the RTX stream where there is one (RFC 4588)."""
        for frame in self._frames:
            number = (sequence_number - frame.sequence) & 0xFFFF
            if number < len(frame.payloads):
                break
        else:
            return
        data = self._packet(frame, number, self._stamped_extension(clock.current_ntp_time()))
        rtx_payload_type = _private(self._sender, "rtx_payload_type")
        if rtx_payload_type is not None:
            data = self._as_rtx(data, rtx_payload_type, len(frame.payloads[number]))
        await self._sender.transport._send_rtp(data)

    def _as_rtx(self, data: bytes, payload_type: int, payload_bytes: int) -> bytes:
        payload_at = len(data) - payload_bytes
        ssrc = self._sender._rtx_ssrc
        header = pack("!BBH4sL", data[0], (data[1] & MARKER) | payload_type, self._rtx_sequence, data[4:8], ssrc)
        self._rtx_sequence = (self._rtx_sequence + 1) & 0xFFFF
        return header + data[12:payload_at] + data[2:4] + data[payload_at:]


def _unsent_bytes(transport: Any) -> int:
    # A relay's transport keeps nothing back, and so has no such method.
    return 0 if isinstance(transport, TurnTransport) else transport.get_write_buffer_size()


def _private(sender: RTCRtpSender, name: str) -> Any:
    return getattr(sender, f"_RTCRtpSender__{name}")


def _set(sender: RTCRtpSender, name: str) -> None:
    _private(sender, name).set()
