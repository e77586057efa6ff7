"""Publishing elsewhere: to another server of our own, and to far ends that misbehave."""

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import stream.publication
from stream.capture import picture_of_frame
from stream.config import ServerConfig, StreamConfig
from stream.destination import AddressRule, Destination, read_destination
from stream.errors import StreamError
from stream.live import LiveStream
from stream.mux import muxable_schemes, muxer_url
from stream.protocol import Limits
from stream.publication import Publication
from stream.sdp import read_answer
from stream.whip_client import WhipClient
from tests.certificate import make_certificate
from tests.fake_live import FakeLive
from tests.site import Site

TOKEN = {"Authorization": "Bearer secret"}


class FarEnd:
    """An HTTP server that answers as told, and notes what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Callable[[web.Request], web.Response | Awaitable[web.Response]]] = []
        self.asked: list[tuple[str, str, str | None]] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app)

    def url(self, path: str) -> str:
        """Give the URL of a path here."""
        return str(self.server.make_url(path))

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path, request.headers.get("Authorization")))
        answer = self.answers.pop(0)(request) if self.answers else web.Response(status=404)
        return answer if isinstance(answer, web.Response) else await answer


class Studio:
    """A site whose stream is published, and another of which it is published to."""

    def __init__(self, near: Site, far: Site) -> None:
        self.near, self.far = near, far
        self.live, self.target = near.streams.create(), far.streams.create()
        self.path = f"/streams/{self.live.id}/publish"
        self.end = FarEnd()
        self._frames: asyncio.Task[None] | None = None

    @property
    def whip_url(self) -> str:
        """Where the other site takes it."""
        return str(self.far.http.make_url(f"/whip/{self.target.id}"))

    async def post(self, url: str, token: str | None = "secret", **headers: str) -> tuple[int, dict[str, Any]]:
        """Ask for it; gives the status and the body."""
        body = {"url": url} | ({} if token is None else {"token": token})
        async with self.near.http.post(self.path, json=body, headers=headers or TOKEN) as response:
            return response.status, await response.json()

    async def delete(self) -> int:
        """End it; gives the status."""
        async with self.near.http.delete(self.path, headers=TOKEN) as response:
            return response.status

    async def shown(self) -> dict[str, Any]:
        """Give the state as everyone sees it."""
        async with self.near.http.get(f"/streams/{self.live.id}") as response:
            return await response.json()

    def keep_sending(self) -> None:
        """Send frames until the end."""

        async def send() -> None:
            while True:
                await self.live.publish(10)

        self._frames = asyncio.create_task(send())

    async def stop_sending(self) -> None:
        """Send no more."""
        if self._frames is not None:
            self._frames.cancel()
            await asyncio.gather(self._frames, return_exceptions=True)


@contextlib.asynccontextmanager
async def publishing(**near: Any) -> AsyncIterator[Studio]:
    config = StreamConfig(**{"publish_private": True, **near})
    first, second = Site(ServerConfig(), config), Site(ServerConfig())
    async with first.http, second.http:
        made = Studio(first, second)
        async with made.end.server:
            yield made
            await made.stop_sending()


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    """A studio whose configuration lets it publish on this machine."""
    async with publishing() as made:
        yield made


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried soon."""
    monkeypatch.setattr(stream.publication, "FIRST_RETRY_S", 0.05)


async def is_live(live: FakeLive, guest: str) -> None:
    await live.guest(lambda guests: guests.get(guest, {}).get("state") == "live")


async def test_to_another_server(studio: Studio) -> None:
    """202 once the far end has answered; the pictures arrive; DELETE ends it there too."""
    studio.keep_sending()
    status, body = await studio.post(studio.whip_url)
    where = f"http://127.0.0.1:{studio.far.http.port}"
    assert (status, body["publish"]["to"]) == (202, where)
    await is_live(studio.live, "publish")
    assert (await studio.shown())["publish"] == {"to": where, "state": "live", "status": None, "error": None}
    assert studio.live.viewers == 1
    await is_live(studio.target, "publisher")
    frame = studio.target.guests.camera_frame()
    assert (frame.width, frame.height) == (96, 64)
    assert 10 < picture_of_frame(frame, Limits(), [(96, 64)]).pixels.mean() < 130
    assert await studio.delete() == 204
    assert studio.target.guests.describe() == studio.live.guests.describe() == {}
    assert studio.live.viewers == 0
    assert await studio.delete() == 409


