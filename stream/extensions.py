"""RTP header extensions that aiortc does not know: offered, agreed on, and laid out in each packet (RFC 8285)."""

from struct import pack, pack_into

from aiortc import RTCRtpTransceiver, RTCSessionDescription
from aiortc.codecs import is_rtx
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpHeaderExtensionParameters
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, pack_header_extensions, unpack_header_extensions
from aiortc.sdp import MediaDescription, SessionDescription

TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
# Least and most delay in steps of 10 ms, 12 bits each: show every frame as soon as it is whole.
AT_ONCE = bytes(3)
# As which they are offered: aiortc's own are 1 to 3.
OFFERED_IDS = {4: TRANSPORT_CC, 5: PLAYOUT_DELAY}
FEEDBACK = RTCRtcpFeedback(type="transport-cc")
ABS_SEND_TIME_MODULO = 1 << 24
SEQUENCE_MODULO = 1 << 16


def offer_extensions(offer: RTCSessionDescription) -> RTCSessionDescription:
    """Offer transport-wide feedback and playout delay with the video of an offer of aiortc's, which has neither.

    To be called before the offer is set; :func:`accept_extensions` takes what the answer has of it.
    """
    description = SessionDescription.parse(offer.sdp)
    for media in description.media:
        if media.kind == "video":
            media.rtp.headerExtensions += [
                RTCRtpHeaderExtensionParameters(id=number, uri=uri) for number, uri in OFFERED_IDS.items()
            ]
            for codec in media.rtp.codecs:
                if not is_rtx(codec):
                    codec.rtcpFeedback.append(FEEDBACK)
    return RTCSessionDescription(sdp=str(description), type=offer.type)


def accept_extensions(transceiver: RTCRtpTransceiver, theirs: MediaDescription) -> int | None:
    """Agree to transport-wide feedback and to playout delay where they have it; gives the latter's id.

    aiortc would leave both out. To be called after their offer is set and before it is answered, or after their
    answer is. Feedback is agreed on only if they have the extension and the RTCP message both.
    """
    ids = {extension.uri: extension for extension in theirs.rtp.headerExtensions}
    able = {codec.payloadType for codec in theirs.rtp.codecs if FEEDBACK in codec.rtcpFeedback}
    if TRANSPORT_CC in ids and able:
        transceiver._headerExtensions.append(ids[TRANSPORT_CC])
        for codec in transceiver._codecs:
            if codec.payloadType in able and not is_rtx(codec):
                codec.rtcpFeedback.append(FEEDBACK)
    if PLAYOUT_DELAY not in ids:
        return None
    transceiver._headerExtensions.append(ids[PLAYOUT_DELAY])
    return ids[PLAYOUT_DELAY].id


class ExtensionHeader:
    """One receiver's header extension, laid out once; only the time of sending and a number change with packets."""

    def __init__(self, agreed: HeaderExtensionsMap, mid: str | None, playout_delay_id: int | None) -> None:
        def lay_out(send_time: int, sequence: int) -> bytes:
            values = HeaderExtensions(mid=mid, abs_send_time=send_time, transport_sequence_number=sequence)
            elements = unpack_header_extensions(*agreed.set(values))
            if playout_delay_id is not None:
                elements.append((playout_delay_id, AT_ONCE))
            profile, data = pack_header_extensions(elements)
            return pack("!HH", profile, len(data) >> 2) + data if data else b""

        plain = lay_out(0, 0)
        self._data = bytearray(plain)
        self._send_time_at = _first_difference(plain, lay_out(ABS_SEND_TIME_MODULO - 1, 0))
        self._sequence_at = _first_difference(plain, lay_out(0, SEQUENCE_MODULO - 1))
        self.is_numbered = self._sequence_at is not None
        """Whether packets carry a transport-wide sequence number."""

    def stamp(self, ntp_time: int) -> None:
        """Set the time of sending, NTP in 1/2^32 s, for the packets that follow."""
        if self._send_time_at is not None:
            send_time = ((ntp_time >> 14) % ABS_SEND_TIME_MODULO).to_bytes(3, "big")
            pack_into("3s", self._data, self._send_time_at, send_time)

    def number(self, sequence: int) -> bytes:
        """Give the extension of one packet, empty where none was agreed on."""
        if self._sequence_at is not None:
            pack_into("!H", self._data, self._sequence_at, sequence)
        return bytes(self._data)


def _first_difference(one: bytes, other: bytes) -> int | None:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), None)
