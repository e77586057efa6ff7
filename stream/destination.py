"""Where a stream may be published to: the schemes, and the addresses that are nobody's inside.

A control token must not make the server talk to what only the server can reach: its own machine, the network behind
it, the metadata service of a cloud. So a name is looked at after it is resolved, and what is connected to is checked
again, for a name can mean another address a moment later (DNS rebinding).
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from yarl import URL

from stream.errors import StreamError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_PORTS = {"http": 80, "https": 443, "rtmp": 1935, "rtmps": 443, "srt": 9000}
WEB_SCHEMES = ("http", "https")
URL_CHARS = 2048
NAT64 = ipaddress.ip_network("64:ff9b::/96")
# What Python counts as public, or does in some versions, though clouds have their own services there: Azure the first,
# Oracle the second.
INSIDE = tuple(ipaddress.ip_network(one) for one in ("168.63.129.16/32", "192.0.0.0/24"))


@dataclass(frozen=True, slots=True)
class Destination:
    """A place to publish to, of an allowed scheme; ``host`` is a name, or an address as it is written canonically."""

    url: URL
    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """Tell of it without what may be secret: path, query and user stay out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def read_destination(text: object, schemes: Sequence[str] = tuple(DEFAULT_PORTS)) -> Destination:
    """Read a URL to publish to.

    Raises StreamError ``bad_message`` for what is no URL, of another scheme, without a host, or with a host that is
    neither a name nor an address.

    >>> str(read_destination("https://live.example.org/whip/key"))
    'https://live.example.org:443'
    """
    if not isinstance(text, str) or not 0 < len(text) <= URL_CHARS or re.search(r"[\s\x00-\x1f\x7f\\]", text):
        raise _bad(f"it must be a URL of at most {URL_CHARS} characters, without spaces")
    scheme = text.partition(":")[0].lower()
    if scheme not in schemes or not text[len(scheme) :].startswith("://"):
        raise _bad(f"it must begin with one of {', '.join(f'{one}://' for one in schemes)}")
    try:
        url = URL(text).with_fragment(None)
        host, port = url.host, url.explicit_port or DEFAULT_PORTS[scheme]
    except ValueError as error:
        raise _bad(f"it can't be read ({error})") from error
    if not host or not _is_host(host):
        raise _bad("its host must be a name, or an address written in full")
    if scheme in WEB_SCHEMES and url.user is not None:
        raise _bad("it must hold no user or password; send the far end's token as `token`")
    return Destination(url, scheme, host, port)


def is_public(address: Address) -> bool:
    """Tell whether an address is of the internet at large, also where IPv6 wraps one of IPv4.

    >>> [is_public(ipaddress.ip_address(one)) for one in ("1.1.1.1", "10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1")]
    [True, False, False, False]
    """
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if wrapped is not None:
            return is_public(wrapped)
        if address.is_site_local:
            return False
    is_inside = any(address in network for network in INSIDE)
    return address.is_global and not address.is_multicast and not is_inside


@dataclass(frozen=True, slots=True)
class AddressRule:
    """Which addresses may be connected to: public ones, or any where the configuration says so."""

    allow_private: bool

    def allows(self, address: str) -> bool:
        """Tell whether this address, as text, may be connected to."""
        try:
            return self.allow_private or is_public(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return False

    async def resolve(self, destination: Destination) -> str:
        """Give an address of the destination that may be connected to.

        Raises StreamError ``bad_gateway`` when its name is not found, ``bad_message`` when all of its addresses are
        inside.
        """
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise StreamError("bad_gateway", f"The host {destination.host} was not found; see `url`.") from error
        addresses = [str(info[4][0]) for info in found]
        if allowed := [address for address in addresses if self.allows(address)]:
            return allowed[0]
        raise _bad(
            f"{destination.host} is a private, local or metadata address, to which this server does not publish "
            "(stream.publish_private)"
        )

    def make_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Make the socket for one address that a name was resolved to. Raises OSError for one inside."""
        family, kind, protocol, _, address = info
        if not self.allows(str(address[0])):
            raise PermissionError(f"{address[0]} is a private, local or metadata address")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


def _bad(why: str) -> StreamError:
    return StreamError("bad_message", f"`url` is refused: {why}.")


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
        return True
    except ValueError:
        # Numbers alone are an address written in short, or in octal; programs do not agree which one.
        is_number = re.fullmatch(r"(0x[0-9a-f]*|[0-9.]+|.*\.(0x[0-9a-f]*|[0-9]+)\.?)", host, re.I)
        return is_number is None and re.fullmatch(r"[a-z0-9_.-]{1,253}", host, re.I) is not None
