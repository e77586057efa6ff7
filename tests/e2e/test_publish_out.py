"""A stream published from the real server with a fake model: to another one, and by RTMP to ffmpeg."""

import asyncio
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from stream.mux import muxable_schemes
from tests.contract import Answer, Peer, Server, directing, http, picture, serving
from tests.e2e.test_contract_whep import until
from tests.e2e.test_publishers import publisher

RED = 90


@pytest.fixture(scope="module")
def near() -> Iterator[Server]:
    """A server that may publish on this machine."""
    with serving("stream.publish_private=true") as running:
        yield running


async def publish(peer: Peer, **body: Any) -> Answer:
    return await http("POST", f"{peer.stream}/publish", json=body, headers=peer.bearer)


async def end(peer: Peer) -> int:
    return (await http("DELETE", f"{peer.stream}/publish", headers=peer.bearer)).status


async def test_to_another_server(near: Server, server: Server) -> None:
    """What is published is the other stream's camera, and its picture on command; the end ends it there at once."""
    async with directing(near) as peer, directing(server) as other:
        await peer.live(picture(RED))
        await other.live(picture(10))
        url = server.url + other.answer["whip_url"]
        begun = await publish(peer, url=url, token=other.answer["control_token"])
        assert begun.status == 202, begun.body

        async def arrives() -> bool:
            return (await publisher(other)).get("state") == "live"

        await until(arrives, 10)
        await peer.state(publish={"to": server.url, "state": "live", "status": None, "error": None})
        assert (await publisher(other))["width"] == 64
        await other.ask("use_camera_frame", "image_applied")
        assert (await http("GET", other.stream)).json["image"]["width"] == 64
        assert await end(peer) == 204
        assert await publisher(other) == {}
        await other.refused(other.send("use_camera_frame"), "wrong_state")


async def test_refusals(near: Server, server: Server) -> None:
    """401, 400, 409 and 502 with the far end's status; by default nothing inside is published to."""
    async with directing(near) as peer, directing(server) as other:
        url = server.url + other.answer["whip_url"]
        refused = await http("POST", f"{peer.stream}/publish", json={"url": url})
        refused.is_error(401, "unauthorized")
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        for bad in ("file:///etc/passwd", "tee:x|y", "concat:a|b", ""):
            (await publish(peer, url=bad)).is_error(400, "bad_message")
        error = (await publish(peer, url=url, token="wrong")).is_error(502, "bad_gateway")
        assert error["status"] == 401
        assert (await publish(peer, url=url, token=other.answer["control_token"])).status == 202
        (await publish(peer, url=url, token="wrong")).is_error(409, "wrong_state")
        assert await end(peer) == 204
        assert await end(peer) == 409
        (await http("POST", f"{other.stream}/publish", json={"url": url}, headers=other.bearer)).is_error(
            400, "bad_message"
        )


async def test_by_rtmp(near: Server, ffmpeg_path: str) -> None:
    """The encoder's packets arrive whole, from a keyframe on, at the stream's size and rate."""
    assert "rtmp" in muxable_schemes()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"rtmp://127.0.0.1:{port}/live/key"
    listen = ["-hide_banner", "-loglevel", "info", "-listen", "1", "-f", "flv", "-i", url, "-frames:v", "24"]
    async with directing(near) as peer:
        (await publish(peer, url=url)).is_error(409, "wrong_state")
        await peer.live(picture(RED))
        process = await asyncio.create_subprocess_exec(
            ffmpeg_path, *listen, "-f", "null", "-", stderr=asyncio.subprocess.PIPE
        )
        try:
            await until(lambda: is_begun(peer, url), 10)
            _, said = await asyncio.wait_for(process.communicate(), 20)
        finally:
            if process.returncode is None:
                process.kill()
        text = said.decode()
        assert re.search(r"Video: h264 \(Constrained Baseline\), yuv420p.*64x32", text), text
        assert re.search(r"frame= *24 ", text), text

        async def lost() -> bool:
            return (await http("GET", peer.stream)).json["publish"]["state"] == "retrying"

        await until(lost, 10)
        assert await end(peer) == 204


async def is_begun(peer: Peer, url: str) -> bool:
    """Publish, unless the far end does not listen yet."""
    answer = await publish(peer, url=url)
    assert answer.status in (202, 502), answer.body
    return answer.status == 202
