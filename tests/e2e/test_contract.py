"""The wire contract's HTTP and SDP, clause by clause, by a client written from that page alone."""

import asyncio
import io
import json
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiortc import RTCSessionDescription

from tests.contract import FAKE, Peer, Server, check_error, directing, http, picture, serving

SECRET = "an-access-token"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A server with an access token, room for two streams, and one page of another site allowed."""
    options = ("stream.max_streams=2", "server.allowed_origins=[https://studio.example]")
    with serving(*options, f"server.access_token={SECRET}") as running:
        yield running


def state_of(body: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(body[key] for key in ("state", "mode", "prompt", "image"))


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/capabilities", "/metrics", "/openapi.json", "/docs"])
async def test_served_paths(server: Server, path: str) -> None:
    """What is built answers 200 with a body of the length it says, to HEAD too."""
    answer = await http("GET", server.url + path)
    assert answer.status == 200
    kinds = {"/": "text/html", "/docs": "text/html", "/metrics": "text/plain"}
    assert answer.headers["Content-Type"].startswith(kinds.get(path, "application/json"))
    assert int(answer.headers["Content-Length"]) == len(answer.body) > 0
    head = await http("HEAD", server.url + path)
    assert (head.status, head.body) == (200, b"")


async def test_ready(server: Server) -> None:
    """A warm model is ready, and says nothing more."""
    assert (await http("GET", f"{server.url}/readyz")).json == {"ready": True}


async def test_metrics_are_prometheus_text(server: Server) -> None:
    """Every line is a comment or ``name{labels} value``."""
    text = (await http("GET", f"{server.url}/metrics")).body.decode()
    for line in text.splitlines():
        assert re.fullmatch(r"(#.*|[a-zA-Z_:][\w:]*(\{[^}]*\})? [-+.\dainfNe]+)?", line), line


async def test_capabilities(server: Server) -> None:
    """The capabilities have the fields and types of the contract."""
    body = (await http("GET", f"{server.url}/capabilities")).json
    assert body["protocol"] == 1
    assert isinstance(body["version"], str)
    assert isinstance(body["model"], str)
    assert all(type(side) is int for size in body["sizes"] for side in size)
    assert all(len(size) == 2 for size in body["sizes"])
    assert body["fps"] == 16
    assert set(body["modes"]) <= {"t2v", "i2v"}
    assert body["image_entry"] in ("none", "first_latent", "clip", "anchor")
    assert set(body["policies"]) <= {"blend", "recache", "flush", "cut", "auto"}
    assert len(body["codecs"]) == 2
    assert set(body["limits"]) >= {"prompt_chars", "image_bytes", "image_pixels", "streams"}
    assert body["limits"]["prompt_chars"] == 2000
    assert body["limits"]["image_bytes"] == 10_485_760
    assert body["limits"]["image_pixels"] == 40_000_000
    assert body["examples"]
    assert all(isinstance(example, str) for example in body["examples"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/streams/abcdefgh", 404), ("GET", "/offer", 405), ("POST", "/", 405)],
)
async def test_no_such_thing(server: Server, method: str, path: str, status: int) -> None:
    """What is not there is an error of the same shape."""
    answer = await http(method, server.url + path)
    answer.is_error(status, answer.json["error"]["code"])


@pytest.mark.parametrize("path", ["/%00", "/streams/%ff%fe", "/streams/..%2f..%2fserver.py", "/watch/" + "x" * 5000])
async def test_odd_paths(server: Server, path: str) -> None:
    """An odd path is a 4xx, never a 500."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    status = int((await reader.readline()).split()[1])
    assert 400 <= status < 500
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "null"},
    ],
    ids=lambda headers: "".join(*headers.items()),
)
async def test_foreign_names_are_refused(server: Server, headers: dict[str, str]) -> None:
    """A Host or an Origin that is not on the list is 403, wherever it asks."""
    for path in ("/", "/healthz", "/capabilities", "/streams/abcdefgh", "/nothing", "/whep/x", "/docs"):
        (await http("GET", server.url + path, headers=headers)).is_error(403, "forbidden_origin")


