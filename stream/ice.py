"""Which addresses a peer is offered: the hook into aioice, and the configuration of every connection."""

from collections.abc import Sequence

import aioice.ice
from aiortc import RTCConfiguration, RTCIceServer
from aiortc.rtcconfiguration import RTCBundlePolicy

LOOPBACK = "127.0.0.1"

# Kept so that applying the hook again replaces it instead of stacking.
_gather_host_addresses = aioice.ice.get_host_addresses


def advertise_loopback(enabled: bool) -> None:
    """Offer 127.0.0.1 beside the host's other addresses, to every connection made from now on.

    aioice leaves loopback out on purpose, so a client on the same machine without a network, or in a
    namespace of its own, could not connect. To be removed when aioice takes the addresses as a parameter.
    """

    def get_host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        addresses = _gather_host_addresses(use_ipv4, use_ipv6)
        return [*addresses, LOOPBACK] if use_ipv4 else addresses

    aioice.ice.get_host_addresses = get_host_addresses if enabled else _gather_host_addresses


def connection_configuration(servers: Sequence[str]) -> RTCConfiguration:
    """Make the configuration of a peer connection: one transport, and only the STUN and TURN servers given.

    A server is its URL; TURN credentials stand before the host, ``turn:user:password@host:port``. An
    empty list means none: without a list aiortc would ask a public STUN server, for up to 5 s.
    """
    return RTCConfiguration(iceServers=[_server(url) for url in servers], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)


def link_headers(servers: Sequence[str]) -> list[str]:
    """Give the ``Link`` header values that tell a client of these servers (RFC 9725 section 4.6).

    >>> link_headers(["turn:me:secret@turn.example.org"])
    ['<turn:turn.example.org>; rel="ice-server"; username="me"; credential="secret"; credential-type="password"']
    """
    return [_link(_server(url)) for url in servers]


def _link(server: RTCIceServer) -> str:
    parts = [f"<{server.urls}>", 'rel="ice-server"']
    if server.username is not None and server.credential is not None:
        parts += [f"username={_quoted(server.username)}", f"credential={_quoted(server.credential)}"]
        parts += ['credential-type="password"']
    return "; ".join(parts)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _server(url: str) -> RTCIceServer:
    scheme, _, rest = url.partition(":")
    credentials, at, host = rest.rpartition("@")
    if not at:
        return RTCIceServer(urls=url)
    username, _, password = credentials.partition(":")
    return RTCIceServer(urls=f"{scheme}:{host}", username=username, credential=password)
