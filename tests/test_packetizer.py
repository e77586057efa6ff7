"""A frame's payloads are what receivers put together again."""

from fractions import Fraction

import numpy as np
import pytest
from aiortc.codecs.h264 import h264_depayload
from aiortc.codecs.vpx import vp8_depayload

from stream.encoder import Codec, YuvConverter, create_encoder
from stream.packetizer import create_packetizer


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_payloads_are_short_and_carry_the_frame(codec: Codec) -> None:
    """Of a keyframe and of one after it, each of several packets."""
    encoder, packetizer = create_encoder(codec, Fraction(16), 2500, 4000), create_packetizer(codec)
    depayload = h264_depayload if codec == "H264" else vp8_depayload
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (96, 160, 3), np.uint8)
        packet = encoder.encode(YuvConverter().convert(pixels), number * 5625)
        assert packet is not None
        payloads = packetizer.payloads(packet)
        assert len(payloads) > 1
        assert max(map(len, payloads)) <= 1300
        whole = b"".join(map(depayload, payloads))
        # A NAL unit may begin with three or with four bytes: both mean the same (H.264 annex B).
        three = bytes(packet).replace(b"\0\0\0\1", b"\0\0\1")
        assert whole.replace(b"\0\0\0\1", b"\0\0\1") == three
