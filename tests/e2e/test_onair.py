"""The page's part for other programs: a camera that comes in, a place to publish to.

Screenshots are kept in ``artifacts/``.
"""

import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiortc import RTCPeerConnection
from playwright.async_api import Browser, Page, expect

from tests.conftest import IN_SESSION
from tests.contract import Peer, Server, directing, http, serving
from tests.e2e.test_browser import PATIENCE_MS, SHOTS
from tests.publishing import Broadcaster

pytestmark = [pytest.mark.browser, IN_SESSION]


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """The live page of a server that may publish on this machine; no script of it may fail."""
    with serving("stream.publish_private=true") as near:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(PATIENCE_MS)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(near.url)
        await expect(page.locator("#state-text")).to_have_text("Ready", timeout=PATIENCE_MS)
        yield page
        await page.close()
        assert errors == []


@contextlib.asynccontextmanager
async def camera(page: Page) -> AsyncIterator[RTCPeerConnection]:
    """A camera that publishes into the page's stream."""
    kept = json.loads(await page.evaluate("sessionStorage.getItem('vivant.stream')"))
    client = Broadcaster()
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {kept['control_token']}"}
    where = f"{page.url.rstrip('/')}/whip/{kept['stream']}"
    answer = await http("POST", where, data=await client.offer(), headers=headers)
    assert answer.status == 201, answer.body
    await client.accept(answer.body.decode())
    try:
        yield client.connection
    finally:
        await client.close()


async def test_a_cameras_frame_is_used(page: Page) -> None:
    """The page tells of a camera while there is one; its frame is the picture, and the stream starts from it."""
    await expect(page.locator("#camera")).to_be_hidden()
    async with camera(page):
        await expect(page.locator("#camera-text")).to_have_text(
            "A camera is connected · 320 \u00d7 240", timeout=PATIENCE_MS
        )
        await page.click("#use-camera")
        await expect(page.locator("#picture-facts")).to_have_text("320 \u00d7 240", timeout=PATIENCE_MS)
        await page.click("#primary")
        await expect(page.locator("#state-text")).to_have_text("Live", timeout=PATIENCE_MS)
        await page.screenshot(path=SHOTS / "camera.png")
    await expect(page.locator("#camera")).to_be_hidden(timeout=PATIENCE_MS)
    await expect(page.locator("#state-text")).to_have_text("Live")


async def test_it_is_published(page: Page, server: Server) -> None:
    """What is wrong with an address is said below it; a right one is told of until it is ended."""
    async with directing(server) as other:
        await page.click("#open-share")
        await publish(page, "file:///etc/passwd", "")
        await expect(page.locator("#publish-error")).to_contain_text("must begin with one of")
        await publish(page, server.url + other.answer["whip_url"], "wrong")
        await expect(page.locator("#publish-error")).to_contain_text("401")
        await publish(page, server.url + other.answer["whip_url"], other.answer["control_token"])
        await expect(page.locator("#publish-note")).to_have_text(f"On air at {server.url}.", timeout=PATIENCE_MS)
        await expect(page.locator("#publish-error")).to_be_hidden()
        await page.screenshot(path=SHOTS / "publish.png")
        await other.state(publisher={"state": "connecting", "width": None, "height": None})
        await page.click("#publish")
        await expect(page.locator("#publish")).to_have_text("Publish")
        await expect(page.locator("#publish-note")).to_have_text("")
        await is_free(other)


async def publish(page: Page, url: str, token: str) -> None:
    await page.fill("#publish-url", url)
    await page.fill("#publish-token", token)
    await page.click("#publish")


async def is_free(peer: Peer) -> None:
    """Check that nobody publishes into a stream."""
    assert "publisher" not in (await http("GET", peer.stream)).json
