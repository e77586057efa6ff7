"""The OpenAPI document tells of every route, every code and every message, and nothing else."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stream import rules
from stream.config import ServerConfig, StreamConfig
from stream.errors import CODES
from stream.messages import NEWS
from stream.operations import OPERATIONS
from stream.protocol import ClientMessage, Configure, Hello, Pause, Ping, Reset, Resume, SetMode, SetPrompt, Start, Stop
from stream.reply_messages import REPLIES
from stream.signalling import registered
from tests.real_site import RealSite, picture_file
from tests.reference import Reference
from tests.studio import Studio
from tests.test_protocol import SAMPLES, VECTORS, expanded

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture
async def site() -> AsyncIterator[RealSite]:
    """A site with small limits, so that they can be told from the defaults."""
    config = StreamConfig(prompt_chars=500, image_bytes=5000, image_pixels=40_000)
    async with RealSite(stream=config, modes=("i2v", "t2v")) as made:
        yield made


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Give the operations by method and path."""
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Give every object in a JSON value."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)


async def test_every_route_is_told_of(site: RealSite) -> None:
    """What is registered is in the document, what is in the document or its table is registered."""
    routes = registered(site.app)
    assert len(routes) == len(set(routes))
    assert set(operations(site.document)) == set(routes) == set(OPERATIONS)


async def test_the_document_holds_together(site: RealSite) -> None:
    """It is OpenAPI 3.1 in shape: parameters as the path has them, own ids, references that lead somewhere."""
    document = site.document
    assert document["openapi"].startswith("3.1.")
    assert {"title", "version"} <= set(document["info"])
    assert all(set(item) <= METHODS for item in document["paths"].values())
    found = operations(document)
    assert len({operation["operationId"] for operation in found.values()}) == len(found)
    for (_, path), operation in found.items():
        in_path = [one["name"] for one in operation["parameters"] if one["in"] == "path" and one["required"]]
        assert in_path == re.findall(r"{(\w+)}", path)
        assert operation["summary"]
        assert all(answer["description"] for answer in operation["responses"].values())
        for needed in operation.get("security", []):
            assert set(needed) <= set(document["components"]["securitySchemes"])
    schemas = document["components"]["schemas"]
    references = {node["$ref"] for node in nodes(document) if "$ref" in node}
    assert references <= {f"#/components/schemas/{name}" for name in schemas}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
        assert schema["description"].endswith("."), schema
        assert set(schema["required"]) <= set(schema["properties"])


async def test_every_code_is_told_of(site: RealSite) -> None:
    """All error codes stand there with their statuses; each refusal is told of at the status that it has."""
    assert site.document["x-errors"] == {
        code: {"status": status, "retryable": retryable} for code, (status, retryable) in CODES.items()
    }
    told = set[str]()
    for operation in operations(site.document).values():
        for status, answer in operation["responses"].items():
            codes = re.findall(r"`(\w+)`", answer["description"]) if status >= "400" else []
            assert all(CODES[code][0] == int(status) for code in codes)
            told |= set(codes)
    # One comes on the channel alone, one from an address and not an operation.
    assert set(CODES) - told == {"image_hash_mismatch", "method_not_allowed"}


async def test_the_access_token_is_told_of_where_it_is_asked(site: RealSite) -> None:
    """Making a stream needs it, or may go without, as the server is configured."""
    make = ("POST", "/streams")
    assert operations(site.document)[make]["security"] == [{"access": []}, {}]
    async with RealSite(ServerConfig(access_token="secret")) as guarded:
        assert operations(guarded.document)[make]["security"] == [{"access": []}]
    change = operations(site.document)["PATCH", "/streams/{stream}"]
    assert change["security"] == [{"control": []}]


async def test_the_limits_are_the_configured_ones(site: RealSite) -> None:
    """A prompt's and a picture's length are those that the server checks."""
    schemas = site.document["components"]["schemas"]
    assert schemas["SetPrompt"]["properties"]["prompt"]["maxLength"] == 500
    assert schemas["NewStream"]["properties"]["prompt"]["maxLength"] == 500
    assert schemas["UploadImage"]["properties"]["size"]["maximum"] == 5000


async def test_the_document_goes_by_what_is_checked(site: RealSite) -> None:
    """A command that the server takes is valid by the document, one of a wrong field is not."""
    async with RealSite() as plain:
        document = plain.document
    by_type = {entry["type"]: entry["message"] for entry in document["x-control-channel"]["client"]}
    assert list(by_type) == [message.type for message in get_args(ClientMessage)]
    reference = Reference(document)
    for vector in VECTORS["client"]:
        if "ok" in vector and vector["ok"].get("size", 0) <= 10_485_760:
            reference.is_valid(json.loads(expanded(vector, vector["text"])), by_type[vector["ok"]["type"]])
        elif vector.get("error") == "bad_message" and vector.get("field") not in (None, "type"):
            body = json.loads(expanded(vector, vector["text"]))
            # A schema can't tell 1.0 from 1, infinity from a number, half a character from a whole one; Python's $
            # stands before a last line break too.
            if not re.search(r"\.0\b|1e999|\\ud|0{300}|\\n\"}", vector["text"]):
                with pytest.raises(AssertionError):
                    reference.is_valid(body, by_type[body["type"]])


RULES = [rule for rule in vars(rules).values() if isinstance(rule, rules.Rule)]
json_values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 2)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(["t2v", "auto", "a" * 64, "A" * 64, "a" * 64 + "\n", "g" * 64])
)


