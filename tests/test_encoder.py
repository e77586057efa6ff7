"""The encoders keep their rate, their timestamps, and a picture good enough to look at."""

from fractions import Fraction
from typing import cast

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext

from pipeline.types import Pixels
from stream.encoder import (
    Codec,
    EncodedPacket,
    StreamEncoder,
    VpxEncoder,
    YuvConverter,
    create_encoder,
    threads_for,
)
from stream.encoder_bench import DECODERS, draw_photo, measure, pan

CODECS: list[Codec] = ["H264", "VP8"]
FPS = Fraction(16)
WIDTH, HEIGHT = 416, 240


@pytest.fixture(scope="module")
def clip() -> list[Pixels]:
    """Four seconds of a panned picture."""
    return list(pan(draw_photo(WIDTH + 155, HEIGHT + 34), WIDTH, HEIGHT, 64))


def encode(encoder: StreamEncoder, frames: list[Pixels], first: int = 0, keyframe: bool = False) -> list[EncodedPacket]:
    """Encode frames at 16 a second from frame number ``first`` on; ``keyframe`` asks for one at the start."""
    converter = YuvConverter()
    packets = [
        encoder.encode(converter.convert(frame), (first + number) * 5625, keyframe and number == 0)
        for number, frame in enumerate(frames)
    ]
    assert None not in packets
    return cast(list[EncodedPacket], packets)


def kbps(packets: list[EncodedPacket], fps: int = 16) -> float:
    """Give the mean rate of packets."""
    return sum(packet.size for packet in packets) * 8 / 1000 * fps / len(packets)


@pytest.mark.parametrize("codec", CODECS)
def test_each_frame_gives_one_packet_with_its_own_timestamp(codec: Codec, clip: list[Pixels]) -> None:
    """Every frame comes out at once, as one packet with its PTS in 1/90000 s; the first is a keyframe."""
    packets = encode(create_encoder(codec, FPS, 1000, 4000), clip[:10])
    assert [packet.pts for packet in packets] == [number * 5625 for number in range(10)]
    assert all(packet.time_base == Fraction(1, 90_000) for packet in packets)
    assert [packet.is_keyframe for packet in packets] == [True] + [False] * 9


@pytest.mark.parametrize("codec", CODECS)
def test_the_rate_asked_for_is_the_rate_sent_at_16_frames_a_second(codec: Codec, clip: list[Pixels]) -> None:
    """At 16 frames a second the payload keeps to the rate asked for less the headers' share, and fills it."""
    packets = encode(create_encoder(codec, FPS, 800, 4000), clip)
    assert 0.75 * 800 < kbps(packets[16:]) < 800


@pytest.mark.parametrize("codec", CODECS)
def test_a_panned_photo_stays_good_to_look_at(codec: Codec, clip: list[Pixels]) -> None:
    """A quarter of the full frame at a quarter of the rate: 40 dB in the mean, 37 dB in the worst frames."""
    result = measure(create_encoder(codec, FPS, 800, 4000), clip, FPS)
    assert result.psnr_mean >= 40
    assert result.psnr_p5 >= 37


@pytest.mark.parametrize("codec", CODECS)
def test_a_keyframe_comes_when_asked(codec: Codec, clip: list[Pixels]) -> None:
    """A requested keyframe comes with that very frame, and decodes with nothing before it."""
    encoder = create_encoder(codec, FPS, 1000, 4000)
    encode(encoder, clip[:5])
    packets = encode(encoder, clip[5:8], first=5, keyframe=True)
    assert [packet.is_keyframe for packet in packets] == [True, False, False]
    decoder = cast(VideoCodecContext, av.CodecContext.create(DECODERS[codec], "r"))
    decoded = [picture for packet in packets for picture in decoder.decode(av.Packet(bytes(packet)))]
    assert [(picture.width, picture.height) for picture in decoded] == [(WIDTH, HEIGHT)] * 3


@pytest.mark.parametrize("codec", CODECS)
def test_a_frame_of_another_size_is_a_keyframe_of_that_size(codec: Codec, clip: list[Pixels]) -> None:
    """A take of another size goes on in the same encoder."""
    encoder = create_encoder(codec, FPS, 1000, 4000)
    encode(encoder, clip[:2])
    small = [np.ascontiguousarray(frame[:120, :208]) for frame in clip[2:4]]
    packets = encode(encoder, small, first=2)
    assert [packet.is_keyframe for packet in packets] == [True, False]


def test_h264_is_constrained_baseline(clip: list[Pixels]) -> None:
    """The parameter set says profile 66 with constraint flags 0 and 1: what every WebRTC client accepts."""
    (packet,) = encode(create_encoder("H264", FPS, 1000, 4000), clip[:1])
    data = bytes(packet)
    sps = data.index(b"\x00\x00\x01\x67") + 4
    assert data[sps] == 66
    assert data[sps + 1] & 0xC0 == 0xC0


def test_h264_changes_its_rate_in_place_both_ways(clip: list[Pixels]) -> None:
    """The rate goes down and up again with no keyframe, and the packets follow."""
    encoder = create_encoder("H264", FPS, 1200, 4000)
    encode(encoder, clip[:16])
    encoder.set_bitrate(400)
    low = encode(encoder, clip[16:40], first=16)
    encoder.set_bitrate(2000)
    high = encode(encoder, clip[40:64], first=40)
    assert not any(packet.is_keyframe for packet in low + high)
    assert kbps(low[12:]) < 500
    assert kbps(high[12:]) > 1000


