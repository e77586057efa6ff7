"""Reading offers and finishing answers: what aiortc's own SDP handling leaves out.

Everything here works on the text, before and after aiortc, and is wanted as long as aiortc behaves as
each function says.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from aiortc.codecs import CODECS
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.sdp import MediaDescription, SessionDescription

from stream.encoder import Codec
from stream.errors import StreamError

CODEC_NAMES: dict[str, Codec] = {"H264": "H264", "VP8": "VP8"}
RECEIVING = ("recvonly", "sendrecv")
SENDING = ("sendonly", "sendrecv")
TRANSPORT = ("a=ice-ufrag:", "a=ice-pwd:", "a=ice-options:", "a=fingerprint:", "a=setup:")
DIRECTIONS = frozenset({"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"})

# What aiortc's parser is seen to raise over broken text; it has no error of its own.
UNREADABLE = (ValueError, AssertionError, AttributeError, LookupError, TypeError, StopIteration)


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer that can be answered: its text as aiortc is to see it, and the codec it puts first."""

    sdp: str
    codec: Codec
    wants_audio: bool = False


class Unacceptable(StreamError):
    """A session description that is in order, but not an offer of what is to be had here."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_offer", message)


def read_offer(text: object, directions: tuple[str, ...] = RECEIVING) -> Offer:
    """Check an offer of video in one of these directions, and clear away what aiortc would stumble over.

    Raises StreamError ``bad_offer`` with what is missing, as :class:`Unacceptable` where it was understood.
    """
    if not isinstance(text, str) or not text.lstrip().startswith("v=0"):
        raise _bad("The offer must be the text of a session description, beginning with v=0.")
    try:
        cleaned = _clean(text)
        description = SessionDescription.parse(cleaned)
        codec = _check(description, directions)
    except UNREADABLE as error:
        raise _bad(f"The session description can't be read ({type(error).__name__}: {error}).") from error
    return Offer(cleaned, codec, wants_audio=any(media.kind == "audio" for media in description.media))


def read_viewer_offer(text: object) -> Offer:
    """Check the offer of one who only watches: one video, at most one audio, and nothing else.

    Raises StreamError ``bad_offer`` for what is no session description, and ``unprocessable`` for one that
    can't be accepted whole: an answer never takes a part of a WHEP offer.
    """
    return _read_whole(text, RECEIVING)


def read_publisher_offer(text: object) -> Offer:
    """Check the offer of one who publishes: one video, at most one audio, both to send, and nothing else.

    Raises StreamError as :func:`read_viewer_offer` does.
    """
    return _read_whole(_assume_packetization(text) if isinstance(text, str) else text, SENDING)


def _read_whole(text: object, directions: tuple[str, ...]) -> Offer:
    try:
        offer = read_offer(text, directions)
        _check_media(SessionDescription.parse(offer.sdp), directions)
    except Unacceptable as error:
        raise StreamError("unprocessable", error.message) from error
    return offer


def read_answer(text: str, allows: Callable[[str], bool]) -> str:
    """Check the far end's answer to an offer of ours, and leave out addresses that may not be tried.

    ``allows`` tells of an address whether packets may be sent there. Raises StreamError ``bad_gateway``.
    """
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith("a=candidate:") or _is_allowed(line, allows)]
    answer = "".join(f"{line}\r\n" for line in kept if line != "a=end-of-candidates")
    try:
        description = SessionDescription.parse(answer)
        for media in description.media:
            _check_transport(media)
        if not description.media:
            raise _bad("It has no m-section")
    except (*UNREADABLE, StreamError) as error:
        raise StreamError("bad_gateway", f"The far end's answer can't be used ({error}).") from error
    return answer


def _is_allowed(line: str, allows: Callable[[str], bool]) -> bool:
    return is_usable_candidate(line) and allows(line.split()[4])


def finish_answer(sdp: str) -> str:
    """Add ``a=rtcp-mux-only`` to every bundled m-section (RFC 8858, wanted by RFC 9725); aiortc has none."""
    return "".join(
        line + ("a=rtcp-mux-only\r\n" if line.startswith("a=mid:") else "") for line in sdp.splitlines(keepends=True)
    )


def _assume_packetization(text: str) -> str:
    """Say of H.264 that says nothing of its packetization that it is mode 1, which takes in the others.

    By RFC 6184 section 8.1 it would be mode 0, which aiortc does not offer; to take it apart is the same.
    """
    lines = text.splitlines()
    for payload_type in re.findall(r"(?mi)^a=rtpmap:(\d+) H264/90000", text):
        start = f"a=fmtp:{payload_type} "
        at = next((at for at, line in enumerate(lines) if line.startswith(start)), None)
        if at is None:
            rtpmap = next(at for at, line in enumerate(lines) if line.startswith(f"a=rtpmap:{payload_type} "))
            lines.insert(rtpmap + 1, start + "packetization-mode=1")
        elif "packetization-mode" not in lines[at]:
            lines[at] = f"{lines[at].rstrip()};packetization-mode=1"
    return "".join(f"{line}\r\n" for line in lines)


def _bad(message: str) -> StreamError:
    return StreamError("bad_offer", message)


def _check_media(description: SessionDescription, directions: tuple[str, ...]) -> None:
    kinds = [media.kind for media in description.media]
    if "application" in kinds:
        raise Unacceptable("Video and audio is all that goes this way: offer no data channel.")
    if kinds.count("video") > 1 or kinds.count("audio") > 1:
        raise Unacceptable("A stream has one video and one audio track: offer at most one m-section of each.")
    for media in description.media:
        if media.direction not in directions:
            raise Unacceptable(f"The offer's {media.kind} is {media.direction}: it must be {directions[0]}.")
        names = [codec.mimeType.lower() for codec in media.rtp.codecs]
        if media.kind == "audio" and "audio/opus" not in names:
            raise Unacceptable("The offer's audio must have Opus.")


def _clean(text: str) -> str:
    session, sections = _split(text)
    mids = [next((line[6:] for line in section if line.startswith("a=mid:")), None) for section in sections]
    known = {mid for mid in mids if mid}
    session = [_known_bundle(line, known) if line.startswith("a=group:BUNDLE") else line for line in session]
    bundle = next((line.split()[1:] for line in session if line.startswith("a=group:BUNDLE")), [])
    if len(sections) > 1 and not known <= {*bundle}:
        raise Unacceptable("All must share one transport: bundle every m-section (a=group:BUNDLE).")
    sections = [list(_clean_section(section)) for section in sections]
    if bundle:
        _share_transport(sections, mids.index(bundle[0]))
        _share_candidates(sections, mids.index(bundle[0]))
    return "".join(f"{line}\r\n" for lines in (session, *sections) for line in lines)


def _split(text: str) -> tuple[list[str], list[list[str]]]:
    session: list[str] = []
    sections: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("m="):
            sections.append([])
        (sections[-1] if sections else session).append(_setup(line.rstrip()))
    return session, sections


def _setup(line: str) -> str:
    # Offered the choice, aiortc would answer active, and as DTLS client it offers ECDSA ciphers only:
    # GStreamer's RSA certificates fail. An offer that says active makes it answer passive.
    return "a=setup:active" if line == "a=setup:actpass" else line


def _known_bundle(line: str, known: set[str]) -> str:
    # ffmpeg 8.0 bundles a section that it does not offer, over which aiortc raises AttributeError.
    return " ".join(["a=group:BUNDLE", *(mid for mid in line.split()[1:] if mid in known)])


def _clean_section(lines: list[str]) -> Iterator[str]:
    for line in lines:
        # Candidates that need a lookup cost a second each, others raise; a peer whose candidates are all
        # dropped still arrives, as peer-reflexive. So there is no end of candidates either.
        if line == "a=end-of-candidates" or (line.startswith("a=candidate:") and not is_usable_candidate(line)):
            continue
        yield line
    if not DIRECTIONS.intersection(lines) and not lines[0].startswith("m=application"):
        yield "a=sendrecv"  # what its absence means (RFC 8866 section 6.7); aiortc raises


def is_usable_candidate(line: str) -> bool:
    """Tell whether an ``a=candidate`` line names a UDP address that can be tried without a lookup."""
    parts = line.removeprefix("a=candidate:").split()
    if len(parts) < 8 or parts[2].lower() != "udp" or parts[7] not in ("host", "srflx", "relay"):
        return False
    try:
        ipaddress.ip_address(parts[4])
        return int(parts[1]) == 1 and int(parts[3]) >= 0 and 0 < int(parts[5]) < 65536
    except ValueError:
        return False


def _share_transport(sections: list[list[str]], tagged: int) -> None:
    # Under max-bundle all sections but the first are bundle-only: they need not say again what the transport
    # of the bundle is (RFC 8829 section 5.2.1), but aiortc reads it from each.
    shared = [line for line in sections[tagged] if line.startswith(TRANSPORT)]
    for section in sections:
        if "a=bundle-only" in section and not any(line.startswith("a=ice-ufrag:") for line in section):
            own = [line for line in section if not line.startswith(TRANSPORT) and line != "a=rtcp-mux"]
            section[:] = [*own, *shared, "a=rtcp-mux"]


def _share_candidates(sections: list[list[str]], tagged: int) -> None:
    # A bundle uses the transport of its first section (RFC 8843 section 7.3.1), aiortc the candidates of
    # its last one: where a browser gathered for each section, those lead nowhere.
    candidates = [line for line in sections[tagged] if line.startswith("a=candidate:")]
    for section in sections:
        section[:] = [line for line in section if not line.startswith("a=candidate:")] + candidates


def _check(description: SessionDescription, directions: tuple[str, ...]) -> Codec:
    video = next((media for media in description.media if media.kind == "video"), None)
    if not description.media:
        raise _bad(f"The offer has no m-section, and so no video: add a {directions[0]} video transceiver.")
    if video is None:
        raise Unacceptable(f"The offer has no video: add a {directions[0]} video transceiver.")
    if video.direction not in directions:
        raise Unacceptable(f"The offer's video is {video.direction}: it must be {directions[0]}.")
    for media in description.media:
        _check_transport(media)
    if len(description.media) > 1 and not all(media.rtp.muxId for media in description.media):
        raise _bad("Each m-section needs an a=mid of its own.")
    common = find_common_codecs(CODECS["video"], video.rtp.codecs)
    if not common:
        raise Unacceptable("The offer's video must have VP8, or H264 constrained baseline with packetization-mode=1.")
    return CODEC_NAMES[cast(str, common[0].mimeType).partition("/")[2].upper()]


def _check_transport(media: MediaDescription) -> None:
    if media.kind not in ("audio", "video", "application"):
        raise Unacceptable(f"An m-section of kind {media.kind!r} can't be answered.")
    if not media.ice or not media.ice.usernameFragment or not media.ice.password:
        raise _bad("The offer lacks a=ice-ufrag and a=ice-pwd.")
    if media.dtls is None or not media.dtls.fingerprints:
        raise _bad("The offer lacks a=fingerprint and a=setup.")
    if media.kind == "application":
        if "SCTP" not in media.profile or (media.profile != "DTLS/SCTP" and media.sctp_port is None):
            raise _bad("The application m-section must be a WebRTC data channel with a=sctp-port.")
    elif not media.rtcp_mux:
        raise Unacceptable("The offer lacks a=rtcp-mux.")
