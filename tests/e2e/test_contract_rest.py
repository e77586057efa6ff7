"""The wire contract's streams for machines: made, commanded and ended by HTTP, by a client written from that page."""

import contextlib
import hashlib
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiortc import RTCSessionDescription

from tests.contract import Answer, Peer, Server, directing, http, picture, png


@dataclass(frozen=True)
class Machine:
    """A program that has a stream and no peer."""

    url: str
    made: dict[str, Any]

    @property
    def bearer(self) -> dict[str, str]:
        """The header that holds the control token."""
        return {"Authorization": f"Bearer {self.made['control_token']}"}

    async def command(self, type: str, id: int = 1, query: str = "", **fields: Any) -> Answer:
        """Give a command."""
        return await http("PATCH", self.url + query, json={"type": type, "id": id, **fields}, headers=self.bearer)

    async def upload(self, data: bytes) -> Answer:
        """Send a picture."""
        return await http("PUT", f"{self.url}/image", data=io.BytesIO(data), headers=self.bearer)

    async def state(self) -> dict[str, Any]:
        """Look at the stream."""
        return (await http("GET", self.url)).json


@contextlib.asynccontextmanager
async def machine(server: Server, **fields: Any) -> AsyncIterator[Machine]:
    """A stream made by ``POST /streams``, deleted afterwards."""
    answer = await http("POST", f"{server.url}/streams", json=fields)
    assert answer.status == 201, answer.body
    made = Machine(f"{server.url}/streams/{answer.json['stream']}", answer.json)
    try:
        yield made
    finally:
        await http("DELETE", made.url, headers=made.bearer)


async def test_a_stream_without_a_peer_from_its_making_to_its_end(server: Server) -> None:
    """Made with a prompt, given a picture, started, watched, ended: by HTTP alone, and it is gone."""
    async with machine(server, prompt="pan left", seed=7) as made:
        assert len(made.made["stream"]) >= 8
        data = picture(60, (1000, 1000))
        uploaded = await made.upload(data)
        assert uploaded.status == 200
        assert uploaded.json["type"] == "image_uploaded"
        assert uploaded.json["sha256"] == hashlib.sha256(data).hexdigest()
        assert (uploaded.json["width"], uploaded.json["height"]) == (1000, 1000)
        assert len(uploaded.json["cropped"]) == 4
        started = await made.command("start", 31)
        assert started.status == 200
        assert (started.json["type"], started.json["id"], type(started.json["frame"])) == ("started", 31, int)
        state = await made.state()
        assert (state["state"], state["prompt"], state["directors"], state["viewers"]) == ("live", "pan left", 0, 0)
        viewer = Peer(server, channel=False)
        offer = await viewer.offer()
        sdp = {"Content-Type": "application/sdp"}
        answer = await http("POST", server.url + state["whep_url"], data=offer, headers=sdp)
        assert answer.status == 201
        await viewer.connection.setRemoteDescription(RTCSessionDescription(answer.body.decode(), "answer"))
        await viewer.until(lambda: len(viewer.pictures) >= 4)
        assert (await made.state())["viewers"] == 1
        assert (await http("DELETE", made.url, headers=made.bearer)).status == 204
        (await http("GET", made.url)).is_error(404, "not_found")
        await viewer.close(delete=False)


async def test_every_reply_is_the_channels(server: Server) -> None:
    """The reply has the type and the fields that the channel's has."""
    async with machine(server) as made:
        await made.upload(picture())
        commands: list[tuple[str, str, dict[str, Any]]] = [
            ("set_prompt", "prompt_accepted", {"prompt": "rain"}),
            ("set_mode", "mode_changed", {"mode": "i2v"}),
            ("configure", "configured", {"latency": "low"}),
            ("hello", "welcome", {"protocol": 1}),
            ("start", "started", {}),
            ("reset", "reset_applied", {}),
            ("pause", "paused", {}),
            ("resume", "resumed", {}),
            ("stop", "stopped", {}),
            ("ping", "pong", {"t": 4}),
        ]
        for command, reply, fields in commands:
            answer = await made.command(command, 9, **fields)
            assert (answer.status, answer.json["type"], answer.json["id"]) == (200, reply, 9)


async def test_a_program_and_a_page_direct_together(server: Server) -> None:
    """A director joins a machine's stream; both command it, each is answered, and the channel hears of it all."""
    async with machine(server) as made:
        await made.upload(picture(40))
        await made.command("start")
        peer = Peer(server)
        await peer.connect(stream=made.made["stream"], control_token=made.made["control_token"])
        assert (await made.state())["directors"] == 1
        answer = await made.command("set_prompt", 77, "?wait=applied", prompt="by HTTP")
        assert (answer.status, answer.json["type"], answer.json["id"]) == (200, "prompt_applied", 77)
        await peer.state(prompt="by HTTP")
        assert not peer.of(77)
        applied = await peer.ask("set_prompt", "prompt_applied", prompt="by channel")
        assert applied["frame"] > answer.json["frame"]
        assert (await made.state())["prompt"] == "by channel"
        assert (await made.command("pause")).json["type"] == "paused"
        await peer.state(state="paused")
        await peer.close(delete=False)


async def test_a_directors_stream_takes_commands_by_http(server: Server) -> None:
    """The control token of ``/offer`` is the one that HTTP takes, and no other."""
    async with directing(server) as peer, machine(server) as other:
        await peer.live(picture(40))
        body = {"type": "set_prompt", "id": 1, "prompt": "by HTTP"}
        answer = await http("PATCH", peer.stream, json=body, headers=peer.bearer)
        assert answer.json == {"type": "prompt_accepted", "id": 1}
        await peer.state(prompt="by HTTP")
        refused = await http("PATCH", peer.stream, json=body, headers=other.bearer)
        refused.is_error(401, "unauthorized")
        assert "Bearer" in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (bytes(10_485_761), 413, "image_too_large"),
        (png(10_000, 4_001, b""), 413, "image_too_large"),
        (b"GIF89a" + bytes(64), 415, "image_unsupported"),
        (picture()[:-4], 422, "image_corrupt"),
    ],
    ids=["bytes", "pixels", "format", "cut"],
)
async def test_pictures_that_are_refused(server: Server, data: bytes, status: int, code: str) -> None:
    """413, 415 and 422 with the image codes."""
    async with machine(server) as made:
        (await made.upload(data)).is_error(status, code)
        assert (await made.state())["image"] is None


async def test_commands_that_are_refused(server: Server) -> None:
    """The channel's codes as HTTP errors; the stream goes on."""
    async with machine(server) as made:
        for status, code, fields in (
            (400, "bad_message", {"type": "start", "id": "1"}),
            (400, "bad_message", {"type": "start"}),
            (400, "unknown_type", {"type": "dance", "id": 1}),
            (409, "no_image", {"type": "start", "id": 1}),
            (409, "wrong_state", {"type": "pause", "id": 1}),
            (501, "not_supported", {"type": "set_mode", "id": 1, "mode": "t2v"}),
            (413, "too_long", {"type": "set_prompt", "id": 1, "prompt": "x" * 2001}),
        ):
            (await http("PATCH", made.url, json=fields, headers=made.bearer)).is_error(status, code)
        (await http("PATCH", made.url, data=b"{", headers=made.bearer)).is_error(400, "bad_json")
        assert (await made.state())["state"] == "idle"