async def test_foreign_names_make_no_stream(server: Server) -> None:
    """A good offer from another site's page is refused as well."""
    peer = Peer(server)
    offer = {"type": "offer", "sdp": await peer.offer()}
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        answer = await http("POST", f"{server.url}/offer", json=offer, headers=headers)
        answer.is_error(403, "forbidden_origin")
    await peer.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:{port}", "Origin": "http://localhost:{port}"},
        {"Host": "LOCALHOST:{port}"},
        {"Host": "localhost:1"},
        {"Host": "[::1]:{port}", "Origin": "http://[::1]:{port}"},
        {"Host": "127.0.0.1:{port}", "Origin": "http://127.0.0.1:{port}"},
    ],
)
async def test_loopback_names_are_allowed(server: Server, headers: dict[str, str]) -> None:
    """Loopback names are on the list, with any port."""
    said = {name: value.format(port=server.port) for name, value in headers.items()}
    assert (await http("GET", f"{server.url}/capabilities", headers=said)).status == 200


async def test_access_token(guarded: Server) -> None:
    """The access token comes as a bearer or in the body; without it, or with another one, 401."""
    peer = Peer(guarded)
    offer = {"type": "offer", "sdp": await peer.offer()}
    url = f"{guarded.url}/offer"
    for fields, token in (
        ({}, None),
        ({"access_token": "wrong"}, None),
        ({"access_token": 7}, None),
        ({}, "wrong"),
        ({}, ""),
    ):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = await http("POST", url, json=offer | fields, headers=headers)
        if fields.get("access_token") == 7 and answer.status == 400:
            continue
        answer.is_error(401, answer.json["error"]["code"])
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    good = await http("POST", url, json=offer, headers={"Authorization": f"bearer {SECRET}"})
    assert good.status == 200, good.body
    assert SECRET not in good.body.decode()
    bearer = {"Authorization": f"Bearer {good.json['control_token']}"}
    assert (await http("DELETE", f"{guarded.url}/streams/{good.json['stream']}", headers=bearer)).status == 204
    await peer.close()
    async with directing(guarded, access_token=SECRET) as directed:
        assert (await directed.ask("hello", "welcome", protocol=1))["stream"] == directed.answer["stream"]


async def test_allowed_origin(guarded: Server) -> None:
    """A page of an allowed site may read the answers."""
    origin = {"Origin": "https://studio.example"}
    answer = await http("GET", f"{guarded.url}/capabilities", headers=origin)
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://studio.example")
    asked = origin | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    preflight = await http("OPTIONS", f"{guarded.url}/offer", headers=asked)
    assert 200 <= preflight.status < 300, preflight.body


@pytest.mark.skipif(not FAKE, reason="wants a model with room for two")
async def test_full(guarded: Server) -> None:
    """An offer beyond the most streams is 503 with ``ahead`` and ``Retry-After``; room made by DELETE serves it."""
    async with directing(guarded, access_token=SECRET) as one:
        async with directing(guarded, access_token=SECRET) as two:
            for peer in (one, two):
                await peer.live()
            third = Peer(guarded)
            offer = {"type": "offer", "sdp": await third.offer(), "access_token": SECRET}
            answer = await http("POST", f"{guarded.url}/offer", json=offer)
            error = answer.is_error(503, "at_capacity")
            assert type(error["ahead"]) is int
            assert error["ahead"] >= 1
            assert int(answer.headers["Retry-After"]) >= 1
            joined = Peer(guarded)
            await joined.connect(
                stream=one.answer["stream"], control_token=one.answer["control_token"], access_token=SECRET
            )
            await joined.close(delete=False)
            await third.close()
        async with directing(guarded, access_token=SECRET):
            pass


async def test_answer(server: Server) -> None:
    """The answer has the contract's fields; the urls stand in it from the start and name the stream."""
    async with directing(server) as peer:
        answer = peer.answer
        keys = {"type", "sdp", "stream", "control_token", "watch_url", "whep_url", "whip_url"}
        assert set(answer) == keys
        assert answer["type"] == "answer"
        assert re.fullmatch(r"[A-Za-z0-9_-]{8,}", answer["stream"])
        assert len(answer["control_token"]) >= 20
        for kind in ("watch", "whep", "whip"):
            assert answer[f"{kind}_url"].endswith(f"/{kind}/{answer['stream']}")
            assert answer["control_token"] not in answer[f"{kind}_url"]


BAD_OFFERS = [
    b"",
    b"not json",
    b"\xff\xfe\x00",
    b"[]",
    b"null",
    b'"offer"',
    b"{}",
    b'{"type": "offer"}',
    b'{"type": "offer", "sdp": ""}',
    b'{"type": "offer", "sdp": 7}',
    b'{"type": "offer", "sdp": null}',
    b'{"type": "offer", "sdp": "garbage"}',
    b'{"type": "offer", "sdp": "v=0\\r\\n"}',
    b'{"type": "offer", "sdp": "v=0\\r\\nm=video x y z\\r\\n"}',
    b'{"type": "offer", "sdp": "\\ud800"}',
    b'{"type": "offer", "sdp": "m=\\u0000"}',
    b"[" * 50_000,
    b'{"type": "offer", "sdp": ' + b"1" * 5000 + b"}",
]


