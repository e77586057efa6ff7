"""WHEP: every assertion of RFC 9725 and the WHEP draft that a server's HTTP can break."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from aiortc import MediaStreamTrack
from aiortc.codecs import get_capabilities

from stream.config import ServerConfig, StreamConfig
from stream.ice import IceServers, connection_configuration
from stream.trickle import ice_credentials
from tests.loopback import Client
from tests.publishing import show_rsa_certificate
from tests.site import Site
from tests.stage import CANDIDATE, FRAGMENT, SDP, Stage, staged


def viewer(audio: str = "", codecs: tuple[str, ...] = ("VP8", "H264")) -> Client:
    """A client that offers to watch; ``audio`` names the codecs of its audio, with commas between."""
    client = Client(codecs=codecs, channel=False)
    if audio:
        transceiver = client.connection.addTransceiver("audio", direction="recvonly")
        known = get_capabilities("audio").codecs
        wanted = [codec for name in audio.split(",") for codec in known if codec.mimeType == f"audio/{name}"]
        transceiver.setCodecPreferences(wanted)
    return client


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage whose clients are closed after the test."""
    async with staged(Site(ServerConfig()), "whep") as made:
        yield made


async def test_a_viewer_sees_the_stream(stage: Stage) -> None:
    """201 with an answer of known length, an unguessable Location, a strong ETag; then the video plays."""
    client = viewer()
    response = await stage.connect(client)
    assert response.headers["Content-Type"] == "application/sdp"
    assert int(response.headers["Content-Length"]) == len(response.body) > 0
    assert "Transfer-Encoding" not in response.headers
    location = response.headers["Location"]
    assert re.fullmatch(re.escape(stage.path) + r"/[A-Za-z0-9_-]{32,}", location)
    assert re.fullmatch(r'"[^"]+"', response.headers["ETag"])
    assert "Link" not in response.headers
    assert stage.live.viewers == 1
    await stage.live.publish(6)
    await client.wait(lambda: len(client.frames) >= 5)


async def plays(stage: Stage, client: Client, offer: str) -> None:
    """Post an offer as it stands, and wait for the video."""
    stage.clients.append(client)
    await client.accept((await stage.post(offer)).sdp)
    async with asyncio.timeout(10):
        while not client.frames:
            await stage.live.publish(1)
            await asyncio.sleep(0.02)


async def test_an_offer_without_candidates(stage: Stage) -> None:
    """Who tells of none at all arrives all the same."""
    client = viewer()
    await plays(stage, client, re.sub(r"(?m)^a=(candidate|end-of-candidates).*\r\n", "", await client.offer()))


@pytest.mark.parametrize("setup", ["actpass", "passive", "active"])
async def test_rsa_certificates(stage: Stage, setup: str) -> None:
    """Whoever of the two is DTLS client, a certificate such as GStreamer's will do."""
    client = viewer()
    show_rsa_certificate(client.connection)
    await plays(stage, client, (await client.offer()).replace("setup:actpass", f"setup:{setup}"))


async def test_sloppy_descriptions(stage: Stage) -> None:
    """Bare line feeds, other groups, a bundle with a section that is not there, OPUS in capitals, no direction."""
    client = viewer(audio="opus", codecs=("H264",))
    offer = (await client.offer()).replace("a=group:BUNDLE 0 1", "a=group:LS 0 1\r\na=group:BUNDLE 0 1 2")
    offer = offer.replace("opus/48000", "OPUS/48000").replace("a=recvonly\r\n", "").replace("\r\n", "\n")
    await plays(stage, client, offer)


async def test_no_two_viewers_share_a_secret(stage: Stage) -> None:
    """Each session has an address of its own."""
    assert len({await stage.session(viewer()) for _ in range(3)}) == 3
    assert stage.live.viewers == 3


async def test_the_content_type_may_have_parameters(stage: Stage) -> None:
    """``application/sdp; charset=utf-8`` is application/sdp."""
    client = viewer()
    stage.clients.append(client)
    response = await stage.post(await client.offer(), **{"Content-Type": "application/sdp; charset=utf-8"})
    assert response.status == 201


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/trickle-ice-sdpfrag", ""])
async def test_another_content_type_is_refused(stage: Stage, kind: str) -> None:
    """415 with ``Accept-Post``."""
    response = await stage.post(b"v=0", **{"Content-Type": kind})
    assert (response.status, response.headers["Accept-Post"]) == (415, "application/sdp")
    assert response.code == "unsupported_media_type"


