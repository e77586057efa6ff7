"""The messages of the data channel ``control``: what a client may send, checked, and what the server answers.

Client messages are frozen dataclasses whose fields carry their rule in the annotation, so the definitions
are the contract's table. ``web/protocol.js`` mirrors them; ``tests/vectors/protocol.json`` binds both.
"""

import json
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NoReturn, TypeVar, get_args

from pipeline.types import Mode, PicturePolicy, Policy
from stream.errors import StreamError
from stream.rules import (
    FADE_S,
    INTEGER,
    MODE,
    NAME,
    NATURAL,
    NUMBER,
    PICTURE_POLICY,
    POLICY,
    POSITIVE,
    RATE,
    SECONDS,
    SEED,
    SHA256,
    TEXT,
    Rule,
    choice,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PROTOCOL = 1
MESSAGE_BYTES = 65_536
"""The most bytes of one message, text (as UTF-8) or binary."""

Latency = Literal["low", "smooth"]
StreamState = Literal["idle", "live", "paused", "ended"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may send at most: prompt in code points, picture file in bytes, picture in pixels."""

    prompt_chars: int = 2_000
    image_bytes: int = 10_485_760
    image_pixels: int = 40_000_000


LATENCY = choice(get_args(Latency))


@dataclass(frozen=True, slots=True)
class Command:
    """What every client message carries: a number that each reply to it repeats.

    ``replies`` are the types of what answers it if it is not refused, first to last.
    """

    type: ClassVar[str]
    replies: ClassVar[tuple[str, ...]]
    id: Annotated[int, INTEGER]


@dataclass(frozen=True, slots=True)
class Hello(Command):
    """Ask for a ``welcome``; ``name`` is what the other directors are to read."""

    type = "hello"
    replies = ("welcome",)
    protocol: Annotated[int, INTEGER]
    name: Annotated[str, NAME] = ""


@dataclass(frozen=True, slots=True)
class SetMode(Command):
    """Turn to text-to-video or image-to-video."""

    type = "set_mode"
    replies = ("mode_changed", "mode_applied")
    mode: Annotated[Mode, MODE]


@dataclass(frozen=True, slots=True)
class SetPrompt(Command):
    """Change the prompt; ``over_s`` is the length of a blend in seconds."""

    type = "set_prompt"
    replies = ("prompt_accepted", "prompt_applied")
    prompt: Annotated[str, TEXT]
    policy: Annotated[Policy, POLICY] = "auto"
    over_s: Annotated[float, SECONDS] = 0.5


@dataclass(frozen=True, slots=True)
class Prepare(Command):
    """Read a prompt that will perhaps be set soon, so that it shows sooner then."""

    type = "prepare"
    replies = ("prepared",)
    prompt: Annotated[str, TEXT]


@dataclass(frozen=True, slots=True)
class UploadImage(Command):
    """Announce ``size`` bytes of a picture, which follow as binary messages.

    ``policy`` is how a picture comes into a video that runs, ``over_s`` the length of a ``blend`` in seconds.
    """

    type = "upload_image"
    replies = ("image_uploaded", "image_applied")
    size: Annotated[int, NATURAL]
    mime: Annotated[str, TEXT]
    sha256: Annotated[str, SHA256]
    name: Annotated[str | None, TEXT] = None
    policy: Annotated[PicturePolicy, PICTURE_POLICY] = "cut"
    over_s: Annotated[float, FADE_S] = 0.5


@dataclass(frozen=True, slots=True)
class UseFrame(Command):
    """Make the frame on air the conditioning image."""

    type = "use_frame"
    replies = ("image_applied",)
    policy: Annotated[PicturePolicy, PICTURE_POLICY] = "cut"
    over_s: Annotated[float, FADE_S] = 0.5


@dataclass(frozen=True, slots=True)
class Start(Command):
    """Go live, as a new take."""

    type = "start"
    replies = ("started",)
    seed: Annotated[int | None, SEED] = None


@dataclass(frozen=True, slots=True)
class Pause(Command):
    """Freeze the screen."""

    type = "pause"
    replies = ("paused",)


@dataclass(frozen=True, slots=True)
class Resume(Command):
    """Go on where the screen froze."""

    type = "resume"
    replies = ("resumed",)


@dataclass(frozen=True, slots=True)
class Stop(Command):
    """Go idle."""

    type = "stop"
    replies = ("stopped",)


@dataclass(frozen=True, slots=True)
class Reset(Command):
    """Begin again from the image, or from noise."""

    type = "reset"
    replies = ("reset_applied",)
    seed: Annotated[int | None, SEED] = None


@dataclass(frozen=True, slots=True)
class Configure(Command):
    """Wish for a rate in frames/s, a bit rate, a latency; None leaves a value as it is."""

    type = "configure"
    replies = ("configured",)
    fps: Annotated[float | None, RATE] = None
    bitrate_kbps: Annotated[int | None, POSITIVE] = None
    latency: Annotated[Latency | None, LATENCY] = None


@dataclass(frozen=True, slots=True)
class RecordStart(Command):
    """Begin a recording."""

    type = "record_start"
    replies = ("recording",)


@dataclass(frozen=True, slots=True)
class RecordStop(Command):
    """End the recording."""

    type = "record_stop"
    replies = ("recorded",)


@dataclass(frozen=True, slots=True)
class UseCameraFrame(Command):
    """Make the publisher's newest frame the conditioning image."""

    type = "use_camera_frame"
    replies = ("image_applied",)
    policy: Annotated[PicturePolicy, PICTURE_POLICY] = "cut"
    over_s: Annotated[float, FADE_S] = 0.5


@dataclass(frozen=True, slots=True)
class Bookmark(Command):
    """Keep this moment, to go back to or to go on from elsewhere."""

    type = "bookmark"
    replies = ("bookmarked",)
    name: Annotated[str, TEXT] = ""


@dataclass(frozen=True, slots=True)
class Rewind(Command):
    """Go on from a bookmark, under the prompt and picture of then."""

    type = "rewind"
    replies = ("rewind_applied",)
    bookmark: Annotated[str, TEXT]


@dataclass(frozen=True, slots=True)
class Fork(Command):
    """Make a second stream that goes on from a bookmark, or from this moment."""

    type = "fork"
    replies = ("forked",)
    bookmark: Annotated[str | None, TEXT] = None


@dataclass(frozen=True, slots=True)
class HandOver(Command):
    """Let one director alone command, named by its id; left out, all of them again."""

    type = "hand_over"
    replies = ("handed_over",)
    to: Annotated[str | None, TEXT] = None


@dataclass(frozen=True, slots=True)
class TakeOver(Command):
    """Take the baton, whoever has it."""

    type = "take_over"
    replies = ("handed_over",)


@dataclass(frozen=True, slots=True)
class Ping(Command):
    """Ask for a ``pong`` with the same ``t``, a number on the client's own clock."""

    type = "ping"
    replies = ("pong",)
    t: Annotated[float, NUMBER]


ClientMessage = (
    Hello | SetMode | SetPrompt | Prepare | UploadImage | UseFrame | Start | Pause | Resume | Stop | Reset
    | Configure | RecordStart | RecordStop | UseCameraFrame | Bookmark | Rewind | Fork | HandOver | TakeOver | Ping
)  # fmt: skip
_CLASSES: dict[str, type[ClientMessage]] = {message.type: message for message in get_args(ClientMessage)}


def parse(text: str, limits: Limits) -> ClientMessage:
    """Read one text message of a client.

    Raises StreamError (``too_long``, ``bad_json``, ``bad_message``, ``unknown_type``,
    ``unsupported_protocol``) whose ``extra["id"]`` is the message's id where that could be read.

    >>> parse('{"type": "set_mode", "id": 7, "mode": "t2v"}', Limits())
    SetMode(id=7, mode='t2v')
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    too_long = StreamError("too_long", f"A message may have {MESSAGE_BYTES} bytes of text, not {size}.")
    if size > 4 * MESSAGE_BYTES:  # not even read for its id
        raise too_long
    try:
        body = read_json(text)
    except StreamError as error:
        if size > MESSAGE_BYTES:
            raise too_long from error
        raise
    try:
        if size > MESSAGE_BYTES:
            raise too_long
        return check(_build(body), limits)
    except StreamError as error:
        if isinstance(body, dict) and INTEGER.accepts(body.get("id")):
            error.extra["id"] = body["id"]
        raise


def read_json(text: str) -> Any:
    """Read JSON as RFC 8259 has it, so without NaN and infinities. Raises StreamError ``bad_json``."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise StreamError("bad_json", f"The message is not JSON: {error}.") from error


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"it has {constant}")


def _build(body: Any) -> ClientMessage:
    if not isinstance(body, dict):
        raise StreamError("bad_message", "A message must be a JSON object with `type` and `id`.")
    kind = body.get("type")
    if not isinstance(kind, str):
        raise StreamError("bad_message", "`type` must be a string that names a command.")
    if kind not in _CLASSES:
        known = ", ".join(_CLASSES)
        raise StreamError("unknown_type", f"There is no command {kind[:40]!r}; `type` is one of {known}.")
    return fill(_CLASSES[kind], body)


FieldsT = TypeVar("FieldsT", bound="DataclassInstance")


def fill(cls: type[FieldsT], body: dict[str, Any]) -> FieldsT:
    """Make a dataclass of annotated rules from a JSON object; names that it lacks are ignored.

    Raises StreamError ``bad_message``, which names the field that is missing or wrong.
    """
    values = {}
    for member in fields(cls):
        rule: Rule = get_args(member.type)[1]
        if member.name not in body:
            if member.default is MISSING:
                raise StreamError("bad_message", f"`{member.name}` is missing; it must be {rule.wanted}.")
            continue
        values[member.name] = body[member.name]
        if not rule.accepts(body[member.name]):
            raise StreamError("bad_message", f"`{member.name}` must be {rule.wanted}.")
    return cls(**values)


def check(message: ClientMessage, limits: Limits) -> ClientMessage:
    """Give the message back. Raises StreamError ``unsupported_protocol``, or ``too_long`` for its prompt."""
    if isinstance(message, Hello) and message.protocol != PROTOCOL:
        raise StreamError("unsupported_protocol", f"This server speaks protocol {PROTOCOL} only.")
    if isinstance(message, SetPrompt | Prepare) and len(message.prompt) > limits.prompt_chars:
        got = len(message.prompt)
        raise StreamError("too_long", f"`prompt` may have {limits.prompt_chars} characters, not {got}.")
    return message


def dump(message: ClientMessage | dict[str, Any]) -> str:
    """Write a message of either side as JSON; ``parse(dump(m), limits) == m`` for every valid client message.

    Raises ValueError for a number that JSON lacks (NaN, infinity).
    """
    if isinstance(message, Command):
        present = {name: value for name, value in asdict(message).items() if value is not None}
        message = {"type": message.type, **present}
    return json.dumps(message, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Two percentiles of a figure; None where nothing was measured yet."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class ControlStages:
    """What control latency is made of: until a chunk is begun, reading the prompt, making it, until it is due."""

    waiting: Percentiles
    reading: Percentiles
    making: Percentiles
    playout: Percentiles


@dataclass(frozen=True, slots=True)
class Stats:
    """The figures of one second of a stream, named as on the wire."""

    fps_generated: float
    fps_sent: float
    chunk_ms: float
    buffered_ms: float
    control_latency_ms: Percentiles
    control_stages_ms: ControlStages
    underruns: int
    viewers: int
    bitrate_kbps: float


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What ``state`` tells of the conditioning image: hash of its file, upright size in pixels."""

    sha256: str
    width: int
    height: int


def reply(type: str, id: int, **values: Any) -> dict[str, Any]:
    """Give a reply to the command ``id``.

    >>> reply("paused", 4, frame=31)
    {'type': 'paused', 'id': 4, 'frame': 31}
    """
    return {"type": type, "id": id, **values}


def error_message(error: StreamError, id: int | None = None) -> dict[str, Any]:
    """Give the ``error`` message for a refusal; without ``id`` it names the one in ``error.extra``, if any.

    >>> error_message(StreamError("no_image", "Upload a picture, then start."), 4)["retryable"]
    False
    """
    id = error.extra.get("id") if id is None else id
    message: dict[str, Any] = {"type": "error"} if id is None else {"type": "error", "id": id}
    message |= {"code": error.code, "message": error.message, "retryable": error.retryable}
    return message | {key: error.extra[key] for key in ("ahead",) if key in error.extra}


def state_message(state: StreamState, mode: Mode, prompt: str, frame: int, image: ImageInfo | None) -> dict[str, Any]:
    """Give the ``state`` object."""
    picture = None if image is None else asdict(image)
    return {"type": "state", "state": state, "mode": mode, "prompt": prompt, "frame": frame, "image": picture}


def stats_message(stats: Stats) -> dict[str, Any]:
    """Give the ``stats`` message."""
    return {"type": "stats", **asdict(stats)}


def goodbye_message(reason: str) -> dict[str, Any]:
    """Give the ``goodbye`` message, the last one before the server closes."""
    return {"type": "goodbye", "reason": reason}