async def test_bad_offers(server: Server) -> None:
    """What is not JSON, or not an offer, or not SDP, is 400 ``bad_offer``."""
    for body in BAD_OFFERS:
        (await http("POST", f"{server.url}/offer", data=body)).is_error(400, "bad_offer")


async def test_offers_without_video(server: Server) -> None:
    """An offer of a channel alone, or of audio alone, or of video that nobody receives, has no video in it."""
    peer = Peer(server)
    sdp = await peer.offer()
    await peer.close()
    head, *media = re.split(r"(?m)^(?=m=)", sdp)
    audio = re.sub(r"(?m)^m=video (\d+) (\S+) .*$", r"m=audio \1 \2 0", media[0])
    audio = re.sub(r"(?m)^a=(rtpmap|rtcp-fb|fmtp):.*\r\n", "", audio)
    only_vp9 = re.sub(r"VP8|H264", "VP9", media[0])
    offers = [
        head.replace("BUNDLE 0 1", "BUNDLE 1") + media[1],
        head.replace("BUNDLE 0 1", "BUNDLE 0") + audio,
        head + audio + media[1],
        head + only_vp9 + media[1],
        sdp.replace("a=recvonly", "a=inactive"),
        sdp.replace("a=recvonly", "a=sendonly"),
        re.sub(r"(?m)^a=fingerprint:.*\r\n", "", sdp),
        re.sub(r"(?m)^a=ice-(ufrag|pwd):.*\r\n", "", sdp),
        sdp[: len(sdp) // 2],
    ]
    for number, offer in enumerate(offers):
        answer = await http("POST", f"{server.url}/offer", json={"type": "offer", "sdp": offer})
        assert answer.status == 400, (number, answer.body)
        answer.is_error(400, "bad_offer")
    (await http("POST", f"{server.url}/offer", json={"type": "answer", "sdp": sdp})).is_error(400, "bad_offer")


async def test_an_offer_that_never_ends(server: Server) -> None:
    """A body of megabytes is refused, as an error of the usual shape."""
    answer = await http("POST", f"{server.url}/offer", data=io.BytesIO(b" " * 4_000_000))
    answer.is_error(answer.status, answer.json["error"]["code"])
    assert answer.status in (400, 413)


async def test_unfinished_offers_leave_nothing(server: Server) -> None:
    """After all these the server still serves."""
    async with directing(server) as peer:
        assert (await http("GET", peer.stream)).json["directors"] == 1


@pytest.mark.parametrize("fields", [{"stream": 7}, {"stream": ["x"]}, {"stream": {}}])
async def test_join_of_a_wrong_type(server: Server, fields: dict[str, Any]) -> None:
    """A stream that is no string is bad input."""
    peer = Peer(server)
    answer = await http("POST", f"{server.url}/offer", json={"type": "offer", "sdp": await peer.offer(), **fields})
    answer.is_error(400, answer.json["error"]["code"])
    await peer.close()


async def test_join_without_its_token(server: Server) -> None:
    """A stranger does not become a co-director, and learns nothing of the stream's token."""
    async with directing(server) as peer:
        stranger = Peer(server)
        offer = {"type": "offer", "sdp": await stranger.offer(), "stream": peer.answer["stream"]}
        for token in ({}, {"control_token": "wrong"}, {"control_token": ""}, {"control_token": "é"}):
            answer = await http("POST", f"{server.url}/offer", json=offer | token)
            answer.is_error(401, answer.json["error"]["code"])
            assert "WWW-Authenticate" in answer.headers
            assert peer.answer["control_token"] not in answer.body.decode()
        unknown = offer | {"stream": "nosuchstream", "control_token": "wrong"}
        answer = await http("POST", f"{server.url}/offer", json=unknown)
        assert answer.status in (401, 404)
        answer.is_error(answer.status, answer.json["error"]["code"])
        assert (await http("GET", peer.stream)).json["directors"] == 1
        await stranger.close()


async def test_get_stream(server: Server) -> None:
    """GET gives the ``state`` object with the stream, who is there, and the urls; no token in it."""
    async with directing(server) as peer:
        body = (await http("GET", peer.stream)).json
        assert {"state", "mode", "prompt", "frame", "image", "stream", "directors", "viewers"} <= set(body)
        assert state_of(body) == ("idle", "i2v", "", None)
        assert (body["stream"], body["directors"], body["viewers"]) == (peer.answer["stream"], 1, 0)
        assert {key: body[key] for key in ("watch_url", "whep_url", "whip_url")}.items() <= peer.answer.items()
        assert peer.answer["control_token"] not in json.dumps(body)
        uploaded = await peer.upload(picture())
        await peer.ask("set_prompt", "prompt_accepted", prompt="pan left")
        await peer.ask("start", "started")
        body = (await http("GET", peer.stream)).json
        image = {key: uploaded[key] for key in ("sha256", "width", "height")}
        assert state_of(body) == ("live", "i2v", "pan left", image)


async def test_delete_stream(server: Server) -> None:
    """DELETE wants the control token; then everyone hears ``ended`` and ``goodbye``, and the stream is gone."""
    async with directing(server) as peer:
        await peer.live()
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
            answer = await http("DELETE", peer.stream, headers=headers)
            answer.is_error(401, answer.json["error"]["code"])
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        answer = await http("DELETE", peer.stream, headers=peer.bearer)
        assert (answer.status, answer.body) == (204, b"")
        await peer.until(lambda: any(m["type"] == "goodbye" for m in peer.messages))
        assert isinstance(next(m for m in peer.messages if m["type"] == "goodbye")["reason"], str)
        assert [m["state"] for m in peer.messages if m["type"] == "state"][-1] == "ended"
        (await http("GET", peer.stream)).is_error(404, "not_found")
        (await http("DELETE", peer.stream, headers=peer.bearer)).is_error(404, "not_found")


def sections(sdp: str) -> list[str]:
    return re.split(r"(?m)^(?=m=)", sdp)


@pytest.mark.parametrize("codecs", [("VP8",), ("H264",), ("VP8", "H264"), ("H264", "VP8")], ids="+".join)
async def test_answer_sdp(server: Server, codecs: tuple[str, ...]) -> None:
    """The answer is passive, muxed, complete with candidates; codecs in the offerer's order; the video plays."""
    async with directing(server, codecs) as peer:
        _, video, application = sections(peer.answer["sdp"])
        for section in (video, application):
            assert "a=setup:passive\r\n" in section
            assert "a=end-of-candidates" in section
            assert re.search(r"a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 \d+ typ host", section)
        assert "a=rtcp-mux-only\r\n" in video
        assert "a=rtcp-mux\r\n" in video
        assert "a=sendonly\r\n" in video
        answered = re.findall(r"a=rtpmap:\d+ (VP8|H264)/90000", video)
        assert tuple(dict.fromkeys(answered)) == codecs
        payload_types = re.search(r"(?m)^m=video [1-9]\d* \S+ (.*?)\r$", video)
        assert payload_types
        mapped = re.findall(r"a=rtpmap:(\d+) ", video)
        assert payload_types[1].split() == mapped
        for fmtp in re.findall(r"a=fmtp:\d+ (.*packetization-mode.*)\r\n", video):
            assert "packetization-mode=1" in fmtp
        started = await peer.live()
        await peer.is_shown(started)
        assert started["rtp_timestamp"] in peer.keyframes


CHROMIUM_VIDEO = """m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 127 120 125 107 35
a=rtpmap:96 AV1/90000
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:98 VP9/90000
a=fmtp:98 profile-id=0
a=rtpmap:99 rtx/90000
a=fmtp:99 apt=98
a=rtpmap:127 H264/90000
a=rtcp-fb:127 nack pli
a=fmtp:127 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f
a=rtpmap:120 H264/90000
a=rtcp-fb:120 nack
a=rtcp-fb:120 nack pli
a=fmtp:120 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtpmap:125 VP8/90000
a=rtcp-fb:125 nack pli
a=rtpmap:107 red/90000
a=rtpmap:35 ulpfec/90000
"""


async def test_a_browsers_offer(server: Server) -> None:
    """Among codecs that no one here knows, the offerer's payload types of the known ones are kept, in its order."""
    peer = Peer(server)
    head, video, application = sections(await peer.offer())
    kept = [line for line in video.splitlines()[1:] if not re.match(r"a=(rtpmap|rtcp-fb|fmtp):", line)]
    audio = [re.sub(r"a=mid:0", "a=mid:2", line) for line in kept]
    audio = ["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2", *audio]
    offer = head.replace("BUNDLE 0 1", "BUNDLE 0 2 1").encode()
    body = "\r\n".join([*CHROMIUM_VIDEO.splitlines(), *kept, *audio, ""]) + application
    answer = await http("POST", f"{server.url}/offer", json={"type": "offer", "sdp": offer.decode() + body})
    assert answer.status == 200, answer.body
    _, video, audio_answer, _ = sections(answer.json["sdp"])
    assert video.split("\r\n")[0].split()[3:] == ["120", "125"], video
    assert "a=mid:0\r\n" in video
    assert audio_answer.startswith("m=audio ")
    bearer = {"Authorization": f"Bearer {answer.json['control_token']}"}
    await http("DELETE", f"{server.url}/streams/{answer.json['stream']}", headers=bearer)
    await peer.close()


async def test_hidden_candidates_cost_nothing(server: Server) -> None:
    """An offer with ``.local`` and odd candidates, or with none, is answered at once."""
    peer = Peer(server)
    sdp = await peer.offer()
    bare = re.sub(r"(?m)^a=candidate:.*\r\n", "", sdp)
    hidden = "a=candidate:1 1 udp 2122260223 0b1c6f2e-9d7e-4f7c-8a2f-0a4d2b6a4c11.local 50000 typ host\r\n"
    odd = "a=candidate:2 1 tcp 1518280447 192.0.2.9 9 typ host tcptype active\r\n"
    for candidates in ("", hidden, hidden + odd):
        offer = bare.replace("a=end-of-candidates\r\n", candidates + "a=end-of-candidates\r\n")
        began = time.monotonic()
        answer = await http("POST", f"{server.url}/offer", json={"type": "offer", "sdp": offer})
        assert answer.status == 200, answer.body
        assert time.monotonic() - began < 1
        bearer = {"Authorization": f"Bearer {answer.json['control_token']}"}
        await http("DELETE", f"{server.url}/streams/{answer.json['stream']}", headers=bearer)
    await peer.close()


async def test_bundle_only(server: Server) -> None:
    """What an offerer bundles only (port 0, no transport of its own: max-bundle, RFC 8829) is accepted."""
    peer = Peer(server)
    head, video, application = sections(await peer.offer())
    application = re.sub(r"(?m)^a=(candidate|end-of|ice|fingerprint|setup|rtcp).*\r\n", "", application)
    application = re.sub(r"^m=application \d+", "m=application 0", application) + "a=bundle-only\r\n"
    answer = await http("POST", f"{server.url}/offer", json={"type": "offer", "sdp": head + video + application})
    assert answer.status == 200, answer.body
    await peer.connection.setRemoteDescription(RTCSessionDescription(answer.json["sdp"], "answer"))
    peer.answer = answer.json
    channel = peer.channel
    assert channel is not None
    await peer.until(lambda: channel.readyState == "open")
    await peer.ask("ping", "pong", t=1)
    await peer.close()


async def test_long_messages_are_announced(server: Server) -> None:
    """The answer lets a browser send more than 64 KiB, or ``too_long`` could never be said."""
    async with directing(server) as peer:
        found = re.search(r"a=max-message-size:(\d+)", peer.answer["sdp"])
        assert found
        assert int(found[1]) == 0 or int(found[1]) > 65_536


async def test_a_director_without_a_channel(server: Server) -> None:
    """An offer of video alone makes a stream too."""
    peer = Peer(server, channel=False)
    await peer.connect()
    assert len(sections(peer.answer["sdp"])) == 2
    assert (await http("GET", peer.stream)).status == 200
    await peer.close()


@pytest.mark.skipif(not FAKE, reason="wants the fake model")
async def test_not_ready() -> None:
    """While the model warms up the server is alive but not ready, with a reason, and takes no offers."""
    with serving("stream.max_streams=1", ready=False, FAKE_WARM_UP_S="60") as cold:
        assert (await http("GET", f"{cold.url}/healthz")).status == 200
        answer = await http("GET", f"{cold.url}/readyz")
        assert answer.status == 503
        assert answer.json["ready"] is False
        assert answer.json["reason"]
        peer = Peer(cold)
        offered = await http("POST", f"{cold.url}/offer", json={"type": "offer", "sdp": await peer.offer()})
        offered.is_error(503, offered.json["error"]["code"])
        assert "Retry-After" in offered.headers
        await peer.close()


async def test_goodbye_on_sigterm() -> None:
    """SIGTERM: each client hears goodbye, and within 5 s all has ended, with status 0."""
    with serving("stream.max_streams=2") as ending:
        peers = [Peer(ending), Peer(ending)]
        for peer in peers:
            await peer.connect()
        await peers[0].live()
        ending.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        for peer in peers:
            await peer.until(lambda peer=peer: any(m["type"] == "goodbye" for m in peer.messages), 5)
        assert await asyncio.to_thread(ending.process.wait, 5) == 0
        assert time.monotonic() - began < 5
        for peer in peers:
            await peer.close(delete=False)


async def granted(peer: Peer, command: str, type: str) -> None:
    """Ask for what there is room for, again for ten seconds: beside other work chunks take longer for a while."""
    async with asyncio.timeout(10):
        while (reply := await peer.reply(peer.send(command)))["type"] != type:
            assert check_error(reply, "at_capacity")["retryable"]
            await asyncio.sleep(0.5)


@pytest.mark.skipif(not FAKE, reason="wants a model of known speed")
async def test_capacity() -> None:
    """A loaded machine lowers every stream's rate alike, evenly, then refuses; pause, stop and the end make room."""
    with serving(FAKE_CHUNK_S="0.2,0.14,0.09") as slow:
        async with directing(slow) as one, directing(slow) as two, directing(slow) as three:
            await one.live()
            await one.even(16)
            await two.live()
            await asyncio.gather(one.even(14, 11_250), two.even(14, 11_250))
            await two.until(lambda: [m for m in two.messages[-1:] if 7 <= m.get("fps_sent", 0) <= 9])
            await three.upload(picture())
            refused = check_error(await three.ask("start", "error"), "at_capacity")
            assert (refused["ahead"], refused["retryable"]) == (2, True)
            late = Peer(slow)
            answer = await http("POST", f"{slow.url}/offer", json={"type": "offer", "sdp": await late.offer()})
            assert answer.is_error(503, "at_capacity")["ahead"] == 2
            assert int(answer.headers["Retry-After"]) >= 1
            await late.close()
            await one.ask("pause", "paused")
            await granted(three, "start", "started")
            check_error(await one.ask("resume", "error"), "at_capacity")
            assert (await http("GET", one.stream)).json["state"] == "paused"
            await three.ask("stop", "stopped")
            await granted(one, "resume", "resumed")
            check_error(await three.ask("start", "error"), "at_capacity")
            assert (await http("DELETE", two.stream, headers=two.bearer)).status == 204
            await granted(three, "start", "started")


async def test_offers_that_never_connect() -> None:
    """A stream whose director never comes goes away by itself."""
    with serving("stream.handshake_timeout_s=1", "stream.director_grace_s=0.5") as forgetful:
        peer = Peer(forgetful)
        offer = {"type": "offer", "sdp": await peer.offer()}
        answers = [await http("POST", f"{forgetful.url}/offer", json=offer) for _ in range(3)]
        assert [answer.status for answer in answers] == [200] * 3
        await asyncio.sleep(3)
        for answer in answers:
            (await http("GET", f"{forgetful.url}/streams/{answer.json['stream']}")).is_error(404, "not_found")
        await peer.close()


@pytest.mark.skipif(not FAKE, reason="wants a model with room for four")
async def test_many_streams(server: Server) -> None:
    """Streams run side by side, each its own; what is beyond the model's room is refused until one stops."""
    room = (await http("GET", f"{server.url}/capabilities")).json["limits"]["streams"]
    peers = [Peer(server) for _ in range(room)]
    await asyncio.gather(*(peer.connect() for peer in peers))
    assert len({peer.answer["stream"] for peer in peers}) == room
    assert len({peer.answer["control_token"] for peer in peers}) == room
    for number, peer in enumerate(peers):
        await peer.live(picture(20 * number))
    for number, peer in enumerate(peers):
        await peer.next_frame(8)
        started = next(m for m in peer.messages if m["type"] == "started")
        await peer.is_shown(started, 20 * number)
    late = Peer(server)
    offer = {"type": "offer", "sdp": await late.offer()}
    (await http("POST", f"{server.url}/offer", json=offer)).is_error(503, "at_capacity")
    assert (await peers[0].ask("stop", "stopped"))["frame"] >= 8
    async with directing(server) as last:
        await last.live()
        refused = check_error(await peers[0].ask("start", "error"), "at_capacity")
        assert type(refused["ahead"]) is int
        assert refused["ahead"] >= 1
        assert refused["retryable"] is True
        await last.ask("stop", "stopped")
        await peers[0].ask("start", "started")
    await asyncio.gather(*(peer.close() for peer in peers), late.close())
