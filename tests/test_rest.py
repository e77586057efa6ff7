"""Streams over HTTP: made without a peer, commanded and given a picture by request, refused like on the channel."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest

import stream.request_director
from stream.config import ServerConfig, StreamConfig
from stream.errors import CODES
from stream.live import Director
from stream.protocol import ClientMessage, SetPrompt, Start, UploadImage
from tests.fakes import FakeDirector
from tests.real_site import Made, RealSite, picture_file


@pytest.fixture
async def site() -> AsyncIterator[RealSite]:
    """A site under the default configuration, whose model knows both modes."""
    async with RealSite(modes=("i2v", "t2v")) as made:
        yield made


async def started(site: RealSite, **fields: Any) -> Made:
    """Make a stream and start it with a picture."""
    made = await site.make(**fields)
    assert (await site.upload(made, picture_file()))[0] == 200
    status, reply = await site.command(made, "start")
    assert (status, reply["type"]) == (200, "started")
    return made


async def test_a_stream_is_made_with_what_it_begins_with(site: RealSite) -> None:
    """201 with its address, its token and its state, which holds what was asked; nobody directs it."""
    body = {"prompt": "snow", "mode": "t2v", "seed": 7, "fps": 12, "bitrate_kbps": 900, "latency": "smooth"}
    async with site.http.post("/streams", json=body) as response:
        assert response.status == 201
        answer = await response.json()
        assert response.headers["Location"] == f"/streams/{answer['stream']}"
    made = Made(answer)
    assert (answer["state"], answer["prompt"], answer["mode"], answer["directors"]) == ("idle", "snow", "t2v", 0)
    assert [answer[f"{kind}_url"] for kind in ("watch", "whep", "whip")] == [
        f"/{kind}/{answer['stream']}" for kind in ("watch", "whep", "whip")
    ]
    status, shown = await site.ask("GET", made.path)
    assert (status, shown) == (200, {key: value for key, value in answer.items() if key != "control_token"})
    _, reply = await site.command(made, "configure")
    assert reply == {"type": "configured", "id": 5, "fps": 12, "bitrate_kbps": 900, "latency": "smooth"}
    assert (await site.command(made, "start"))[1]["frame"] == 0
    assert site.live(made).generation.control.seed == 7


@pytest.mark.parametrize("body", [b"", b"{}", b'{"unknown": 1}'])
async def test_nothing_need_be_said(site: RealSite, body: bytes) -> None:
    """Without wishes a stream begins like any other."""
    status, answer = await site.ask("POST", "/streams", data=body)
    assert (status, answer["mode"], answer["prompt"], answer["image"]) == (201, "i2v", "", None)


@pytest.mark.parametrize(
    ("body", "code", "names"),
    [
        (b"{", "bad_json", ""),
        (b"\xff\xfe", "bad_json", "UTF-8"),
        (b'{"seed": NaN}', "bad_json", "NaN"),
        (b"[]", "bad_message", "object"),
        (b"null", "bad_message", "object"),
        (b'{"prompt": 5}', "bad_message", "`prompt`"),
        (b'{"prompt": null}', "bad_message", "`prompt`"),
        (b'{"mode": "v2v"}', "bad_message", "`mode`"),
        (b'{"seed": -1}', "bad_message", "`seed`"),
        (b'{"seed": 1.0}', "bad_message", "`seed`"),
        (b'{"latency": "none"}', "bad_message", "`latency`"),
        (b'{"prompt": "%s"}' % (b"x" * 2001), "too_long", "`prompt`"),
        (b'{"pad": "%s"}' % (b"x" * 70_000), "too_long", "65536"),
        (b'{"pad": "%s"}' % (b"x" * 300_000), "too_long", ""),
    ],
)
async def test_a_bad_wish_leaves_no_stream(site: RealSite, body: bytes, code: str, names: str) -> None:
    """What the channel refuses is refused here in the same words, and no stream is left of it."""
    status, error = await site.ask("POST", "/streams", data=body)
    assert (status, error["code"]) == (CODES[code][0], code)
    assert names in error["message"]
    assert len(site.streams) == 0


async def test_a_wish_that_the_model_lacks_leaves_no_stream() -> None:
    """501 ``not_supported``, as ``set_mode`` is answered on the channel."""
    async with RealSite(modes=("i2v",)) as site:
        status, error = await site.ask("POST", "/streams", json={"mode": "t2v"})
        assert (status, error["code"], len(site.streams)) == (501, "not_supported", 0)


async def test_a_server_with_a_token_asks_for_it() -> None:
    """The access token makes streams, and the control token alone commands them."""
    async with RealSite(ServerConfig(access_token="open sesame")) as site:
        bearers = ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "open sesame"})
        for headers in bearers:
            async with site.http.post("/streams", json={}, headers=headers) as response:
                assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
        headers = {"Authorization": "Bearer open sesame"}
        status, answer = await site.ask("POST", "/streams", json={}, headers=headers)
        assert status == 201
        body = {"type": "ping", "id": 1, "t": 0}
        assert (await site.ask("PATCH", f"/streams/{answer['stream']}", json=body, headers=headers))[0] == 401
        assert (await site.command(Made(answer), "ping", t=0))[0] == 200


async def test_a_full_server_makes_no_more() -> None:
    """503 ``at_capacity`` with ``ahead`` and ``Retry-After``, when full and while the model is not ready."""
    async with RealSite(stream=StreamConfig(max_streams=1)) as site:
        await site.make()
        async with site.http.post("/streams", json={}) as response:
            error = (await response.json())["error"]
            assert (response.status, error["code"], error["ahead"]) == (503, "at_capacity", 1)
            assert int(response.headers["Retry-After"]) > 0
        site.reason = "the model is loading"
        status, error = await site.ask("POST", "/streams", json={})
        assert (status, error["ahead"]) == (503, 0)
        assert "the model is loading" in error["message"]


@pytest.mark.parametrize(("method", "rest"), [("PATCH", ""), ("PUT", "/image"), ("DELETE", "")])
async def test_what_changes_a_stream_wants_its_token(site: RealSite, method: str, rest: str) -> None:
    """401 with ``WWW-Authenticate`` without it, 404 for no such stream, both before the body is looked at."""
    made, other = await site.make(), await site.make()
    for headers in ({}, other.headers, {"Authorization": f"Basic {made.body['control_token']}"}):
        async with site.http.request(method, made.path + rest, headers=headers, data=b"{") as response:
            assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    status, error = await site.ask(method, f"/streams/nosuchstream{rest}", headers=made.headers, data=b"{")
    assert (status, error["code"]) == (404, "not_found")
    assert site.live(made).state == "idle"


async def test_a_stream_is_deleted(site: RealSite) -> None:
    """204 with no body; then it is gone, for its token too."""
    made = await started(site)
    async with site.http.delete(made.path, headers=made.headers) as response:
        assert (response.status, await response.read()) == (204, b"")
    assert (await site.ask("GET", made.path))[0] == 404
    assert (await site.command(made, "stop"))[0] == 404


@pytest.mark.parametrize(("unwatched_s", "status"), [(600.0, 200), (0.0, 404)])
async def test_a_stream_without_directors_lives_on(unwatched_s: float, status: int) -> None:
    """It waits for a viewer as long as ``unwatched_s`` says, not as a stream that its directors left."""
    config = StreamConfig(director_grace_s=0.0, unwatched_s=unwatched_s)
    async with RealSite(stream=config) as site:
        made = await site.make()
        assert (await site.ask("GET", made.path))[0] == status


async def test_a_command_has_its_reply(site: RealSite) -> None:
    """Every command that the channel takes is answered with the channel's reply, its id in it."""
    made = await site.make()
    status, reply = await site.upload(made, picture_file())
    digest = hashlib.sha256(picture_file()).hexdigest()
    assert (status, reply) == (
        200,
        {"type": "image_uploaded", "id": 0, "width": 80, "height": 40, "sha256": digest, "cropped": [0, 0, 0, 0]},
    )
    assert (await site.command(made, "set_prompt", prompt="rain"))[1] == {"type": "prompt_accepted", "id": 5}
    assert (await site.command(made, "set_mode", mode="i2v"))[1] == {"type": "mode_changed", "id": 5, "mode": "i2v"}
    status, reply = await site.command(made, "start", seed=3)
    assert (status, reply) == (200, {"type": "started", "id": 5, "frame": 0, "rtp_timestamp": None})
    assert (await site.command(made, "ping", t=1.5))[1]["t"] == 1.5
    status, reply = await site.command(made, "reset")
    assert (status, reply["type"], reply["rtp_timestamp"]) == (200, "reset_applied", None)
    for command, type in (("pause", "paused"), ("resume", "resumed"), ("stop", "stopped")):
        status, reply = await site.command(made, command)
        assert (status, reply["type"]) == (200, type)
    status, reply = await site.command(made, "hello", protocol=1)
    assert (status, reply["type"], reply["stream"]) == (200, "welcome", made.body["stream"])
    assert (reply["state"]["state"], reply["state"]["prompt"]) == ("idle", "rain")