async def test_a_token_is_asked_for(studio: Studio) -> None:
    """401 without the stream's control token, 404 for another stream."""
    for headers in ({"X": "y"}, {"Authorization": "Bearer wrong"}):
        assert (await studio.post(studio.whip_url, **headers))[0] == 401
    async with studio.near.http.delete(studio.path) as response:
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    status, error = await studio.near.fault("POST", "/streams/nosuch/publish", json={}, headers=TOKEN)
    assert (status, error["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"x", b"[]", b"{}", b'{"url": 7}', b'{"url": "https://example.org", "token": 7}'),
        *(b'{"url": "file:///x"}', b'{"url": "tee:http://127.0.0.1/"}', b'{"url": "concat:/etc/passwd"}'),
        b'{"url": "https://e.org", "token": "a\\nb"}',
    ],
)
async def test_bad_requests(studio: Studio, body: bytes) -> None:
    """400 with what to do, and nothing is begun."""
    status, error = await studio.near.fault("POST", studio.path, data=body, headers=TOKEN)
    assert status == 400
    assert error["code"] in ("bad_json", "bad_message")
    assert studio.live.guests.describe() == {}


async def test_addresses_of_the_inside_are_refused() -> None:
    """Unless it is configured, neither WHIP nor RTMP goes to this machine or its network."""
    async with publishing(publish_private=False) as studio:
        for url in (studio.whip_url, "http://localhost:1/", "http://[::1]/", "rtmp://127.0.0.1/app/key"):
            status, body = await studio.post(url)
            assert (status, body["error"]["code"]) == (400, "bad_message")
            assert "publish_private" in body["error"]["message"]
        assert studio.end.asked == []
        assert studio.live.guests.describe() == {}


async def test_the_far_ends_status_is_told(studio: Studio) -> None:
    """502 with it; one that is not there, too."""
    studio.end.answers = [lambda _: web.Response(status=403, text="no")]
    status, body = await studio.post(studio.end.url("/whip"), token="theirs")
    assert (status, body["error"]["code"], body["error"]["status"]) == (502, "bad_gateway", 403)
    assert "403" in body["error"]["message"]
    assert studio.end.asked == [("POST", "/whip", "Bearer theirs")]
    status, body = await studio.post("http://127.0.0.1:1/whip", token=None)
    assert (status, body["error"]["code"]) == (502, "bad_gateway")
    status, body = await studio.post(studio.whip_url, token="wrong")
    assert (status, body["error"]["status"]) == (502, 401)
    assert studio.live.guests.describe() == {}


async def test_answers_that_cannot_be_used(studio: Studio) -> None:
    """No SDP, too long, an address that leads elsewhere: 502, and nothing stays."""
    bad = [
        web.Response(status=201, text="hello", headers={"Location": "/x"}),
        web.Response(status=201, text="v=0\r\n", headers={"Location": "/x"}),
        web.Response(status=201, text="x" * 200_000, headers={"Location": "/x"}),
        web.Response(status=201, text="v=0\r\n", headers={"Location": "file:///etc/passwd"}),
        web.Response(status=302, headers={"Location": studio.whip_url}),
        web.Response(status=204),
    ]
    for answer in bad:
        studio.end.answers = [lambda _, answer=answer: answer]
        status, body = await studio.post(studio.end.url("/whip"))
        assert (status, body["error"]["code"]) == (502, "bad_gateway")
    assert studio.target.guests.describe() == studio.live.guests.describe() == {}


