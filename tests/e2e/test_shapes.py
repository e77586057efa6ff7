"""Portrait and square pictures through the real server, at a peer, a reader of MPEG-TS and a page."""

import asyncio
import io
import socket
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import av
import pytest
from av.error import FFmpegError
from playwright.async_api import Page, expect

from tests.conftest import IN_SESSION
from tests.contract import Peer, Server, directing, http, picture, serving
from tests.e2e.test_browser import DROP, PATIENCE_MS, as_file, is_state, keep, shows
from tests.e2e.test_browser import open_page as open_page
from tests.e2e.test_browser import picture as gradient
from tests.e2e.test_contract_whep import until
from tests.e2e.test_publish_out import end, is_begun

SIZES = "832x480,480x832,640x640"
TURNED = """() => new Promise((resolve) => {
  const [video, stage] = ["video", "stage"].map((id) => document.getElementById(id));
  const tell = () => resolve([video.videoWidth, stage.offsetWidth / stage.offsetHeight]);
  video.addEventListener("resize", () => requestAnimationFrame(() => requestAnimationFrame(tell)), { once: true });
})"""
"""The video's width and the stage's shape two pictures of the screen after the video has turned."""
WIDE, TALL, EVEN = (832, 480), (480, 832), (640, 640)


@pytest.fixture(scope="module")
def shaped() -> Iterator[Server]:
    """A server whose fake model has pocket's sizes."""
    with serving("stream.director_grace_s=1", FAKE_SIZES=SIZES) as running:
        yield running


async def size_comes(peer: Peer, size: tuple[int, int]) -> None:
    """Wait for a decoded frame of this size."""
    await peer.until(lambda: size in peer.sizes)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_portrait_is_a_portrait_at_the_peer(shaped: Server, codec: str) -> None:
    """A phone's picture comes as 480x832 from the first frame on; what is cropped is told; a square one is square."""
    assert (await http("GET", f"{shaped.url}/capabilities")).json["sizes"] == [[832, 480], [480, 832], [640, 640]]
    for given, size in (((1080, 1920), TALL), ((500, 500), EVEN)):
        async with directing(shaped, (codec,)) as peer:
            uploaded = await peer.upload(picture(90, given))
            assert max(uploaded["cropped"]) * 50 < max(given)
            await peer.ask("start", "started")
            await size_comes(peer, size)
            await peer.next_frame(8)
            assert peer.sizes == {size}


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_reset_turns_the_video_and_the_same_peer_goes_on(shaped: Server, codec: str) -> None:
    """A portrait that comes while live is cropped to the landscape; after a reset the same track shows it whole."""
    async with directing(shaped, (codec,)) as peer:
        await peer.live(picture(90, (1920, 1080)))
        await size_comes(peer, WIDE)
        uploaded = await peer.upload(picture(120, (480, 832)))
        assert uploaded["cropped"] == [0, 277, 0, 278]
        await peer.reply(uploaded["id"], "image_applied")
        await peer.next_frame(8)
        assert peer.sizes == {WIDE}
        reset = await peer.ask("reset", "reset_applied")
        await size_comes(peer, TALL)
        await peer.is_shown(reset, 120, reset["frame"])
        assert peer.sizes == {WIDE, TALL}
        assert (await http("GET", peer.stream)).json["size"] == [480, 832]


async def test_a_reader_of_mpeg_ts_sees_both_sizes(shaped: Server) -> None:
    """The size stands in the video, so a player goes on in the new one."""
    async with directing(shaped) as peer:
        await peer.live(picture(90, (1920, 1080)))
        await peer.next_frame(4)
        got = bytearray()
        async with aiohttp.ClientSession() as session, session.get(f"{peer.stream}/live.ts") as response:
            turned = False
            async with asyncio.timeout(30):
                async for data in response.content.iter_any():
                    got += data
                    if len(sizes(bytes(got))) > 1:
                        break
                    if not turned and len(got) > 8_000:
                        turned = True
                        await peer.upload(picture(120, (480, 832)))
                        peer.send("reset")
        assert sizes(bytes(got)) == [WIDE, TALL]


