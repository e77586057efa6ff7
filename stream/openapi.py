"""The OpenAPI 3.1 document of a server, from the routes that it has and the types that it goes by."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from stream.bodies import Refused
from stream.errors import CODES
from stream.messages import NEWS
from stream.operations import EVERYWHERE, HEADERS, JSON, OPERATIONS, QUERIES, Answer, Content, Operation
from stream.protocol import PROTOCOL, ClientMessage, Limits
from stream.reply_messages import REPLIES
from stream.schema import Schema, Schemas

Route = tuple[str, str]
"""A method, and a path with its parameters in braces."""

ABOUT = (
    "Live video generation, directed while it plays. A **director** connects a peer by `POST /offer` and commands "
    "its stream on the data channel `control`; a program that wants no peer makes one by `POST /streams` and sends "
    "the same commands by `PATCH`. **Viewers** come by WHEP. Every GET answers HEAD, every path the preflight of "
    "CORS."
)
CHANNEL = (
    "Label `control`, ordered, reliable, made by the director. Each text message is one JSON object with a `type`; "
    "each command carries an integer `id` of the client's choice, which its replies repeat. The bytes of "
    "`upload_image` follow as binary messages of 1 to 65,536 bytes. Unknown types and fields are to be ignored."
)
PARAMETERS = {
    "stream": "The id of a stream, from the answer that made it.",
    "session": "The secret of a session, from its `Location`.",
    "name": "The name of a recording, from its `url`.",
}


def make_document(routes: Iterable[Route], limits: Limits, asks_access_token: bool) -> dict[str, Any]:
    """Make the document of a server that has these routes.

    A route that :data:`stream.operations.OPERATIONS` lacks is left out.
    """
    schemas = Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for method, path in routes:
        if (operation := OPERATIONS.get((method, path))) is None:
            continue
        made = _Maker(schemas, asks_access_token).operation(method, path, operation)
        paths.setdefault(path, {})[method.lower()] = made
    channel = _channel(schemas)
    _apply(limits, schemas.named)
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Vivant", "version": str(PROTOCOL), "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas.named,
            "securitySchemes": {
                "access": {**bearer, "description": "The server's access token, where it asks one."},
                "control": {**bearer, "description": "The `control_token` of the stream."},
            },
        },
        "x-control-channel": channel,
        "x-errors": {code: {"status": status, "retryable": retryable} for code, (status, retryable) in CODES.items()},
    }


def _channel(schemas: Schemas) -> dict[str, Any]:
    return {
        "description": CHANNEL,
        "client": [
            {"type": message.type, "message": schemas.of(message), "replies": list(message.replies)}
            for message in get_args(ClientMessage)
        ],
        "server": [{"type": type, "message": schemas.of(message)} for type, message in {**REPLIES, **NEWS}.items()],
    }


def _apply(limits: Limits, named: Mapping[str, Schema]) -> None:
    """Write down the limits that are configured and checked beside the rules of the fields."""
    for name in ("SetPrompt", "NewStream"):
        if name in named:
            named[name]["properties"]["prompt"]["maxLength"] = limits.prompt_chars
    named["UploadImage"]["properties"]["size"]["maximum"] = limits.image_bytes
    named["Hello"]["properties"]["protocol"]["const"] = PROTOCOL


class _Maker:
    def __init__(self, schemas: Schemas, asks_access_token: bool) -> None:
        self._schemas = schemas
        self._asks_access_token = asks_access_token

    def operation(self, method: str, path: str, operation: Operation) -> dict[str, Any]:
        names = re.findall(r"{(\w+)}", path)
        parameters = [self._parameter("path", name, PARAMETERS[name], {"type": "string"}) for name in names]
        made: dict[str, Any] = {
            "operationId": re.sub(r"\W+", "_", f"{method.lower()}{path}").strip("_"),
            "tags": [operation.group],
            "summary": operation.summary,
            "parameters": parameters,
        }
        for name in operation.query:
            schema, description = QUERIES[name]
            parameters.append(self._parameter("query", name, description, schema))
        if operation.body is not None:
            made["requestBody"] = {"required": operation.body.required, "content": self._content(operation.body)}
        if operation.token is not None:
            is_optional = operation.token == "access" and not self._asks_access_token
            made["security"] = [{operation.token: []}, *([{}] if is_optional else [])]
        answers = {str(status): self._answer(answer) for status, answer in operation.answers.items()}
        return made | {"responses": self._refusals((*operation.refusals, *EVERYWHERE)) | answers}

    def _parameter(self, place: str, name: str, description: str, schema: Schema) -> dict[str, Any]:
        return {"in": place, "name": name, "description": description, "required": place == "path", "schema": schema}

    def _answer(self, answer: Answer) -> dict[str, Any]:
        made: dict[str, Any] = {"description": answer.description}
        if answer.headers:
            made["headers"] = _headers(*answer.headers)
        return made if answer.content is None else made | {"content": self._content(answer.content)}

    def _content(self, content: Content) -> dict[str, Any]:
        # In OpenAPI 3.1 a body of any bytes is one that nothing is said of.
        schema = {"schema": self._schemas.of(content.type)} if content.type is not bytes else {}
        return dict.fromkeys(content.media, schema)

    def _refusals(self, codes: Iterable[str]) -> dict[str, Any]:
        by_status: dict[int, list[str]] = {}
        for code in codes:
            by_status.setdefault(CODES[code][0], []).append(code)
        return {str(status): self._refusal(status, by_status[status]) for status in sorted(by_status)}

    def _refusal(self, status: int, codes: list[str]) -> dict[str, Any]:
        described = {"error": {"properties": {"code": {"enum": codes}}}}
        schema = {"allOf": [self._schemas.of(Refused), {"properties": described}]}
        made = {"description": ", ".join(f"`{code}`" for code in codes), "content": {JSON: {"schema": schema}}}
        names = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}
        return made | {"headers": _headers(names[status])} if status in names else made


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"description": HEADERS[name], "schema": {"type": "string"}} for name in names}
