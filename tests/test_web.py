"""The page's own modules keep their promises: runs ``tests/e2e/*.test.mjs``, in Node or else in a browser."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.conftest import IN_SESSION, find_chromium, without_browser

if TYPE_CHECKING:
    from playwright.async_api import Browser

ROOT = Path(__file__).parents[1]
CHECKS = sorted((ROOT / "tests/e2e").glob("*.test.mjs"))
# The first that takes a .js file for the module that it is.
OLDEST_NODE = (20, 19)


def node_path() -> str | None:
    """Give the path of a Node that is new enough, if there is one."""
    node = shutil.which("node")
    if node is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    found = re.match(r"v(\d+)\.(\d+)", version)
    return node if found and (int(found[1]), int(found[2])) >= OLDEST_NODE else None


async def empty_page(request: web.Request) -> web.Response:
    return web.Response(text="<!doctype html>", content_type="text/html")


def test_the_modules_in_node() -> None:
    """Protocol vectors, hash, picture checks, upload, figures, session and connection hold in Node."""
    node = node_path()
    if node is None and find_chromium() is None:
        without_browser(os.environ)
    if node is None:
        pytest.skip("no Node of 20.19 or newer; the same checks run in the browser")
    command = [node, "--test", "--test-timeout=20000", *map(str, CHECKS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert int(re.findall(r"^\D*tests (\d+)", done.stdout, re.M)[-1]) > 200


@pytest.mark.browser
@IN_SESSION
async def test_the_modules_in_a_browser(browser: "Browser") -> None:
    """The same checks hold in Chromium, in a page."""
    app = web.Application()
    app.router.add_get("/", empty_page)
    app.router.add_static("/web", ROOT / "web")
    app.router.add_static("/tests", ROOT / "tests")
    async with TestServer(app) as server:
        page = await browser.new_page()
        await page.goto(str(server.make_url("/")))
        names = [f"/tests/e2e/{path.name}" for path in CHECKS]
        result = await page.evaluate(
            "async (names) => { for (const name of names) await import(name);"
            " return (await import('/tests/e2e/harness.mjs')).runCollected(); }",
            names,
        )
    assert result["failures"] == []
    assert result["count"] > 200
