"""What aiortc's sender keeps to itself: the reports of its receiver."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from struct import unpack_from
from typing import TYPE_CHECKING

from aiortc import RTCRtpSender, clock
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)

from stream.twcc import Feedback, split_rtcp

if TYPE_CHECKING:
    from aiortc.rtcdtlstransport import RtpReceiver, RtpSender

FIR_ENTRY_BYTES = 8


@dataclass(frozen=True, slots=True)
class FeedbackHandlers:
    """Whom to tell of what a receiver says.

    A keyframe is wanted, a share was lost, a rate is estimated, so long is the round trip, these packets arrived.
    """

    keyframe: Callable[[], None]
    loss: Callable[[float], None]
    estimate_kbps: Callable[[int], None]
    rtt: Callable[[float], None]
    arrivals: Callable[[Feedback], None]


def watch_feedback(sender: RTCRtpSender, handlers: FeedbackHandlers) -> None:
    """Report a receiver's RTCP about this sender, and keep its keyframe and bit rate requests from aiortc.

    With packets encoded by us aiortc only notes a PLI in a flag and a REMB in an encoder that it uses for
    packing, and drops a FIR, whose target stands in its body (RFC 5104 section 4.3.1). Transport-wide feedback it
    takes for a list of lost packets, and a padded one for a reason to drop all of its datagram. To be removed when
    aiortc emits these as events. The sender's transport must be the final one.
    """
    handle, handle_data = sender._handle_rtcp_packet, sender.transport._handle_rtcp_data
    router = sender.transport._rtp_router
    route = router.route_rtcp

    async def handle_rtcp_data(data: bytes) -> None:
        found, left = split_rtcp(data)
        for feedback in found:
            handlers.arrivals(feedback)
        if left:
            await handle_data(left)

    async def handle_rtcp_packet(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpPsfbPacket) and packet.fmt in (RTCP_PSFB_PLI, RTCP_PSFB_FIR):
            handlers.keyframe()
            return
        if isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
            with contextlib.suppress(ValueError):  # some other application's message
                handlers.estimate_kbps(unpack_remb_fci(packet.fci)[0] // 1000)
            return
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == sender._ssrc:
                    handlers.loss(report.fraction_lost / 256)
                    if (rtt := _round_trip_s(sender, report)) is not None:
                        handlers.rtt(rtt)
        await handle(packet)

    def route_rtcp(packet: AnyRtcpPacket) -> "set[RtpReceiver | RtpSender]":
        recipients = route(packet)
        if isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_FIR:
            offsets = range(0, len(packet.fci) - FIR_ENTRY_BYTES + 1, FIR_ENTRY_BYTES)
            if any(unpack_from("!L", packet.fci, offset)[0] == sender._ssrc for offset in offsets):
                recipients.add(sender)
        return recipients

    sender.transport._handle_rtcp_data = handle_rtcp_data
    sender._handle_rtcp_packet = handle_rtcp_packet
    router.route_rtcp = route_rtcp


def _round_trip_s(sender: RTCRtpSender, report: RtcpReceiverInfo) -> float | None:
    """Give the round trip that a report tells of (RFC 3550 section 6.4.1); aiortc's own is a slow mean of these."""
    if not report.dlsr or report.lsr != vars(sender)["_RTCRtpSender__lsr"]:
        return None
    # By the wall clock, for so aiortc notes when it sent its own.
    now = clock.current_datetime().timestamp()
    return max(0.0, now - vars(sender)["_RTCRtpSender__lsr_time"] - report.dlsr / 65536)
