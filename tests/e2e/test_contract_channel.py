"""The wire contract's data channel, clause by clause, by a client written from that page alone."""

import asyncio
import itertools
import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract import (
    FAKE,
    PATIENCE_S,
    STEP,
    Peer,
    Server,
    check_error,
    described,
    directing,
    http,
    noise,
    picture,
    serving,
)

SERVER_TYPES = {"state", "stats", "goodbye"}
STATE_KEYS = {"type", "state", "mode", "prompt", "frame", "image"}


@pytest.fixture(scope="module")
def both_modes() -> Iterator[Server]:
    """A model that makes video from text and from pictures."""
    with serving(FAKE_MODES="i2v,t2v") as running:
        yield running


async def test_hello(server: Server) -> None:
    """``welcome`` has the stream, the capabilities that HTTP gives, and the state."""
    async with directing(server) as peer:
        welcome = await peer.ask("hello", "welcome", protocol=1)
        assert welcome["stream"] == peer.answer["stream"]
        assert welcome["capabilities"] == (await http("GET", f"{server.url}/capabilities")).json
        state = welcome["state"]
        assert STATE_KEYS - {"type"} <= set(state) <= STATE_KEYS
        assert (state["state"], state["mode"], state["prompt"], state["image"]) == ("idle", "i2v", "", None)
        assert (await peer.ask("hello", "welcome", protocol=1, unknown="field"))["stream"] == welcome["stream"]
        for protocol in (2, 0, -1):
            await peer.refused(peer.send("hello", protocol=protocol), "unsupported_protocol")
        for protocol in (True, "1", None, 1.5, [1]):
            await peer.refused(peer.send("hello", protocol=protocol), "bad_message")
        await peer.refused(peer.send("hello"), "bad_message")


BAD_JSON = [
    "",
    "{",
    "hello",
    "{'type': 'ping'}",
    '{"type": "ping", "id": NaN, "t": 1}',
    '{"type": "ping", "id": 1, "t": Infinity}',
    "[" * 60_000,
    '{"a":' * 10_000,
    '{"type": "ping", "id": 1, "t": ' + "9" * 5000 + "x}",
    "\x00",
]
NO_OBJECT = ["[]", "null", "7", '"ping"', "true", "{}", '{"id": 7}', '{"id": 7, "type": 3}', '{"id": 7, "type": null}']


async def test_what_is_not_a_command(server: Server) -> None:
    """Bad JSON, no object, no type, no id: an error each, in order, and the channel goes on."""
    async with directing(server) as peer:
        for text in BAD_JSON:
            after = len(peer.messages)
            peer.send_text(text)
            await peer.error_without_id("bad_json", after)
        for text in NO_OBJECT:
            after = len(peer.messages)
            peer.send_text(text)
            # What is told unasked, stats every second, may come between.
            error = await peer.until(
                lambda after=after: next((m for m in peer.messages[after:] if m["type"] == "error"), None)
            )
            assert error["code"] in ("bad_message", "bad_json"), (text, error)
            check_error(error, error["code"])
        for id in (None, "1", True, 1.5, [], {}):
            after = len(peer.messages)
            peer.send_text(json.dumps({"type": "ping", "t": 1, "id": id}))
            assert "id" in (await peer.error_without_id("bad_message", after))["message"]
        after = len(peer.messages)
        peer.send_text('{"type": "ping", "t": 1}')
        await peer.error_without_id("bad_message", after)
        await peer.refused(peer.send("no_such_type"), "unknown_type")
        await peer.refused(peer.send("__class__"), "unknown_type")
        await peer.refused(peer.send("welcome"), "unknown_type")
        assert (await peer.ask("ping", "pong", t=1))["t"] == 1


async def test_ping(server: Server) -> None:
    """``pong`` repeats ``t`` and the id as they came, whatever the integer, and tells the server's time."""
    async with directing(server) as peer:
        for t in (0, 1.5, -3, 1e15, 2**53):
            pong = await peer.ask("ping", "pong", t=t)
            assert pong["t"] == t
            assert type(pong["server_ms"]) in (int, float)
        for id in (0, -1, 2**31, 2**53 - 1):
            peer.send_text(json.dumps({"type": "ping", "id": id, "t": 5}))
            assert (await peer.reply(id, "pong"))["t"] == 5
        for t in (None, True, "1", [], {}):
            await peer.refused(peer.send("ping", t=t), "bad_message")
        await peer.refused(peer.send("ping"), "bad_message")


