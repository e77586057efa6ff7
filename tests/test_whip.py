"""WHIP: the assertions of RFC 9725 that a server's HTTP can break, and publishers with other habits."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stream import liveness
from stream.capture import picture_of_frame
from stream.config import ServerConfig
from stream.errors import StreamError
from stream.protocol import Limits
from tests.fake_live import FakeLive
from tests.loopback import Client
from tests.publishing import Broadcaster
from tests.site import Site
from tests.stage import CANDIDATE, FRAGMENT, SDP, Stage, staged

TOKEN = {"Authorization": "Bearer secret"}
HEADERS = SDP | TOKEN


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage whose clients are closed after the test."""
    async with staged(Site(ServerConfig()), "whip") as made:
        yield made


async def live(stage: Stage, seconds: float = 10, **values: Any) -> None:
    """Wait until the publisher's picture has come."""
    wanted = {"state": "live", **values}.items()
    await stage.live.guest(lambda guests: wanted <= guests.get("publisher", {}).items(), seconds)


def gray_of(stream: FakeLive) -> float:
    """Give the gray of the picture that the newest frame makes."""
    return float(picture_of_frame(stream.guests.camera_frame(), Limits(), [(64, 32)]).pixels.mean())


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_the_newest_frame_is_kept(stage: Stage, codec: str) -> None:
    """Either codec; 201 with an answer of known length, an unguessable Location and a strong ETag; audio is dropped."""
    client = Broadcaster(codec, gray=90, audio=True)
    response = await stage.connect(client, **HEADERS)
    assert response.headers["Content-Type"] == "application/sdp"
    assert int(response.headers["Content-Length"]) == len(response.body) > 0
    assert "Transfer-Encoding" not in response.headers
    assert re.fullmatch(re.escape(stage.path) + r"/[A-Za-z0-9_-]{32,}", response.headers["Location"])
    assert re.fullmatch(r'"[^"]+"', response.headers["ETag"])
    await live(stage, width=320, height=240)
    assert abs(gray_of(stage.live) - 90) < 4
    client.camera.gray, client.camera.width = 200, 240
    await live(stage, width=240)
    assert abs(gray_of(stage.live) - 200) < 4
    async with stage.site.http.get(f"/streams/{stage.live.id}") as shown:
        assert (await shown.json())["publisher"] == {"state": "live", "width": 240, "height": 240}


async def test_the_answer_is_complete(stage: Stage) -> None:
    """Recvonly, passive, muxed, bundled, every candidate and their end in it; of audio Opus alone."""
    client = Broadcaster(audio=True)
    stage.clients.append(client)
    answer = (await stage.post(await client.offer(), **HEADERS)).sdp
    session, *sections = re.split(r"(?m)^(?=m=)", answer)
    assert "a=group:BUNDLE 0 1\r\n" in session
    assert len(sections) == 2
    for section in sections:
        for line in ("recvonly", "setup:passive", "rtcp-mux", "rtcp-mux-only", "end-of-candidates"):
            assert f"a={line}\r\n" in section
        assert re.search(r"a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 \d+ typ host", section)
    assert re.findall(r"a=rtpmap:\d+ (\w+)", sections[1]) == ["opus"]


async def test_the_size_may_change(stage: Stage) -> None:
    """A browser publishes smaller pictures when its network is slow; state tells of it."""
    client = Broadcaster()
    await stage.connect(client, **HEADERS)
    await live(stage, width=320)
    client.camera.width, client.camera.height = 160, 120
    await live(stage, width=160, height=120)


async def test_a_first_frame_without_keyframe_is_asked_for(stage: Stage) -> None:
    """Who is in the middle of a GOP gets a PLI, and what can't be decoded reaches no decoder."""
    client = Broadcaster()
    client.begin_late(3)
    await stage.connect(client, **HEADERS)
    # aiortc makes one by itself after a while, when the estimate of its link changes.
    await live(stage, seconds=2)