async def test_a_far_end_by_rtmp_is_begun_anew_in_the_new_size(ffmpeg_path: str) -> None:
    """FLV tells the size once, at its head: the connection ends with the old size, and the next one has the new."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"rtmp://127.0.0.1:{port}/live/key"
    with serving("stream.publish_private=true", FAKE_SIZES=SIZES) as server:
        async with directing(server) as peer:
            await peer.live(picture(90, (1920, 1080)))
            said = asyncio.create_task(listen(ffmpeg_path, url))
            await until(lambda: is_begun(peer, url), 10)
            await peer.upload(picture(120, (480, 832)))
            await peer.ask("reset", "reset_applied")
            assert "832x480" in await said
            said = asyncio.create_task(listen(ffmpeg_path, url, "-frames:v", "8"))
            assert "480x832" in await said
            assert await end(peer) == 204


async def listen(ffmpeg_path: str, url: str, *options: str) -> str:
    """Take what is published to this URL, until it ends; gives what was said of it."""
    words = ["-hide_banner", "-listen", "1", "-f", "flv", "-i", url, *options, "-f", "null", "-"]
    process = await asyncio.create_subprocess_exec(ffmpeg_path, *words, stderr=asyncio.subprocess.PIPE)
    try:
        _, said = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
    return said.decode()


def sizes(data: bytes) -> list[tuple[int, int]]:
    """Decode a transport stream: its frames' sizes, each once, in their order."""
    found: list[tuple[int, int]] = []
    try:
        with av.open(io.BytesIO(data), "r", format="mpegts") as container:
            for frame in container.decode(video=0):
                if (frame.width, frame.height) not in found:
                    found.append((frame.width, frame.height))
    except FFmpegError:
        pass  # Its last packet is not whole yet.
    return found


async def ratio_of(page: Page, what: str) -> float:
    """Width over height of a part of the page."""
    box = await page.locator(what).bounding_box()
    assert box is not None
    return box["width"] / box["height"]


@pytest.mark.browser
@IN_SESSION
@pytest.mark.parametrize(("device", "width", "height"), [("desktop", 1280, 800), ("phone", 390, 844)])
async def test_the_page_shows_a_portrait_in_its_shape(
    shaped: Server, open_page: Callable[..., Any], device: str, width: int, height: int
) -> None:
    """Its stage has the shape before the start and while it plays, all of it on the screen with what directs it."""
    page = await open_page(shaped.url, width, height)
    await is_state(page, "Ready")
    await page.evaluate(DROP, as_file(gradient(size=(600, 1040))))
    await shows(page, "still")
    assert await ratio_of(page, "#stage") == pytest.approx(480 / 832, rel=0.02)
    await page.fill("#prompt", "pan left")
    await page.click("#primary")
    await shows(page, "video")
    await page.wait_for_function("document.getElementById('video').videoWidth === 480", timeout=PATIENCE_MS)
    assert await ratio_of(page, "#stage") == pytest.approx(480 / 832, rel=0.02)
    stage = await page.locator("#stage").bounding_box()
    assert stage is not None
    primary = await page.locator("#primary").bounding_box()
    assert primary is not None
    assert stage["y"] + stage["height"] < primary["y"] + primary["height"] < height
    await keep(page, f"portrait-{device}")
    if device == "desktop":
        await page.evaluate(DROP, as_file(gradient(size=(1040, 600)), "wide.png"))
        await expect(page.locator("#picture-name")).to_have_text("wide.png")
        assert await ratio_of(page, "#stage") == pytest.approx(480 / 832, rel=0.02)
        turning = asyncio.create_task(page.evaluate(TURNED))
        await page.click("#reset")
        assert await turning == [832, pytest.approx(832 / 480, rel=0.02)]
        assert await ratio_of(page, "#stage") == pytest.approx(832 / 480, rel=0.02)
