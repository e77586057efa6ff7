"""Video goes out in packets that any receiver takes, and again where one was lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from struct import unpack_from
from typing import Any, cast

import av
import numpy as np
import pytest
from aiortc import RTCRtpSender
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap, RtpPacket, unpack_header_extensions, unwrap_rtx

from stream.broadcast import Broadcast
from stream.congestion import BitrateBounds
from stream.encoder import EncodedPacket
from stream.extensions import TRANSPORT_CC
from stream.retransmission import HISTORY_FRAMES
from stream.sender import UNSENT_BYTES, VideoSender
from stream.subscription import VideoPacket
from stream.twcc import Feedback, PacketResult

STEP = 5625
PRIVATE = "_RTCRtpSender__"
PAYLOAD_TYPE, RTX_PAYLOAD_TYPE = 97, 98
EXTENSIONS = ("urn:ietf:params:rtp-hdrext:sdes:mid", "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time")


class FakeSrtp:
    """Protects nothing."""

    def protect(self, data: bytes) -> bytes:
        return data


PLAYOUT_DELAY_ID = 5


class FakeTransport:
    """Stands for the DTLS transport, the ICE transport below, its connection, pair, protocol and socket, all in one."""

    def __init__(self) -> None:
        self.state = "connected"
        self.transport = self._connection = self.protocol = self
        self._nominated = {1: self}
        self.remote_addr = ("127.0.0.1", 9)
        self._tx_srtp = FakeSrtp()
        self.sent: list[bytes] = []
        self.unsent = 0

    def sendto(self, data: bytes, addr: tuple[str, int]) -> None:
        self.sent.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    async def _send_rtp(self, data: bytes) -> None:
        self.sent.append(data)


class Event:
    """What aiortc's sender waits for."""

    def __init__(self) -> None:
        self.set_times = 0

    def set(self) -> None:
        self.set_times += 1


class FakeSender:
    """The parts of aiortc's sender that are used."""

    _run_rtp: Callable[..., Any]
    _retransmit: Callable[..., Any]

    def __init__(self, extensions: tuple[str, ...] = EXTENSIONS) -> None:
        self.transport = FakeTransport()
        self._ssrc, self._rtx_ssrc = 1111, 2222
        self.map = HeaderExtensionsMap()
        numbered = [RTCRtpHeaderExtensionParameters(id=at, uri=uri) for at, uri in enumerate(extensions, 1)]
        self.map.configure(RTCRtpParameters(headerExtensions=numbered))
        self.exited = Event()
        values: dict[str, Any] = {
            "rtp_started": Event(),
            "rtp_exited": self.exited,
            "rtp_header_extensions_map": self.map,
            "mid": "0",
            "rtx_payload_type": RTX_PAYLOAD_TYPE,
        }
        for name, value in values.items():
            setattr(self, PRIVATE + name, value)