async def test_who_waits_hears_when_it_is_applied(site: RealSite) -> None:
    """``?wait=applied`` answers with the last reply, which names the first frame made under the command."""
    made = await started(site)
    status, reply = await site.command(made, "set_prompt", wait=True, prompt="rain")
    assert (status, reply["type"], reply["id"]) == (200, "prompt_applied", 5)
    assert 0 < reply["frame"] <= (await site.ask("GET", made.path))[1]["frame"]
    status, after = await site.upload(made, picture_file(red=90), "?wait=applied")
    assert (status, after["type"]) == (200, "image_applied")
    assert after["frame"] > reply["frame"]
    assert (await site.command(made, "pause", wait=True))[1]["type"] == "paused"
    for query in ("?wait=", "?wait=forever"):
        body = {"type": "ping", "id": 1, "t": 0}
        status, error = await site.ask("PATCH", made.path + query, json=body, headers=made.headers)
        assert (status, error["code"]) == (400, "bad_message")


async def test_what_has_no_frame_to_wait_for_is_202(site: RealSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no frame is sent, or none comes in time, the answer is 202 with what is known; it takes effect later."""
    made = await site.make()
    async with asyncio.timeout(stream.request_director.REPLY_WAIT_S / 2):
        assert await site.command(made, "reset", seed=9) == (202, {"type": "accepted", "id": 5})
        status, reply = await site.command(made, "set_prompt", wait=True, prompt="rain")
        assert (status, reply) == (202, {"type": "prompt_accepted", "id": 5})
        assert (await site.upload(made, picture_file(), "?wait=applied"))[0] == 202
    assert (await site.command(made, "start"))[1]["type"] == "started"
    assert site.live(made).generation.control.seed == 9
    monkeypatch.setattr(stream.request_director, "REPLY_WAIT_S", 0.01)
    await site.command(made, "set_mode", mode="t2v")
    # Kept until the mode turns again, so no frame answers it.
    status, reply = await site.upload(made, picture_file(), "?wait=applied")
    assert (status, reply["type"]) == (202, "image_uploaded")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_json"),
        ("{", "bad_json"),
        ("[]", "bad_message"),
        ('{"type": "stop"}', "bad_message"),
        ('{"type": "stop", "id": "1"}', "bad_message"),
        ('{"type": "dance", "id": 1}', "unknown_type"),
        ('{"type": "hello", "id": 1, "protocol": 2}', "unsupported_protocol"),
        ('{"type": "set_prompt", "id": 1, "prompt": "%s"}' % ("x" * 2001), "too_long"),
        ('{"type": "stop", "id": 1, "pad": "%s"}' % ("x" * 70_000), "too_long"),
        ('{"type": "stop", "id": 1, "pad": "%s"}' % ("x" * 300_000), "too_long"),
        ('{"type": "set_prompt", "id": 1, "prompt": "x", "policy": "cut"}', "not_supported"),
        ('{"type": "pause", "id": 1}', "wrong_state"),
        ('{"type": "start", "id": 1}', "no_image"),
    ],
)
async def test_a_refusal_is_the_channels(site: RealSite, text: str, code: str) -> None:
    """The channel's codes, at the status that each has."""
    made = await site.make()
    status, error = await site.ask("PATCH", made.path, data=text, headers=made.headers)
    assert (status, error["code"]) == (CODES[code][0], code)


async def test_a_picture_is_no_command(site: RealSite) -> None:
    """``upload_image`` has no bytes here: 501 with where to send them."""
    made = await site.make()
    data = picture_file()
    fields = {"size": len(data), "mime": "image/png", "sha256": hashlib.sha256(data).hexdigest()}
    status, error = await site.command(made, "upload_image", **fields)
    assert (status, error["code"]) == (501, "not_supported")
    assert f"PUT {made.path}/image" in error["message"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_the_bytes_decide_what_a_picture_is(site: RealSite, kind: str) -> None:
    """JPEG, PNG and WebP are taken under any declared type, with and without a length."""
    made, data = await site.make(), picture_file(kind)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 100):
            yield data[start : start + 100]

    for body, type in ((data, "text/plain"), (pieces(), "image/gif")):
        status, reply = await site.upload(made, body, **{"Content-Type": type})
        assert (status, reply["sha256"]) == (200, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "image_corrupt"),
        (b"GIF89a" + bytes(100), "image_unsupported"),
        (picture_file()[:-12], "image_corrupt"),
        (picture_file(size=(101, 100)), "image_too_large"),
        (bytes(20_001), "image_too_large"),
    ],
)
async def test_a_refused_picture_leaves_the_old_one(data: bytes, code: str) -> None:
    """413, 415 and 422 as the channel names them; the picture in use stays."""
    async with RealSite(stream=StreamConfig(image_pixels=10_000, image_bytes=20_000)) as site:
        made = await site.make()
        _, first = await site.upload(made, picture_file())
        status, error = await site.upload(made, data)
        assert (status, error["code"]) == (CODES[code][0], code)
        assert (await site.ask("GET", made.path))[1]["image"]["sha256"] == first["sha256"]


