"""The viewer's page in a real browser: the video, nothing else, and back again by itself.

Screenshots are kept in ``artifacts/``.
"""

import asyncio
import io
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, Page

from tests.conftest import IN_SESSION
from tests.contract import Peer, Server, directing, http, picture, serving
from tests.e2e.test_browser import PATIENCE_MS, SHOTS

pytestmark = [pytest.mark.browser, IN_SESSION]

SHOWN = "document.querySelector('video.shown')"
FRAMES = f"({SHOWN}?.getVideoPlaybackQuality().totalVideoFrames ?? 0)"

OpenPage = Callable[[str], Any]


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Opens pages; at the end none may have raised an error."""
    errors: list[str] = []

    async def open_page(url: str) -> Page:
        page = await browser.new_page(viewport={"width": 640, "height": 480})
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(url)
        return page

    yield open_page
    assert errors == []


def keep(name: str, data: bytes) -> None:
    SHOTS.mkdir(exist_ok=True)
    (SHOTS / f"{name}.png").write_bytes(data)


async def shot(page: Page, name: str) -> Any:
    """Give what is on the screen, ``uint8 [H, W, 4]``, transparent where the page is; kept as a file too."""
    data = await page.screenshot(omit_background=True)
    await asyncio.to_thread(keep, name, data)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


async def plays(page: Page, frames: int = 5) -> None:
    """Wait until so many more frames are shown."""
    await page.wait_for_function(f"{SHOWN} !== null")
    before = await page.evaluate(FRAMES)
    await page.wait_for_function(f"{FRAMES} >= {before + frames}")


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Ask again and again until the server says so."""
    async with asyncio.timeout(seconds):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.1)


async def viewers(peer: Peer, count: int, seconds: float = 10) -> None:
    """Wait until the server counts so many viewers."""

    async def counted() -> bool:
        return (await http("GET", peer.stream)).json["viewers"] == count

    await until(counted, seconds)


def watch_url(server: Server, peer: Peer) -> str:
    return server.url + peer.answer["watch_url"]


async def test_the_page_waits_for_the_video_and_shows_nothing_else(server: Server, open_page: OpenPage) -> None:
    """Transparent before the first frame; then the picture, without controls or sound, above nothing."""
    async with directing(server) as peer:
        page = await open_page(watch_url(server, peer))
        await page.wait_for_timeout(500)
        assert (await shot(page, "watch-before"))[..., 3].max() == 0
        await peer.live(picture(90))
        await plays(page)
        pixels = await shot(page, "watch")
        inside = pixels[240, 320]
        assert inside[3] == 255
        assert int(inside[0]) + int(inside[1]) > 60
        height = await page.evaluate(f"640 * {SHOWN}.videoHeight / {SHOWN}.videoWidth")
        assert height < 470
        assert pixels[: int((480 - height) / 2) - 2, :, 3].max() == 0, "above and below the picture"
        assert await page.evaluate(f"[{SHOWN}.controls, {SHOWN}.muted, {SHOWN}.paused]") == [False, True, False]
        assert await page.evaluate("document.body.innerText") == ""
        stats = await peer.until(lambda: next((m for m in peer.messages[-3:] if m.get("viewers") == 1), None))
        assert stats["type"] == "stats"
        await page.goto("about:blank")
        await viewers(peer, 0, 2)


async def test_who_comes_late_sees_a_frozen_picture_at_once(server: Server, open_page: OpenPage) -> None:
    """Paused, no frame is on its way; two pages still get the one on air, each soon."""
    async with directing(server) as peer:
        await peer.live()
        await peer.next_frame(4)
        await peer.ask("pause", "paused")
        for _ in range(2):
            page = await open_page(watch_url(server, peer))
            await page.wait_for_function(f"{SHOWN} !== null", timeout=4000)
        await viewers(peer, 2)


async def test_a_stream_that_ends_leaves_the_page_transparent(server: Server, open_page: OpenPage) -> None:
    """The page does not keep the last frame of a stream that is not there any more."""
    async with directing(server) as peer:
        await peer.live()
        page = await open_page(watch_url(server, peer))
        await plays(page)
        assert (await http("DELETE", peer.stream, headers=peer.bearer)).status == 204
        await page.wait_for_function(f"{SHOWN} === null")
        assert (await shot(page, "watch-ended"))[..., 3].max() == 0


async def test_the_page_comes_back_by_itself(open_page: OpenPage) -> None:
    """A server that stands still for a while is noticed; the last frame stays until there is a new one."""
    with serving("stream.director_grace_s=60") as own:
        async with directing(own) as peer:
            await peer.live()
            page = await open_page(watch_url(own, peer))
            await plays(page)
            await page.evaluate(f"globalThis.first = {SHOWN}")
            own.process.send_signal(signal.SIGSTOP)
            await page.wait_for_timeout(6500)
            assert await page.evaluate(f"{SHOWN} === first"), "the last frame stays"
            own.process.send_signal(signal.SIGCONT)
            await page.wait_for_function(f"{SHOWN} !== null && {SHOWN} !== first")
            await plays(page)
            await viewers(peer, 1)


async def test_the_stream_lives_on_for_its_viewers(open_page: OpenPage) -> None:
    """When the last director has left it goes on while somebody watches, and ends after that."""
    with serving("stream.director_grace_s=1") as own:
        peer = Peer(own)
        await peer.connect()
        await peer.live()
        page = await open_page(watch_url(own, peer))
        await plays(page)
        await peer.close(delete=False)
        await page.wait_for_timeout(2500)
        await plays(page)
        assert (await http("GET", peer.stream)).json["directors"] == 0
        await page.goto("about:blank")

        async def gone() -> bool:
            return (await http("GET", peer.stream)).status == 404

        await until(gone, 5)
