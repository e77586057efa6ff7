"""Sending encoded video to one receiver: the headers are its own, the payloads are everyone's.

aiortc's sender takes a frame apart for every peer, and builds each packet from objects: 0.7 ms of CPU for a frame at
1.5 Mbit/s and a viewer. Here a frame comes in payloads, and a packet is a header before one of them.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from struct import pack
from typing import Any

from aioice.turn import TurnTransport
from aiortc import MediaStreamTrack, RTCRtpSender, clock
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from stream.bandwidth import Probe
from stream.clock import VIDEO_CLOCK_HZ
from stream.extensions import ExtensionHeader
from stream.pacing import BURST_PACKETS, BURST_PACKETS_FREE, Backlog, spread
from stream.retransmission import Retransmissions, SentFrame, SentPacket, copies
from stream.subscription import Subscription, SubscriptionEnded, VideoPacket
from stream.twcc import Feedback, SentPackets

logger = logging.getLogger(__name__)

VERSION_WITH_EXTENSION = 0x90
VERSION = 0x80
MARKER = 0x80
# RTP's header, SRTP's tag, UDP and IPv4.
OVERHEAD_BYTES = 12 + 10 + 8 + 20
# Unsent beyond this, our own network is full, and a frame more would only come later.
UNSENT_BYTES = 256 << 10
# What may wait on the way to a receiver whose link takes less than is encoded.
BACKLOG_S = 0.7
# Frames come further apart when the picture stands still; their packets are not spread further for it.
FRAME_LEAST_S, FRAME_MOST_S = 1 / 60, 1 / 12
AGAIN_PACKETS = 4
PROBE_TICK_S = 0.01


class VideoTrack(MediaStreamTrack):
    """Stands for the video towards aiortc, which wants a track to negotiate; nothing is pulled from it."""

    kind = "video"

    async def recv(self) -> Any:
        """Never called: :class:`VideoSender` sends in its stead."""
        raise NotImplementedError


class VideoSender:
    """Sends what a subscription brings, in place of aiortc's own loop; RTCP stays aiortc's.

    Replaces ``_run_rtp`` and ``_retransmit`` of a sender that was not started. It subscribes when it is
    started, which is when the peer has connected: what it sends first is a keyframe of that moment. ``origin``
    is called with the RTP timestamp of PTS 0 when the first frame is out, ``ended`` when nothing more is sent.
    ``playout_delay_id`` is the number of that header extension, where it was agreed on.
    """

    playout_delay_id: int | None = None

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
        self._tell_origin: Callable[[int], None] | None = origin
        self._tell_ended = ended
        self._loop = asyncio.get_running_loop()
        self._origin = random.getrandbits(32)
        # In the lower half, so that the first wrap-around is not near, which SRTP receivers may miss.
        self._sequence = random.getrandbits(15)
        self._rtx_sequence = random.getrandbits(15)
        self._payload_type = 0
        self._last_pts = 0
        self._kept = Retransmissions()
        self._sent = SentPackets()
        self._backlog = Backlog()
        self._again: deque[SentPacket] = deque()
        self._again_timer: asyncio.TimerHandle | None = None
        self._probe_timer: asyncio.TimerHandle | None = None
        self._wire_bytes = self._counted_bytes = 0
        self._packets = self._octets = 0
        sender._run_rtp = self._run
        sender._retransmit = self._retransmit

    def close(self) -> None:
        """Leave the broadcast; idempotent."""
        for timer in (self._again_timer, self._probe_timer):
            if timer is not None:
                timer.cancel()
        if self.subscription is not None:
            self.subscription.close()

    def report_arrivals(self, feedback: Feedback) -> None:
        """Take what the receiver says of the packets' arrival, and probe its link where that is due."""
        if (subscription := self.subscription) is not None:
            results = self._sent.match(feedback)
            subscription.report_arrivals(results)
            for sequence in self._kept.missing(results, subscription.link_rtt, self._loop.time()):
                self._send_missing(sequence, subscription)
            self._begin_probe()

    async def _run(self, codec: RTCRtpCodecParameters) -> None:
        _set(self._sender, "rtp_started")
        assert codec.payloadType is not None
        self._payload_type = codec.payloadType
        self._extension = ExtensionHeader(
            _private(self._sender, "rtp_header_extensions_map"), _private(self._sender, "mid"), self.playout_delay_id
        )
        try:
            self.subscription = subscription = self._subscribe()
            while True:
                packet = await subscription.next()
                if self._may_send(subscription, packet):
                    await self._send(packet)
        except (SubscriptionEnded, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self.close()
            # Whoever stops a sender waits for it.
            _set(self._sender, "rtp_exited")
            self._tell_ended()

    def _may_send(self, subscription: Subscription, packet: VideoPacket) -> bool:
        """Leave a frame out, and those after it up to a keyframe, where what was sent before has not left yet."""
        self._backlog.add(self._wire_bytes - self._counted_bytes)
        self._counted_bytes = self._wire_bytes
        waits_s = self._backlog.seconds(subscription.link_kbps, self._loop.time())
        if not subscription.is_outpaced:
            # The encoder sees to it that nothing waits.
            self._backlog, waits_s = Backlog(), 0.0
        if self._unsent_bytes() <= UNSENT_BYTES and waits_s <= BACKLOG_S and not self._kept.is_exhausted:
            return True
        logger.debug("a frame is left out, for the network takes no more")
        if packet.is_keyframe and self._kept.is_exhausted and waits_s <= BACKLOG_S:
            self._kept.forget()
            return True
        self._resync(subscription)
        return False

    def _resync(self, subscription: Subscription) -> None:
        self._kept.forget()
        self._again.clear()
        subscription.resync()

    async def _send(self, packet: VideoPacket) -> None:
        frame = SentFrame(self._sequence, (self._origin + packet.pts) & 0xFFFFFFFF, packet.payloads)
        self._sequence = (self._sequence + len(frame.payloads)) & 0xFFFF
        since_s, self._last_pts = (packet.pts - self._last_pts) / VIDEO_CLOCK_HZ, packet.pts
        most = BURST_PACKETS_FREE if self.subscription and self.subscription.link_is_free else BURST_PACKETS
        burst, gap_s = spread(len(frame.payloads), max(FRAME_LEAST_S, min(since_s, FRAME_MOST_S)), most)
        if packet.is_keyframe:
            self._kept.forget()
        self._kept.keep(frame)
        due = self._loop.time()
        for first in range(0, len(frame.payloads), burst):
            if first:
                due += gap_s
                await asyncio.sleep(due - self._loop.time())
            self._send_part(frame, first, first + burst)
        if self._tell_origin is not None:
            self._tell_origin(self._origin)
            self._tell_origin = None
        self._begin_probe()

    def _send_part(self, frame: SentFrame, first: int, end: int) -> None:
        """Send packets of a frame back to back, and keep in step what aiortc's sender reports say."""
        sendto, ntp_time = self._way_out(), clock.current_ntp_time()
        self._extension.stamp(ntp_time)
        numbers = range(first, min(end, len(frame.payloads)))
        for number in numbers:
            sendto(self._packet(frame, number))
        self._packets += len(numbers)
        self._octets += sum(len(frame.payloads[number]) for number in numbers)
        for name, value in (
            ("ntp_timestamp", ntp_time),
            ("rtp_timestamp", frame.timestamp),
            ("packet_count", self._packets),
            ("octet_count", self._octets),
        ):
            setattr(self._sender, f"_RTCRtpSender__{name}", value)

    def _way_out(self) -> Callable[[bytes], None]:
        transport = self._sender.transport
        pair = transport.transport._connection._nominated.get(1)
        if transport.state != "connected" or pair is None:
            raise ConnectionError("not connected")
        protect, sendto, addr = transport._tx_srtp.protect, pair.protocol.transport.sendto, pair.remote_addr
        return lambda data: sendto(protect(data), addr)

    def _unsent_bytes(self) -> int:
        pair = self._sender.transport.transport._connection._nominated.get(1)
        if pair is None:
            raise ConnectionError("not connected")
        # A relay's transport keeps nothing back, and so has no such method.
        transport: Any = pair.protocol.transport
        return 0 if isinstance(transport, TurnTransport) else transport.get_write_buffer_size()

    def _packet(self, frame: SentFrame, number: int) -> bytes:
        payload = frame.payloads[number]
        size = len(payload) + OVERHEAD_BYTES
        self._wire_bytes += size
        is_numbered = self._extension.is_numbered
        sequence = (frame.sequence + number) & 0xFFFF
        extension = self._extension.number(self._sent.add(size, self._loop.time(), sequence) if is_numbered else 0)
        is_last = number == len(frame.payloads) - 1
        header = pack(
            "!BBHLL",
            VERSION_WITH_EXTENSION if extension else VERSION,
            self._payload_type | (MARKER if is_last else 0),
            sequence,
            frame.timestamp,
            self._sender._ssrc,
        )
        return header + extension + payload

    async def _retransmit(self, sequence_number: int) -> None:
        """Send a packet again that the receiver asks for."""
        if self.subscription is not None:
            self._send_missing(sequence_number, self.subscription)

    def _send_missing(self, sequence_number: int, subscription: Subscription) -> None:
        """Send a packet again that was lost; when too much is, ask for a keyframe instead."""
        kbps, rtt = subscription.link_kbps, subscription.link_rtt
        packet = self._kept.request(sequence_number, kbps, rtt, self._loop.time())
        if packet is not None:
            self._again.extend([packet] * copies(rtt))
            if self._again_timer is None:
                self._send_again()
        elif self._kept.is_exhausted:
            self._resync(subscription)

    def _send_again(self) -> None:
        """Send some of what waits to be sent again, and the rest at the pace of the link."""
        self._again_timer = None
        sent, subscription = self._wire_bytes, self.subscription
        try:
            sendto = self._way_out()
        except ConnectionError:
            return
        for _ in range(min(AGAIN_PACKETS, len(self._again))):
            sendto(self._copy(self._again.popleft()))
        if self._again and subscription is not None:
            wait_s = 8 * (self._wire_bytes - sent) / (1000 * subscription.link_kbps)
            self._again_timer = self._loop.call_later(wait_s, self._send_again)

    def _copy(self, packet: SentPacket) -> bytes:
        """Give a packet once more, in the RTX stream where there is one (RFC 4588)."""
        data = self._packet(packet.frame, packet.number)
        payload_type = _private(self._sender, "rtx_payload_type")
        if payload_type is None:
            return data
        payload_at = len(data) - len(packet.frame.payloads[packet.number])
        marker, ssrc = data[1] & MARKER, self._sender._rtx_ssrc
        header = pack("!BBH4sL", data[0], marker | payload_type, self._rtx_sequence, data[4:8], ssrc)
        self._rtx_sequence = (self._rtx_sequence + 1) & 0xFFFF
        return header + data[12:payload_at] + data[2:4] + data[payload_at:]

    def _begin_probe(self) -> None:
        # Copies outside an RTX stream would count as duplicates of the video's own packets.
        if self.subscription is None or _private(self._sender, "rtx_payload_type") is None:
            return
        if self._probe_timer is None and (probe := self.subscription.next_probe()) is not None:
            self._probe(probe, self._wire_bytes, 0)

    def _probe(self, probe: Probe, sent_before: int, count: int) -> None:
        """Fill up with copies what the video leaves of a probe's rate."""
        self._probe_timer = None
        now = self._loop.time()
        if now >= probe.end or self.subscription is None or not self.subscription.is_probing(probe):
            return
        try:
            sendto = self._way_out()
        except ConnectionError:
            return
        wanted = sent_before + probe.kbps * 125 * (now - probe.begin)
        while self._wire_bytes < wanted and (packet := self._kept.padding(count)) is not None:
            sendto(self._copy(packet))
            count += 1
        self._probe_timer = self._loop.call_later(PROBE_TICK_S, self._probe, probe, sent_before, count)


def _private(sender: RTCRtpSender, name: str) -> Any:
    return getattr(sender, f"_RTCRtpSender__{name}")


def _set(sender: RTCRtpSender, name: str) -> None:
    _private(sender, name).set()
