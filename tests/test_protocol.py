"""What a client may say, by the vectors that the JavaScript mirror passes too, and what a server answers."""

import json
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.capacity import Why
from stream.errors import StreamError
from stream.parsing import dump, parse
from stream.protocol import (
    MESSAGE_BYTES,
    ClientMessage,
    Configure,
    Hello,
    Limits,
    Pause,
    Ping,
    Reset,
    SetMode,
    SetPrompt,
    Start,
    UploadImage,
)
from stream.server_messages import (
    ControlStages,
    ImageInfo,
    Percentiles,
    Stats,
    error_message,
    goodbye_message,
    reply,
    state_message,
    stats_message,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors/protocol.json").read_text("utf-8"))
SAMPLES: dict[str, dict[str, Any]] = {sample["name"]: sample["message"] for sample in VECTORS["server"]}
LIMITS = Limits()


def expanded(vector: dict[str, Any], text: str) -> str:
    """Put the repeated text of a vector in the place of its @."""
    copied, count = vector.get("repeat", ("", 0))
    return text.replace("@", copied * count) if count else text


def taken() -> list[Any]:
    """The vectors that a server must take."""
    return [pytest.param(vector, id=vector["name"]) for vector in VECTORS["client"] if "ok" in vector]


def refused() -> list[Any]:
    """The vectors that a server must refuse."""
    return [pytest.param(vector, id=vector["name"]) for vector in VECTORS["client"] if "error" in vector]


def refusal(text: str, limits: Limits = LIMITS) -> StreamError:
    """Parse what must be refused."""
    with pytest.raises(StreamError) as caught:
        parse(text, limits)
    return caught.value


@pytest.mark.parametrize("vector", taken())
def test_valid_messages_are_read_with_their_defaults(vector: dict[str, Any]) -> None:
    """Every valid message is read, and dump writes it with the defaults filled in."""
    wanted = json.loads(expanded(vector, json.dumps(vector["ok"], ensure_ascii=False)))
    assert json.loads(dump(parse(expanded(vector, vector["text"]), LIMITS))) == wanted


@pytest.mark.parametrize("vector", refused())
def test_invalid_messages_are_refused_by_code_and_field(vector: dict[str, Any]) -> None:
    """Every invalid message gets its code, a sentence that names the field, and its id back if it has one."""
    error = refusal(expanded(vector, vector["text"]))
    assert error.code == vector["error"]
    assert error.extra == ({"id": vector["id"]} if "id" in vector else {})
    assert f"`{vector['field']}`" in error.message if "field" in vector else error.message


def test_vectors_cover_the_contract() -> None:
    """Each command is taken once at least, and each field of each is refused once at least."""
    commands = get_args(ClientMessage)
    assert {vector["ok"]["type"] for vector in VECTORS["client"] if "ok" in vector} == {
        command.type for command in commands
    }
    refused_fields = {vector.get("field") for vector in VECTORS["client"]}
    assert {member.name for command in commands for member in fields(command)} <= refused_fields


integers = st.integers(-(2**70), 2**70)
seeds = st.none() | st.integers(0, 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.floats(allow_nan=False, allow_infinity=False)
plain = [cls for cls in get_args(ClientMessage) if len(fields(cls)) == 1]
messages = st.one_of(
    st.builds(Hello, integers, st.just(1)),
    st.builds(SetMode, integers, st.sampled_from(["t2v", "i2v"])),
    st.builds(SetPrompt, integers, texts, st.sampled_from(["blend", "cut", "auto"]), numbers.map(abs)),
    st.builds(
        UploadImage,
        integers,
        st.integers(0, 2**70),
        texts,
        st.binary(min_size=32, max_size=32).map(bytes.hex),
        st.none() | texts,
    ),
    st.builds(Start, integers, seeds),
    st.builds(Reset, integers, seeds),
    st.builds(
        Configure,
        integers,
        st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
        st.none() | st.integers(1),
        st.none() | st.sampled_from(["low", "smooth"]),
    ),
    st.builds(Ping, integers, numbers | integers),
    *(st.builds(cls, integers) for cls in plain),
)


@given(messages)
def test_parse_undoes_dump(message: ClientMessage) -> None:
    """parse(dump(m)) == m."""
    assert parse(dump(message), LIMITS) == message


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
kinds = st.sampled_from([cls.type for cls in get_args(ClientMessage)])
names = st.sampled_from(sorted({member.name for cls in get_args(ClientMessage) for member in fields(cls)}))


def outcome(text: str) -> ClientMessage | StreamError:
    """Parse a text; any other exception than StreamError is let through."""
    try:
        return parse(text, LIMITS)
    except StreamError as error:
        return error


@given(st.text() | values.map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes parse raise anything but StreamError."""
    result = outcome(text)
    assert isinstance(result, StreamError)
    assert result.code in {"bad_json", "bad_message", "unknown_type"}


@given(kinds, st.dictionaries(names, values))
def test_any_fields_are_read_or_refused(kind: str, body: dict[str, Any]) -> None:
    """Whatever stands in the fields, a message is read or refused, and what is read can be written again."""
    result = outcome(json.dumps({**body, "type": kind}))
    if isinstance(result, StreamError):
        assert result.code in {"bad_json", "bad_message", "unsupported_protocol"}
    else:
        assert parse(dump(result), LIMITS) == result


def test_server_samples_survive_dump() -> None:
    """What a server says is JSON that reads back as the same object."""
    for name, sample in SAMPLES.items():
        assert json.loads(dump(sample)) == sample, name


def test_integer_with_a_point_is_no_integer() -> None:
    """1.0 is a number, not an integer."""
    assert refusal('{"type": "pause", "id": 1.0}').code == "bad_message"


def test_integer_of_thousands_of_digits_is_refused() -> None:
    """Numbers beyond what a float or Python's own limit holds are refused like any other wrong value."""
    assert refusal('{"type": "ping", "id": 1, "t": 1%s}' % ("0" * 400)).code == "bad_message"
    assert refusal('{"type": "ping", "id": 1, "t": 1%s}' % ("0" * 5000)).code == "bad_json"


def test_seed_may_have_63_bits() -> None:
    """Seeds go to 2^63 - 1, for clients whose integers are that long."""
    assert parse('{"type": "start", "id": 1, "seed": 9223372036854775807}', LIMITS) == Start(1, 2**63 - 1)
    assert refusal('{"type": "start", "id": 1, "seed": 9223372036854775808}').code == "bad_message"


def test_huge_message_is_refused_unread() -> None:
    """A message of several times the limit is refused without a look at its id."""
    error = refusal('{"type": "pause", "id": 1, "pad": "%s"}' % ("x" * 4 * MESSAGE_BYTES))
    assert (error.code, error.extra) == ("too_long", {})


def test_prompt_limit_is_the_configured_one() -> None:
    """The prompt's limit comes from the limits given, and counts code points."""
    limits = Limits(prompt_chars=3)
    assert parse(dump(SetPrompt(1, "😀é雪")), limits) == SetPrompt(1, "😀é雪")
    error = refusal(dump(SetPrompt(1, "😀é雪!")), limits)
    assert (error.code, error.extra) == ("too_long", {"id": 1})


def test_unknown_type_with_half_a_surrogate_pair_can_be_answered() -> None:
    """A refusal can be sent whatever the text that it quotes."""
    error = refusal('{"type": "\\ud83d", "id": 1}')
    assert dump(error_message(error)).encode("utf-8")


def test_dump_leaves_out_what_was_left_out() -> None:
    """Optional fields without a value are not written."""
    assert json.loads(dump(Configure(1, fps=12))) == {"type": "configure", "id": 1, "fps": 12}


def test_dump_refuses_what_json_lacks() -> None:
    """NaN is never written."""
    with pytest.raises(ValueError, match="JSON"):
        dump({"type": "stats", "fps_sent": float("nan")})


def test_messages_are_immutable_and_told_apart() -> None:
    """Messages of two types with equal fields are not equal; none can be changed."""
    assert Pause(1) != Start(1)
    with pytest.raises(AttributeError):
        Pause(1).id = 2  # type: ignore[misc]


def test_required_fields_are_those_without_a_default() -> None:
    """The contract's question marks are the dataclasses' defaults."""
    optional = {
        (command.type, member.name)
        for command in get_args(ClientMessage)
        for member in fields(command)
        if member.default is not MISSING
    }
    assert optional == {
        ("set_prompt", "policy"),
        ("set_prompt", "over_s"),
        ("upload_image", "name"),
        ("bookmark", "name"),
        ("fork", "bookmark"),
        ("hello", "name"),
        ("hand_over", "to"),
        *((kind, name) for kind in ("upload_image", "use_frame", "use_camera_frame") for name in ("policy", "over_s")),
        ("start", "seed"),
        ("reset", "seed"),
        ("configure", "fps"),
        ("configure", "bitrate_kbps"),
        ("configure", "latency"),
    }


def test_replies_have_the_shape_of_the_samples() -> None:
    """reply and state_message make the contract's objects."""
    assert reply("prompt_applied", 3, frame=12, rtp_timestamp=16875) == SAMPLES["prompt_applied"]
    assert state_message("idle", "i2v", "", 0, None) == SAMPLES["state without a picture"]
    image = ImageInfo(SAMPLES["image_uploaded"]["sha256"], 4000, 3000)
    assert state_message("live", "i2v", "снег", 31, image) == SAMPLES["state with a picture"]
    assert goodbye_message("The server is shutting down.") == SAMPLES["goodbye"]


def test_samples_have_each_reason_for_less_quality() -> None:
    """The page has a sentence for each reason in them, so they are those that a stream gives."""
    told = [sample["quality_why"] for sample in SAMPLES.values() if "quality_why" in sample]
    assert sorted(told) == sorted(get_args(Why))


def test_stats_have_the_shape_of_the_samples() -> None:
    """Stats go on the wire under their own names."""
    sample = SAMPLES["stats before the first command"]
    none = Percentiles(None, None)
    stats = Stats(0, 0, 0, 0, none, ControlStages(none, none, none, none), 0, 0, 0)
    assert stats_message(stats) == sample
    assert list(asdict(stats)) == [name for name in SAMPLES["stats"] if name != "type"]


def test_errors_have_the_shape_of_the_samples() -> None:
    """An error names its command where one is known, and how many wait where the machine is full."""
    refused = StreamError("no_image", "Upload a picture, then start.", id=14)
    assert error_message(refused) == SAMPLES["error to a command"]
    assert error_message(refused, 3)["id"] == 3
    unread = StreamError("bad_json", "The message is not JSON.")
    assert error_message(unread) == SAMPLES["error to a message whose id could not be read"]
    full = StreamError("at_capacity", "One stream runs before yours.", ahead=1, retry_after=5)
    assert error_message(full, 15) == SAMPLES["error of a full machine"]
