"""What is fetched by plain HTTP: MPEG-TS that begins at once and holds up nobody, and the frame on air."""

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import aiohttp
import av
import numpy as np
import pytest
from aiohttp.test_utils import TestServer
from PIL import Image

import stream.output
from stream.broadcast import Broadcast
from stream.config import ServerConfig, StreamConfig
from tests.fake_live import FakeLive
from tests.site import Site

STEP = 5625


class Stage:
    """A site with one stream that makes video while it is entered."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.live: FakeLive = site.streams.create()
        self.path = f"/streams/{self.live.id}"

    @contextlib.asynccontextmanager
    async def playing(self, pause_s: float = 0.01) -> AsyncIterator[None]:
        """Publish noise, which is large, over and over."""

        async def publish() -> None:
            generator = np.random.default_rng(0)
            while True:
                frame = generator.integers(0, 255, (240, 320, 3), np.uint8)
                await self.live.broadcast.publish(frame, 0, self.live.take_slot())
                await asyncio.sleep(pause_s)

        task = asyncio.create_task(publish(), name="playing")
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def read(self, size: int) -> bytes:
        """Read so many bytes of the transport stream, then leave."""
        async with asyncio.timeout(10), self.site.http.get(f"{self.path}/live.ts") as response:
            assert response.status == 200
            return await response.content.readexactly(size)

    async def gone(self) -> None:
        """Wait until no viewer is counted."""
        async with asyncio.timeout(10):
            while self.live.viewers:
                self.live.left.clear()
                await self.live.left.wait()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage under the default configuration."""
    site = Site(ServerConfig())
    async with site.http:
        yield Stage(site)


def first_packets(data: bytes) -> list["av.Packet[av.VideoStream]"]:
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        return [packet for packet in container.demux(container.streams.video[0]) if packet.size]


async def test_several_readers_get_the_one_encode(stage: Stage) -> None:
    """Each begins at a keyframe with the stream's own times, counts as a viewer, and there is one encoder."""
    async with stage.playing(), asyncio.timeout(10), contextlib.AsyncExitStack() as stack:
        get = stage.site.http.get
        readers = [await stack.enter_async_context(get(f"{stage.path}/live.ts")) for _ in range(3)]
        for reader in readers:
            packets = first_packets(await reader.content.readexactly(188 * 1200))
            assert packets[0].is_keyframe
            assert packets[0].pts is not None
            assert packets[0].pts % STEP == 0
            assert packets[0].pts <= stage.live.pts
            assert [packet.pts for packet in packets[:3]] == [packets[0].pts + STEP * n for n in range(3)]
        assert stage.live.viewers == 3
        assert list(stage.live.broadcast._feeds) == ["H264"]
    async with stage.playing():
        await stage.gone()


async def test_the_answer_is_a_stream_that_others_may_read() -> None:
    """``video/mp2t``, chunked, never kept, readable by pages of allowed origins; HEAD has no body and no viewer."""
    site = Site(ServerConfig(allowed_origins=["https://studio.example"]))
    async with site.http:
        stage = Stage(site)
        origin = {"Origin": "https://studio.example"}
        async with stage.playing():
            async with site.http.get(f"{stage.path}/live.ts", headers=origin) as response:
                assert response.headers["Content-Type"] == "video/mp2t"
                assert response.headers["Transfer-Encoding"] == "chunked"
                assert response.headers["Cache-Control"] == "no-store"
                assert response.headers["Access-Control-Allow-Origin"] == "https://studio.example"
                assert (await response.content.readexactly(188))[0] == 0x47
            await stage.gone()
            async with site.http.head(f"{stage.path}/live.ts") as response:
                assert (response.status, response.headers["Content-Type"]) == (200, "video/mp2t")
            assert stage.live.viewers == 0


async def test_who_joins_while_vp8_is_watched(stage: Stage) -> None:
    """With only VP8 encoded, the H.264 encoder is started for the reader, and goes with it."""
    viewer = stage.live.broadcast.subscribe("VP8", is_viewer=True)
    async with stage.playing():
        assert first_packets(await stage.read(188 * 200))[0].is_keyframe
        await stage.gone()
    assert list(stage.live.broadcast._feeds) == ["VP8"]
    viewer.close()


async def test_who_joins_a_frozen_video_sees_it_at_once(stage: Stage) -> None:
    """With no frame to come, the reader gets the last one."""
    await stage.live.publish(2, paced=False)
    data = await stage.read(188 * 3)
    assert data[0] == 0x47
    await stage.gone()


@pytest.mark.parametrize("what", ["live.ts", "snapshot"])
async def test_without_a_stream_or_a_frame(stage: Stage, what: str) -> None:
    """404 for no such stream; 409 with ``Retry-After`` before its first frame."""
    assert (await stage.site.fault("GET", f"/streams/nosuchstream/{what}"))[1]["code"] == "not_found"
    stage.live.has_video = False
    async with stage.site.http.get(f"{stage.path}/{what}") as response:
        assert (response.status, response.headers["Retry-After"]) == (409, "2")
        assert (await response.json())["error"]["code"] == "wrong_state"
    assert stage.live.viewers == 0