async def test_redirections_are_followed(studio: Studio) -> None:
    """307 and 308, with the token, to where it may; without end or to a file: 502."""
    studio.end.answers = [
        lambda _: web.Response(status=307, headers={"Location": "next?x=1"}),
        lambda _: web.Response(status=308, headers={"Location": studio.whip_url}),
    ]
    assert (await studio.post(studio.end.url("/a/whip")))[0] == 202
    assert [path for _, path, _ in studio.end.asked] == ["/a/whip", "/a/next"]
    assert await studio.delete() == 204
    files = ("file:///etc/passwd", "rtmp://127.0.0.1/a/b", "http://user:x@127.0.0.1/", "http://127.1/")
    for location in (*files, "/again"):
        studio.end.answers = [lambda _, to=location: web.Response(status=307, headers={"Location": to})] * 20
        studio.end.asked.clear()
        status, body = await studio.post(studio.end.url("/whip"))
        assert (status, body["error"]["code"]) == (502, "bad_gateway")
        assert len(studio.end.asked) == (6 if location == "/again" else 1)


async def test_a_redirection_to_the_inside(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """A far end that is allowed leads to an address that is not: nothing is asked there."""
    inside = FarEnd()
    async with inside.server:
        allowed = studio.end.server.port
        monkeypatch.setattr("stream.destination.AddressRule.allows", lambda rule, address: address != "127.0.0.2")
        studio.end.answers = [lambda _: web.Response(status=307, headers={"Location": "http://127.0.0.2:80/"})]
        status, body = await studio.post(f"http://127.0.0.1:{allowed}/whip")
        assert (status, body["error"]["code"]) == (400, "bad_message")
        assert len(studio.end.asked) == 1


async def test_from_https_to_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """A far end that was reached by TLS does not lead to where the token could be read."""
    client = WhipClient(read_destination("https://live.example.org/whip"), "secret", AddressRule(allow_private=False))
    asked: list[str] = []

    async def request(method: str, to: Destination, *_: object) -> tuple[int, str, str]:
        asked.append(str(to.url))
        return 307, "http://live.example.org/whip", ""

    monkeypatch.setattr(client, "_request", request)
    with pytest.raises(StreamError, match="from https to http"):
        await client.post("v=0")
    assert asked == ["https://live.example.org/whip"]


async def test_a_session_is_deleted_once(studio: Studio) -> None:
    """With the token, at the address that the far end gave, relative to where it was found."""
    studio.end.answers = [lambda _: web.Response(status=201, text="v=0", headers={"Location": "../s/1?x=2"})]
    client = WhipClient(read_destination(studio.end.url("/a/whip")), "theirs", AddressRule(allow_private=True))
    assert await client.post("v=0") == "v=0"
    await client.delete()
    await client.delete()
    assert studio.end.asked == [("POST", "/a/whip", "Bearer theirs"), ("DELETE", "/s/1", "Bearer theirs")]


async def test_an_answer_without_end(studio: Studio) -> None:
    """No more of it is read than an answer can have."""
    studio.end.answers = [lambda _: web.Response(status=201, text="v" * 200_000)]
    client = WhipClient(read_destination(studio.end.url("/whip")), None, AddressRule(allow_private=True))
    with pytest.raises(StreamError, match="too long"):
        await client.post("v=0")


async def test_one_at_a_time(studio: Studio) -> None:
    """409 for a second; the first goes on."""
    assert (await studio.post(studio.whip_url))[0] == 202
    status, body = await studio.post(studio.end.url("/whip"))
    assert (status, body["error"]["code"]) == (409, "wrong_state")
    assert studio.end.asked == []
    await is_live(studio.live, "publish")
    assert await studio.delete() == 204


class Script:
    """Attempts that do as told: "live" connects and is lost, "lost" is lost before, "refused" never begins."""

    def __init__(self, *acts: str) -> None:
        self.acts = list(acts)
        self.ended = 0

    def __call__(self) -> "Script":
        return self

    async def begin(self) -> None:
        """Fail, if that is next."""
        if self.acts[0] == "refused":
            self.acts.pop(0)
            raise StreamError("bad_gateway", "The far end answered 503.", status=503)

    async def run(self, live: Callable[[], None]) -> str:
        """Be lost, after a while on air or at once."""
        if self.acts.pop(0) == "live":
            live()
        return "gone"

    async def end(self) -> None:
        """Count."""
        self.ended += 1


async def waits(*acts: str) -> list[float]:
    """Give how long it waited before each attempt but the first."""
    script, waited, over = Script(*acts), list[float](), asyncio.Event()

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if not script.acts:
            over.set()
            await asyncio.Event().wait()

    live = cast(LiveStream, FakeLive())
    publication = Publication(live, read_destination("https://live.example.org/whip"), script, sleep=sleep)
    await publication.begin()
    await asyncio.wait_for(over.wait(), 5)
    await publication.close()
    assert script.ended == len(acts)
    return waited


async def test_it_waits_longer_each_time_and_never_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 1 s on twice as long each time, up to 30 s, and 1 s again once it was on air; spread by half."""
    monkeypatch.setattr(stream.publication, "FIRST_RETRY_S", 1.0)
    found = await waits("live", *["refused"] * 6, "lost", "live", "refused")
    longest = [1, 2, 4, 8, 16, 30, 30, 30, 1, 2]
    shares = [one / most for one, most in zip(found, longest, strict=True)]
    assert all(0.5 <= share <= 1 for share in shares)
    assert max(shares) - min(shares) > 0.01


async def test_a_far_end_that_is_never_on_air_is_not_asked_at_once_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that answers and is lost before it has connected counts as a failure."""
    monkeypatch.setattr(stream.publication, "FIRST_RETRY_S", 1.0)
    found = await waits(*["lost"] * 4)
    assert all(0.5 * most <= one <= most for one, most in zip(found, (1, 2, 4, 8), strict=True))


async def test_a_certificate_that_nobody_vouches_for(studio: Studio, tmp_path: Path) -> None:
    """A far end by https that can't show who it is hears nothing: neither the token nor the offer."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*make_certificate(tmp_path))
    end = FarEnd()
    await end.server.start_server(ssl=context)
    url = f"https://localhost:{end.server.port}/whip"
    async with aiohttp.ClientSession() as client, client.post(url, ssl=False) as response:
        assert (response.status, len(end.asked)) == (404, 1)
    status, body = await studio.post(url, token="theirs")
    assert (status, body["error"]["code"]) == (502, "bad_gateway")
    assert "Certificate" in body["error"]["message"]
    assert len(end.asked) == 1
    await end.server.close()


async def test_it_begins_again_when_lost(studio: Studio) -> None:
    """The far end lets it go, refuses it for a while and takes it again; state tells of each."""
    studio.keep_sending()
    assert (await studio.post(studio.whip_url))[0] == 202
    await is_live(studio.live, "publish")
    studio.target.control_token = "another"
    studio.target.guests.dismiss()
    await studio.live.guest(lambda guests: guests["publish"]["status"] == 401)
    assert (await studio.shown())["publish"]["state"] == "retrying"
    assert studio.live.viewers == 0
    studio.target.control_token = "secret"
    studio.target.guests = type(studio.target.guests)(studio.target._guests_changed)
    await is_live(studio.live, "publish")
    await is_live(studio.target, "publisher")


async def test_the_end_of_the_stream_ends_it(studio: Studio) -> None:
    """Also while it waits to begin again; nothing of it is left."""
    assert (await studio.post(studio.whip_url))[0] == 202
    await studio.live.guest(lambda guests: guests["publish"]["state"] == "live")
    await studio.live.end("deleted")
    await studio.target.guest(lambda guests: guests == {})
    await studio.live.guest(lambda guests: guests == {})


async def test_it_may_be_ended_before_it_has_begun(studio: Studio) -> None:
    """While the far end still thinks about the offer: DELETE ends it, and the one who asked for it is told."""
    asked, thinking = asyncio.Event(), asyncio.Event()

    async def think(request: web.Request) -> web.Response:
        asked.set()
        await thinking.wait()
        return web.Response(status=500)

    studio.end.answers = [think]
    posting = asyncio.create_task(studio.post(studio.end.url("/whip")))
    await asyncio.wait_for(asked.wait(), 5)
    assert studio.live.guests.describe()["publish"]["state"] == "connecting"
    assert await studio.delete() == 204
    status, body = await posting
    assert (status, body["error"]["code"]) == (409, "wrong_state")
    assert studio.live.guests.describe() == {}
    thinking.set()


async def test_nothing_is_left_when_the_server_ends() -> None:
    """Neither a task here nor a session there."""
    async with publishing() as studio:
        assert (await studio.post(studio.whip_url))[0] == 202
        await studio.near.http.close()
        await studio.target.guest(lambda guests: guests == {})
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in names if name.startswith(("publish", "ingest-"))]


def test_candidates_of_the_inside_are_not_tried() -> None:
    """An answer's addresses are packets' destinations too."""
    head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n"
    fingerprint = ":".join(["AB"] * 32)
    head += f"a=mid:0\r\na=rtcp-mux\r\na=recvonly\r\na=setup:passive\r\na=fingerprint:sha-256 {fingerprint}\r\n"
    head += f"a=ice-ufrag:abcd\r\na=ice-pwd:{'p' * 22}\r\na=rtpmap:96 H264/90000\r\n"
    lines = [f"a=candidate:1 1 udp 1 {one} 9 typ host\r\n" for one in ("10.0.0.1", "1.1.1.1", "x.local")]
    answer = read_answer(head + "".join(lines), lambda address: address != "10.0.0.1")
    assert re.findall(r"a=candidate:[^\r]*", answer) == [lines[1].rstrip()]


async def test_what_ffmpeg_lacks_is_said(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """501 ``not_supported`` for an allowed scheme that this build can't; what it can is in the message."""
    monkeypatch.setattr("stream.publish.muxable_schemes", lambda: ("rtmp",))
    status, body = await studio.post("srt://127.0.0.1:9000?streamid=x")
    assert (status, body["error"]["code"]) == (501, "not_supported")
    assert "rtmp" in body["error"]["message"]


async def test_a_far_end_that_says_nothing_holds_up_nobody(studio: Studio) -> None:
    """Who accepts the connection and then is silent is waited for, and all else goes on; it may be ended meanwhile."""
    loop = asyncio.get_running_loop()
    accepted, looked, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
    gaps: list[float] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    async def tick() -> None:
        while True:
            began = loop.time()
            await asyncio.sleep(0.01)
            if accepted.is_set():
                gaps.append(loop.time() - began)
            if len(gaps) == 50:
                looked.set()

    studio.keep_sending()
    ticking = asyncio.create_task(tick())
    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        posting = asyncio.create_task(studio.post(f"rtmp://127.0.0.1:{port}/app/key"))
        await asyncio.wait_for(looked.wait(), 20)
        assert max(gaps) < 2
        assert not posting.done()
        began = loop.time()
        assert await studio.delete() == 204
        assert loop.time() - began < 6
        assert (await posting)[0] == 409
        # Else the connection would be found open by whichever test comes when it is forgotten.
        await asyncio.wait_for(gone.wait(), 20)
    ticking.cancel()


@pytest.mark.parametrize("verified", [True, False])
async def test_rtmp_verifies_whom_it_talks_to(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verified: bool
) -> None:
    """A certificate that nobody vouches for is refused; without the look at it the handshake would go on."""
    if not verified:
        monkeypatch.setattr("stream.mux.TLS_VERIFY", "0")
    if "rtmps" not in muxable_schemes():
        pytest.skip("this FFmpeg has no rtmps")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*make_certificate(tmp_path))
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            heard.extend(await reader.read(10))
        writer.close()

    studio.keep_sending()
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        status, body = await studio.post(f"rtmps://localhost:{port}/app/key")
    assert (status, body["error"]["code"]) == (502, "bad_gateway")
    assert (heard == b"") is verified


def test_the_address_that_was_checked_is_opened() -> None:
    """FFmpeg is given an address, not the name; the name goes to the server in ``tcUrl``."""
    url = muxer_url(read_destination("rtmp://live.example.org/app/inst/key?x=1"), "192.0.2.9").replace("\\", "")
    assert url.endswith("]rtmp://192.0.2.9:1935/app/inst/key?x=1")
    assert "protocol_whitelist=rtmp,tcp:" in url
    assert "rtmp_tcurl=rtmp://live.example.org:1935/app/inst:" in url
    assert json.dumps(url).count("live.example.org") == 1
