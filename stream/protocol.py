"""The messages of the data channel ``control``: what a client may send, checked, and what the server answers.

Client messages are frozen dataclasses whose fields carry their rule in the annotation, so the definitions
are the contract's table. ``web/protocol.js`` mirrors them; ``tests/vectors/protocol.json`` binds both.
"""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, NoReturn, get_args

from pipeline.types import Mode, Policy
from stream.errors import StreamError

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


@dataclass(frozen=True, slots=True)
class _Rule:
    wanted: str
    accepts: Callable[[Any], bool]


def _is_integer(value: Any) -> bool:
    # Not isinstance: to that, a bool is an int.
    return type(value) is int


def _is_number(value: Any) -> bool:
    # 1e999 reads as infinity, and an integer of 400 digits is more than a float can hold.
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_text(value: Any) -> bool:
    # JSON can spell half of a surrogate pair, which can't be written as UTF-8 again.
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-fA-F]{64}", value) is not None


def _choice(values: tuple[str, ...]) -> _Rule:
    return _Rule(f"one of {', '.join(values)}", lambda value: isinstance(value, str) and value in values)


_INTEGER = _Rule("an integer", _is_integer)
_NATURAL = _Rule("an integer of 0 or more", lambda value: _is_integer(value) and value >= 0)
_POSITIVE = _Rule("an integer above 0", lambda value: _is_integer(value) and value > 0)
_SEED = _Rule("an integer from 0 to 2^63 - 1", lambda value: _is_integer(value) and 0 <= value < 2**63)
_NUMBER = _Rule("a number", _is_number)
_SECONDS = _Rule("a number of 0 or more", lambda value: _is_number(value) and value >= 0)
_RATE = _Rule("a number above 0", lambda value: _is_number(value) and value > 0)
_TEXT = _Rule("a string of whole characters", _is_text)
_SHA256 = _Rule("64 hexadecimal digits", _is_sha256)
_MODE = _choice(get_args(Mode))
_POLICY = _choice(get_args(Policy))
_LATENCY = _choice(get_args(Latency))


@dataclass(frozen=True, slots=True)
class Command:
    """What every client message carries: a number that each reply to it repeats."""

    type: ClassVar[str]
    id: Annotated[int, _INTEGER]


@dataclass(frozen=True, slots=True)
class Hello(Command):
    """Ask for a ``welcome``."""

    type = "hello"
    protocol: Annotated[int, _INTEGER]


@dataclass(frozen=True, slots=True)
class SetMode(Command):
    """Turn to text-to-video or image-to-video."""

    type = "set_mode"
    mode: Annotated[Mode, _MODE]


@dataclass(frozen=True, slots=True)
class SetPrompt(Command):
    """Change the prompt; ``over_s`` is the length of a blend in seconds."""

    type = "set_prompt"
    prompt: Annotated[str, _TEXT]
    policy: Annotated[Policy, _POLICY] = "auto"
    over_s: Annotated[float, _SECONDS] = 0.5


@dataclass(frozen=True, slots=True)
class UploadImage(Command):
    """Announce ``size`` bytes of a picture, which follow as binary messages."""

    type = "upload_image"
    size: Annotated[int, _NATURAL]
    mime: Annotated[str, _TEXT]
    sha256: Annotated[str, _SHA256]
    name: Annotated[str | None, _TEXT] = None


@dataclass(frozen=True, slots=True)
class UseFrame(Command):
    """Make the frame on air the conditioning image."""

    type = "use_frame"


@dataclass(frozen=True, slots=True)
class Start(Command):
    """Go live, as a new take."""

    type = "start"
    seed: Annotated[int | None, _SEED] = None


@dataclass(frozen=True, slots=True)
class Pause(Command):
    """Freeze the screen."""

    type = "pause"


@dataclass(frozen=True, slots=True)
class Resume(Command):
    """Go on where the screen froze."""

    type = "resume"


@dataclass(frozen=True, slots=True)
class Stop(Command):
    """Go idle."""

    type = "stop"


@dataclass(frozen=True, slots=True)
class Reset(Command):
    """Begin again from the image, or from noise."""

    type = "reset"
    seed: Annotated[int | None, _SEED] = None


@dataclass(frozen=True, slots=True)
class Configure(Command):
    """Wish for a rate in frames/s, a bit rate, a latency; None leaves a value as it is."""

    type = "configure"
    fps: Annotated[float | None, _RATE] = None
    bitrate_kbps: Annotated[int | None, _POSITIVE] = None
    latency: Annotated[Latency | None, _LATENCY] = None


@dataclass(frozen=True, slots=True)
class RecordStart(Command):
    """Begin a recording."""

    type = "record_start"


@dataclass(frozen=True, slots=True)
class RecordStop(Command):
    """End the recording."""

    type = "record_stop"


@dataclass(frozen=True, slots=True)
class UseCameraFrame(Command):
    """Make the publisher's newest frame the conditioning image."""

    type = "use_camera_frame"


@dataclass(frozen=True, slots=True)
class Ping(Command):
    """Ask for a ``pong`` with the same ``t``, a number on the client's own clock."""

    type = "ping"
    t: Annotated[float, _NUMBER]


ClientMessage = (
    Hello | SetMode | SetPrompt | UploadImage | UseFrame | Start | Pause | Resume | Stop | Reset
    | Configure | RecordStart | RecordStop | UseCameraFrame | Ping
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
        body = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        if size > MESSAGE_BYTES:
            raise too_long from error
        raise StreamError("bad_json", f"The message is not JSON: {error}.") from error
    try:
        if size > MESSAGE_BYTES:
            raise too_long
        return _check(_build(body), limits)
    except StreamError as error:
        if isinstance(body, dict) and _is_integer(body.get("id")):
            error.extra["id"] = body["id"]
        raise


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
    values = {}
    for member in fields(_CLASSES[kind]):
        rule: _Rule = get_args(member.type)[1]
        if member.name not in body:
            if member.default is MISSING:
                raise StreamError("bad_message", f"`{member.name}` is missing; it must be {rule.wanted}.")
            continue
        values[member.name] = body[member.name]
        if not rule.accepts(body[member.name]):
            raise StreamError("bad_message", f"`{member.name}` must be {rule.wanted}.")
    return _CLASSES[kind](**values)


def _check(message: ClientMessage, limits: Limits) -> ClientMessage:
    if isinstance(message, Hello) and message.protocol != PROTOCOL:
        raise StreamError("unsupported_protocol", f"This server speaks protocol {PROTOCOL} only.")
    if isinstance(message, SetPrompt) and len(message.prompt) > limits.prompt_chars:
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
class Stats:
    """The figures of one second of a stream, named as on the wire."""

    fps_generated: float
    fps_sent: float
    chunk_ms: float
    buffered_ms: float
    control_latency_ms: Percentiles
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


def state_message(
    state: StreamState, mode: Mode, prompt: str, frame: int, image: ImageInfo | None
) -> dict[str, Any]:
    """Give the ``state`` object."""
    picture = None if image is None else asdict(image)
    return {"type": "state", "state": state, "mode": mode, "prompt": prompt, "frame": frame, "image": picture}


def stats_message(stats: Stats) -> dict[str, Any]:
    """Give the ``stats`` message."""
    return {"type": "stats", **asdict(stats)}


def goodbye_message(reason: str) -> dict[str, Any]:
    """Give the ``goodbye`` message, the last one before the server closes."""
    return {"type": "goodbye", "reason": reason}
