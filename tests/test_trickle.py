"""Fragments are read whole; of their candidates those that can be tried are kept."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import StreamError
from stream.trickle import CANDIDATES, ice_credentials, read_fragment

CANDIDATE = "a=candidate:1 1 UDP 2122260223 192.0.2.{} 50000 typ host generation 0"


def test_candidates_are_kept_wherever_they_stand() -> None:
    """Before, in and after any m-section; UDP in capitals too."""
    lines = [
        CANDIDATE.format(1),
        "m=audio 9 UDP/TLS/RTP/SAVPF 0",
        "a=mid:9",
        CANDIDATE.format(2),
        "a=end-of-candidates",
    ]
    kept = read_fragment("\r\n".join(lines)).candidates
    assert [(one.ip, one.port, one.protocol) for one in kept] == [
        ("192.0.2.1", 50000, "udp"),
        ("192.0.2.2", 50000, "udp"),
    ]


def test_there_is_an_end_to_what_is_tried() -> None:
    """Each candidate costs checks."""
    assert len(read_fragment("\n".join(CANDIDATE.format(n % 256) for n in range(500))).candidates) == CANDIDATES


def test_credentials_are_those_of_the_description() -> None:
    """Of a fragment and of an offer alike; missing ones are None."""
    text = "a=ice-ufrag:one\r\na=ice-pwd:two\r\n"
    fragment = read_fragment(text)
    assert (fragment.ufrag, fragment.pwd) == ice_credentials("v=0\r\n" + text) == ("one", "two")
    assert ice_credentials("v=0\r\n") == (None, None)


@pytest.mark.parametrize("text", ["", "  \r\n", "garbage", "=x", "1=x", "a", "a=mid:0\n\ngarbage"])
def test_what_is_no_fragment_is_refused(text: str) -> None:
    """Lines are a letter, an equals sign, a value."""
    with pytest.raises(StreamError) as caught:
        read_fragment(text)
    assert caught.value.code == "bad_message"


@given(st.text(max_size=300) | st.lists(st.text(max_size=60).map("a=candidate:".__add__)).map("\n".join))
def test_nothing_else_is_raised(text: str) -> None:
    """Whatever comes."""
    with contextlib.suppress(StreamError):
        read_fragment(text)