class Stage:
    """A broadcast and one sender of it."""

    def __init__(self, sender: FakeSender) -> None:
        self.sender = sender
        self.origins: list[int] = []
        self.ended = asyncio.Event()
        self.pts = 0
        self.broadcast = Broadcast("test", self.take_slot, Fraction(16), BitrateBounds(1000, 300, 4000))
        self.video = VideoSender(
            cast(RTCRtpSender, sender), lambda: self.broadcast.subscribe("VP8"), self.origins.append, self.ended.set
        )
        codec = RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90_000, payloadType=PAYLOAD_TYPE)
        self.running = asyncio.create_task(sender._run_rtp(codec), name="sender")

    def take_slot(self) -> int:
        self.pts += STEP
        return self.pts

    async def publish(self, count: int = 1) -> None:
        """Publish noise, a frame of several packets each."""
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 255, (48, 80, 3), np.uint8)
            await self.broadcast.publish(pixels, number, self.take_slot())
            for _ in range(3):
                await asyncio.sleep(0)

    def packets(self) -> list[RtpPacket]:
        """Give what was sent."""
        return [RtpPacket.parse(data, self.sender.map) for data in self.sender.transport.sent]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage whose broadcast is closed afterwards."""
    made = Stage(FakeSender())
    await asyncio.sleep(0)
    yield made
    await made.broadcast.close()
    await made.running


async def test_packets_are_whole_rtp(stage: Stage) -> None:
    """Sequence numbers in a row, one timestamp a frame, the marker on its last packet, the extensions asked for."""
    await stage.publish(3)
    packets = stage.packets()
    first = packets[0].sequence_number
    assert [packet.sequence_number for packet in packets] == [*range(first, first + len(packets))]
    timestamps = list(dict.fromkeys(packet.timestamp for packet in packets))
    assert [(stamp - timestamps[0]) % 2**32 for stamp in timestamps] == [0, STEP, 2 * STEP]
    last = [index for index, packet in enumerate(packets) if packet.marker]
    assert [packets[index].timestamp for index in last] == timestamps
    assert last[0] > 0, "a frame of one packet shows nothing"
    for packet in packets:
        assert (packet.ssrc, packet.payload_type, packet.extensions.mid) == (1111, PAYLOAD_TYPE, "0")
        assert len(packet.payload) <= 1300
    sent_at = [packet.extensions.abs_send_time for packet in packets]
    assert all(sent_at)
    # 18 bits of fraction: within the same few seconds, whatever the wrap-around at 64 s.
    assert ((sent_at[-1] or 0) - (sent_at[0] or 0)) % (1 << 24) < 10 << 18


@pytest.mark.parametrize("extensions", [(), EXTENSIONS[:1], EXTENSIONS[1:]])
async def test_only_negotiated_extensions_are_sent(extensions: tuple[str, ...]) -> None:
    """With none the header has no extension at all."""
    stage = Stage(FakeSender(extensions))
    await asyncio.sleep(0)
    await stage.publish(1)
    packet = stage.packets()[0]
    assert (packet.extensions.mid is not None) == (EXTENSIONS[0] in extensions)
    assert (packet.extensions.abs_send_time is not None) == (EXTENSIONS[1] in extensions)
    assert bool(stage.sender.transport.sent[0][0] & 0x10) == bool(extensions)
    await stage.broadcast.close()
    await stage.running


async def test_the_origin_is_told_when_the_first_frame_is_out(stage: Stage) -> None:
    """Once, and it is the RTP timestamp of PTS 0."""
    assert stage.origins == []
    await stage.publish(2)
    (origin,) = stage.origins
    assert (origin + STEP) % 2**32 == stage.packets()[0].timestamp


async def test_a_lost_packet_is_sent_again(stage: Stage) -> None:
    """In the RTX stream, with its own number before the payload; what is too old is not."""
    await stage.publish(2)
    originals = stage.packets()
    stage.sender.transport.sent.clear()
    for lost in (originals[1], originals[-1]):
        await stage.sender._retransmit(lost.sequence_number)
        data = stage.sender.transport.sent.pop()
        rtx = RtpPacket.parse(data, stage.sender.map)
        assert (rtx.ssrc, rtx.payload_type) == (2222, RTX_PAYLOAD_TYPE)
        again = unwrap_rtx(rtx, payload_type=PAYLOAD_TYPE, ssrc=1111)
        assert (again.sequence_number, again.payload) == (lost.sequence_number, lost.payload)
        assert (again.timestamp, again.marker) == (lost.timestamp, lost.marker)
    await stage.publish(HISTORY_FRAMES + 2)
    stage.sender.transport.sent.clear()
    await stage.sender._retransmit(originals[0].sequence_number)
    await stage.sender._retransmit((originals[0].sequence_number - 1) % 2**16)
    assert stage.sender.transport.sent == []


async def test_without_an_rtx_stream_the_packet_itself_is_sent_again(stage: Stage) -> None:
    """With its own header, as plain NACK wants it."""
    setattr(stage.sender, PRIVATE + "rtx_payload_type", None)
    await stage.publish(1)
    original = stage.packets()[0]
    await stage.sender._retransmit(original.sequence_number)
    again = stage.packets()[-1]
    assert (again.sequence_number, again.ssrc, again.payload) == (original.sequence_number, 1111, original.payload)


async def test_sender_reports_are_kept_in_step(stage: Stage) -> None:
    """What aiortc's reports say is what was sent."""
    await stage.publish(3)
    packets = stage.packets()
    told = {name: getattr(stage.sender, PRIVATE + name) for name in ("packet_count", "octet_count")}
    assert told == {"packet_count": len(packets), "octet_count": sum(len(packet.payload) for packet in packets)}
    assert getattr(stage.sender, PRIVATE + "rtp_timestamp") == packets[-1].timestamp


