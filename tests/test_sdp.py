"""Offers are read whole or refused with the reason; answers say what RFC 9725 wants."""

import contextlib

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import StreamError
from stream.sdp import finish_answer, read_offer

TRANSPORT = """a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901
a=fingerprint:sha-256 00:11
a=setup:actpass
"""
VIDEO = f"""m=video 9 UDP/TLS/RTP/SAVPF 96 97 98
c=IN IP4 0.0.0.0
a=mid:0
a=recvonly
a=rtcp-mux
{TRANSPORT}a=rtpmap:96 VP8/90000
a=rtpmap:97 H264/90000
a=fmtp:97 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtpmap:98 H264/90000
a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f
"""
DATA = f"""m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=mid:1
{TRANSPORT}a=sctp-port:5000
"""
OFFER = f"v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0 1\n{VIDEO}{DATA}"


def candidate(address: str, transport: str = "udp", kind: str = "host") -> str:
    """A candidate line."""
    return f"a=candidate:1 1 {transport} 2122260223 {address} 50000 typ {kind}\n"


def lines(text: str) -> list[str]:
    """The lines of the offer as aiortc is to see it."""
    return read_offer(text).sdp.splitlines()


def test_the_first_codec_of_the_offer_is_taken() -> None:
    """The offerer's order decides among VP8 and constrained baseline, each also alone."""
    assert read_offer(OFFER).codec == "VP8"
    h264_first = OFFER.replace("a=rtpmap:96 VP8/90000\n", "").replace(
        "a=rtpmap:98", "a=rtpmap:96 VP8/90000\na=rtpmap:98"
    )
    assert read_offer(h264_first).codec == "H264"
    assert read_offer(OFFER.replace("a=rtpmap:96 VP8/90000\n", "")).codec == "H264"


def test_an_offer_of_the_choice_is_read_as_active() -> None:
    """So that aiortc answers passive; an offer that says passive stays."""
    assert lines(OFFER).count("a=setup:active") == 2
    assert lines(OFFER.replace("actpass", "passive")).count("a=setup:passive") == 2


def test_candidates_that_cost_a_lookup_are_left_out() -> None:
    """Names, TCP and broken candidates go, addresses stay; the end of candidates goes with them."""
    cut = OFFER.replace(
        "a=recvonly\n",
        "a=recvonly\n"
        + candidate("0b5b6b7c-1111-2222-3333-444455556666.local")
        + candidate("192.0.2.1")
        + candidate("192.0.2.2", transport="tcp")
        + candidate("2001:db8::1")
        + "a=candidate:broken\na=end-of-candidates\n",
    )
    kept = [line.split()[4] for line in lines(cut) if line.startswith("a=candidate")]
    assert kept == ["192.0.2.1", "2001:db8::1"] * 2
    assert "a=end-of-candidates" not in lines(cut)


def test_a_bundle_uses_the_candidates_of_its_first_section() -> None:
    """What a browser gathered for the other sections leads nowhere once they share a transport."""
    offer = OFFER.replace("a=recvonly\n", "a=recvonly\n" + candidate("192.0.2.1"))
    offer = offer.replace("a=sctp-port", candidate("192.0.2.9") + "a=sctp-port")
    media = SessionDescription.parse(read_offer(offer).sdp).media
    assert [[c.ip for c in section.ice_candidates] for section in media] == [["192.0.2.1"], ["192.0.2.1"]]


def test_what_is_bundle_only_uses_the_transport_of_its_bundle() -> None:
    """A section of port 0 that max-bundle left without a transport takes over the first one's."""
    bare = DATA.replace(TRANSPORT, "a=bundle-only\n").replace("m=application 9", "m=application 0")
    video, data = SessionDescription.parse(read_offer(OFFER.replace(DATA, bare)).sdp).media
    assert data.ice == video.ice
    assert data.dtls == video.dtls
    with pytest.raises(StreamError, match="ice-ufrag"):
        read_offer(OFFER.replace(DATA, bare.replace("a=bundle-only\n", "")))


def test_a_bundle_may_name_sections_that_are_not_there() -> None:
    """Some clients bundle what they do not offer; the rest is served."""
    alone = OFFER[: OFFER.index("m=application")]
    assert "a=group:BUNDLE 0" in lines(alone)


def test_a_section_without_a_direction_sends_and_receives() -> None:
    """That is what its absence means."""
    assert "a=sendrecv" in lines(OFFER.replace("a=recvonly\n", ""))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (None, "v=0"),
        (12, "v=0"),
        ("", "v=0"),
        ("hello", "v=0"),
        ("v=0\n", "no video"),
        (OFFER.replace(VIDEO, "").replace("BUNDLE 0 1", "BUNDLE 1"), "no video"),
        (OFFER.replace("a=recvonly", "a=sendonly"), "sendonly"),
        (OFFER.replace("a=recvonly", "a=inactive"), "inactive"),
        (OFFER.replace("VP8", "VP9").replace("42e01f", "640c1f"), "VP8"),
        (OFFER.replace("a=ice-ufrag:abcd\n", ""), "ice-ufrag"),
        (OFFER.replace("a=fingerprint:sha-256 00:11\n", ""), "fingerprint"),
        (OFFER.replace("a=setup:actpass\n", ""), "setup"),
        (OFFER.replace("a=setup:actpass", "a=setup:sideways"), "read"),
        (OFFER.replace("a=rtcp-mux\n", ""), "rtcp-mux"),
        (OFFER.replace("a=sctp-port:5000\n", ""), "sctp-port"),
        (OFFER.replace("a=group:BUNDLE 0 1\n", ""), "bundle"),
        (OFFER.replace("m=application", "m=text"), "text"),
        (OFFER.replace("a=rtpmap:96 VP8/90000", "a=rtpmap:96"), "read"),
        (OFFER.replace("a=fmtp:97", "a=fmtp:44"), "read"),
        (OFFER.replace("96 97 98", "ninety-six"), "read"),
        (OFFER.replace("a=mid:0", "a=mid"), "a=mid"),
    ],
)
def test_an_offer_that_lacks_something_is_refused_with_the_reason(broken: object, said: str) -> None:
    """Each fault gives ``bad_offer``, and a message that names it."""
    with pytest.raises(StreamError, match=said) as caught:
        read_offer(broken)
    assert caught.value.code == "bad_offer"


@given(st.data())
def test_a_mutilated_offer_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever lines are lost, doubled or cut short, nothing but a StreamError is raised."""
    mutilated: list[str] = []
    for line in OFFER.splitlines():
        times = data.draw(st.sampled_from([1, 1, 1, 1, 1, 0, 2]))
        end = data.draw(st.sampled_from([None, None, None, None, 5, 9, -1]))
        mutilated += [line[:end]] * times
    with contextlib.suppress(StreamError):
        assert read_offer("\n".join(mutilated)).codec in ("VP8", "H264")


def test_an_answer_is_rtcp_mux_only_in_each_section() -> None:
    """RFC 9725 wants the attribute in every bundled m-section."""
    answer = finish_answer("v=0\r\nm=video 9 X 96\r\na=mid:0\r\nm=application 9 X y\r\na=mid:1\r\n")
    assert answer == (
        "v=0\r\nm=video 9 X 96\r\na=mid:0\r\na=rtcp-mux-only\r\nm=application 9 X y\r\na=mid:1\r\na=rtcp-mux-only\r\n"
    )
