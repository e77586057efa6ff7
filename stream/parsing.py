"""Read what a client sends, checked by the rules that its fields carry; write what either side says. No I/O."""

import json
from dataclasses import MISSING, asdict, fields
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, get_args

from stream.errors import StreamError
from stream.protocol import MESSAGE_BYTES, PROTOCOL, ClientMessage, Command, Hello, Limits, Prepare, SetPrompt
from stream.rules import INTEGER, Rule

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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