async def test_a_full_network_costs_frames_and_no_memory(stage: Stage) -> None:
    """While the socket takes nothing, frames are left out; the next one sent after it is a keyframe."""
    await stage.publish(2)
    sent = len(stage.sender.transport.sent)
    stage.sender.transport.unsent = UNSENT_BYTES + 1
    await stage.publish(20)
    assert len(stage.sender.transport.sent) == sent
    stage.sender.transport.unsent = 0
    await asyncio.sleep(0.55)
    await stage.publish(2)
    payload = stage.packets()[sent].payload
    (descriptor,) = unpack_from("!B", payload)
    assert descriptor & 0x10, "the start of a partition"
    # After a descriptor with a 15-bit picture number (RFC 7741) the frame tag: its low bit is 0 in a keyframe.
    assert payload[4] & 1 == 0


async def test_the_end_is_told_and_aiortc_is_let_go(stage: Stage) -> None:
    """When the broadcast closes, the connection fails, or the sender is stopped."""
    await stage.publish(1)
    stage.sender.transport.state = "closed"
    await stage.publish(1)
    async with asyncio.timeout(1):
        await stage.ended.wait()
    assert stage.sender.exited.set_times == 1
    assert stage.broadcast.measured_kbps() == 0


async def test_nothing_is_encoded_for_who_has_not_connected() -> None:
    """The sender subscribes when it is started."""
    broadcast = Broadcast("test", lambda: 0, Fraction(16), BitrateBounds(1000, 300, 4000))
    VideoSender(cast(RTCRtpSender, FakeSender()), lambda: broadcast.subscribe("VP8"), print, print)
    await broadcast.publish(np.zeros((32, 64, 3), np.uint8), 0, STEP)
    assert broadcast.measured_kbps() == 0
    await broadcast.close()


async def test_a_frame_of_many_packets_leaves_over_half_its_interval(stage: Stage) -> None:
    """Ten packets leave at once, forty in four lots; the last one well before the next frame."""
    sent_at: list[float] = []
    loop = asyncio.get_running_loop()
    stage.sender.transport.sendto = lambda data, addr: sent_at.append(loop.time())
    await stage.publish(1)
    await asyncio.sleep(0)
    sent_at.clear()
    await stage.video._send(packet_of(10, 2 * STEP))
    assert sent_at[-1] - sent_at[0] < 0.004
    sent_at.clear()
    await stage.video._send(packet_of(40, 3 * STEP))
    assert len(sent_at) == 40
    assert sent_at[9] - sent_at[0] < 0.004
    assert sent_at[-1] - sent_at[0] >= 0.0115
    assert sent_at[10] - sent_at[9] >= 0.003


async def test_a_frame_leaves_at_once_where_the_link_is_free(stage: Stage) -> None:
    """Forty packets in one lot, where they are seen to arrive as fast as they are sent; not else, and not more."""
    await stage.publish(1)
    assert stage.video.subscription is not None
    link = stage.video.subscription.link
    assert link is not None
    now = asyncio.get_running_loop().time()
    link.report_arrivals([PacketResult(now - at / 1000, 5 + now - at / 1000, 1000) for at in range(100, 0, -1)], now)
    lots: list[int] = []
    stage.video._send_part = lambda frame, first, end: lots.append(first)
    await stage.video._send(packet_of(40, 2 * STEP))
    assert lots == [0]
    lots.clear()
    await stage.video._send(packet_of(41, 3 * STEP))
    assert lots == [0, 21]
    lots.clear()
    link.is_measured = False
    await stage.video._send(packet_of(40, 4 * STEP))
    assert lots == [0, 10, 20, 30]


def packet_of(payloads: int, pts: int) -> VideoPacket:
    """Make a frame of so many packets."""
    return VideoPacket(pts, False, cast(EncodedPacket, av.Packet(b"frame")), [bytes(1000)] * payloads, (64, 48))


