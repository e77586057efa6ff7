"""Trickled candidates: the fragments of a session description that PATCH brings (RFC 8840)."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiortc import RTCIceCandidate
from aiortc.sdp import candidate_from_sdp

from stream.errors import StreamError
from stream.sdp import is_usable_candidate

# More than a client with every kind of network has; each costs a connectivity check.
CANDIDATES = 64


@dataclass(frozen=True, slots=True)
class Fragment:
    """What a fragment says: whose candidates they are, and those of them that can be tried."""

    ufrag: str | None
    pwd: str | None
    candidates: tuple[RTCIceCandidate, ...]


def read_fragment(text: str) -> Fragment:
    """Read an ``application/trickle-ice-sdpfrag`` body.

    Which m-section a candidate stands in does not matter, for all share one transport. Candidates that can't
    be used are left out in silence. Raises StreamError ``bad_message`` for what is no fragment.

    >>> fragment = read_fragment("a=ice-ufrag:abcd\\r\\na=candidate:1 1 udp 1 x.local 9 typ host\\r\\n")
    >>> fragment.ufrag, fragment.candidates
    ('abcd', ())
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or any(line[1:2] != "=" or not line[0].isalpha() for line in lines):
        raise StreamError("bad_message", "Send a fragment of a session description: lines such as a=candidate:...")
    usable = [line for line in lines if line.startswith("a=candidate:") and is_usable_candidate(line)]
    candidates = tuple(_candidate(line) for line in usable[:CANDIDATES])
    return Fragment(_value(lines, "a=ice-ufrag:"), _value(lines, "a=ice-pwd:"), candidates)


def ice_credentials(sdp: str) -> tuple[str | None, str | None]:
    """Give the ICE user name fragment and password of a description, those of its first m-section."""
    lines = sdp.splitlines()
    return _value(lines, "a=ice-ufrag:"), _value(lines, "a=ice-pwd:")


def _candidate(line: str) -> RTCIceCandidate:
    candidate = candidate_from_sdp(line.removeprefix("a=candidate:"))
    candidate.protocol = candidate.protocol.lower()
    return candidate


def _value(lines: Sequence[str], name: str) -> str | None:
    return next((line.removeprefix(name).strip() for line in lines if line.startswith(name)), None)
