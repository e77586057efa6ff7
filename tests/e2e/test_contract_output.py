"""Recordings, snapshots and MPEG-TS by the wire contract alone."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tests.contract import FAKE, STEP, Peer, Server, directing, http, picture, serving

RED = 20


@pytest.fixture
async def peer(server: Server) -> AsyncIterator[Peer]:
    """A director whose stream is live."""
    async with directing(server) as made:
        await made.live(picture(RED))
        await made.next_frame(4)
        yield made


def frames(data: bytes) -> tuple[list[int], list[float]]:
    """Give time, in 90 kHz ticks, and gray of every frame of a video file."""
    with av.open(io.BytesIO(data), "r") as container:
        decoded = list(container.decode(video=0))
    grays = [float(frame.to_ndarray(format="gray")[16:, 32:].mean()) for frame in decoded]
    return [round(float(frame.time or 0) * 90_000) for frame in decoded], grays


def assert_whole(data: bytes, least: int) -> list[int]:
    """Check that no frame is missing; gives their times."""
    times, grays = frames(data)
    assert len(times) >= least
    assert times[0] == 0
    assert {*np.array(times) % STEP} == {0}
    if FAKE:
        steps = (np.diff(grays) + 128) % 256 - 128
        assert abs(steps.sum() - len(steps)) < 4
    return times


async def test_a_recording(server: Server, peer: Peer) -> None:
    """It is fetched by its url, in ranges too, and has every frame from the start to the stop."""
    recording = await peer.ask("record_start", "recording")
    await peer.next_frame(40)
    recorded = await peer.ask("record_stop", "recorded")
    assert recorded["url"] == recording["url"]
    whole = await http("GET", server.url + recorded["url"])
    assert (whole.status, whole.headers["Content-Type"]) == (200, "video/mp4")
    assert len(whole.body) == recorded["bytes"]
    times = assert_whole(whole.body, 30)
    assert abs(recorded["seconds"] - (times[-1] + STEP) / 90_000) < 0.2
    part = await http("GET", server.url + recorded["url"], headers={"Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, whole.body[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{recorded['bytes']}"
    assert (await http("HEAD", server.url + recorded["url"])).headers["Accept-Ranges"] == "bytes"
    beyond = await http("GET", server.url + recorded["url"], headers={"Range": "bytes=99999999-"})
    assert beyond.status == 416


async def test_recording_again_and_stopping_again(peer: Peer) -> None:
    """A second start answers with the recording under way; a stop without one is refused."""
    await peer.refused(peer.send("record_stop"), "wrong_state")
    first = await peer.ask("record_start", "recording")
    assert (await peer.ask("record_start", "recording"))["url"] == first["url"]
    await peer.next_frame(2)
    await peer.ask("record_stop", "recorded")
    await peer.refused(peer.send("record_stop"), "wrong_state")


async def test_a_recording_before_the_start(server: Server) -> None:
    """One that is begun while the stream is idle has its very first frame; one without a frame is empty."""
    async with directing(server) as peer:
        await peer.ask("record_start", "recording")
        empty = await peer.ask("record_stop", "recorded")
        assert (empty["bytes"], empty["seconds"]) == (0, 0)
        (await http("GET", server.url + empty["url"])).is_error(404, "not_found")
        await peer.ask("record_start", "recording")
        await peer.live()
        await peer.next_frame(10)
        recorded = await peer.ask("record_stop", "recorded")
        assert_whole((await http("GET", server.url + recorded["url"])).body, 8)


async def test_a_pause_is_recorded_as_it_was_seen(server: Server, peer: Peer) -> None:
    """The frozen picture stands as long in the file as it stood on the screen."""
    await peer.ask("record_start", "recording")
    await peer.next_frame(4)
    await peer.ask("pause", "paused")
    await asyncio.sleep(1.5)
    await peer.ask("resume", "resumed")
    await peer.next_frame(4)
    recorded = await peer.ask("record_stop", "recorded")
    assert recorded["seconds"] > 1.5
    times, _ = frames((await http("GET", server.url + recorded["url"])).body)
    assert times[-1] / 90_000 > 1.5


async def test_other_directors_are_told(server: Server, peer: Peer) -> None:
    """Who did not ask hears of it without an id; who comes later, after its welcome."""
    other, late = Peer(server), Peer(server)
    joining: dict[str, Any] = {key: peer.answer[key] for key in ("stream", "control_token")}
    await other.connect(**joining)
    url = (await peer.ask("record_start", "recording"))["url"]
    told = await other.until(lambda: next((m for m in other.messages if m["type"] == "recording"), None))
    assert told == {"type": "recording", "url": url}
    await late.connect(**joining)
    await late.ask("hello", "welcome", protocol=1)
    told = await late.until(lambda: next((m for m in late.messages if m["type"] == "recording"), None))
    assert told["url"] == url
    await peer.next_frame(2)
    recorded = await peer.ask("record_stop", "recorded")
    told = await other.until(lambda: next((m for m in other.messages if m["type"] == "recorded"), None))
    assert {**recorded, "id": 0} == {**told, "id": 0}
    assert "id" not in told
    assert sum(message["type"] == "recorded" for message in peer.messages) == 1
    await other.close(delete=False)
    await late.close(delete=False)


async def test_a_stream_that_ends_finishes_its_recording(server: Server) -> None:
    """Its directors hear ``recorded`` before ``goodbye``, and the file is whole."""
    async with directing(server) as peer:
        await peer.live()
        await peer.ask("record_start", "recording")
        await peer.next_frame(10)
        assert (await http("DELETE", peer.stream, headers=peer.bearer)).status == 204
        await peer.until(lambda: peer.messages[-1]["type"] == "goodbye")
        (recorded,) = [message for message in peer.messages if message["type"] == "recorded"]
        assert_whole((await http("GET", server.url + recorded["url"])).body, 8)


async def test_a_killed_server_leaves_a_playable_recording(tmp_path: Path) -> None:
    """SIGKILL takes no more than the last second; the next server gives the file out under the same url."""
    option = f"stream.recordings={tmp_path}"
    with serving(option) as server:
        peer = Peer(server)
        await peer.connect()
        await peer.live()
        url = (await peer.ask("record_start", "recording"))["url"]
        began = len(peer.timestamps)
        await peer.next_frame(48)
        seen = len(peer.timestamps) - began
        server.process.kill()
        server.process.wait()
        await peer.close(delete=False)
    with serving(option) as server:
        data = (await http("GET", server.url + url)).body
        assert_whole(data, seen - 22)
    assert [path.read_bytes() for path in await asyncio.to_thread(lambda: list(tmp_path.iterdir()))] == [data]


async def test_recordings_turned_off() -> None:
    """Refused with ``not_supported``, and the capabilities say so."""
    with serving("stream.recordings=") as server:
        async with directing(server) as peer:
            for type in ("record_start", "record_stop"):
                await peer.refused(peer.send(type), "not_supported")
        assert (await http("GET", f"{server.url}/capabilities")).json["limits"]["recording_s"] == 0


@pytest.mark.parametrize("name", ["x.mp4", "..%2fserver.py", "a" * 32 + ".mp4", "a" * 5000])
async def test_no_such_recording(server: Server, name: str) -> None:
    """404, for any name."""
    (await http("GET", f"{server.url}/recordings/{name}")).is_error(404, "not_found")


async def test_a_snapshot(peer: Peer) -> None:
    """The frame on air, as asked; while paused, the one that ``paused`` named."""
    paused = await peer.ask("pause", "paused")
    for kind in ("png", "jpeg"):
        answer = await http("GET", f"{peer.stream}/snapshot", headers={"Accept": f"image/{kind}"})
        assert (answer.status, answer.headers["Content-Type"]) == (200, f"image/{kind}")
        image = Image.open(io.BytesIO(answer.body))
        assert image.format == kind.upper()
        gray = float(np.asarray(image)[image.height // 2 :, image.width // 2 :].mean())
        assert not FAKE or abs(gray - (RED + paused["frame"]) % 256) < (0.5 if kind == "png" else 3)


@pytest.mark.parametrize("what", ["snapshot", "live.ts"])
async def test_before_the_first_frame(server: Server, what: str) -> None:
    """409 with ``Retry-After``; 404 where there is no stream."""
    async with directing(server) as peer:
        answer = await http("GET", f"{peer.stream}/{what}")
        answer.is_error(409, "wrong_state")
        assert int(answer.headers["Retry-After"]) > 0
    (await http("GET", f"{server.url}/streams/nosuchstream/{what}")).is_error(404, "not_found")
