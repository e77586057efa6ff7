"""``/docs`` in a real browser: everything of openapi.json can be read there, from this server alone.

Screenshots are kept in ``artifacts/``.
"""

import re
from typing import TYPE_CHECKING

import pytest

from tests.conftest import IN_SESSION
from tests.contract import Server, http
from tests.e2e.test_browser import SHOTS

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = [pytest.mark.browser, IN_SESSION]


async def test_the_reference_can_be_read(server: Server, browser: "Browser") -> None:
    """Every route, message, object and code is on the page; each link leads somewhere; nothing comes from afar."""
    document = (await http("GET", f"{server.url}/openapi.json")).json
    page = await browser.new_page(viewport={"width": 900, "height": 1000})
    asked, errors = list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(f"{server.url}/docs#SetPrompt")
    await page.wait_for_selector("#error-codes")
    assert await page.evaluate("document.getElementById('SetPrompt').open")
    assert "at most 2000 characters" in await page.inner_text("#SetPrompt")
    SHOTS.mkdir(exist_ok=True)
    await page.screenshot(path=SHOTS / "docs-message.png")
    await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    text = await page.inner_text("body")
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert f"{method.upper()}{path}{operation['summary']}" in re.sub(r"\n\s*", "", text), (method, path)
    channel, schemas = document["x-control-channel"], document["components"]["schemas"]
    for entry in channel["client"] + channel["server"]:
        assert entry["type"] in text
        name = entry["message"]["$ref"].rpartition("/")[2]
        assert schemas[name]["description"].replace("`", "") in text
    for code, error in document["x-errors"].items():
        assert re.search(rf"^{code}\s+{error['status']}\b", text, re.M), code
    assert "integer, ≥ 0, < 2^63" in text
    assert "undefined" not in text
    assert "[object" not in text
    broken = "[...document.querySelectorAll('a[href^=\"#\"]')].filter((a) => !document.querySelector(a.hash)).length"
    assert await page.evaluate(broken) == 0
    await page.screenshot(path=SHOTS / "docs.png", full_page=True)
    assert errors == []
    assert {url for url in asked if not url.startswith(server.url)} == set()


async def test_a_server_that_is_gone(server: Server, browser: "Browser") -> None:
    """Without the document the page says so and what to do."""
    page = await browser.new_page()
    await page.route("**/openapi.json", lambda route: route.abort())
    await page.goto(f"{server.url}/docs")
    await page.wait_for_function("document.querySelector('#about').textContent.includes('Reload the page')")
