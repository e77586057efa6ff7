"""STUN and TURN servers: what a connection of ours is told of them, and what clients are."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection
from aiortc.rtcconfiguration import RTCBundlePolicy
from aiortc.rtcicetransport import connection_kwargs

from stream.addresses import parse_ice_server
from stream.config import ServerConfig

USER_ID_BYTES = 4


def wall_clock_s() -> float:
    """Give the seconds since 1970: the one clock that another machine has too."""
    return datetime.now(UTC).timestamp()


@dataclass(frozen=True, slots=True)
class IceServers:
    """The STUN and TURN servers of the configuration, with credentials made anew whenever they are told.

    ``urls`` are as :func:`stream.addresses.parse_ice_server` reads them. A TURN server without credentials gets some
    that end ``ttl_s`` seconds from now, made of the ``secret`` that it shares with us: the "TURN REST" scheme
    (draft-uberti-behave-turn-rest-00), which coturn calls ``use-auth-secret``.
    """

    urls: tuple[str, ...] = ()
    secret: str = ""
    ttl_s: int = 86_400
    now_s: Callable[[], float] = wall_clock_s

    def current(self) -> list[RTCIceServer]:
        """Give the servers, with credentials of this moment.

        >>> IceServers(("turn:turn.example.org",), "north", 60, lambda: 1000.0).current()[0].username[:5]
        '1060:'
        """
        return [self._with_credentials(*parse_ice_server(url)) for url in self.urls]

    def configuration(self) -> RTCConfiguration:
        """Make the configuration of a connection of ours; of several STUN or TURN servers aiortc takes the first."""
        return connection_configuration(self.current())

    def describe(self) -> list[dict[str, str]]:
        """Give what ``RTCPeerConnection`` takes as ``iceServers`` (W3C WebRTC, RTCIceServer).

        >>> IceServers(("stun:stun.example.org",)).describe()
        [{'urls': 'stun:stun.example.org'}]
        """
        return [_described(server) for server in self.current()]

    def link_headers(self) -> list[str]:
        """Give the ``Link`` header values that tell a client of these servers (RFC 9725 section 4.6).

        >>> IceServers(("turn:me:secret@turn.example.org",)).link_headers()
        ['<turn:turn.example.org>; rel="ice-server"; username="me"; credential="secret"; credential-type="password"']
        """
        return [_link(server) for server in self.describe()]

    def _with_credentials(self, url: str, user: str, password: str) -> RTCIceServer:
        if not url.startswith("turn"):
            return RTCIceServer(urls=url)
        if not user and self.secret:
            user = f"{int(self.now_s()) + self.ttl_s}:{secrets.token_hex(USER_ID_BYTES)}"
            password = turn_password(user, self.secret)
        return RTCIceServer(urls=url, username=user, credential=password)


def configured_servers(server: ServerConfig) -> IceServers:
    """Give the servers that a configuration names."""
    return IceServers(tuple(server.ice_servers), server.turn_secret, server.turn_ttl_s)


def turn_password(user: str, secret: str) -> str:
    """Make the password of a user name that begins with the time of its end: HMAC-SHA1 in base64.

    >>> turn_password("1433895918:alice", "south")
    'tR4wYkaRTu5TBI7Yitmg3EasgdI='
    """
    return base64.b64encode(hmac.digest(secret.encode(), user.encode(), hashlib.sha1)).decode()


def connection_configuration(servers: Sequence[RTCIceServer]) -> RTCConfiguration:
    """Make the configuration of a peer connection: one transport, and only the STUN and TURN servers given.

    An empty list means none: without a list aiortc would ask a public STUN server, for up to 5 s.
    """
    return RTCConfiguration(iceServers=[*servers], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)


def read_ice_servers(described: object) -> list[RTCIceServer]:
    """Read what :meth:`IceServers.describe` gave, as a client; what is not of that shape is left out."""
    entries = described if isinstance(described, list) else []
    return [
        RTCIceServer(urls=entry["urls"], username=entry.get("username"), credential=entry.get("credential"))
        for entry in entries
        if isinstance(entry, Mapping) and isinstance(entry.get("urls"), str)
    ]


def use_servers(connection: RTCPeerConnection, servers: Sequence[RTCIceServer]) -> None:
    """Give a connection its STUN and TURN servers after it was made, and before it is described.

    aiortc has no ``setConfiguration``, and makes its ICE transports with the first transceiver or channel.
    """
    for ice in ice_connections(connection):
        for name, value in connection_kwargs([*servers]).items():
            setattr(ice, name, value)


def gathering_failures(connection: RTCPeerConnection) -> list[str]:
    """Say of each STUN or TURN server that gave a connection no candidate why, in a sentence."""
    return [failure for ice in ice_connections(connection) for failure in getattr(ice, "failures", ())]


def ice_connections(connection: RTCPeerConnection) -> list[Any]:
    """Give the ``aioice.Connection`` of each transport of a connection."""
    transports = {transceiver.sender.transport for transceiver in connection.getTransceivers()}
    if connection.sctp is not None:
        transports.add(connection.sctp.transport)
    return [transport.transport.iceGatherer._connection for transport in transports]


def _described(server: RTCIceServer) -> dict[str, str]:
    urls = server.urls if isinstance(server.urls, str) else server.urls[0]
    if server.username is None or server.credential is None:
        return {"urls": urls}
    return {"urls": urls, "username": server.username, "credential": server.credential}


def _link(server: Mapping[str, str]) -> str:
    parts = [f"<{server['urls']}>", 'rel="ice-server"']
    if "username" in server:
        parts += [f"{name}={_quoted(server[name])}" for name in ("username", "credential")]
        parts += ['credential-type="password"']
    return "; ".join(parts)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