def agrees(rule: rules.Rule, value: Any) -> bool:
    """Tell whether the check and the schema agree, but for where JSON Schema or Python's reading of it is lax."""
    valid = Draft202012Validator(dict(rule.schema)).is_valid(value)
    if rule.schema["type"] == "integer" and isinstance(value, float):
        valid = False
    # In Python, JSON Schema's $ stands before a last line break too.
    if "pattern" in rule.schema and isinstance(value, str) and value.endswith("\n"):
        valid = False
    return rule.accepts(value) == valid


@given(st.sampled_from(RULES), json_values)
def test_a_rule_accepts_what_its_schema_does(rule: rules.Rule, value: Any) -> None:
    """The check and the schema agree on every value but 1.0, which JSON Schema takes for an integer."""
    assert agrees(rule, value)


EDGES = (-1, 0, 1, 2**63 - 1, 2**63, -0.5, 0.0, 0.5, "", "t2v", "auto", "a" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.wanted)
def test_a_rule_accepts_what_its_schema_does_at_the_edges(rule: rules.Rule) -> None:
    """So do they where a bound lies."""
    assert [value for value in EDGES if not agrees(rule, value)] == []


def closed(schemas: dict[str, Any]) -> dict[str, Any]:
    """Give the same schemas, under which an object has no member that they lack."""
    return {name: {**schema, "additionalProperties": False} for name, schema in schemas.items()}


async def test_what_a_server_sends_is_told_of(site: RealSite) -> None:
    """Every message of a stream's life has the fields and types of the reference, and no more."""
    document = {**site.document, "components": {"schemas": closed(site.document["components"]["schemas"])}}
    reference = Reference(document)
    by_type = {entry["type"]: entry["message"] for entry in document["x-control-channel"]["server"]}
    assert list(by_type) == [*REPLIES, *NEWS]
    studio = Studio(modes=("i2v", "t2v"))
    await studio.go_live()
    commands: list[tuple[type, dict[str, Any]]] = [
        (SetMode, {"mode": "i2v"}),
        (SetPrompt, {"prompt": "rain"}),
        (Configure, {"fps": 8}),
        (Reset, {}),
        (Start, {}),
        (Ping, {"t": 1}),
        (Pause, {}),
        (Resume, {}),
        (Hello, {"protocol": 1}),
    ]
    for command, fields in commands:
        await studio.do(command, **fields)
        await studio.clock.advance(2.0)
    await studio.do(Stop)
    sent = [*studio.director.messages, SAMPLES["goodbye"], SAMPLES["error of a full machine"]]
    await studio.close()
    for message in sent:
        if message["type"] == "welcome":
            message = message | {"capabilities": (await site.ask("GET", "/capabilities"))[1]}
        reference.is_valid(message, by_type[message["type"]])
    by_hand = {
        "upload_progress",
        "recording",
        "recorded",
        "bookmarked",
        "rewind_applied",
        "forked",
        "handed_over",
        "prepared",
    }
    assert set(by_type) - {message["type"] for message in sent} == by_hand
    for kind in by_hand:
        reference.is_valid(SAMPLES[kind], by_type[kind])


async def test_every_command_is_answered_as_it_says(site: RealSite) -> None:
    """The replies that a command names are those that come."""
    studio = Studio(modes=("i2v", "t2v"))
    await studio.go_live()
    fields: dict[str, dict[str, Any]] = {
        "hello": {"protocol": 1},
        "set_mode": {"mode": "i2v"},
        "set_prompt": {"prompt": "rain"},
        "ping": {"t": 1},
        "prepare": {"prompt": "rain"},
    }
    not_yet = {"use_frame", "record_start", "record_stop", "use_camera_frame", "bookmark", "rewind", "fork"}
    picture = await studio.upload()
    await studio.clock.advance(2.0)
    assert [type for type, id in studio.director.replies() if id == picture] == ["image_uploaded", "image_applied"]
    for message in get_args(ClientMessage):
        if message.type in not_yet | {"upload_image", "start", "stop"}:
            continue
        id = await studio.do(message, **fields.get(message.type, {}))
        await studio.clock.advance(2.0)
        assert tuple(type for type, of in studio.director.replies() if of == id) == message.replies, message.type
        if message is Pause:
            await studio.do(Resume)
    stop = await studio.do(Stop)
    start = await studio.do(Start)
    await studio.clock.advance(2.0)
    replies = studio.director.replies()
    assert {("stopped", stop), ("started", start)} <= set(replies)
    await studio.close()


async def test_the_routes_answer_as_told(site: RealSite) -> None:
    """Routes of every group answer what the document says: statuses, media types, bodies."""
    made = await site.make(prompt="rain")
    await site.upload(made, picture_file())
    for method, path in registered(site.app):
        if path == "/metrics" or "publish" in path or (method, path) == ("DELETE", "/streams/{stream}"):
            continue
        path = path.format(stream=made.body["stream"], session="nosuchsession", name="nosuch.mp4")
        for body in (None, b"{", b"[]"):
            async with site.http.request(method, path, data=body) as response:
                answer = await response.json() if response.content_type == "application/json" else None
                media, text = response.content_type, await response.read()
            site.reference.check(method, path, response.status, media, answer or (text or None))
    site.reason = "the model is loading"
    for path, status in (("/readyz", 503), ("/healthz", 200), ("/capabilities", 200)):
        async with site.http.get(path) as response:
            assert response.status == status
            site.reference.check("GET", path, status, response.content_type, await response.json())