async def test_an_offer_without_candidates(stage: Stage) -> None:
    """As OBS sends it, and with candidates by PATCH or none at all."""
    client = Broadcaster()
    stage.clients.append(client)
    bare = re.sub(r"(?m)^a=(candidate|end-of-candidates).*\r\n", "", await client.offer())
    await client.accept((await stage.post(bare, **HEADERS)).sdp)
    await live(stage)


@pytest.mark.parametrize("setup", ["actpass", "passive", "active"])
async def test_rsa_certificates(stage: Stage, setup: str) -> None:
    """Whoever of the two is DTLS client, a certificate such as GStreamer's will do."""
    client = Broadcaster(rsa=True)
    stage.clients.append(client)
    offer = await client.offer()
    await client.accept((await stage.post(offer.replace("setup:actpass", f"setup:{setup}"), **HEADERS)).sdp)
    await live(stage)


async def test_sloppy_descriptions(stage: Stage) -> None:
    """Bare line feeds, other groups, a bundle with a section that is not there, OPUS in capitals, no packetization."""
    client = Broadcaster("H264", audio=True)
    stage.clients.append(client)
    offer = await client.offer()
    offer = offer.replace("a=group:BUNDLE 0 1", "a=group:LS 0 1\r\na=group:BUNDLE 0 1 2")
    offer = offer.replace("opus/48000", "OPUS/48000").replace("packetization-mode=1;", "").replace("\r\n", "\n")
    assert "packetization-mode" not in offer
    await client.accept((await stage.post(offer, **HEADERS)).sdp)
    await live(stage)


async def test_a_control_token_is_asked_for(stage: Stage) -> None:
    """401 with ``WWW-Authenticate`` without it and with another; a session takes no wrong one either."""
    client = Broadcaster()
    offer = await client.offer()
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
        response = await stage.post(offer, **SDP, **headers)
        assert (response.status, response.code) == (401, "unauthorized")
        assert response.headers["WWW-Authenticate"] == "Bearer"
    path = await stage.session(client, **HEADERS)
    wrong = {"Authorization": "Bearer wrong"}
    status, _, headers = await stage.patch(path, CANDIDATE, **wrong)
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    async with stage.site.http.delete(path, headers=wrong) as response:
        assert response.status == 401
    for headers in ({}, TOKEN):
        assert (await stage.patch(path, CANDIDATE, **headers))[:2] == (204, b"")
    async with stage.site.http.delete(path, headers=TOKEN) as response:
        assert response.status == 200


async def test_one_publishes_at_a_time(stage: Stage) -> None:
    """409 for a second; who leaves makes room, and its frame is gone with it."""
    await stage.connect(Broadcaster(), **HEADERS)
    await live(stage)
    second = Broadcaster()
    stage.clients.append(second)
    response = await stage.post(await second.offer(), **HEADERS)
    assert (response.status, response.code) == (409, "wrong_state")
    await live(stage)
    await stage.clients[0].close()
    await stage.live.guest(lambda guests: "publisher" not in guests)
    with pytest.raises(StreamError, match="Nobody publishes"):
        stage.live.guests.camera_frame()
    assert (await stage.post(await second.offer(), **HEADERS)).status == 201
    with pytest.raises(StreamError, match="No picture"):
        stage.live.guests.camera_frame()


async def test_what_cannot_be_taken(stage: Stage) -> None:
    """404, 415 with ``Accept-Post``, 400, 422; none of them takes the place."""
    client, watcher = Broadcaster(audio=True), Client(channel=False)
    stage.clients += [client, watcher]
    offer = await client.offer()
    status, error = await stage.site.fault("POST", "/whip/nosuchstream", data=offer, headers=HEADERS)
    assert (status, error["code"]) == (404, "not_found")
    response = await stage.post(offer, **TOKEN, **{"Content-Type": "application/json"})
    assert (response.status, response.headers["Accept-Post"]) == (415, "application/sdp")
    for body in (b"", b"garbage", b"\xff\xfe", b"v=0\r\n"):
        response = await stage.post(body, **HEADERS)
        assert (response.status, response.code) == (400, "bad_offer")
    plain = Broadcaster("H264")
    stage.clients.append(plain)
    high = await plain.offer()
    refused = [
        await watcher.offer(),
        offer.replace("a=sendonly", "a=inactive"),
        re.sub("VP8", "AV1", offer),
        re.sub("(?i)opus/48000/2", "speex/16000", offer),
        re.sub("profile-level-id=......", "profile-level-id=640c1f", high),
    ]
    for number, body in enumerate(refused):
        response = await stage.post(body, **HEADERS)
        assert (number, response.status, response.code) == (number, 422, "unprocessable")
    assert stage.live.guests.describe() == {}