def test_vp8_follows_falls_at_once_and_rises_seldom(clip: list[Pixels]) -> None:
    """A re-created encoder costs a keyframe: none for a small change, and none for a rise within two seconds."""
    encoder = VpxEncoder(FPS, 1000)
    assert encoder.encode(YuvConverter().convert(clip[0]), 0) is not None
    encoder.set_bitrate(800)
    packets = encode(encoder, clip[1:16], first=1)
    encoder.set_bitrate(500)
    packets += encode(encoder, clip[16:], first=16)
    assert [number for number, packet in enumerate(packets) if packet.is_keyframe] == [15]
    assert kbps(packets[32:]) < 600
    encoder.set_bitrate(300)
    encode(encoder, clip[:8], first=64)
    encoder.set_bitrate(1000)
    packets = encode(encoder, clip[8:40], first=72)
    assert [number for number, packet in enumerate(packets) if packet.is_keyframe] == [24]


def test_vp8_frames_after_a_gap_are_no_larger(clip: list[Pixels]) -> None:
    """Frames that are left out lower the rate: half of them halve it."""
    encoder, converter = VpxEncoder(FPS, 600), YuvConverter()
    encode(encoder, clip[:16])
    packets = [encoder.encode(converter.convert(frame), (16 + 2 * at) * 5625) for at, frame in enumerate(clip[16:])]
    assert [packet.pts for packet in packets if packet] == [(16 + 2 * at) * 5625 for at in range(len(packets))]
    assert kbps(cast(list[EncodedPacket], packets[8:]), fps=8) < 400


@pytest.mark.parametrize("codec", CODECS)
def test_a_keyframe_at_a_low_rate_is_small(codec: Codec, clip: list[Pixels]) -> None:
    """When the rate has fallen, a keyframe takes no more than some frames' share of what it is now."""
    encoder = create_encoder(codec, FPS, 3000, 4000)
    (first,) = encode(encoder, clip[:1])
    encode(encoder, clip[1:8], first=1)
    encoder.set_bitrate(300)
    if codec == "VP8":
        encode(encoder, clip[8:40], first=8)
    (packet,) = encode(encoder, clip[40:41], first=40, keyframe=True)
    assert packet.is_keyframe
    assert packet.size * 8 / 1000 < 300 * 0.4
    assert packet.size < first.size / 2


def test_a_rise_beyond_what_the_encoder_was_made_for_is_followed(clip: list[Pixels]) -> None:
    """From a twentieth to all of the ceiling, at the price of a keyframe."""
    encoder = create_encoder("H264", FPS, 100, 2000)
    encode(encoder, clip[:8])
    encoder.set_bitrate(2000)
    packets = encode(encoder, clip[8:], first=8)
    assert [number for number, packet in enumerate(packets) if packet.is_keyframe] == [0]
    assert kbps(packets[16:]) > 1000


@pytest.mark.parametrize("codec", CODECS)
def test_another_frame_rate_keeps_the_bit_rate(codec: Codec, clip: list[Pixels]) -> None:
    """At half the frames a second each frame may take twice the bits."""
    encoder = create_encoder(codec, FPS, 600, 4000)
    encode(encoder, clip[:2])
    encoder.set_rate(Fraction(8))
    converter = YuvConverter()
    packets = [
        encoder.encode(converter.convert(frame), 20_000 + number * 11_250) for number, frame in enumerate(clip[2::2])
    ]
    assert 0.6 * 600 < kbps(cast(list[EncodedPacket], packets)[8:], fps=8) < 630


def test_the_converter_keeps_white_white_and_takes_read_only_pixels() -> None:
    """White is 235 in studio range and has no colour; the pixels given are only read."""
    pixels = np.full((4, 8, 3), 255, np.uint8)
    pixels.setflags(write=False)
    picture = YuvConverter().convert(pixels)
    planes = [bytes(plane)[0] for plane in picture.planes]
    assert planes == [235, 128, 128]


def test_large_frames_are_shared_out_among_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """832x480 is one thread's work at every rate, 1080p60 four's; a small machine keeps half of its processors."""
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    assert [threads_for(832, 480, Fraction(fps)) for fps in (16, 60)] == [1, 1]
    assert [threads_for(1920, 1080, Fraction(fps)) for fps in (16, 30, 60)] == [1, 2, 4]
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert threads_for(1920, 1080, Fraction(60)) == 1


def test_1080p60_is_told_as_what_it_is() -> None:
    """The stream's own header names level 4.2, the first that has 1080p at 60 frames/s (H.264, table A-1)."""
    encoder, large = create_encoder("H264", Fraction(60), 12_000, 20_000), np.full((1080, 1920, 3), 90, np.uint8)
    packet = encoder.encode(YuvConverter().convert(large), 0)
    assert packet is not None
    profile, _, level = bytes(packet).partition(b"\x00\x00\x01\x67")[2][:3]
    assert (profile, level) == (66, 42)


@pytest.mark.parametrize("codec", CODECS)
def test_a_picture_of_another_size_is_a_keyframe_and_the_decoder_goes_on(codec: Codec, clip: list[Pixels]) -> None:
    """One decoder shows both sizes, frame for frame, and the rate stays what it was."""
    encoder = create_encoder(codec, FPS, 600, 4000)
    turned = [np.ascontiguousarray(frame.transpose(1, 0, 2)) for frame in clip]
    packets = encode(encoder, clip[:5]) + encode(encoder, turned, first=5)
    assert [number for number, packet in enumerate(packets) if packet.is_keyframe] == [0, 5]
    decoder = cast(VideoCodecContext, av.CodecContext.create(DECODERS[codec], "r"))
    shown = [frame for packet in packets for frame in decoder.decode(packet)] + decoder.decode(None)
    assert [(frame.width, frame.height) for frame in shown] == [(416, 240)] * 5 + [(240, 416)] * len(turned)
    assert kbps(packets[5 + 16 :]) < 600
