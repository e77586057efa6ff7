"""From an encoded frame to RTP payloads, once for everyone who gets it."""

from typing import Protocol

from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder

from stream.encoder import Codec, EncodedPacket


class Packetizer(Protocol):
    """Takes the frames of one encode apart, in their order."""

    def payloads(self, packet: EncodedPacket) -> list[bytes]:
        """Give the RTP payloads of a frame, at most 1300 bytes each (H.264: RFC 6184, VP8: RFC 7741)."""
        ...


class _AiortcPacketizer:
    """What aiortc's encoder does with packets that were encoded already; it opens no codec for it."""

    def __init__(self, encoder: H264Encoder | Vp8Encoder) -> None:
        self._encoder = encoder

    def payloads(self, packet: EncodedPacket) -> list[bytes]:
        return self._encoder.pack(packet)[0]


def create_packetizer(codec: Codec) -> Packetizer:
    """Create the packetizer of a codec."""
    return _AiortcPacketizer(H264Encoder() if codec == "H264" else Vp8Encoder())
