"""What the muxers write is what the encoder made, with its times, and shared packets stay as they are."""

import io
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from stream.encoder import YuvConverter, create_encoder
from stream.muxer import Muxer, fragmented_mp4, transport_stream
from stream.subscription import VideoPacket

STEP = 5625
ORIGIN = 900_000


@pytest.fixture(scope="module")
def packets() -> list[VideoPacket]:
    """Three seconds of a moving noise, with keyframes at 0 and 20 and a hold of half a second at 30."""
    encoder, converter = create_encoder("H264", Fraction(16), 1000, 4000), YuvConverter()
    noise = np.random.default_rng(0).integers(0, 255, (48, 200, 3), np.uint8)
    made = []
    for number in range(48):
        pts = ORIGIN + STEP * (number + (8 if number >= 30 else 0))
        encoded = encoder.encode(converter.convert(noise[:, number : number + 64]), pts, number in (0, 20))
        assert encoded is not None
        made.append(VideoPacket(pts, encoded.is_keyframe, encoded, [], (64, 48)))
    return made


def written(muxer: Muxer, packets: list[VideoPacket], finished: bool = True) -> bytes:
    data = b"".join([muxer.mux(packet) for packet in packets])
    last = muxer.finish()
    return data + last if finished else data


def demuxed(data: bytes) -> Iterator["av.Packet[av.VideoStream]"]:
    with av.open(io.BytesIO(data), "r") as container:
        yield from (packet for packet in container.demux(container.streams.video[0]) if packet.size)


def times(data: bytes) -> list[int]:
    return [packet.pts or 0 for packet in demuxed(data)]


def decoded(data: bytes) -> int:
    with av.open(io.BytesIO(data), "r") as container:
        frames = list(container.decode(video=0))
    assert {(frame.width, frame.height) for frame in frames} == {(64, 48)}
    return len(frames)


def test_a_transport_stream_has_the_streams_own_times(packets: list[VideoPacket]) -> None:
    """Every frame, with the timestamp of the stream's 90 kHz timeline, the hold included."""
    data = written(transport_stream(), packets)
    assert len(data) % 188 == 0
    assert set(data[::188]) == {0x47}
    assert times(data) == [packet.pts for packet in packets]
    assert [packet.is_keyframe for packet in demuxed(data)] == [packet.is_keyframe for packet in packets]
    assert decoded(data) == len(packets)


def test_a_transport_stream_goes_on_after_a_day(packets: list[VideoPacket]) -> None:
    """After 26.5 hours the 33 bits of its clock begin anew, and nothing else happens."""
    late = [replace(packet, pts=packet.pts - ORIGIN + 2**33 - 10 * STEP) for packet in packets]
    seen = times(written(transport_stream(), late))
    assert [pts % 2**33 for pts in seen] == [packet.pts % 2**33 for packet in late]


def test_a_transport_stream_waits_for_nothing(packets: list[VideoPacket]) -> None:
    """Each packet's bytes come when it does, whole transport packets."""
    muxer = transport_stream()
    sizes = [len(muxer.mux(packet)) for packet in packets]
    muxer.finish()
    assert all(size >= 188 and size % 188 == 0 for size in sizes)
    for size, packet in zip(sizes, packets, strict=True):
        assert size > packet.encoded.size


def test_an_mp4_begins_at_zero(packets: list[VideoPacket]) -> None:
    """Every frame, counted from the first, the hold included; nothing is encoded anew."""
    data = written(fragmented_mp4(), packets)
    assert times(data) == [packet.pts - ORIGIN for packet in packets]
    assert decoded(data) == len(packets)
    sizes = [packet.encoded.size for packet in packets if not packet.is_keyframe]
    assert [packet.size for packet in demuxed(data) if not packet.is_keyframe] == sizes


def test_an_mp4_can_be_played_after_every_fragment(packets: list[VideoPacket]) -> None:
    """What was given before the end is a whole file of all but the last second."""
    data = written(fragmented_mp4(), packets, finished=False)
    seen = times(data)
    assert seen == [packet.pts - ORIGIN for packet in packets][: len(seen)]
    assert packets[-1].pts - ORIGIN - seen[-1] <= 90_000 + STEP
    assert decoded(data) == len(seen) > 20


def test_the_packets_stay_as_they_are(packets: list[VideoPacket]) -> None:
    """Others read the same packets: muxing changes neither their bytes nor their times."""
    before = [(bytes(packet.encoded), packet.encoded.pts, packet.encoded.stream_index) for packet in packets]
    written(transport_stream(), packets)
    written(fragmented_mp4(), packets)
    assert [(bytes(packet.encoded), packet.encoded.pts, packet.encoded.stream_index) for packet in packets] == before
    assert all(later.pts > earlier.pts for earlier, later in pairwise(packets))


def test_finishing_again_gives_nothing() -> None:
    """A muxer that had no packet has no bytes, and may be finished twice."""
    muxer = fragmented_mp4()
    assert muxer.finish() == muxer.finish() == b""


def test_a_transport_stream_goes_on_in_another_size(packets: list[VideoPacket]) -> None:
    """A reader of it sees every frame in its own size: the size stands in the video itself."""
    encoder, converter = create_encoder("H264", Fraction(16), 1000, 4000), YuvConverter()
    turned = list[VideoPacket]()
    for number in range(10):
        pts = packets[-1].pts + STEP * (number + 1)
        encoded = encoder.encode(converter.convert(np.full((64, 48, 3), 20 * number, np.uint8)), pts)
        assert encoded is not None
        turned.append(VideoPacket(pts, encoded.is_keyframe, encoded, [], (48, 64)))
    with av.open(io.BytesIO(written(transport_stream(), packets + turned)), "r") as container:
        sizes = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert sizes == [(64, 48)] * len(packets) + [(48, 64)] * len(turned)