@pytest.mark.parametrize("body", [b"", b"garbage", b"{}", b"\xff\xfe", b"v=0\r\n", b"v=0\r\nm=video x y z\r\n"])
async def test_what_is_no_offer_is_400(stage: Stage, body: bytes) -> None:
    """Whatever cannot be read as a session description with media."""
    status, error = await stage.site.fault("POST", stage.path, data=body, headers=SDP)
    assert (status, error["code"]) == (400, "bad_offer")
    assert stage.live.viewers == 0


async def test_what_cannot_be_accepted_whole_is_422(stage: Stage) -> None:
    """No video, a direction that does not receive, unknown codecs, two videos, no bundle, a data channel."""
    client, audio, data = viewer(), viewer("opus"), Client()
    plain, both, channel = await client.offer(), await audio.offer(), await data.offer()
    stage.clients += [client, audio, data]
    head, video = re.split(r"(?m)^(?=m=)", plain)
    second = video.replace("a=mid:0", "a=mid:1")
    offers = [
        plain.replace("a=recvonly", "a=sendonly"),
        plain.replace("a=recvonly", "a=inactive"),
        re.sub("VP8|H264", "AV1", plain),
        head.replace("BUNDLE 0", "BUNDLE 0 1") + video + second,
        both.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0"),
        both.replace("a=recvonly", "a=sendonly").replace("a=sendonly", "a=recvonly", 1),
        re.sub("opus/48000/2", "speex/16000", both),
        plain.replace("m=video", "m=audio").replace("VP8", "opus"),
        channel,
        plain.replace("a=rtcp-mux\r\n", ""),
    ]
    for number, offer in enumerate(offers):
        status, error = await stage.site.fault("POST", stage.path, data=offer, headers=SDP)
        assert (number, status, error["code"]) == (number, 422, "unprocessable")
        assert (offer == channel) == ("data channel" in error["message"])
    assert stage.live.viewers == 0


async def test_an_unknown_stream_is_404(stage: Stage) -> None:
    """On the endpoint and for sessions, and for a session of another stream."""
    other = stage.site.streams.create()
    secret = (await stage.session(viewer())).rpartition("/")[2]
    for method, path, headers in (
        ("POST", "/whep/nosuchstream", SDP),
        ("GET", "/whep/nosuchstream", {}),
        ("GET", f"{stage.path}/nosuchsession", {}),
        ("PATCH", f"{stage.path}/nosuchsession", FRAGMENT),
        ("DELETE", f"{stage.path}/nosuchsession", {}),
        ("DELETE", f"/whep/{other.id}/{secret}", {}),
    ):
        status, error = await stage.site.fault(method, path, headers=headers)
        assert (status, error["code"]) == (404, "not_found")


async def test_a_stream_without_video_says_when_to_ask_again(stage: Stage) -> None:
    """409 with ``Retry-After``, and no viewer for it."""
    stage.live.has_video = False
    client = viewer()
    stage.clients.append(client)
    response = await stage.post(await client.offer())
    assert response.status == 409
    assert int(response.headers["Retry-After"]) >= 1
    assert response.code == "wrong_state"
    assert stage.live.viewers == 0


async def test_a_full_server_says_so() -> None:
    """503 with ``Retry-After`` beyond the most viewers; who leaves makes room."""
    async with staged(Site(ServerConfig(), StreamConfig(max_viewers=1)), "whep") as stage:
        session = await stage.session(viewer())
        client = viewer()
        stage.clients.append(client)
        response = await stage.post(await client.offer())
        assert response.status == 503
        assert int(response.headers["Retry-After"]) >= 1
        async with stage.site.http.delete(session) as deleted:
            assert deleted.status == 200
        assert (await stage.post(await client.offer())).status == 201


