"""What each route of the wire contract takes and answers: the table that the OpenAPI document is made from.

A route that is registered without an entry here, or the other way round, fails ``tests/test_openapi.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any, Literal, get_args

from stream.bodies import (
    Accepted,
    Alive,
    AnswerBody,
    IceServersView,
    NewStreamView,
    OfferBody,
    Publication,
    Readiness,
    StreamView,
)
from stream.messages import Capabilities
from stream.protocol import ClientMessage, UploadImage
from stream.reply_messages import REPLIES, ImageApplied, ImageUploaded, PromptAccepted
from stream.rest import NewStream
from stream.rules import FADE_S, PICTURE_POLICY

Token = Literal["access", "control"]
JSON, HTML, SDP, FRAGMENT = "application/json", "text/html", "application/sdp", "application/trickle-ice-sdpfrag"
PICTURES = ("image/jpeg", "image/png", "image/webp")

# Made from what is checked and what is sent; a type checker can't follow a union that is computed.
COMMAND: Any = reduce(or_, [message for message in get_args(ClientMessage) if message is not UploadImage])
REPLY: Any = reduce(or_, REPLIES.values())
LATER: Any = Accepted | PromptAccepted | ImageUploaded


@dataclass(frozen=True, slots=True)
class Content:
    """A body: its type on the wire, by media type; ``str`` for text, ``bytes`` for anything."""

    media: tuple[str, ...]
    type: Any = str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no refusal."""

    description: str
    content: Content | None = None
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. ``refusals`` are codes of :data:`stream.errors.CODES`, beyond those of every route."""

    group: str
    summary: str
    answers: Mapping[int, Answer]
    refusals: tuple[str, ...] = ()
    body: Content | None = None
    token: Token | None = None
    query: tuple[str, ...] = field(default=())


EVERYWHERE = ("forbidden_origin", "internal")
QUERIES = {
    "wait": (
        {"const": "applied"},
        "With `applied` the answer is the command's last reply, which names the first frame made under it; "
        "without, its first. A reply that waits for a frame is waited for while the stream is live, for 30 s at "
        "most: then the answer is 202 with the last reply there was.",
    ),
    "policy": (dict(PICTURE_POLICY.schema), "How the picture comes into a video that runs; `cut` if left out."),
    "over_s": (dict(FADE_S.schema), "The length of a `blend` in seconds; 0.5 if left out."),
}
HEADERS = {
    "Location": "Where what was made is found.",
    "Link": 'STUN and TURN servers, `rel="ice-server"`, where configured.',
    "ETag": "Of the ICE session.",
    "Allow": "The methods there are.",
    "Accept-Post": "The media type that POST takes.",
    "Accept-Patch": "The media type that PATCH takes.",
    "WWW-Authenticate": "`Bearer`",
    "Retry-After": "Seconds.",
}

PAGE = Content((HTML,))
CHANGES = ("unauthorized", "not_found")
TOO_FULL = ("at_capacity",)
READ = ("bad_json", "bad_message", "too_long")
PICTURE = ("image_too_large", "image_unsupported", "image_corrupt", "upload_in_progress", "upload_timeout")
COMMANDS = ("unknown_type", "unsupported_protocol", "not_supported", "wrong_state", "no_image", "rate_limited")
SESSION = ("bad_message", "not_found", "too_long", "unsupported_media_type", "unprocessable")
WHEP = ("bad_offer", "not_found", "wrong_state", "too_long", "unsupported_media_type", "unprocessable", *TOO_FULL)


def _json(type: Any) -> Content:
    return Content((JSON,), type)


def _sessions(kind: str, group: str, who: str, post: Operation) -> dict[tuple[str, str], Operation]:
    """Give the routes that WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) have in common."""
    endpoint, session = f"/{kind}/{{stream}}", f"/{kind}/{{stream}}/{{session}}"
    nothing, gone = Answer("There is nothing to show."), ("not_found",)
    described = Answer("What it takes.", headers=("Allow", "Accept-Post"))
    patched = Answer("What it takes.", headers=("Allow", "Accept-Patch"))
    fragment = Content((FRAGMENT,))
    return {
        ("POST", endpoint): post,
        ("GET", endpoint): Operation(group, "Look whether the stream is there", {204: nothing}, gone),
        ("OPTIONS", endpoint): Operation(group, "What the endpoint takes", {204: described}),
        ("GET", session): Operation(group, f"Look whether the {who}'s session is there", {204: nothing}, gone),
        ("PATCH", session): Operation(
            group, f"More ICE candidates of the {who}", {204: Answer("They are tried.")}, SESSION, fragment
        ),
        ("DELETE", session): Operation(group, f"End the {who}'s session", {200: Answer("It has ended.")}, gone),
        ("OPTIONS", session): Operation(group, "What a session takes", {204: patched}),
    }


_MADE = Answer("The answer, and where the session is.", Content((SDP,)), ("Location", "ETag", "Link"))

STREAMS: dict[tuple[str, str], Operation] = {
    ("POST", "/streams"): Operation(
        "Streams",
        "Make a stream without a director peer",
        {201: Answer("It is idle.", _json(NewStreamView), ("Location",))},
        (*READ, "unauthorized", "not_supported", *TOO_FULL),
        Content((JSON,), NewStream, required=False),
        "access",
    ),
    ("GET", "/streams/{stream}"): Operation(
        "Streams", "Look at a stream", {200: Answer("Its state.", _json(StreamView))}, ("not_found",)
    ),
    ("PATCH", "/streams/{stream}"): Operation(
        "Streams",
        "Command a stream, as on the data channel",
        {
            200: Answer("The reply. It has no `rtp_timestamp`: a request has no video.", _json(REPLY)),
            202: Answer("Taken, with no frame yet that answers: its last reply so far.", _json(LATER)),
        },
        (*CHANGES, *READ, *COMMANDS, *TOO_FULL),
        _json(COMMAND),
        "control",
        ("wait",),
    ),
    ("PUT", "/streams/{stream}/image"): Operation(
        "Streams",
        "Give a stream a picture; the bytes decide what it is",
        {
            200: Answer("The picture is taken, or applied; `id` is 0.", _json(ImageUploaded | ImageApplied)),
            202: Answer("Taken, with no frame yet that shows it.", _json(ImageUploaded)),
        },
        (*CHANGES, "bad_message", "not_supported", *PICTURE, "rate_limited"),
        Content(PICTURES, bytes),
        "control",
        ("wait", "policy", "over_s"),
    ),
    ("DELETE", "/streams/{stream}"): Operation(
        "Streams", "End a stream for everyone", {204: Answer("It has ended.")}, CHANGES, token="control"
    ),
    ("GET", "/streams/{stream}/snapshot"): Operation(
        "Streams",
        "The frame on air",
        {200: Answer("The picture.", Content(("image/png", "image/jpeg"), bytes))},
        ("not_found", "not_acceptable", "wrong_state", "rate_limited"),
    ),
    ("GET", "/recordings/{name}"): Operation(
        "Streams",
        "A recording, or a range of it; while it is under way, as far as it is written",
        {
            200: Answer("The file.", Content(("video/mp4",), bytes)),
            206: Answer("The range.", Content(("video/mp4",), bytes)),
        },
        ("not_found",),
    ),
    ("GET", "/streams/{stream}/live.ts"): Operation(
        "Watch",
        "The stream as MPEG-TS, for OBS Media Source, VLC and ffmpeg",
        {200: Answer("Video from a keyframe on, until either side ends it.", Content(("video/mp2t",), bytes))},
        ("not_found", "wrong_state", *TOO_FULL),
    ),
    ("POST", "/streams/{stream}/publish"): Operation(
        "Streams",
        "Publish a stream elsewhere",
        {202: Answer("It is under way.")},
        (*CHANGES, *READ, "wrong_state", "bad_gateway", "not_supported"),
        _json(Publication),
        "control",
    ),
    ("DELETE", "/streams/{stream}/publish"): Operation(
        "Streams", "End the publication", {204: Answer("It has ended.")}, CHANGES, token="control"
    ),
}

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/ice_servers"): Operation(
        "Direct",
        "The STUN and TURN servers to make a connection with, before its offer",
        {200: Answer("They, or none.", _json(IceServersView))},
        ("unauthorized",),
        token="access",
    ),
    ("POST", "/offer"): Operation(
        "Direct",
        "Direct a stream over WebRTC: make one, or join one",
        {200: Answer("The peer may connect; its data channel is `control`.", _json(AnswerBody))},
        ("bad_offer", *CHANGES, "too_long", "wrong_state", *TOO_FULL),
        _json(OfferBody),
        "access",
    ),
    **STREAMS,
    **_sessions(
        "whep",
        "Watch",
        "viewer",
        Operation("Watch", "Watch a stream by WHEP", {201: _MADE}, WHEP, Content((SDP,))),
    ),
    **_sessions(
        "whip",
        "Publish",
        "publisher",
        Operation(
            "Publish",
            "Publish a camera into a stream by WHIP",
            {201: _MADE},
            (*WHEP, "unauthorized"),
            Content((SDP,)),
            "control",
        ),
    ),
    ("GET", "/watch/{stream}"): Operation(
        "Watch", "The bare viewer page", {200: Answer("The page.", PAGE)}, ("not_found",)
    ),
    ("GET", "/"): Operation("Direct", "The live page", {200: Answer("The page.", PAGE)}),
    ("GET", "/capabilities"): Operation(
        "Server", "What the model and the server can do", {200: Answer("What they are.", _json(Capabilities))}, TOO_FULL
    ),
    ("GET", "/healthz"): Operation("Server", "Alive", {200: Answer("It runs.", _json(Alive))}),
    ("GET", "/readyz"): Operation(
        "Server",
        "Ready to make streams",
        {200: Answer("It is.", _json(Readiness)), 503: Answer("Not now.", _json(Readiness))},
    ),
    ("GET", "/metrics"): Operation(
        "Server", "Figures for Prometheus", {200: Answer("Text.", Content(("text/plain",)))}
    ),
    ("GET", "/openapi.json"): Operation(
        "Server", "This document", {200: Answer("OpenAPI 3.1.", _json(dict[str, Any]))}
    ),
    ("GET", "/docs"): Operation("Server", "The reference for people", {200: Answer("The page.", PAGE)}),
}