async def test_too_much_is_refused_before_it_has_come(site: RealSite) -> None:
    """A declared length over the limit is 413 before any byte; without one, 413 as soon as the limit is passed."""
    made = await site.make()
    status, error = await _begin_upload(site, made, "Content-Length: 10485761", b"")
    assert (status, error["code"]) == (413, "image_too_large")
    piece = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    status, error = await _begin_upload(site, made, "Transfer-Encoding: chunked", piece * 161)
    assert (status, error["code"]) == (413, "image_too_large")


async def _begin_upload(site: RealSite, made: Made, header: str, sent: bytes) -> tuple[int, Any]:
    """Send a part of a picture, and read the answer while the rest is still owed."""
    port = site.http.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    token = made.headers["Authorization"]
    head = f"PUT {made.path}/image HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n{header}\r\n\r\n"
    writer.write(head.encode() + sent)
    async with asyncio.timeout(5):
        answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(answer.lower().split("content-length: ")[1].split()[0])
        body = json.loads(await reader.readexactly(length))
    writer.close()
    return int(answer.split()[1]), body["error"]


async def test_a_picture_that_stops_coming_is_given_up() -> None:
    """408 ``upload_timeout`` after the configured time without a byte; a second one meanwhile is refused."""
    async with RealSite(stream=StreamConfig(upload_timeout_s=0.3)) as site:
        made = await site.make()
        stalled = asyncio.create_task(_begin_upload(site, made, "Content-Length: 500", b"\x89PNG"))
        while not stalled.done():
            status, error = await site.upload(made, picture_file())
            if status == 409:
                assert error["code"] == "upload_in_progress"
                break
        else:
            pytest.fail("two uploads at once were taken")
        status, error = await stalled
        assert (status, error["code"]) == (408, "upload_timeout")
        assert (await site.upload(made, picture_file()))[0] == 200