async def test_packets_ask_to_be_shown_at_once_and_are_numbered() -> None:
    """Where it was agreed on: playout delay 0, and numbers that go on through what is sent again."""
    stage = Stage(FakeSender((*EXTENSIONS, TRANSPORT_CC)))
    stage.video.playout_delay_id = PLAYOUT_DELAY_ID
    await asyncio.sleep(0)
    await stage.publish(2)
    await stage.sender._retransmit(stage.packets()[1].sequence_number)
    found = [
        dict(unpack_header_extensions(0xBEDE, data[16 : 16 + 4 * data[15]])) for data in stage.sender.transport.sent
    ]
    extensions = [packet.extensions for packet in stage.packets()]
    assert [one.transport_sequence_number for one in extensions] == [*range(len(extensions))]
    assert all(one.mid == "0" for one in extensions)
    assert all(one[PLAYOUT_DELAY_ID] == bytes(3) for one in found)
    await stage.broadcast.close()
    await stage.running


async def test_on_a_long_path_a_packet_is_sent_again_twice(stage: Stage) -> None:
    """Each copy with a number of its own in the RTX stream."""
    await stage.publish(1)
    assert stage.video.subscription is not None
    assert stage.video.subscription.link is not None
    stage.video.subscription.link.rtt = 0.15
    lost = stage.packets()[1]
    stage.sender.transport.sent.clear()
    await stage.sender._retransmit(lost.sequence_number)
    first, second = stage.packets()
    assert first.payload == second.payload
    assert second.sequence_number == (first.sequence_number + 1) % 2**16


async def test_on_a_long_path_a_packet_reported_lost_is_sent_again_unasked() -> None:
    """The request may be lost as the packet was: what the report of all arrivals lacks goes twice."""
    stage = Stage(FakeSender((*EXTENSIONS, TRANSPORT_CC)))
    await asyncio.sleep(0)
    await stage.publish(1)
    assert stage.video.subscription is not None
    assert stage.video.subscription.link is not None
    sent = stage.packets()
    numbers = [packet.extensions.transport_sequence_number for packet in sent]
    stage.sender.transport.sent.clear()
    # The round trip is taken from the time between sending and report.
    await asyncio.sleep(0.13)
    assert numbers[0] == 0
    stage.video.report_arrivals(Feedback(0, 1, [0.001, None, *[0.002] * (len(sent) - 2)]))
    again = stage.packets()
    assert [packet.payload[2:] for packet in again] == [sent[1].payload] * 2
    await stage.broadcast.close()
    await stage.running


async def test_more_loss_than_the_link_can_take_again_is_mended_by_a_keyframe(stage: Stage) -> None:
    """A quarter of a second's worth is sent again; beyond it nothing, and the next frame sent is a keyframe."""
    await stage.publish(1)
    assert stage.video.subscription is not None
    stage.video._again_timer = cast(asyncio.TimerHandle, FakeTimer())
    await stage.video._send(packet_of(60, 2 * STEP))
    first = stage.packets()[-60].sequence_number
    waiting: list[int] = []
    for number in range(60):
        await stage.sender._retransmit((first + number) % 2**16)
        waiting.append(len(stage.video._again))
    # 1000 kbit/s for 0.25 s are 31 packets of 1000 bytes.
    assert waiting == [*range(1, 32), *[0] * 29]
    assert stage.video.subscription._needs_keyframe


class FakeTimer:
    """Waits, and is called off."""

    def cancel(self) -> None:
        pass


async def test_a_probe_sends_copies_up_to_its_rate() -> None:
    """In the RTX stream, numbered, of the last frame."""
    stage = Stage(FakeSender((*EXTENSIONS, TRANSPORT_CC)))
    await asyncio.sleep(0)
    await stage.publish(1)
    assert stage.video.subscription is not None
    link = stage.video.subscription.link
    assert link is not None
    link.is_measured = True
    link.estimator.rate = 500.0
    stage.sender.transport.sent.clear()
    began = asyncio.get_running_loop().time()
    stage.video._begin_probe()
    await asyncio.sleep(0.1)
    spent = asyncio.get_running_loop().time() - began
    packets = stage.packets()
    assert {packet.ssrc for packet in packets} == {2222}
    size = sum(len(data) for data in stage.sender.transport.sent)
    assert 0.5 < size * 8 / 1000 / spent / 750 < 1.3
    await stage.broadcast.close()
    await stage.running
