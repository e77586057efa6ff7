"""The HTTP border: offers are answered, faults have the shape of the contract, what is not built says so."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stream.config import ServerConfig
from tests.loopback import Client
from tests.site import CAPABILITIES, Site


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A site under the default configuration."""
    made = Site(ServerConfig())
    async with made.http:
        yield made


async def test_an_offer_makes_a_stream_and_a_second_one_joins_it(site: Site) -> None:
    """The answer carries the stream, its token and its three urls; with them another director joins."""
    first, second = Client(), Client()
    answer = await site.offer(first)
    stream = answer["stream"]
    assert {*answer} == {
        "type",
        "sdp",
        "stream",
        "control_token",
        "watch_url",
        "whep_url",
        "whip_url",
    }
    assert answer["type"] == "answer"
    assert [answer[f"{kind}_url"] for kind in ("watch", "whep", "whip")] == [
        f"/{kind}/{stream}" for kind in ("watch", "whep", "whip")
    ]
    joined = await site.offer(second, stream=stream, control_token=answer["control_token"])
    assert joined["stream"] == stream
    assert len(site.streams) == 1
    async with site.http.get(f"/streams/{stream}") as response:
        shown = await response.json()
    assert (shown["stream"], shown["directors"], shown["viewers"]) == (stream, 2, 0)
    assert (shown["state"], shown["mode"], shown["image"]) == ("idle", "i2v", None)
    assert shown["whep_url"] == f"/whep/{stream}"
    first.send(type="ping", id=1, t=0)
    await first.message("pong")
    await first.close()
    await second.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'"offer"',
        b"{}",
        b'{"type": "offer"}',
        b'{"type": "offer", "sdp": 5}',
        b'{"type": "offer", "sdp": "v=0"}',
        b'{"type": "answer", "sdp": "v=0"}',
        b'{"type": "offer", "sdp": "v=0", "stream": 7}',
        b"[" * 100_000,
    ],
)
async def test_a_bad_offer_leaves_nothing_behind(site: Site, body: bytes) -> None:
    """400 ``bad_offer`` for every kind of nonsense, and no stream for it."""
    status, error = await site.fault("POST", "/offer", data=body)
    assert (status, error["code"]) == (400, "bad_offer")
    assert len(site.streams) == 0


async def test_an_offer_that_aiortc_cannot_answer_leaves_nothing_behind(site: Site) -> None:
    """What passes the check and then fails ends its stream and its peer."""
    client = Client()
    sdp = await client.offer()
    await client.close()
    audio = sdp[sdp.index("m=video") : sdp.index("m=application")].replace("m=video", "m=audio")
    audio = audio.replace("a=mid:0", "a=mid:7").replace("VP8", "L16").replace("H264", "L24")
    sdp = sdp.replace("BUNDLE 0 1", "BUNDLE 0 1 7") + audio
    status, error = await site.fault("POST", "/offer", json={"type": "offer", "sdp": sdp})
    assert (status, error["code"]) == (400, "bad_offer")
    assert [live.ended for live in site.streams.made] == ["bad_offer"]


async def test_joining_needs_the_stream_and_its_token(site: Site) -> None:
    """404 for no such stream, 401 with ``WWW-Authenticate`` for a wrong or missing token."""
    client = Client()
    answer = await site.offer(client)
    other = Client()
    body: dict[str, Any] = {"type": "offer", "sdp": await other.offer(), "stream": "nosuchstream"}
    await other.close()
    status, error = await site.fault("POST", "/offer", json=body | {"control_token": "x"})
    assert (status, error["code"]) == (404, "not_found")
    for token in ({}, {"control_token": "wrong"}, {"control_token": 3}):
        join = body | {"stream": answer["stream"]} | token
        async with site.http.post("/offer", json=join) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
    await client.close()


async def test_a_server_with_a_token_asks_for_it() -> None:
    """Without it 401; as a header or in the body it opens."""
    site = Site(ServerConfig(access_token="open sesame"))
    async with site.http:
        client = Client()
        body = {"type": "offer", "sdp": await client.offer()}
        status, error = await site.fault("POST", "/offer", json=body)
        assert (status, error["code"]) == (401, "unauthorized")
        async with site.http.post("/offer", json=body | {"access_token": "open sesame"}) as response:
            assert response.status == 200
        headers = {"Authorization": "Bearer open sesame"}
        async with site.http.post("/offer", json=body, headers=headers) as response:
            assert response.status == 200
        await client.close()


async def test_a_full_server_says_when_to_come_back(site: Site) -> None:
    """503 ``at_capacity`` with how many are ahead, and ``Retry-After``."""
    site.streams.full = True
    client = Client()
    body = {"type": "offer", "sdp": await client.offer()}
    async with site.http.post("/offer", json=body) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "7")
        error = (await response.json())["error"]
    assert (error["code"], error["ahead"]) == ("at_capacity", 2)
    await client.close()