async def test_readers_count_among_the_viewers() -> None:
    """A server that takes one viewer refuses the second, whichever way it comes."""
    site = Site(ServerConfig(), StreamConfig(max_viewers=1))
    async with site.http:
        stage = Stage(site)
        async with stage.playing():
            async with site.http.get(f"{stage.path}/live.ts") as response:
                await response.content.readexactly(188)
                status, error = await site.fault("GET", f"{stage.path}/live.ts")
                assert (status, error["code"]) == (503, "at_capacity")
            await stage.gone()


async def test_the_stream_s_end_is_the_end_of_the_file(stage: Stage) -> None:
    """When the stream ends, a reader gets the rest and a proper end."""
    async with stage.playing(), stage.site.http.get(f"{stage.path}/live.ts") as response:
        await response.content.readexactly(188)
        await stage.live.end("deleted")
        async with asyncio.timeout(5):
            rest = await response.content.read()
    assert (188 + len(rest)) % 188 == 0
    assert stage.live.viewers == 0


async def slow_reader(site: Site, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for the stream through a small window, and read nothing but the status."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    server = cast(TestServer, site.http.server)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=4096)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert b"200" in await reader.readline()
    return reader, writer


async def test_a_reader_too_slow_is_dropped(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not read is cut off, having held up nobody, and with no more than the bound kept for it."""
    monkeypatch.setattr(stream.output, "WRITE_PATIENCE_S", 0.5)
    async with stage.playing():
        _, writer = await slow_reader(stage.site, f"{stage.path}/live.ts")
        before = stage.live.pts
        await stage.gone()
        assert stage.live.pts > before + 10 * STEP, "the video went on"
        assert len(await stage.read(188 * 600)) > 0
        await stage.gone()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_reader_that_falls_behind_is_dropped(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads, but slower than the video comes, is cut off at the bound: a broken end, not a whole one."""
    broadcast = stage.live.broadcast
    other = broadcast.subscribe("H264")
    await stage.live.publish(1)
    packet = await other.next()
    async with stage.site.http.get(f"{stage.path}/live.ts") as response:
        await response.content.readexactly(188)
        (reader,) = broadcast._feeds["H264"].subscriptions - {other}
        monkeypatch.setattr("stream.subscription.LOSSLESS_BYTES", 1)
        for later in range(1, 4):
            reader.deliver(replace(packet, pts=stage.live.pts + later))
        with pytest.raises(aiohttp.ClientError):
            await response.content.read()
    await stage.gone()
    other.close()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [(None, "PNG"), ("image/png", "PNG"), ("image/jpeg", "JPEG"), ("image/png;q=0.2, image/*", "JPEG"), ("*/*", "PNG")],
)
async def test_a_snapshot_is_the_frame_on_air(stage: Stage, accept: str | None, kind: str) -> None:
    """PNG or JPEG as asked; the PNG has the very pixels."""
    frame = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    await stage.live.broadcast.publish(np.zeros_like(frame), 0, STEP)
    await stage.live.broadcast.publish(frame, 1, 2 * STEP)
    headers = {} if accept is None else {"Accept": accept}
    async with stage.site.http.get(f"{stage.path}/snapshot", headers=headers, skip_auto_headers=["Accept"]) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, f"image/{kind.lower()}")
        assert response.headers["Cache-Control"] == "no-store"
        image = Image.open(io.BytesIO(await response.read()))
    assert (image.format, image.size) == (kind, (64, 48))
    if kind == "PNG":
        assert np.array_equal(np.asarray(image), frame)


async def test_a_snapshot_of_another_kind(stage: Stage) -> None:
    """406 where neither would do."""
    await stage.live.publish(1)
    status, error = await stage.site.fault("GET", f"{stage.path}/snapshot", headers={"Accept": "image/webp"})
    assert (status, error["code"]) == (406, "not_acceptable")


async def test_many_snapshots_at_once(stage: Stage) -> None:
    """Some are taken, the rest told to come back: nobody can pile up work; afterwards all is as before."""
    await stage.live.broadcast.publish(np.random.default_rng(1).integers(0, 255, (480, 832, 3), np.uint8), 0, STEP)

    async def ask() -> int:
        async with stage.site.http.get(f"{stage.path}/snapshot") as response:
            await response.read()
            return response.status

    statuses = await asyncio.gather(*(ask() for _ in range(24)))
    assert {*statuses} == {200, 429}
    assert await ask() == 200


async def test_a_snapshot_before_the_first_frame_has_been_handed_over(stage: Stage) -> None:
    """A stream that has just counted its first frame may not have it yet: 409 too."""
    assert cast(Broadcast, stage.live.broadcast).last_frame is None
    assert (await stage.site.fault("GET", f"{stage.path}/snapshot"))[0] == 409