async def test_too_long(server: Server) -> None:
    """A text of 64 KiB is read, one byte more is too long; a prompt counts in code points."""
    async with directing(server) as peer:
        frame = len(json.dumps({"type": "ping", "id": 77, "t": 1, "pad": ""}))
        for pad in ("x", "é"):
            body = json.dumps({"type": "ping", "id": 77, "t": 1, "pad": pad * 0}, ensure_ascii=False)
            filling = pad * ((65_536 - frame) // len(pad.encode()))
            body = body.replace('"pad": ""', f'"pad": "{filling}"')
            body += " " * (65_536 - len(body.encode()))
            peer.send_text(body)
            await peer.until(lambda: [m for m in peer.messages if m.get("id") == 77])
            after = len(peer.messages)
            peer.send_text(body + " ")
            error = await peer.until(
                lambda after=after: next((m for m in peer.messages[after:] if m["type"] != "stats"), None)
            )
            check_error(error, "too_long")
            peer.messages.clear()
        for character in ("x", "é", "😀", "e\u0301"):
            prompt = character * (2000 // len(character))
            accepted = await peer.ask("set_prompt", "prompt_accepted", prompt=prompt)
            assert accepted
            await peer.state(prompt=prompt)
            await peer.refused(peer.send("set_prompt", prompt=prompt + "x"), "too_long")
        assert (await http("GET", peer.stream)).json["prompt"] == "e\u0301" * 1000


BAD_FIELDS: dict[str, list[dict[str, Any]]] = {
    "set_mode": [{}, {"mode": 1}, {"mode": None}, {"mode": "v2v"}, {"mode": "I2V"}, {"mode": ["i2v"]}],
    "set_prompt": [
        {},
        {"prompt": None},
        {"prompt": 7},
        {"prompt": True},
        {"prompt": ["x"]},
        {"prompt": "x", "policy": "fast"},
        {"prompt": "x", "policy": 1},
        {"prompt": "x", "over_s": "1"},
        {"prompt": "x", "over_s": True},
        {"prompt": "x", "over_s": -1},
    ],
    "start": [{"seed": True}, {"seed": "1"}, {"seed": 1.5}, {"seed": []}],
    "reset": [{"seed": False}, {"seed": "1"}, {"seed": 0.5}],
    "configure": [
        {"fps": True},
        {"fps": "16"},
        {"fps": 0},
        {"fps": -16},
        {"bitrate_kbps": True},
        {"bitrate_kbps": "2000"},
        {"bitrate_kbps": 0},
        {"bitrate_kbps": -5},
        {"latency": "fast"},
        {"latency": 1},
        {"latency": True},
    ],
    "upload_image": [
        {},
        described(b"x") | {"size": True},
        described(b"x") | {"size": -1},
        described(b"x") | {"size": "1"},
        described(b"x") | {"size": 1.5},
        described(b"x") | {"mime": 1},
        described(b"x") | {"mime": None},
        described(b"x") | {"sha256": "xyz"},
        described(b"x") | {"sha256": "0" * 63},
        described(b"x") | {"sha256": "g" * 64},
        described(b"x") | {"sha256": 7},
        described(b"x") | {"name": 7},
        {"size": 1, "mime": "image/png"},
        {"size": 1, "sha256": "0" * 64},
        {"mime": "image/png", "sha256": "0" * 64},
    ],
}


@pytest.mark.parametrize("type", BAD_FIELDS)
async def test_wrong_fields(server: Server, type: str) -> None:
    """A field that is missing, or of the wrong type or value, is named; a boolean is no number."""
    async with directing(server) as peer:
        for fields in BAD_FIELDS[type]:
            error = await peer.refused(peer.send(type, **fields), "bad_message")
            assert error["retryable"] is False
            wrong = set(fields) or {"mode", "prompt", "size", "mime", "sha256"}
            assert any(name in error["message"] for name in (*wrong, "mime", "sha256", "size")), error
        assert (await http("GET", peer.stream)).json["prompt"] == ""
        assert (await peer.upload(picture()))["type"] == "image_uploaded"


async def test_unknown_fields_are_ignored(server: Server) -> None:
    """What a command says more does not matter, nor does an optional field's absence."""
    async with directing(server) as peer:
        await peer.upload(picture(), name="a name", alt=[1, {"x": None}])
        await peer.ask("set_prompt", "prompt_accepted", prompt="x", colour="red", id2=True)
        await peer.ask("start", "started", speed=3)
        await peer.ask("pause", "paused", x=1)
        await peer.ask("stop", "stopped", mode=7)


async def test_texts_of_any_kind(server: Server) -> None:
    """A prompt may hold any characters, and comes back as it was; half a character hurts nobody."""
    async with directing(server) as peer:
        for prompt in ("", " ", "\x00\x01\u2028", "ﷺ 👩‍👩‍👧 \u202e abc", "'; drop table--", "</script>"):
            await peer.ask("set_prompt", "prompt_accepted", prompt=prompt)
            assert (await http("GET", peer.stream)).json["prompt"] == prompt
        half = await peer.ask("set_prompt", prompt="\ud800")
        assert half["type"] == "prompt_accepted" or half["code"] == "bad_message"
        await peer.ask("ping", "pong", t=1)
        assert (await http("GET", peer.stream)).status == 200
        await peer.live()
        await peer.next_frame(4)


async def test_not_supported(server: Server) -> None:
    """What this model or server lacks says so, and what it has."""
    async with directing(server) as peer:
        capabilities = (await http("GET", f"{server.url}/capabilities")).json
        for mode in {"i2v", "t2v"} - set(capabilities["modes"]):
            error = await peer.refused(peer.send("set_mode", mode=mode), "not_supported")
            assert capabilities["modes"][0] in error["message"]
        for policy in ("blend", "recache", "flush", "cut", "auto"):
            id = peer.send("set_prompt", prompt=policy, policy=policy)
            if policy in capabilities["policies"]:
                await peer.reply(id, "prompt_accepted")
            else:
                error = await peer.refused(id, "not_supported")
                assert all(has in error["message"] for has in capabilities["policies"])


async def test_configure(server: Server) -> None:
    """``configured`` has the values in force, which the next one keeps."""
    async with directing(server) as peer:
        first = await peer.ask("configure", "configured", bitrate_kbps=1234)
        assert {"fps", "bitrate_kbps", "latency"} <= set(first)
        assert (first["fps"], first["bitrate_kbps"], first["latency"]) == (16, 1234, "low")
        second = await peer.ask("configure", "configured", latency="smooth")
        assert (second["bitrate_kbps"], second["latency"]) == (1234, "smooth")
        third = await peer.ask("configure", "configured", bitrate_kbps=10**9, latency="low", fps=16)
        assert 1234 < third["bitrate_kbps"] <= 4000
        assert third["latency"] == "low"
        await peer.live()
        live = await peer.ask("configure", "configured", bitrate_kbps=800)
        assert live["bitrate_kbps"] == 800


async def test_states(server: Server) -> None:
    """idle, live, paused: each command where it fits, ``wrong_state`` where not; again changes nothing."""
    async with directing(server) as peer:
        await peer.refused(peer.send("start"), "no_image")
        assert "state" not in [m["type"] for m in peer.messages]
        for command in ("pause", "resume"):
            await peer.refused(peer.send(command), "wrong_state")
        started = await peer.live()
        assert started["frame"] == 0
        await peer.refused(peer.send("start"), "wrong_state")
        await peer.ask("resume", "resumed")
        paused = await peer.ask("pause", "paused")
        again = await peer.ask("pause", "paused")
        assert again["frame"] == paused["frame"]
        await peer.refused(peer.send("start"), "wrong_state")
        resumed = await peer.ask("resume", "resumed")
        assert resumed["frame"] >= paused["frame"]
        stopped = await peer.ask("stop", "stopped")
        once_more = await peer.ask("stop", "stopped")
        assert once_more["frame"] == stopped["frame"]
        for command in ("pause", "resume"):
            await peer.refused(peer.send(command), "wrong_state")
        states = [m["state"] for m in peer.messages if m["type"] == "state"]
        assert [s for s, before in zip(states, [None, *states], strict=False) if s != before] == [
            "idle",
            "live",
            "paused",
            "live",
            "idle",
        ]
        for message in peer.messages:
            if message["type"] in ("started", "paused", "resumed", "stopped"):
                assert type(message["frame"]) is int
                assert type(message["rtp_timestamp"]) is int


async def test_state_messages(server: Server) -> None:
    """``state`` comes unasked on every change, with its five fields, and no id."""
    async with directing(server) as peer:
        await peer.ask("set_prompt", "prompt_accepted", prompt="pan left")
        await peer.state(prompt="pan left", state="idle", image=None)
        uploaded = await peer.upload(picture())
        image = {key: uploaded[key] for key in ("sha256", "width", "height")}
        await peer.state(image=image)
        await peer.ask("start", "started")
        await peer.state(state="live", image=image, prompt="pan left")
        for message in peer.messages:
            if message["type"] == "state":
                assert set(message) == STATE_KEYS
                assert type(message["frame"]) is int


async def test_stats(server: Server) -> None:
    """``stats`` come about once a second, with numbers in all their fields."""
    async with directing(server) as peer:
        await peer.live()
        await peer.ask("set_prompt", "prompt_accepted", prompt="snow")
        stats = await peer.until(lambda: [m for m in peer.messages if m["type"] == "stats"][1:])
        loop = asyncio.get_running_loop()
        began = loop.time()
        await peer.until(lambda: [m for m in peer.messages if m["type"] == "stats"][2:])
        assert 0.5 < loop.time() - began < 1.5
        last = stats[-1]
        for key in ("fps_generated", "fps_sent", "chunk_ms", "buffered_ms", "bitrate_kbps"):
            assert type(last[key]) in (int, float), key
        for key in ("underruns", "viewers"):
            assert type(last[key]) is int, key
        assert set(last["control_latency_ms"]) == {"p50", "p95"}
        assert type(last["control_latency_ms"]["p50"]) in (int, float)
        slowest = 14 if FAKE else 1
        # Told again each second: on a busy machine not every one of them has all of its frames.
        await peer.until(lambda: [m for m in peer.messages[-1:] if slowest <= m.get("fps_sent", 0)], 3 * PATIENCE_S)
        assert max(m.get("fps_sent", 0) for m in peer.messages) <= 18
        assert 0 <= last["buffered_ms"] <= 1000
        assert "id" not in last


FIRST = {
    "start": "started",
    "pause": "paused",
    "resume": "resumed",
    "stop": "stopped",
    "set_prompt": "prompt_accepted",
    "set_mode": "mode_changed",
    "upload_image": "image_uploaded",
    "ping": "pong",
    "configure": "configured",
}
APPLIED = {"set_prompt": "prompt_applied", "set_mode": "mode_applied", "upload_image": "image_applied"} | {
    "reset": "reset_applied"
}
FIELDS: dict[str, dict[str, Any]] = {
    "set_mode": {"mode": "i2v"},
    "ping": {"t": 1},
    "configure": {"bitrate_kbps": 1500},
    "upload_image": described(picture(77)),
}


class Model:
    """What the contract says of each command's first reply, given those before."""

    def __init__(self) -> None:
        self.state = "idle"

    def reply(self, command: str) -> str:
        """Take a command; give the type of its first reply, or the error's code."""
        if command == "start" and self.state != "idle":
            return "wrong_state"
        if command in ("pause", "resume") and self.state == "idle":
            return "wrong_state"
        self.state = {"start": "live", "pause": "paused", "resume": "live", "stop": "idle"}.get(command, self.state)
        return FIRST[command]


@pytest.mark.parametrize("seed", range(4))
async def test_any_order(server: Server, seed: int) -> None:
    """Commands in any order and at any pace: the right first reply to each, in order, and each applied once."""
    dice, model = random.Random(seed), Model()
    commands = [*FIRST, "reset", "start", "stop", "pause", "set_prompt"]
    async with directing(server) as peer:
        await peer.upload(picture())
        asked: list[tuple[int, str]] = []
        expected: list[tuple[int, str]] = []
        for number in range(50):
            command = dice.choice(commands)
            fields = {"prompt": str(number)} if command == "set_prompt" else FIELDS.get(command, {})
            id = peer.send(command, **fields)
            asked.append((id, command))
            if command == "upload_image":
                peer.send_bytes(picture(77))
            if command != "reset":
                expected.append((id, model.reply(command)))
            if dice.random() < 0.3:
                await asyncio.sleep(dice.choice([0.01, 0.05, 0.3]))
        for command in ("stop", "start"):
            expected.append((peer.send(command), FIRST[command]))
        await peer.until(lambda: peer.of(expected[-1][0]))
        firsts = [(m["id"], m.get("code", m["type"])) for m in peer.messages if m["type"] in {*FIRST.values(), "error"}]
        assert firsts[1:] == expected
        for id, command in asked:
            if command in APPLIED:
                await peer.reply(id, APPLIED[command])
        marks = [m for m in peer.messages if "frame" in m and "rtp_timestamp" in m]
        assert len({(m["id"], m["type"]) for m in marks}) == len(marks), "each comes once"
        for key in ("frame", "rtp_timestamp"):
            values = [m[key] for m in marks if m[key] is not None]
            assert all((b - a) % 2**32 < 2**31 for a, b in itertools.pairwise(values)), (key, marks)


async def test_replies_in_order(server: Server) -> None:
    """First replies keep the order of their commands, an upload's among them, and every reply has its id."""
    async with directing(server) as peer:
        data = noise()
        upload = peer.send("upload_image", **described(data))
        peer.send_bytes(data[:100_000])
        ids = [upload, peer.send("ping", t=1), peer.send("set_prompt", prompt="snow"), peer.send("nonsense")]
        peer.send_bytes(data[100_000:])
        ids += [peer.send("configure", bitrate_kbps=2000), peer.send("start"), peer.send("ping", t=2)]
        ids += [peer.send("set_prompt", prompt="a"), peer.send("set_mode", mode="i2v"), peer.send("stop")]
        await peer.until(lambda: all(peer.of(id) for id in ids))
        firsts = [
            "image_uploaded",
            "pong",
            "prompt_accepted",
            "error",
            "configured",
            "started",
            "mode_changed",
            "stopped",
        ]
        order = [m["id"] for m in peer.messages if m["type"] in firsts]
        assert order == ids, [m for m in peer.messages if "id" in m]


async def test_before_start(server: Server) -> None:
    """Commands given before ``start`` are applied with the first frame; overtaken ones with the overtaker's."""
    async with directing(server) as peer:
        ids = [peer.send("set_prompt", prompt="one"), peer.send("set_prompt", prompt="two")]
        await peer.upload(picture(50))
        id = peer.send("upload_image", **described(picture(90)))
        peer.send_bytes(picture(90))
        await peer.reply(id, "image_uploaded")
        mode = peer.send("set_mode", mode="i2v")
        await peer.reply(mode, "mode_changed")
        await asyncio.sleep(0.1)
        assert not [m for m in peer.messages if m["type"].endswith("_applied")]
        started = await peer.ask("start", "started")
        await peer.is_shown(started, 90)
        for given, applied in (
            (ids[0], "prompt"),
            (ids[1], "prompt"),
            (id - 1, "image"),
            (id, "image"),
            (mode, "mode"),
        ):
            message = await peer.reply(given, f"{applied}_applied")
            assert message["frame"] == started["frame"] == 0
            assert message["rtp_timestamp"] == started["rtp_timestamp"]


async def test_overtaken(server: Server) -> None:
    """Of two prompts in one chunk each is applied, with one frame; the last one holds."""
    async with directing(server) as peer:
        await peer.live()
        await peer.next_frame(3)
        ids = [peer.send("set_prompt", prompt=f"number {number}") for number in range(20)]
        applied = [await peer.reply(id, "prompt_applied") for id in ids]
        frames = [message["frame"] for message in applied]
        assert frames == sorted(frames)
        assert frames[-1] - frames[0] <= 12
        assert [m["id"] for m in peer.messages if m["type"] == "prompt_accepted"] == ids
        for message in applied:
            await peer.is_shown(message)
        assert (await http("GET", peer.stream)).json["prompt"] == "number 19"


async def test_applied_names_its_frame(server: Server) -> None:
    """``*_applied`` has the frame and the RTP timestamp of the first frame of its kind, and that frame shows it."""
    async with directing(server) as peer:
        await peer.is_shown(await peer.live(picture(0)))
        await peer.next_frame(5)
        id = peer.send("upload_image", **described(picture(120)))
        peer.send_bytes(picture(120))
        applied = await peer.reply(id, "image_applied")
        cut = applied["frame"]
        assert cut > 0
        await peer.is_shown(applied, 120, cut)
        await peer.next_frame(4)
        at = peer.timestamps.index(applied["rtp_timestamp"])
        if FAKE:
            before = (peer.pictures[peer.timestamps[at - 1]] - cut + 1 + 128) % 256 - 128
            assert abs(before) <= 4
        prompt = await peer.reply(peer.send("set_prompt", prompt="snow"), "prompt_applied")
        await peer.is_shown(prompt, 120, cut)
        mode = await peer.reply(peer.send("set_mode", mode="i2v"), "mode_applied")
        await peer.is_shown(mode, 120, cut)
        reset = await peer.reply(peer.send("reset", seed=9), "reset_applied")
        await peer.is_shown(reset, 120, reset["frame"])
        frames = [m["frame"] for m in (applied, prompt, mode, reset)]
        assert frames == sorted(frames)


async def test_frames_go_on(server: Server) -> None:
    """Frame indices and timestamps go on over pause, reset, stop and start; slots are a whole number of steps."""
    async with directing(server) as peer:
        marks = [await peer.live(seed=3)]
        for command, kind in (
            ("pause", "paused"),
            ("resume", "resumed"),
            ("reset", "reset_applied"),
            ("stop", "stopped"),
            ("start", "started"),
        ):
            if command in ("resume", "start"):
                await asyncio.sleep(0.3)
            else:
                await peer.next_frame(4)
            marks.append(await peer.reply(peer.send(command), kind))
        await peer.next_frame(4)
        frames = [mark["frame"] for mark in marks]
        assert frames == sorted(frames)
        assert frames[-1] > frames[3]
        paused, resumed, stopped, started = marks[1], marks[2], marks[4], marks[5]
        assert resumed["frame"] - paused["frame"] in (0, 1)
        assert started["frame"] == stopped["frame"] + 1
        takes = [marks[0], marks[0], marks[0], marks[3], marks[3], started]
        for mark, take in zip(marks, takes, strict=True):
            await peer.is_shown(mark, 0, take["frame"])
        slots = [(mark["rtp_timestamp"] - marks[0]["rtp_timestamp"]) % 2**32 for mark in marks]
        assert slots == sorted(slots)
        # A busy machine may send 12 or 8 frames a second: their steps have this in common.
        assert all(slot % (STEP if FAKE else STEP // 3) == 0 for slot in slots), slots
        assert 0.2 < (slots[2] - slots[1]) / 90_000 < 0.8


async def test_pause_freezes(server: Server) -> None:
    """Nothing newer than the frame that ``paused`` names is shown until ``resume``; then the very next comes."""
    async with directing(server) as peer:
        await peer.live()
        await peer.next_frame(8)
        paused = await peer.ask("pause", "paused")
        await asyncio.sleep(0.5)
        held = len(peer.timestamps)
        waiting = peer.send("set_prompt", prompt="snow")
        await peer.reply(waiting, "prompt_accepted")
        await asyncio.sleep(0.2)
        assert len(peer.of(waiting)) == 1
        resumed = await peer.ask("resume", "resumed")
        assert resumed["frame"] in (paused["frame"], paused["frame"] + 1)
        applied = await peer.reply(waiting, "prompt_applied")
        assert applied["frame"] >= resumed["frame"]
        await peer.is_shown(resumed)
        await peer.is_shown(applied)
        await peer.is_shown(paused)
        shown = {
            round(peer.pictures[timestamp] - paused["frame"])
            for timestamp in peer.timestamps[:held]
            if (timestamp - paused["rtp_timestamp"]) % 2**32 < 2**31
        }
        if FAKE:
            assert max(shown) - min(shown) <= 4, shown


async def test_join_while_paused(server: Server) -> None:
    """Whoever joins a paused stream sees the frozen frame, and so does one that lost it and asks for a keyframe."""
    async with directing(server) as peer:
        await peer.live(picture(100))
        await peer.next_frame(8)
        paused = await peer.ask("pause", "paused")
        other = Peer(server)
        await other.connect(stream=peer.answer["stream"], control_token=peer.answer["control_token"])
        await other.until(lambda: other.keyframes, 2)
        before = len(peer.keyframes)
        await peer.receiver._send_rtcp_pli(peer.ssrc)
        await peer.until(lambda: len(peer.keyframes) > before, 2)
        resumed = await peer.ask("resume", "resumed")
        await other.next_frame(4)
        shown = await other.shown(other.timestamps[0])
        if FAKE:
            assert abs(shown - 100 - paused["frame"]) <= 4
        await peer.is_shown(resumed, 100)
        await other.close(delete=False)


@pytest.mark.skipif(not FAKE, reason="wants a model that always keeps up")
async def test_even_timestamps(server: Server) -> None:
    """While generation keeps up the timestamps rise by one constant step, and frames come when their slots do."""
    async with directing(server) as peer:
        await peer.live()
        arrivals = await peer.even(40)
        assert arrivals[32] - arrivals[0] == pytest.approx(2, abs=0.3)


async def test_fewer_frames(server: Server) -> None:
    """``configure`` of ``fps`` halves the rate at a chunk's beginning, with an even step; indices and slots go on."""
    async with directing(server) as peer:
        started = await peer.live()
        await peer.next_frame(8)
        assert (await peer.ask("configure", "configured", fps=8))["fps"] == 8
        await peer.even(7, 2 * STEP)
        halved = len(peer.timestamps) - 7
        await peer.next_frame(8)
        first = peer.timestamps.index(started["rtp_timestamp"])
        steps = [(b - a) % 2**32 for a, b in itertools.pairwise(peer.timestamps)]
        if FAKE:
            assert STEP in steps[first:halved]
            assert {step % STEP for step in steps[first:]} == {0}
        assert min(steps[halved:]) == 2 * STEP
        mark = await peer.reply(peer.send("set_prompt", prompt="x"), "prompt_applied")
        await peer.is_shown(mark)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_packets(server: Server, codec: str) -> None:
    """RTP as the answer says: its payload type and source, no gap, a marker at each frame's end, and the profile."""
    async with directing(server, (codec,)) as peer:
        await peer.live(noise())
        await peer.next_frame(12)
        packets = peer.packets
        video = peer.answer["sdp"].partition("m=video")[2]
        payload_types = re.findall(r"a=rtpmap:(\d+) ", video)
        assert {packet.payload_type for packet in packets} <= {*map(int, payload_types)}
        assert len({packet.payload_type for packet in packets}) == 1
        assert {packet.ssrc for packet in packets} == {int(re.findall(r"a=ssrc:(\d+)", video)[0])}
        for one, two in itertools.pairwise(packets):
            assert (two.sequence_number - one.sequence_number) % 2**16 == 1
            assert one.marker == (one.timestamp != two.timestamp)
        if codec == "H264":
            # SPS: profile_idc 66 with constraint_set1 is constrained baseline.
            found = re.search(rb"[\x27\x47\x67]\x42(.)(.)", packets[0].payload, re.DOTALL)
            assert found
            assert found[1][0] & 0x40
        assert max(len(packet.payload) for packet in packets) <= 1300


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_keyframe_on_request(server: Server, codec: str) -> None:
    """A PLI brings a keyframe soon; without one there is none for a while."""
    async with directing(server, (codec,)) as peer:
        await peer.live()
        await peer.next_frame(12)
        before = len(peer.keyframes)
        await peer.receiver._send_rtcp_pli(peer.ssrc)
        await peer.until(lambda: len(peer.keyframes) > before, 0.6)


async def test_co_director(server: Server) -> None:
    """A co-director joins with the token, begins at a keyframe, hears the state, and commands the same stream."""
    async with directing(server) as peer:
        started = await peer.live()
        await peer.next_frame(6)
        for codecs in (("VP8",), ("H264",)):
            other = Peer(server, codecs)
            answer = await other.connect(
                stream=peer.answer["stream"], control_token=peer.answer["control_token"], whatever=1
            )
            assert answer["stream"] == peer.answer["stream"]
            assert answer["control_token"] == peer.answer["control_token"]
            assert (await http("GET", peer.stream)).json["directors"] == 2
            await other.next_frame(4)
            assert other.keyframes[0] == other.timestamps[0]
            welcome = await other.ask("hello", "welcome", protocol=1)
            assert welcome["state"]["state"] == "live"
            after = len(peer.messages)
            id = other.send("set_prompt", prompt=f"by {codecs}")
            applied = await other.reply(id, "prompt_applied")
            await other.is_shown(applied)
            await peer.state(after, prompt=f"by {codecs}")
            assert not [m for m in peer.messages[after:] if m["type"].startswith("prompt_")]
            await other.close(delete=False)
        await peer.next_frame(4)
        await peer.is_shown(started)


async def test_grace(server: Server) -> None:
    """When the last director leaves, the stream waits for it to come back, and only so long."""
    peer, again = Peer(server), Peer(server)
    answer = await peer.connect()
    await peer.live()
    join = {key: answer[key] for key in ("stream", "control_token")}
    await peer.close(delete=False)
    await again.connect(**join)
    await again.next_frame(4)
    assert (await again.ask("hello", "welcome", protocol=1))["state"]["state"] == "live"
    await asyncio.sleep(1.3)
    assert (await http("GET", again.stream)).json["directors"] == 1
    await again.close(delete=False)
    for _ in range(40):
        await asyncio.sleep(0.1)
        if (await http("GET", again.stream)).status == 404:
            break
    (await http("GET", again.stream)).is_error(404, "not_found")
    late = Peer(server)
    offer = {"type": "offer", "sdp": await late.offer(), **join}
    gone = await http("POST", f"{server.url}/offer", json=offer)
    assert gone.status in (401, 404)
    await late.close()


@pytest.mark.skipif(not FAKE, reason="wants a model with room for two")
async def test_two_users(server: Server) -> None:
    """Two users at once: neither hears, sees, commands or disturbs the other."""
    async with directing(server) as one, directing(server) as two:
        await one.live(picture(0))
        await two.live(picture(100))
        await asyncio.gather(one.next_frame(6), two.next_frame(6))
        after = len(two.messages)
        applied = await one.reply(one.send("set_prompt", prompt="mine alone"), "prompt_applied")
        await one.is_shown(applied)
        for text in ("{", "x" * 70_000):
            one.send_text(text)
        one.send_bytes(b"junk" * 1000)
        await one.ask("stop", "stopped")
        stolen = await http("DELETE", two.stream, headers=one.bearer)
        stolen.is_error(401, stolen.json["error"]["code"])
        await two.next_frame(8)
        assert "mine alone" not in json.dumps(two.messages)
        assert {m["type"] for m in two.messages[after:]} <= SERVER_TYPES
        await two.is_shown(await two.reply(two.send("set_prompt", prompt="x"), "prompt_applied"), 100)
        await two.even(8)


async def test_seeds(server: Server) -> None:
    """Any integer that a client may choose as a seed starts a take, or is refused as a value."""
    async with directing(server) as peer:
        await peer.upload(picture())
        for seed in (0, 1, -1, 2**31, 2**53, 2**63, 2**64, 10**30):
            reply = await peer.ask("start", seed=seed)
            if reply["type"] == "started":
                await peer.next_frame(2)
                await peer.ask("stop", "stopped")
            else:
                check_error(reply, "bad_message")
                assert not 0 <= seed < 2**31


async def test_other_channels(server: Server) -> None:
    """A channel of another name, and a second ``control``, disturb nothing."""
    peer = Peer(server)
    chat = peer.connection.createDataChannel("chat")
    await peer.connect()
    await peer.until(lambda: chat.readyState == "open")
    chat.send("hello")
    chat.send(b"\x00" * 1000)
    await peer.ask("ping", "pong", t=1)
    chat.close()
    await peer.live()
    await peer.next_frame(4)
    await peer.close()


async def test_flood(server: Server) -> None:
    """Thousands of commands at once are each answered, or limited, in order, and the video goes on."""
    async with directing(server) as peer:
        await peer.live()
        ids = [peer.send("ping", t=number) for number in range(1500)]
        ids += [peer.send("set_prompt", prompt=str(number)) for number in range(100)]
        # Counted first: to look through all that came, at each of them, would take longer than the answers.
        await peer.until(lambda: len(peer.messages) >= len(ids) and peer.of(ids[-1]), seconds=4 * PATIENCE_S)
        firsts = [m["id"] for m in peer.messages if m["type"] in ("pong", "prompt_accepted", "error")]
        assert firsts == ids
        await peer.next_frame(4)


@pytest.mark.skipif(not FAKE, reason="wants a model with both modes")
async def test_both_modes(both_modes: Server) -> None:
    """A picture given in t2v waits for i2v; i2v with no picture is ``no_image``, at ``start`` and while live."""
    async with directing(both_modes) as peer:
        assert (await peer.ask("hello", "welcome", protocol=1))["state"]["mode"] == "i2v"
        mode = peer.send("set_mode", mode="t2v")
        assert (await peer.reply(mode, "mode_changed"))["mode"] == "t2v"
        started = await peer.ask("start", "started")
        assert (await peer.reply(mode, "mode_applied"))["frame"] == started["frame"]
        await peer.refused(peer.send("set_mode", mode="i2v"), "no_image")
        await peer.state(mode="t2v", state="live")
        assert (await http("GET", peer.stream)).json["mode"] == "t2v"
        image = peer.send("upload_image", **described(picture(150)))
        peer.send_bytes(picture(150))
        await peer.reply(image, "image_uploaded")
        await peer.next_frame(10)
        assert [m["type"] for m in peer.of(image) if m["type"] == "image_applied"] == []
        turned = await peer.reply(peer.send("set_mode", mode="i2v"), "mode_applied")
        applied = await peer.reply(image, "image_applied")
        assert applied["frame"] == turned["frame"]
        await peer.is_shown(turned, 150, turned["frame"])
        back = await peer.reply(peer.send("set_mode", mode="t2v"), "mode_applied")
        assert back["frame"] > turned["frame"]
