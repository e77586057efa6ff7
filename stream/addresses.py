"""Addresses and ports as they are configured, and sockets on them: plain values, no WebRTC."""

import errno
import ipaddress
import random
import re
import socket
from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
TAKEN = (errno.EADDRINUSE, errno.EACCES)
RECEIVE_BUFFER_BYTES = 262_144
# To connect a datagram socket only chooses a route: nothing is sent to these documentation addresses (RFC 5737, 3849).
FAR_AWAY = {4: ("192.0.2.1", 9), 6: ("2001:db8::1", 9)}
ICE_SERVER = re.compile(r"(stuns?|turns?):([^@?:\s]+)(:\d{1,5})?(\?transport=(udp|tcp))?")

PublicAddresses = tuple[tuple[str, str], ...]


def parse_ports(text: str) -> range | None:
    """Read ``LOW-HIGH``, or one port; None for an empty text. Raises ValueError with what to write.

    >>> parse_ports("50000-50002"), parse_ports("50000"), parse_ports("")
    (range(50000, 50003), range(50000, 50001), None)
    """
    if not text.strip():
        return None
    low, dash, high = (part.strip() for part in text.partition("-"))
    bounds = (low, high if dash else low)
    if not all(bound.isascii() and bound.isdigit() and 0 < int(bound) < 65_536 for bound in bounds):
        raise ValueError(f"{text!r} is no range of ports; write one as 50000-50100, from 1 to 65535")
    if int(bounds[0]) > int(bounds[1]):
        raise ValueError(f"{text!r} runs backwards; write the lower port first")
    return range(int(bounds[0]), int(bounds[1]) + 1)


def parse_public(text: str) -> PublicAddresses:
    """Read addresses as ``PUBLIC`` or ``PUBLIC/PRIVATE``, with commas between. Raises ValueError.

    >>> parse_public("203.0.113.7, 203.0.113.8/10.0.0.8")
    (('203.0.113.7', ''), ('203.0.113.8', '10.0.0.8'))
    """
    pairs: list[tuple[str, str]] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        outside, slash, inside = entry.partition("/")
        try:
            addresses = [ipaddress.ip_address(part.strip()) for part in ([outside, inside] if slash else [outside])]
        except ValueError as error:
            raise ValueError(
                f"{entry!r} is no address; write the public one, as 203.0.113.7, or both, as 203.0.113.7/10.0.0.5"
            ) from error
        if len({address.version for address in addresses}) > 1:
            raise ValueError(f"{entry!r} has addresses of two kinds; both must be IPv4, or both IPv6")
        pairs.append((str(addresses[0]), str(addresses[1]) if slash else ""))
    return tuple(pairs)


def outgoing_address(version: int = 4) -> str | None:
    """Give this machine's address towards the network, IPv4 or IPv6, or None; nothing is sent."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(FAR_AWAY[version])
            return probe.getsockname()[0]
    except OSError:
        return None


def bind(address: str, ports: range | None) -> socket.socket | None:
    """Bind a datagram socket to a free port of an address; None where every port of the range is taken.

    Raises OSError where the address can't be bound at all.
    """
    for port in shuffled(ports) if ports is not None else (0,):
        # Made anew for each: one that failed to bind can't be used again everywhere.
        attempt = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            attempt.bind((address, port))
        except OSError as error:
            attempt.close()
            if ports is None or error.errno not in TAKEN:
                raise
            continue
        attempt.setblocking(False)
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        return attempt
    return None


def shuffled(ports: range) -> Iterator[int]:
    """Give every port of the range once, from a random one on, so that few that are taken are met."""
    start = random.randrange(len(ports))
    yield from ports[start:]
    yield from ports[:start]


def parse_ice_server(text: str) -> tuple[str, str, str]:
    """Read a STUN or TURN server, credentials before its host; gives (URL, user, password). Raises ValueError.

    >>> parse_ice_server("turn:me:secret@turn.example.org:3478?transport=tcp")
    ('turn:turn.example.org:3478?transport=tcp', 'me', 'secret')
    """
    scheme, _, rest = text.strip().partition(":")
    credentials, at, host = rest.rpartition("@")
    url = f"{scheme}:{host}"
    parsed = ICE_SERVER.fullmatch(url)
    if parsed is None:
        raise ValueError(
            f"{url!r} is no STUN or TURN server; write stun:HOST:PORT, or turn:USER:PASSWORD@HOST:PORT, and with "
            "?transport=tcp at its end where it is to be reached by TCP"
        )
    user, _, password = credentials.partition(":")
    if scheme.startswith("stun") and (at or parsed[4]):
        raise ValueError(f"{url!r} is a STUN server, which takes neither a user nor a transport")
    return url, user, password