async def test_readiness_tells_its_reason(site: Site) -> None:
    """Alive at once; ready only when the model is; offers wait for it too."""
    async with site.http.get("/healthz") as response:
        assert response.status == 200
    async with site.http.get("/readyz") as response:
        assert (response.status, await response.json()) == (200, {"ready": True})
    site.reason = "the model is warming up"
    async with site.http.get("/readyz") as response:
        assert response.status == 503
        assert await response.json() == {"ready": False, "reason": "the model is warming up"}
    client = Client()
    body = {"type": "offer", "sdp": await client.offer()}
    status, error = await site.fault("POST", "/offer", json=body)
    assert (status, error["code"]) == (503, "at_capacity")
    await client.close()


async def test_deleting_a_stream_needs_its_token(site: Site) -> None:
    """401 without, 204 with, 404 after; its directors hear goodbye."""
    client = Client()
    answer = await site.offer(client)
    path = f"/streams/{answer['stream']}"
    async with site.http.delete(path) as response:
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    status, error = await site.fault("DELETE", path, headers={"Authorization": "Bearer nope"})
    assert (status, error["code"]) == (401, "unauthorized")
    headers = {"Authorization": f"Bearer {answer['control_token']}"}
    async with site.http.delete(path, headers=headers) as response:
        assert (response.status, await response.read()) == (204, b"")
    await client.message("goodbye", reason="deleted")
    assert (await site.fault("GET", path))[0] == 404
    assert (await site.fault("DELETE", path, headers=headers))[0] == 404
    await client.close()


async def test_the_viewer_page_is_served_for_streams_that_are_there(site: Site) -> None:
    """``/watch`` is a page, and 404 for no such stream."""
    assert (await site.fault("GET", "/watch/nosuchstream"))[0] == 404
    live = site.streams.create()
    async with site.http.get(f"/watch/{live.id}") as response:
        assert (response.status, response.content_type) == (200, "text/html")


async def test_unknown_addresses_and_methods_have_the_shape_too(site: Site) -> None:
    """404 and 405, the latter with ``Allow``; a body too long is 413."""
    status, error = await site.fault("GET", "/nowhere")
    assert (status, error["code"]) == (404, "not_found")
    assert (await site.fault("GET", "/web/"))[0] == 404
    assert (await site.fault("GET", "/web/../server.py"))[0] == 404
    assert (await site.fault("GET", "/web/%2e%2e/server.py"))[0] == 404
    async with site.http.get("/offer") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert (await response.json())["error"]["code"] == "method_not_allowed"
    status, error = await site.fault("POST", "/offer", data=b"x" * 300_000)
    assert (status, error["code"]) == (413, "too_long")


async def test_foreign_names_and_pages_are_kept_out(site: Site) -> None:
    """403 ``forbidden_origin`` for a foreign Host or Origin, and no CORS header for it."""
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        async with site.http.get("/capabilities", headers=headers) as response:
            assert response.status == 403
            assert "Access-Control-Allow-Origin" not in response.headers
            assert (await response.json())["error"]["code"] == "forbidden_origin"


async def test_allowed_pages_may_read_answers_and_errors() -> None:
    """An origin on the list gets CORS headers, on errors and preflights too."""
    origin = {"Origin": "https://studio.example"}
    site = Site(ServerConfig(allowed_origins=["https://studio.example"]))
    async with site.http:
        for path in ("/capabilities", "/nowhere"):
            async with site.http.get(path, headers=origin) as response:
                assert response.headers["Access-Control-Allow-Origin"] == origin["Origin"]
        preflight = origin | {"Access-Control-Request-Method": "DELETE"}
        async with site.http.options("/streams/abcdefgh", headers=preflight) as response:
            assert response.status == 204
            assert "DELETE" in response.headers["Access-Control-Allow-Methods"]


async def test_the_page_and_its_files_are_served(site: Site) -> None:
    """``/`` is the live page; its modules come as JavaScript, and are asked for again each time."""
    async with site.http.get("/") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert response.headers["Cache-Control"] == "no-cache"
    async with site.http.get("/web/live.js") as response:
        assert response.status == 200
        assert "javascript" in response.content_type


async def test_capabilities_and_metrics_are_told(site: Site) -> None:
    """Capabilities are the mapping given, metrics Prometheus text with the offers counted."""
    async with site.http.get("/capabilities") as response:
        assert await response.json() == CAPABILITIES
    await site.fault("POST", "/offer", data=b"{")
    async with site.http.get("/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert 'vivant_offers_total{result="bad_offer"} 1.0' in await response.text()


async def test_a_failure_of_ours_is_logged_and_told_as_ours(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unforeseen exception becomes 500 ``internal`` in the same shape, with the trace in the log alone."""

    def fail(stream_id: str) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(site.streams, "find", fail)
    status, error = await site.fault("GET", "/streams/abcdefgh")
    assert (status, error["code"]) == (500, "internal")
    assert "secret" not in json.dumps(error)
    assert "ZeroDivisionError" in caplog.text


async def test_shutdown_says_goodbye_and_waits_for_the_peers() -> None:
    """When the application ends, every director has heard why and every peer is closed."""
    site = Site(ServerConfig())
    client = Client()
    async with site.http:
        await site.offer(client)
        (live,) = site.streams.made
    assert live.ended == "server_shutdown"
    assert live.present == []
    await client.message("goodbye", reason="server_shutdown")
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in names if name.startswith(("peer-", "control-", "broadcast-"))]
    await client.close()
