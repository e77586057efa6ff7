"""What a receiver reports reaches whom it concerns, and aiortc gets the rest."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from aiortc import RTCRtpSender, clock
from aiortc.rtp import AnyRtcpPacket, RtcpPacket, RtcpReceiverInfo, RtcpRrPacket

from stream.feedback import FeedbackHandlers, watch_feedback
from stream.twcc import Feedback
from tests.test_twcc import message

SSRC = 77


class FakeSender:
    """The parts of aiortc's sender, its transport and its router that are used, all in one."""

    _handle_rtcp_data: Callable[[bytes], Any]
    _handle_rtcp_packet: Callable[[AnyRtcpPacket], Any]

    def __init__(self) -> None:
        self.transport = self._rtp_router = self
        self._ssrc = SSRC
        self.left: list[bytes] = []
        self.packets: list[AnyRtcpPacket] = []
        vars(self)["_RTCRtpSender__lsr"] = 5
        vars(self)["_RTCRtpSender__lsr_time"] = clock.current_datetime().timestamp() - 0.5
        self._handle_rtcp_data = self.take_data
        self._handle_rtcp_packet = self.take_packet
        self.route_rtcp = set[Any]

    async def take_data(self, data: bytes) -> None:
        """Stand for aiortc's transport."""
        self.left.append(data)
        for packet in RtcpPacket.parse(data):
            await self._handle_rtcp_packet(packet)

    async def take_packet(self, packet: AnyRtcpPacket) -> None:
        """Stand for aiortc's sender."""
        self.packets.append(packet)


@pytest.fixture
def told() -> list[tuple[str, Any]]:
    """What the handlers were told."""
    return []


@pytest.fixture
def sender(told: list[tuple[str, Any]]) -> FakeSender:
    """A sender that is watched."""
    made = FakeSender()
    handlers = FeedbackHandlers(
        keyframe=lambda: told.append(("keyframe", None)),
        loss=lambda fraction: told.append(("loss", fraction)),
        estimate_kbps=lambda kbps: told.append(("estimate", kbps)),
        rtt=lambda seconds: told.append(("rtt", seconds)),
        arrivals=lambda feedback: told.append(("arrivals", feedback)),
    )
    watch_feedback(cast(RTCRtpSender, made), handlers)
    return made


def report(lsr: int, dlsr: int) -> bytes:
    """Make a receiver report of a quarter lost."""
    return bytes(RtcpRrPacket(ssrc=1, reports=[RtcpReceiverInfo(SSRC, 64, 9, 9, 9, lsr, dlsr)]))


async def test_feedback_is_taken_out_of_what_aiortc_gets(sender: FakeSender, told: list[tuple[str, Any]]) -> None:
    """It would read it as a list of lost packets; a datagram of nothing else does not reach it."""
    feedback = message(7, 1, 3, (0x2001,), bytes([4]))
    await sender._handle_rtcp_data(report(0, 0) + feedback)
    await sender._handle_rtcp_data(feedback)
    expected = ("arrivals", Feedback(7, 3, [0.001]))
    assert told == [expected, ("loss", 0.25), expected]
    assert sender.left == [report(0, 0)]
    assert len(sender.packets) == 1


@pytest.mark.parametrize(("lsr", "dlsr", "rtt"), [(5, 0x4000, 0.25), (5, 0, None), (6, 0x4000, None)])
async def test_a_report_tells_the_round_trip(
    sender: FakeSender, told: list[tuple[str, Any]], lsr: int, dlsr: int, rtt: float | None
) -> None:
    """The time since our report less the time that the receiver kept it; none of an older one, or of none."""
    await sender._handle_rtcp_data(report(lsr, dlsr))
    found = dict(told).get("rtt")
    assert found == (None if rtt is None else pytest.approx(rtt, abs=0.1))
