"""The viewer's page and a camera in Firefox, which decodes by other code than Chromium does."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract import Server, directing, http, picture
from tests.e2e.firefox import Firefox, firefox
from tests.e2e.test_contract_whep import until
from tests.e2e.test_publishers import PUBLISH, UNPUBLISH, is_gone, is_live
from tests.e2e.test_watch import SHOWN

# Ten seconds pass before Firefox itself has started.
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Firefox]:
    """A Firefox; without one the test is skipped, in CI too."""
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if path is None:
        pytest.skip("no Firefox, so this test did NOT run: apt-get install firefox-esr")
    async with firefox(path, tmp_path) as made:
        yield made


async def test_firefox_watches_and_publishes(server: Server, page: Firefox) -> None:
    """The viewer's page shows frames at its size; a camera comes in, with audio, and is gone when it leaves."""
    async with directing(server) as peer:
        await peer.live(picture(10))
        await page.open(server.url + peer.answer["watch_url"])

        async def plays() -> bool:
            # A stream's frames are counted by no other name in Firefox.
            return await page.evaluate(f"{SHOWN}?.mozPaintedFrames ?? 0") >= 20

        await until(plays, 15)
        assert await page.evaluate(f"[{SHOWN}.videoWidth, {SHOWN}.videoHeight]") == [64, 32]
        assert (await http("GET", peer.stream)).json["viewers"] == 1
        arguments = [server.url + peer.answer["whip_url"], peer.answer["control_token"], "VP8"]
        assert await page.evaluate(f"({PUBLISH})({json.dumps(arguments)})") == 204
        await until(lambda: is_live(peer), 15)
        await peer.ask("use_camera_frame", "image_applied")
        assert await page.evaluate(f"({UNPUBLISH})()") == 200
        await is_gone(peer, 1)
