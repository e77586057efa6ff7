"""The server as a client asks it over HTTP: its answers, its refusals, what keeps it from being reached."""

import json
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiortc import RTCIceServer

from stream.ice import read_ice_servers

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class DirectorError(Exception):
    """The server could not be reached, broke off, or did not do what it should; says which."""


class Refused(DirectorError):
    """The server refused a command or an offer, with a code of the wire contract."""

    def __init__(self, code: str, message: str, retryable: bool) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.retryable = code, message, retryable


class ServerHttp:
    """A server at an address, with its access token where it wants one; made inside an event loop, to be closed.

    Raises DirectorError for what is no address.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url if "://" in url else f"http://{url}"
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DirectorError(f"{url!r} is no address of a server, as http://127.0.0.1:8080 is")
        self.is_on_loopback = parts.hostname in LOOPBACK_NAMES
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"} if token else {})

    async def request(self, method: str, path: str, **options: Any) -> str:
        """Ask the server over HTTP; gives the body. Raises Refused for an error, DirectorError without an answer."""
        try:
            async with self._session.request(method, urljoin(self.url, path), **options) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DirectorError(f"can't reach {self.url}: {error or type(error).__name__}") from error
        if response.status < 400:
            return text
        try:
            error = json.loads(text)["error"]
            refusal = Refused(error["code"], error["message"], response.status in (408, 429, 502, 503))
        except (ValueError, LookupError, TypeError):
            what = f"{method} {path} answered {response.status} {response.reason}, which no such server does"
            raise DirectorError(f"{what}; is {self.url} the right address?") from None
        raise refusal

    async def ice_servers(self) -> list[RTCIceServer]:
        """Give the STUN and TURN servers that the server names; none where it can't be asked."""
        try:
            answer = json.loads(await self.request("GET", "/ice_servers"))
        except (Refused, ValueError):
            return []  # the offer is refused for the same reason, and says it better
        return read_ice_servers(answer.get("ice_servers")) if isinstance(answer, dict) else []

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self._session.close()