async def test_the_answer_is_complete(stage: Stage) -> None:
    """Sendonly, passive, muxed, bundled, every candidate and their end in it, one MediaStream."""
    client = viewer("opus")
    stage.clients.append(client)
    answer = (await stage.post(await client.offer())).sdp
    session, *sections = re.split(r"(?m)^(?=m=)", answer)
    assert "a=group:BUNDLE 0 1\r\n" in session
    assert len(sections) == 2
    for section in sections:
        assert "a=sendonly\r\n" in section
        assert "a=setup:passive\r\n" in section
        assert "a=rtcp-mux\r\n" in section
        assert "a=rtcp-mux-only\r\n" in section
        assert "a=end-of-candidates\r\n" in section
        assert re.search(r"a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 \d+ typ host", section)
    streams = re.findall(r"a=msid:(\S+) ", answer)
    assert len(streams) == 2
    assert len({*streams}) == 1


@pytest.mark.parametrize("codecs", [("VP8",), ("H264",), ("VP8", "H264"), ("H264", "VP8")], ids="+".join)
async def test_the_offerers_order_decides(stage: Stage, codecs: tuple[str, ...]) -> None:
    """Either codec, also alone, and the first of both."""
    client = viewer(codecs=codecs)
    answer = (await stage.connect(client)).sdp
    assert tuple(dict.fromkeys(re.findall(r"a=rtpmap:\d+ (VP8|H264)/90000", answer))) == codecs
    await stage.live.publish(4)
    await client.wait(lambda: len(client.frames) >= 3)


@pytest.mark.parametrize("audio", ["opus", "PCMU,opus"])
async def test_who_asks_for_audio_gets_silent_opus(stage: Stage, audio: str) -> None:
    """Opus whatever stands before it; it decodes to silence."""
    client = viewer(audio)
    heard: asyncio.Queue[Any] = asyncio.Queue()

    async def listen(track: MediaStreamTrack) -> None:
        while track.kind == "audio":
            await heard.put(await track.recv())

    listening: list[asyncio.Task[None]] = []
    client.connection.on("track", lambda track: listening.append(asyncio.create_task(listen(track))))
    answer = (await stage.connect(client)).sdp
    section = answer[answer.index("m=audio") :]
    assert re.findall(r"a=rtpmap:\d+ (\w+)", section) == ["opus"]
    async with asyncio.timeout(5):
        frames = [await heard.get() for _ in range(10)]
    assert all(np.abs(frame.to_ndarray()).max() <= 1 for frame in frames)
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)


async def test_ice_servers_are_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    """One ``Link`` per server, with credentials where it has them; none in a preflight."""
    servers = ["stun:stun.example.org", 'turn:me:pa"ss@turn.example.org:3478?transport=udp']
    # They are told to clients; asking them for addresses would only take time here.
    monkeypatch.setattr(IceServers, "configuration", lambda _: connection_configuration([]))
    async with staged(Site(ServerConfig(ice_servers=servers)), "whep") as stage:
        client = viewer()
        stage.clients.append(client)
        response = await stage.post(await client.offer())
        assert response.headers.getall("Link") == [
            '<stun:stun.example.org>; rel="ice-server"',
            '<turn:turn.example.org:3478?transport=udp>; rel="ice-server"; username="me"; '
            'credential="pa\\"ss"; credential-type="password"',
        ]
        headers = {"Origin": "http://localhost", "Access-Control-Request-Method": "POST"}
        async with stage.site.http.options(stage.path, headers=headers) as preflight:
            assert "Link" not in preflight.headers


