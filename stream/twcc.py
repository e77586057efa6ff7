"""Transport-wide feedback: when each packet arrived, as its receiver tells some ten times a second.

The header extension and the RTCP message are those of draft-holmer-rmcat-transport-wide-cc-extensions-01. Pure, no
clock of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import error as StructError
from struct import unpack_from

RTCP_HEADER_BYTES = 4
TRANSPORT_FEEDBACK, FEEDBACK_FORMAT = 205, 15
REFERENCE_S = 0.064
REFERENCE_MODULO = 1 << 24
DELTA_S = 0.00025
SEQUENCE_MODULO = 1 << 16
# What is not reported by then was lost together with its report.
KEPT_PACKETS = 4096
RECEIVED_SMALL, RECEIVED_LARGE = 1, 2


@dataclass(frozen=True, slots=True)
class Feedback:
    """One report: the packets from sequence number ``first`` on, each with its arrival, None where it is missing.

    Arrivals are seconds after ``reference``, which counts 64 ms on the receiver's clock, modulo 2^24.
    """

    first: int
    reference: int
    arrivals: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class PacketResult:
    """What became of a packet: sent by our clock, arrived by the receiver's, None where it is lost; seconds, bytes.

    ``sequence`` is the RTP sequence number of the video packet that it is, or is a copy of.
    """

    sent: float
    arrived: float | None
    size: int
    sequence: int = 0


def split_rtcp(data: bytes) -> tuple[list[Feedback], bytes]:
    """Take the feedback out of a compound RTCP packet (RFC 3550 section 6.1); gives it, and the packets left.

    What can't be read stays in what is left, or, within a feedback, is left out.

    >>> split_rtcp(bytes.fromhex("81c90007"))
    ([], b'\\x81\\xc9\\x00\\x07')
    """
    found: list[Feedback] = []
    left: list[bytes] = []
    at = 0
    while at + RTCP_HEADER_BYTES <= len(data):
        head, kind, words = unpack_from("!BBH", data, at)
        end = at + RTCP_HEADER_BYTES + 4 * words
        if kind == TRANSPORT_FEEDBACK and head & 0x1F == FEEDBACK_FORMAT and end <= len(data):
            feedback = _parse(data[at + RTCP_HEADER_BYTES : end])
            if feedback is not None:
                found.append(feedback)
        else:
            left.append(data[at:end])
        at = end
    left.append(data[at:])
    return found, b"".join(left)


def _parse(body: bytes) -> Feedback | None:
    try:
        first, count, reference = unpack_from("!HHL", body, 8)
        symbols, at = _symbols(body, count)
        return Feedback(first, reference >> 8, list(_arrivals(body, at, symbols)))
    except (StructError, IndexError):
        return None


def _symbols(body: bytes, count: int) -> tuple[list[int], int]:
    """Give the status of each packet (section 3.1.3 and 3.1.4 of the draft), and where their deltas begin."""
    symbols: list[int] = []
    at = 16
    while len(symbols) < count:
        (chunk,) = unpack_from("!H", body, at)
        at += 2
        if not chunk & 0x8000:
            symbols += [(chunk >> 13) & 3] * min(chunk & 0x1FFF, count - len(symbols))
            if not chunk & 0x1FFF:
                raise IndexError("a run of nothing")
        elif chunk & 0x4000:
            symbols += [(chunk >> shift) & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [(chunk >> shift) & 1 for shift in range(13, -1, -1)]
    return symbols[:count], at


def _arrivals(body: bytes, at: int, symbols: Sequence[int]) -> Iterator[float | None]:
    time = 0.0
    for symbol in symbols:
        if symbol == RECEIVED_SMALL:
            time += body[at] * DELTA_S
            at += 1
        elif symbol == RECEIVED_LARGE:
            time += unpack_from("!h", body, at)[0] * DELTA_S
            at += 2
        else:
            yield None
            continue
        yield time


class SentPackets:
    """The packets of one transport on their way: numbered when they are sent, looked up when they are reported."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, tuple[float, int, int]] = {}
        self._reference: int | None = None

    def add(self, size: int, now: float, sequence: int = 0) -> int:
        """Give the transport-wide sequence number of a packet of so many bytes that is sent now."""
        number = self._next
        self._next = (number + 1) % SEQUENCE_MODULO
        self._waiting[number] = (now, size, sequence)
        if len(self._waiting) > KEPT_PACKETS:
            del self._waiting[next(iter(self._waiting))]
        return number

    def match(self, feedback: Feedback) -> list[PacketResult]:
        """Give what a report says of packets sent here, each once, in the order of sending."""
        reference_s = self._unwrap(feedback.reference) * REFERENCE_S
        results: list[PacketResult] = []
        for offset, arrival in enumerate(feedback.arrivals):
            packet = self._waiting.pop((feedback.first + offset) % SEQUENCE_MODULO, None)
            if packet is not None:
                sent, size, sequence = packet
                arrived = None if arrival is None else reference_s + arrival
                results.append(PacketResult(sent, arrived, size, sequence))
        return results

    def _unwrap(self, reference: int) -> int:
        if self._reference is None:
            self._reference = reference
        half = REFERENCE_MODULO // 2
        self._reference += (reference - self._reference + half) % REFERENCE_MODULO - half
        return self._reference
