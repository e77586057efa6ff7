"""From a picture dropped to frames decoded: HTTP, WebRTC, stream and engine together, with a fake model."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from stream.broadcast import Broadcast
from stream.capabilities import describe
from stream.config import ServerConfig, StreamConfig
from stream.congestion import BitrateBounds
from stream.engine import ThreadEngine
from stream.metrics import Metrics
from stream.registry import Streams
from stream.signalling import Dependencies, build_app
from tests.fakes import FakePipeline
from tests.loopback import Client

STEP = 5625
HttpClient = TestClient[web.Request, web.Application]


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """A whole server with a fake model."""
    engine = ThreadEngine(lambda progress: FakePipeline(width=96, height=64))
    await engine.start()
    config = StreamConfig()
    capabilities = describe(engine.capabilities, engine.format, config, "0")
    bounds = BitrateBounds(config.bitrate_kbps, config.min_bitrate_kbps, config.max_bitrate_kbps)
    streams = Streams(
        engine,
        config,
        lambda stream_id, take_slot: Broadcast(stream_id, take_slot, engine.format.fps, bounds),
        capabilities,
    )
    metrics = Metrics(lambda: streams, lambda: engine.busy_s)
    app = build_app(Dependencies(streams, capabilities, ServerConfig(), config, metrics))
    async with TestClient(TestServer(app)) as client:
        yield client
    await engine.close()


async def join(http: HttpClient, client: Client, **values: Any) -> dict[str, Any]:
    """Connect a client; gives the answer."""
    body = {"type": "offer", "sdp": await client.offer(), **values}
    async with http.post("/offer", json=body) as response:
        assert response.status == 200, await response.text()
        answer = await response.json()
    await client.accept(answer["sdp"])
    return answer


def upload(client: Client, message_id: int) -> None:
    """Send a red picture."""
    file = io.BytesIO()
    Image.new("RGB", (120, 80), (200, 30, 30)).save(file, "PNG")
    data = file.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    client.send(type="upload_image", id=message_id, size=len(data), mime="image/png", sha256=digest)
    assert client.channel is not None
    client.channel.send(data)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_picture_comes_alive(http: HttpClient, codec: str) -> None:
    """Upload and start at once: the frame that ``started`` names is on the wire; the video runs evenly."""
    client = Client(codecs=[codec])
    answer = await join(http, client)
    client.send(type="hello", id=1, protocol=1)
    upload(client, 2)
    client.send(type="start", id=3, seed=1)
    started = await client.message("started", id=3)
    await client.wait(lambda: len(client.frames) >= 12)
    client.send(type="set_prompt", id=4, prompt="snow")
    applied = await client.message("prompt_applied", id=4)
    await client.wait(lambda: applied["rtp_timestamp"] in client.timestamps)
    welcome = client.messages[0]
    async with http.get("/capabilities") as response:
        assert (welcome["type"], welcome["capabilities"]) == ("welcome", await response.json())
    assert welcome["stream"] == answer["stream"]
    assert started["rtp_timestamp"] == client.timestamps[0]
    # On a busy machine a frame may be held for a slot; time then runs ahead of frames, by whole slots.
    slots, rest = divmod((applied["rtp_timestamp"] - started["rtp_timestamp"]) % 2**32, STEP)
    assert slots >= applied["frame"] - started["frame"]
    assert rest == 0
    steps = [(after - before) % 2**32 for before, after in pairwise(client.timestamps)]
    assert {step % STEP for step in steps} == {0}
    assert sorted(steps)[len(steps) // 2] == STEP
    await client.close()


async def test_who_joins_a_paused_stream_sees_where_it_froze(http: HttpClient) -> None:
    """A co-director of a paused stream gets its last frame; after ``resume`` both see it go on."""
    first, second = Client(), Client(codecs=["H264"])
    answer = await join(http, first)
    upload(first, 1)
    first.send(type="start", id=2)
    await first.wait(lambda: len(first.frames) >= 3)
    first.send(type="pause", id=3)
    await first.message("paused")
    await join(http, second, stream=answer["stream"], control_token=answer["control_token"])
    await second.wait(lambda: second.timestamps)
    second.send(type="resume", id=1)
    resumed = await second.message("resumed")
    await second.wait(lambda: resumed["rtp_timestamp"] in second.timestamps)
    timestamps = second.timestamps
    assert all((after - before) % 2**32 < 2**31 for before, after in pairwise(timestamps))
    await asyncio.gather(first.close(), second.close())


async def test_who_waits_in_the_middle_of_an_upload_gets_an_answer(http: HttpClient) -> None:
    """A second upload is refused while the first still waits for its bytes, and the first then ends well."""
    client = Client()
    await join(http, client)
    file = io.BytesIO()
    Image.new("RGB", (120, 80), (200, 30, 30)).save(file, "PNG")
    data = file.getvalue()
    announced = {"size": len(data), "mime": "image/png", "sha256": hashlib.sha256(data).hexdigest()}
    client.send(type="upload_image", id=1, **announced)
    assert client.channel is not None
    client.channel.send(data[:20])
    client.send(type="upload_image", id=2, **announced)
    await client.message("error", id=2, code="upload_in_progress")
    client.channel.send(data[20:])
    await client.message("image_uploaded", id=1)
    await client.close()