@pytest.mark.parametrize("origin", ["http://localhost", "https://studio.example"])
async def test_pages_of_allowed_sites_may_watch(origin: str) -> None:
    """A preflight without any credentials passes, with the methods and headers of WHEP; answers can be read."""
    config = ServerConfig(allowed_origins=["https://studio.example"], access_token="secret")
    async with staged(Site(config), "whep") as stage:
        session = await stage.session(viewer())
        for path, method in ((stage.path, "POST"), (session, "PATCH"), (session, "DELETE")):
            headers = {"Origin": origin, "Access-Control-Request-Method": method}
            async with stage.site.http.options(path, headers=headers) as response:
                assert response.status == 204
                assert response.headers["Access-Control-Allow-Origin"] == origin
                assert method in response.headers["Access-Control-Allow-Methods"]
                allowed = response.headers["Access-Control-Allow-Headers"].lower()
                assert {"authorization", "content-type", "if-match"} <= {*allowed.split(", ")}
        client = viewer()
        stage.clients.append(client)
        response = await stage.post(await client.offer(), Origin=origin, **SDP)
        assert response.status == 201
        assert response.headers["Access-Control-Allow-Origin"] == origin
        exposed = {name.strip() for name in response.headers["Access-Control-Expose-Headers"].split(",")}
        assert {"Location", "Link", "ETag"} <= exposed


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://localhost", "Access-Control-Request-Method": "POST"}])
async def test_options_tells_what_is_taken(stage: Stage, headers: dict[str, str]) -> None:
    """2xx with ``Accept-Post`` on the endpoint; the session says what PATCH takes."""
    async with stage.site.http.options(stage.path, headers=headers) as response:
        assert (response.status, response.headers["Accept-Post"]) == (204, "application/sdp")
    async with stage.site.http.options(await stage.session(viewer()), headers=headers) as response:
        assert (response.status, response.headers["Accept-Patch"]) == (204, FRAGMENT["Content-Type"])


async def test_get_answers_with_nothing(stage: Stage) -> None:
    """GET of endpoint and session is 2xx without content; HEAD of the endpoint names its type."""
    for path in (stage.path, await stage.session(viewer())):
        async with stage.site.http.get(path) as response:
            assert (response.status, await response.read()) == (204, b"")
    async with stage.site.http.head(stage.path) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "application/sdp")


@pytest.mark.parametrize(("method", "at_session"), [("PUT", False), ("DELETE", False), ("PUT", True), ("POST", True)])
async def test_other_methods_are_405(stage: Stage, method: str, at_session: bool) -> None:
    """With ``Allow``."""
    path = await stage.session(viewer()) if at_session else stage.path
    async with stage.site.http.request(method, path) as response:
        assert response.status == 405
        assert "OPTIONS" in response.headers["Allow"]


async def test_deleting_a_session_frees_it_at_once(stage: Stage) -> None:
    """200, the viewer is gone and its connection closed; then 404 for DELETE and PATCH; the stream lives on."""
    client = viewer()
    path = (await stage.connect(client)).headers["Location"]
    await stage.live.publish(2)
    async with stage.site.http.delete(path, headers={"If-Match": '"whatever"'}) as response:
        assert response.status == 200
    assert stage.live.viewers == 0
    assert stage.live.broadcast.measured_kbps() == 0
    for method in ("DELETE", "PATCH"):
        status, error = await stage.site.fault(method, path, data=CANDIDATE, headers=FRAGMENT)
        assert (status, error["code"]) == (404, "not_found")
    assert stage.live.ended is None


@pytest.mark.parametrize(
    "lines",
    [
        [CANDIDATE],
        [CANDIDATE.replace("udp", "UDP")],
        [CANDIDATE, "a=end-of-candidates"],
        ["m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:7", CANDIDATE],
        ["a=candidate:1 1 tcp 1518280447 192.0.2.9 9 typ host tcptype active"],
        ["a=candidate:1 1 udp 1 0b1c6f2e-9d7e-4f7c-8a2f-0a4d2b6a4c11.local 50000 typ host"],
        ["a=candidate:1 1 udp 2122260223 fe80::1%eth0 50000 typ host"],
        ["a=candidate:1 2 udp 1 192.0.2.1 50000 typ host", "a=candidate:", "a=candidate:broken"],
        ["a=candidate:1 1 udp 1 no.such.name.example 50000 typ host"],
        ["a=ice-ufrag:{ufrag}", "a=ice-pwd:{pwd}", CANDIDATE],
        [CANDIDATE] * 500,
    ],
)
async def test_trickled_candidates_are_204(stage: Stage, lines: list[str]) -> None:
    """No body and no ETag; what can't be used is dropped in silence and at once."""
    client = viewer()
    stage.clients.append(client)
    offer = await client.offer()
    path = (await stage.post(offer)).headers["Location"]
    ufrag, pwd = ice_credentials(offer)
    body = "\r\n".join(lines).format(ufrag=ufrag, pwd=pwd)
    began = asyncio.get_running_loop().time()
    status, content, headers = await stage.patch(path, body)
    assert (status, content) == (204, b"")
    assert "ETag" not in headers
    assert asyncio.get_running_loop().time() - began < 0.5


