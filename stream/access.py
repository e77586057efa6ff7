"""Who may talk to the server: the names it answers to, the pages that may call it, its access token."""

import hmac
import ipaddress
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from stream.addresses import parse_public
from stream.config import ConfigError, ServerConfig
from stream.errors import StreamError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
ANY = "*"


def is_loopback(host: str) -> bool:
    """Say whether a host name or address means this machine alone.

    >>> is_loopback("localhost"), is_loopback("127.0.0.53"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_binding(server: ServerConfig) -> None:
    """Refuse to open the server to a network with nothing in front of it.

    Raises ConfigError, with the ways out in the message, for a host beyond loopback without an access token,
    TLS, or ``allow_insecure``.
    """
    guarded = bool(server.access_token) or bool(server.tls_cert and server.tls_key)
    if guarded or server.allow_insecure or is_loopback(server.host):
        return
    raise ConfigError(
        f"server.host={server.host} opens the server to the network, and anyone there could use it: set "
        "server.access_token=SECRET, or server.tls_cert=FILE and server.tls_key=FILE, or say "
        "server.allow_insecure=true if that is what you want"
    )


class Access:
    """The allow-lists and the access token of one server."""

    def __init__(self, server: ServerConfig) -> None:
        own = set() if server.host in ("0.0.0.0", "::") else {server.host.lower()}
        # An address is no name that could be made to mean this machine.
        public = {outside for outside, _ in parse_public(server.public_ip)}
        self._hosts = LOOPBACK_NAMES | own | public | {name.lower().strip("[]") for name in server.allowed_hosts}
        self._origins = {origin.lower().rstrip("/") for origin in server.allowed_origins}
        self._token = server.access_token

    def check_host(self, host: str | None, local_address: str | None = None) -> None:
        """Check the ``Host`` header against the names that this server answers to.

        A page under a foreign name that resolves to this machine (DNS rebinding) is what this keeps out; so
        ``local_address``, the address that the connection came to, is always fine: no name is in it. Raises
        StreamError ``forbidden_origin``.
        """
        name = _hostname(f"//{host}") if host else None
        if name is not None and (ANY in self._hosts or name in self._hosts or name == local_address):
            return
        raise StreamError(
            "forbidden_origin",
            f"This server does not answer to the name {host!r}; add it to server.allowed_hosts.",
        )

    def check_origin(self, origin: str | None, host: str | None) -> None:
        """Check the ``Origin`` header, which browsers send with what a page asks for; programs send none.

        Fine are the page's own server (the origin's authority is ``host``), names on the host list, and
        ``server.allowed_origins``. Raises StreamError ``forbidden_origin``.
        """
        if origin is None or origin.lower() in self._origins or ANY in self._origins:
            return
        scheme, _, authority = origin.lower().partition("://")
        if scheme in ("http", "https"):
            if host is not None and authority == host.lower():
                return
            # Compared as it stands: a wildcard among the hosts says nothing about the pages of other sites.
            if _hostname(origin) in self._hosts:
                return
        raise StreamError(
            "forbidden_origin",
            f"Pages of {origin!r} may not use this server; add that to server.allowed_origins.",
        )

    def check_token(self, authorization: str | None, token: object = None) -> None:
        """Check the access token, from an ``Authorization: Bearer`` header or a field of the body.

        Does nothing where the configuration asks none. Raises StreamError ``unauthorized``.
        """
        if not self._token:
            return
        offered = bearer(authorization) or (token if isinstance(token, str) else "")
        if not same_secret(offered, self._token):
            raise StreamError("unauthorized", "This server asks for its access token: Authorization: Bearer.")


def bearer(authorization: str | None) -> str:
    """Give the token of an ``Authorization: Bearer`` header, or an empty string (RFC 6750 section 2.1).

    >>> bearer("bearer abc"), bearer("Basic abc"), bearer(None)
    ('abc', '', '')
    """
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def same_secret(offered: str, secret: str) -> bool:
    """Compare two secrets in a time that tells nothing of where they differ."""
    # compare_digest takes text only when it is ASCII; headers and JSON can hold lone surrogates.
    return hmac.compare_digest(offered.encode(errors="surrogatepass"), secret.encode(errors="surrogatepass"))


def host_and_origin_middleware(access: Access) -> Middleware:
    """Make the middleware that refuses requests under a foreign name, or from a foreign page."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host")
        sockname = request.transport.get_extra_info("sockname") if request.transport else None
        local_address = _plain_address(sockname[0]) if isinstance(sockname, tuple) else None
        access.check_host(host, local_address)
        access.check_origin(request.headers.get("Origin"), host)
        return await handler(request)

    return check


def _hostname(url: str) -> str | None:
    """Give the lower-case host of a URL, without its port; None where there is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is no number
        return _plain_address(parts.hostname) if parts.hostname else None
    except ValueError:
        return None


def _plain_address(host: str) -> str:
    """Write an address one way: no zone, and IPv4 as itself where IPv6 wraps it; names as they are."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
