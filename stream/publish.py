"""Publishing streams elsewhere, over HTTP: ``/streams/{stream}/publish``."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from aiohttp import web

from stream.access import bearer
from stream.broadcast import Broadcast
from stream.config import ServerConfig, StreamConfig
from stream.destination import WEB_SCHEMES, AddressRule, Destination, read_destination
from stream.errors import StreamError
from stream.ice import configured_servers
from stream.link import LinkSettings
from stream.live import LiveStream
from stream.mux import MuxPush, muxable_schemes
from stream.publication import Attempt, Publication
from stream.push import whip_push

TOKEN_CHARS = 4096

Authorise = Callable[[str, str], LiveStream]


class Publish:
    """The publications of all streams."""

    def __init__(self, authorise: Authorise, server: ServerConfig, stream: StreamConfig) -> None:
        self._authorise = authorise
        self._rule = AddressRule(stream.publish_private)
        self._settings = LinkSettings(configured_servers(server).configuration, stream.handshake_timeout_s)
        self._publications: set[Publication] = set()

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Give the routes."""
        endpoint = "/streams/{stream}/publish"
        return [web.post(endpoint, self.begin), web.delete(endpoint, self.end)]

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """``POST``: 202 once the far end has answered; what comes after that stands in ``state``."""
        live = self._authorised(request)
        destination, token = _read(await request.text())
        publication = Publication(
            live,
            destination,
            lambda: self._attempt(live, destination, token),
            lambda: self._publications.discard(publication),
        )
        self._publications.add(publication)
        try:
            await publication.begin()
        except StreamError:
            self._publications.discard(publication)
            raise
        return web.json_response(live.guests.describe(), status=202)

    async def end(self, request: web.Request) -> web.StreamResponse:
        """``DELETE``: 204 once it is ended, at the far end too."""
        live = self._authorised(request)
        publication = live.guests.publication
        if not isinstance(publication, Publication):
            raise StreamError("wrong_state", "This stream is not being published; POST a `url` to begin.")
        await publication.close()
        return web.Response(status=204)

    async def close(self) -> None:
        """End all and wait until it is done."""
        await asyncio.gather(*(publication.close() for publication in list(self._publications)))

    def _authorised(self, request: web.Request) -> LiveStream:
        return self._authorise(request.match_info["stream"], bearer(request.headers.get("Authorization")))

    def _attempt(self, live: LiveStream, destination: Destination, token: str | None) -> Attempt:
        broadcast = cast(Broadcast, live.broadcast)
        if destination.scheme in WEB_SCHEMES:
            return whip_push(broadcast, destination, token, self._rule, self._settings)
        return MuxPush(live, broadcast, destination, self._rule)


def _read(text: str) -> tuple[Destination, str | None]:
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StreamError("bad_json", 'Send JSON: {"url": "https://...", "token": "..."}.') from error
    if not isinstance(body, dict) or "url" not in body:
        raise StreamError(
            "bad_message", "`url` is missing: send a JSON object with `url`, and `token` if it needs one."
        )
    token = body.get("token")
    if token is not None and not (isinstance(token, str) and 0 < len(token) <= TOKEN_CHARS and token.isprintable()):
        raise StreamError("bad_message", f"`token` must be a string of 1 to {TOKEN_CHARS} printable characters.")
    destination = read_destination(body["url"])
    if destination.scheme not in WEB_SCHEMES and destination.scheme not in muxable_schemes():
        can = ", ".join((*WEB_SCHEMES, *muxable_schemes()))
        raise StreamError("not_supported", f"This server's FFmpeg has no {destination.scheme}; it can {can}.")
    return destination, token
