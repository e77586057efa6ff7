"""People who direct one stream together, each on a page: invited by a link, named, and with a baton between them.

Screenshots are kept in ``artifacts/``.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.conftest import IN_SESSION
from tests.e2e.test_browser import PATIENCE_MS, Server, is_state, keep, serving, shows, start_with_picture
from tests.e2e.test_browser import open_page as open_page

pytestmark = [pytest.mark.browser, IN_SESSION]

INVITATION = "JSON.parse(sessionStorage['vivant.stream'])"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of which a stream goes on while one of two pages is there."""
    with serving("stream.director_grace_s=1") as running:
        yield running


async def two(server: Server, open_page: Callable[..., Any]) -> tuple[Page, Page]:
    """A page with a video, and another one that was opened by its invitation."""
    ann = await open_page(server.url)
    await start_with_picture(ann)
    await ann.click("#open-share")
    await ann.fill("#crew-name", "Ann")
    await ann.press("#crew-name", "Tab")
    joins = await ann.evaluate(INVITATION)
    bo = await open_page(f"{server.url}#direct={joins['stream']}&token={joins['control_token']}")
    await is_state(bo, "Live")
    await shows(bo, "video")
    return ann, bo


async def direct(page: Page, prompt: str) -> None:
    await page.fill("#prompt", prompt)
    await page.press("#prompt", "Enter")


async def test_who_is_invited_directs_the_same_stream(server: Server, open_page: Callable[..., Any]) -> None:
    """The link brings to the stream as it is, its token is gone from the address, and both are told of each other."""
    ann, bo = await two(server, open_page)
    assert bo.url == server.url
    await expect(bo.locator("#crew-list li")).to_have_text(["You", "AnnHand over"], timeout=PATIENCE_MS)
    await bo.click("#open-share")
    await bo.fill("#crew-name", "Bo")
    await bo.press("#crew-name", "Tab")
    await expect(ann.locator("#crew-list li")).to_have_text(["Ann (you)", "BoHand over"])
    await direct(bo, "snow falls")
    await expect(ann.locator("#moments .moment >> nth=-1")).to_contain_text("snow falls", timeout=PATIENCE_MS)
    await bo.reload()
    await is_state(bo, "Live")
    await expect(ann.locator("#crew-list li")).to_have_text(["Ann (you)", "BoHand over"])


async def test_the_baton_goes_from_one_to_the_other(server: Server, open_page: Callable[..., Any]) -> None:
    """Who has it directs alone: the other's prompts are refused with the reason, until it is handed on or given up."""
    ann, bo = await two(server, open_page)
    await ann.click("#crew-list button")
    await expect(ann.locator("#baton-text")).to_have_text("Director 2 directs alone now.")
    await expect(bo.locator("#baton-text")).to_have_text("You alone direct now.")
    await direct(ann, "rain falls")
    await expect(ann.locator("#prompt-error")).to_contain_text("director-2 has the baton")
    await keep(ann, "baton")
    await ann.click("#baton-turn")
    await expect(bo.locator("#baton-text")).to_have_text("Ann directs alone now.")
    await direct(ann, "rain falls")
    await expect(ann.locator("#prompt-error")).to_be_hidden()
    await ann.click("#baton-turn")
    for page in (ann, bo):
        await expect(page.locator("#baton")).to_be_hidden()


async def test_the_baton_of_one_who_leaves_is_nobodys(server: Server, open_page: Callable[..., Any]) -> None:
    """Nobody is left before a stream that nobody may direct."""
    ann, bo = await two(server, open_page)
    await ann.click("#crew-list button")
    await expect(ann.locator("#baton")).to_be_visible()
    await bo.goto("about:blank")
    await expect(ann.locator("#baton")).to_be_hidden(timeout=PATIENCE_MS)
    await expect(ann.locator("#crew-alone")).to_be_visible()
    await direct(ann, "fog rolls in")
    await expect(ann.locator("#moments .moment >> nth=-1")).to_contain_text("fog rolls in", timeout=PATIENCE_MS)
