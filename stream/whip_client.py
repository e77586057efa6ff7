"""The client's side of WHIP (RFC 9725) over HTTP: an offer posted, redirections followed, the session deleted."""

import asyncio
import logging

import aiohttp
from yarl import URL

from stream.destination import WEB_SCHEMES, AddressRule, Destination, read_destination
from stream.errors import StreamError

logger = logging.getLogger(__name__)

REDIRECTS = 5
REQUEST_S = 10.0
DELETE_S = 3.0
ANSWER_BYTES = 65_536


class WhipClient:
    """One session at a far end, from the offer to its end."""

    def __init__(self, destination: Destination, token: str | None, rule: AddressRule) -> None:
        self._destination = destination
        self._rule = rule
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._session: Destination | None = None

    async def post(self, offer: str) -> str:
        """Post an offer; gives the answer.

        Raises StreamError: ``bad_gateway``, with the far end's ``status`` if it gave one, and ``bad_message`` where a
        URL, also one that the far end names, may not be used.
        """
        at, status = self._destination, 0
        for _ in range(REDIRECTS + 1):
            status, location, body = await self._request("POST", at, REQUEST_S, offer)
            if status in (307, 308):
                at = self._follow(at, location)
                continue
            if status not in (200, 201):
                raise StreamError("bad_gateway", f"The far end answered {status}.", status=status)
            if location:
                self._session = self._follow(at, location)
            return body
        raise StreamError("bad_gateway", "The far end redirects without end.", status=status)

    async def delete(self) -> None:
        """End the session, if there is one; idempotent. What goes wrong is only logged: the far end notices too."""
        session, self._session = self._session, None
        if session is None:
            return
        try:
            status, *_ = await self._request("DELETE", session, DELETE_S)
            logger.debug("the session at %s is ended: %s", session, status)
        except StreamError as error:
            logger.info("the session at %s could not be ended: %s", session, error)

    def _follow(self, at: Destination, location: str | None) -> Destination:
        try:
            url = at.url.join(URL(location or ""))
            found = read_destination(str(url), WEB_SCHEMES)
        except (ValueError, StreamError) as error:
            raise StreamError("bad_gateway", f"The far end names an address that can't be used: {error}.") from error
        if at.scheme == "https" and found.scheme == "http":
            raise StreamError("bad_gateway", "The far end leads from https to http, where the token could be read.")
        return found

    async def _request(
        self, method: str, to: Destination, seconds: float, body: str | None = None
    ) -> tuple[int, str | None, str]:
        """Make one request; gives status, Location and body."""
        headers = self._headers | ({"Content-Type": "application/sdp"} if body is not None else {})
        await self._rule.resolve(to)
        connector = aiohttp.TCPConnector(socket_factory=self._rule.make_socket, force_close=True)
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.request(method, to.url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                # No more of it is read than an answer can have, whatever the far end sends.
                content = await _read(response)
                return response.status, response.headers.get("Location"), content
        except TimeoutError as error:
            raise StreamError("bad_gateway", f"{to} did not answer within {seconds:g} s.") from error
        except (aiohttp.ClientError, UnicodeDecodeError, asyncio.IncompleteReadError) as error:
            raise StreamError("bad_gateway", f"{to} can't be reached ({type(error).__name__}).") from error


async def _read(response: aiohttp.ClientResponse) -> str:
    content = b""
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > ANSWER_BYTES:
            raise StreamError("bad_gateway", "The far end's answer is too long.", status=response.status)
    return content.decode()
