"""What every HTTP answer has in common: the shape of errors, and who may read it across origins."""

import logging
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from stream.errors import StreamError

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 5
EXPOSED_HEADERS = "Location, Link, ETag, Retry-After"
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Max-Age": "600",
}

# What a refused media type should have been: the error's extra, and the header that says it.
ACCEPTED = {"accept_post": "Accept-Post", "accept_patch": "Accept-Patch"}

# Statuses that aiohttp raises by itself, in the words of the contract; any other is a bad_message.
HTTP_CODES = {
    404: ("not_found", "There is nothing at this address; `/` is the live page."),
    405: ("method_not_allowed", "This address does not take that method; see Allow."),
    413: ("too_long", "The body is too long."),
}


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every failure the shape of the contract, and its status."""
    try:
        return await handler(request)
    except StreamError as error:
        return _stream_error(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _http_error(error)
    except Exception:
        # The border: whatever we got wrong is logged here, and told as ours.
        logger.exception("%s %s failed", request.method, request.path)
        return _stream_error(StreamError("internal", "The server failed at this; it is logged. Try again."))


def _stream_error(error: StreamError) -> web.Response:
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    body |= {key: error.extra[key] for key in ("ahead", "status") if key in error.extra}
    headers: dict[str, str] = {}
    if error.status == 503 or "retry_after" in error.extra:
        headers["Retry-After"] = str(error.extra.get("retry_after", RETRY_AFTER_S))
    headers |= {name: error.extra[key] for key, name in ACCEPTED.items() if key in error.extra}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.json_response({"error": body}, status=error.status, headers=headers)


def _http_error(error: web.HTTPException) -> web.Response:
    # A directory of files is refused as forbidden by aiohttp; there is simply nothing to see.
    status = 404 if error.status == 403 else error.status
    code, message = HTTP_CODES.get(status, ("bad_message", f"{error.reason}."))
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return web.json_response({"error": {"code": code, "message": message}}, status=status, headers=headers)


@web.middleware
async def allow_cross_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a page of another origin read the answer, and answer its preflight (CORS, in the Fetch standard).

    To stand behind the check of the origin, and before another :func:`answer_errors`: a page that was let
    in may read errors, one that was not may read nothing.
    """
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        response = await _preflight(request, handler)
    else:
        response = await handler(request)
    if not response.prepared:
        share_with_origin(request, response)
    return response


def share_with_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Let the page that asked read the answer; for a handler that begins to send it itself."""
    origin = request.headers.get("Origin")
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        response.headers.add("Vary", "Origin")


async def _preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    # It carries no credentials, so nothing else is checked; where OPTIONS has an answer of its own, it says more.
    response = await handler(request) if request.match_info.http_exception is None else web.Response(status=204)
    if response.status >= 400:
        response = web.Response(status=204)
    response.headers.update(PREFLIGHT)
    return response