async def test_too_many_commands_are_refused(site: RealSite) -> None:
    """429 ``rate_limited`` with ``Retry-After`` beyond the channel's rate, for one stream and not its neighbour."""
    made, other = await site.make(), await site.make()
    headers, body = made.headers, {"type": "ping", "id": 1, "t": 0}
    for _ in range(400):
        async with site.http.patch(made.path, json=body, headers=headers) as response:
            if response.status == 429:
                assert response.headers["Retry-After"] == "1"
                assert (await response.json())["error"]["code"] == "rate_limited"
                break
    else:
        pytest.fail("400 commands in a row were taken")
    assert (await site.command(other, "ping", t=0))[0] == 200


async def test_a_stream_that_ends_answers_who_waits(site: RealSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command under way when the stream is deleted is 404, not a failure of ours."""
    made = await started(site)
    live = site.live(made)
    await site.command(made, "set_mode", mode="t2v")
    came, attach = asyncio.Event(), live.attach_director

    def attach_director(director: Director, is_peer: bool = True) -> None:
        attach(director, is_peer)
        came.set()

    monkeypatch.setattr(live, "attach_director", attach_director)
    waiting = asyncio.create_task(site.upload(made, picture_file(), "?wait=applied"))
    await came.wait()
    assert live.directors == 0
    await live.end("deleted")
    status, error = await waiting
    assert (status, error["code"]) == (404, "not_found")


async def test_two_directors_one_on_the_channel(site: RealSite) -> None:
    """Commands of both take effect in the order they come; each hears its own replies, both the news.

    An upload that the channel has not finished holds up the channel's replies, and not those over HTTP.
    """
    made = await started(site)
    live, director = site.live(made), FakeDirector()
    live.attach_director(director)
    data = picture_file(red=10)
    upload = UploadImage(5, len(data), "image/png", hashlib.sha256(data).hexdigest())
    await live.handle(director, upload)
    await live.handle(director, SetPrompt(6, "of the channel"))
    status, reply = await site.command(made, "set_prompt", prompt="of HTTP", wait=True)
    assert (status, reply["type"]) == (200, "prompt_applied")
    assert director.replies() == []
    states = [message["prompt"] for message in director.of("state")]
    assert states == ["of the channel", "of HTTP"]
    await live.upload_complete(director, upload, data)
    assert director.replies()[:2] == [("image_uploaded", 5), ("prompt_accepted", 6)]
    status, error = await site.command(made, "start")
    assert (status, error["code"]) == (409, "wrong_state")
    await site.command(made, "stop")
    await live.handle(director, Start(7))
    assert (await site.ask("GET", made.path))[1]["directors"] == 1
    assert {id for _, id in director.replies()} <= {5, 6, 7}
    assert list(live.seats) == [director]


def test_every_command_says_what_answers_it() -> None:
    """The first and the last reply of each command are known, so a request knows what to wait for."""
    for message in get_args(ClientMessage):
        assert message.replies


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("policy=cut&over_s=2", 200, None),
        ("policy=blend", 501, "not_supported"),
        ("policy=wipe", 400, "bad_message"),
        ("over_s=soon", 400, "bad_message"),
        ("over_s=11", 400, "bad_message"),
        ("over_s=nan", 400, "bad_message"),
    ],
)
async def test_a_picture_by_request_says_how_it_comes_in(
    site: RealSite, query: str, status: int, code: str | None
) -> None:
    """Its query has the fields that the channel's command has, under the same rules; a refusal leaves the stream."""
    made = await started(site)
    got, body = await site.upload(made, picture_file(), f"?{query}")
    assert got == status, body
    assert body.get("code") == code
    assert (await site.command(made, "pause"))[0] == 200