async def test_a_viewer_may_come_by_trickled_candidates_alone(stage: Stage) -> None:
    """An offer without candidates, which come by PATCH with any ``If-Match``, connects and plays."""
    client = viewer()
    stage.clients.append(client)
    offer = await client.offer()
    bare = re.sub(r"(?m)^a=(candidate|end-of-candidates).*\r\n", "", offer)
    response = await stage.post(bare)
    candidates = re.findall(r"(?m)^a=candidate:.*$", offer)
    headers = {"If-Match": response.headers["ETag"]}
    status, *_ = await stage.patch(response.headers["Location"], "\r\n".join(candidates), **headers)
    assert status == 204
    await client.accept(response.sdp)
    await stage.live.publish(6)
    await client.wait(lambda: len(client.frames) >= 3)


async def test_an_ice_restart_is_422_and_the_session_lives_on(stage: Stage) -> None:
    """New credentials are refused, whatever they are matched with; the video goes on."""
    client = viewer()
    path = (await stage.connect(client)).headers["Location"]
    restart = f"a=ice-ufrag:other\r\na=ice-pwd:{'x' * 22}\r\n{CANDIDATE}"
    for headers in ({}, {"If-Match": "*"}):
        status, body, _ = await stage.patch(path, restart, **headers)
        assert (status, b"unprocessable" in body) == (422, True)
    assert stage.live.viewers == 1
    await stage.live.publish(6)
    await client.wait(lambda: len(client.frames) >= 4)


async def test_a_bad_patch_is_refused_and_the_session_lives_on(stage: Stage) -> None:
    """415 for another type, with ``Accept-Patch``; 400 for what is no fragment."""
    path = await stage.session(viewer())
    for kind in ("application/sdp", "application/json"):
        status, _, headers = await stage.patch(path, CANDIDATE, **{"Content-Type": kind})
        assert (status, headers["Accept-Patch"]) == (415, FRAGMENT["Content-Type"])
    for body in ("", "\r\n", "garbage", '{"candidate": "x"}', "=a"):
        status, content, _ = await stage.patch(path, body)
        assert (status, b"bad_message" in content) == (400, True)
    assert stage.live.viewers == 1


async def test_a_viewer_that_leaves_is_forgotten(stage: Stage) -> None:
    """When the client closes, its session ends by itself."""
    client = viewer()
    path = (await stage.connect(client)).headers["Location"]
    stage.live.left.clear()
    await client.close()
    async with asyncio.timeout(5):
        await stage.live.left.wait()
    async with stage.site.http.delete(path) as response:
        assert response.status == 404
    assert stage.live.viewers == 0


async def test_viewers_are_counted_and_told_of(stage: Stage) -> None:
    """``GET /streams`` and the metrics tell how many there are, and how offers were answered."""
    await stage.connect(viewer())
    async with stage.site.http.get(f"/streams/{stage.live.id}") as response:
        assert (await response.json())["viewers"] == 1
    await stage.post(b"garbage")
    async with stage.site.http.get("/metrics") as response:
        text = await response.text()
    assert "vivant_viewers 1.0" in text
    assert 'vivant_viewer_offers_total{result="ok"} 1.0' in text
    assert 'vivant_viewer_offers_total{result="bad_offer"} 1.0' in text


async def test_the_end_of_a_stream_ends_its_viewers() -> None:
    """Their connections are closed, and nothing of them is left when the server has ended."""
    async with staged(Site(ServerConfig()), "whep") as stage:
        client = viewer()
        await stage.connect(client)
        await stage.live.publish(2)
        closed = asyncio.Event()
        client.connection.on("connectionstatechange", closed.set)
        stage.live.left.clear()
        await stage.live.end("deleted")
        async with asyncio.timeout(5):
            await stage.live.left.wait()
            await closed.wait()
        assert client.connection.connectionState == "closed"
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in names if name.startswith(("viewer-", "broadcast-"))]