async def test_options_and_get(stage: Stage) -> None:
    """``Accept-Post`` and no token on OPTIONS, CORS in a preflight, nothing to show on GET."""
    path = await stage.session(Broadcaster(), **HEADERS)
    origin = {"Origin": "http://localhost"}
    async with stage.site.http.options(stage.path) as response:
        assert (response.status, response.headers["Accept-Post"]) == (204, "application/sdp")
    async with stage.site.http.options(path) as response:
        assert (response.status, response.headers["Accept-Patch"]) == (204, FRAGMENT["Content-Type"])
    headers = origin | {"Access-Control-Request-Method": "POST"}
    async with stage.site.http.options(stage.path, headers=headers) as response:
        assert response.headers["Access-Control-Allow-Origin"] == origin["Origin"]
        assert "authorization" in response.headers["Access-Control-Allow-Headers"].lower()
        assert "Link" not in response.headers
    for address in (stage.path, path):
        async with stage.site.http.get(address, headers=origin) as response:
            assert (response.status, await response.read()) == (204, b"")
            assert {"Location", "Link", "ETag"} <= {*response.headers["Access-Control-Expose-Headers"].split(", ")}
    async with stage.site.http.put(stage.path) as response:
        assert response.status == 405
        assert "POST" in response.headers["Allow"]


async def test_a_session_over_http(stage: Stage) -> None:
    """PATCH takes candidates, refuses a restart and lives on; after DELETE there is nothing."""
    client = Broadcaster()
    path = (await stage.connect(client, **HEADERS)).headers["Location"]
    restart = f"a=ice-ufrag:other\r\na=ice-pwd:{'x' * 22}\r\n{CANDIDATE}"
    assert (await stage.patch(path, restart, **{"If-Match": "*"}))[0] == 422
    assert (await stage.patch(path, "garbage"))[0] == 400
    assert (await stage.patch(path, CANDIDATE, **SDP))[0] == 415
    await live(stage)
    async with stage.site.http.delete(path) as response:
        assert response.status == 200
    assert stage.live.guests.describe() == {}
    async with stage.site.http.delete(path) as response:
        assert response.status == 404
    assert (await stage.patch(path, CANDIDATE))[0] == 404


async def test_who_vanishes_is_noticed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher that says nothing any more for nine ticks is gone, and another may come."""
    client = Broadcaster()
    await stage.connect(client, **HEADERS)
    await live(stage)
    monkeypatch.setattr(liveness, "TICK_S", 0.1)
    client.vanish()
    await stage.live.guest(lambda guests: "publisher" not in guests, seconds=6)


async def test_the_end_of_a_stream_ends_its_publisher() -> None:
    """Its connection is closed, and nothing of it is left when the server has ended."""
    async with staged(Site(ServerConfig()), "whip") as stage:
        client = Broadcaster()
        await stage.connect(client, **HEADERS)
        await live(stage)
        closed = asyncio.Event()
        client.connection.on("connectionstatechange", closed.set)
        await stage.live.end("deleted")
        async with asyncio.timeout(5):
            await closed.wait()
        assert client.connection.connectionState == "closed"
        async with stage.site.http.get("/metrics") as response:
            assert 'vivant_publisher_offers_total{result="ok"} 1.0' in await response.text()
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in names if name.startswith(("publisher-", "ingest-"))]
