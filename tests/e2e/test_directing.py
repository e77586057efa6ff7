"""What the page offers beyond one picture and one prompt: timeline, queue, swap, sharing, figures, keys, colours.

Screenshots are kept in ``artifacts/``.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.conftest import IN_SESSION
from tests.e2e.test_browser import (
    DROP,
    FRAMES,
    PATIENCE_MS,
    Server,
    as_file,
    is_state,
    keep,
    leave,
    logged,
    picture,
    serving,
    shows,
    start_with_picture,
)
from tests.e2e.test_browser import gate as gate
from tests.e2e.test_browser import open_page as open_page

pytestmark = [pytest.mark.browser, IN_SESSION]

# Of each text that is seen, outside of the stage: what it is, and its contrast (WCAG 2.2, 1.4.3).
CONTRASTS = """() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((value, i) => value * a + below[i] * (1 - a));
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const color = rgba(getComputedStyle(element).backgroundColor);
    return color[3] === 1 ? color.slice(0, 3) : over(color, behind(element.parentElement));
  };
  const luminance = (color) => {
    const linear = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = color.map((value) => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const says = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const field = element.matches("input:not([type=radio], [type=checkbox], [type=file]), textarea, select");
    if (!(says || field) || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    if (element.closest(".stage, .sr, noscript, option, .moment .time") || element.closest(":disabled")) continue;
    const below = behind(element);
    const [a, b] = [luminance(over(rgba(getComputedStyle(element).color), below)), luminance(below)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([element.id || element.className || element.textContent.slice(0, 30), Math.round(contrast * 100) / 100]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def able() -> Iterator[Server]:
    """A server whose model can all that the page asks for."""
    with serving("stream.director_grace_s=1", FAKE_SWAPPING="1") as running:
        yield running


def prompts(page: Page) -> Any:
    """Find the prompts of the timeline."""
    return page.locator("#moments .moment:not(.bookmark)")


async def say(page: Page, prompt: str) -> None:
    """Give a prompt, and wait until it is seen."""
    await page.fill("#prompt", prompt)
    await page.press("#prompt", "Enter")
    await expect(page.locator("#prompt-note")).to_have_text(re.compile("On screen"), timeout=PATIENCE_MS)


async def test_one_click_makes_a_sample_move(able: Server, open_page: Callable[..., Any]) -> None:
    """Who has never seen the page and reads nothing clicks a picture, and it moves: well within 15 s of the first look.

    This one runs under the page's own policy, as everybody's browser does.
    """
    page = await open_page(able.url, bypass_csp=False)
    await page.click("#sample-list button >> nth=2")
    await is_state(page, "Live")
    await shows(page, "video")
    assert await page.evaluate("performance.now()") < 15_000
    first = await page.evaluate(FRAMES)
    while await page.evaluate(FRAMES) < first + 8:
        await page.evaluate("new Promise(requestAnimationFrame)")
    await expect(page.locator("#prompt")).to_have_value(re.compile("snow"))
    await expect(prompts(page)).to_have_count(1)
    await keep(page, "sample")


async def test_a_sample_waits_for_the_connection(gate: Any, open_page: Callable[..., Any]) -> None:
    """A sample that is clicked while the model still loads starts as soon as it can."""
    with serving(ready=False, FAKE_STAGES="warming up", FAKE_GATE=str(gate.port)) as server:
        page = await open_page(server.url)
        await is_state(page, "Loading…")
        await page.click("#sample-list button >> nth=0")
        await shows(page, "still")
        await gate.let_pass()
        await is_state(page, "Live")
        page.errors.clear()  # the browser logs each 503
        await leave(page)


async def test_an_own_picture_moves_by_the_button_on_it(able: Server, open_page: Callable[..., Any]) -> None:
    """A dropped picture has one button in its middle; pressed with nothing said, something is said that moves."""
    page = await open_page(able.url)
    await is_state(page, "Ready")
    await expect(page.locator("#play")).to_be_hidden()
    await page.evaluate(DROP, as_file(picture()))
    await page.click("#play")
    await is_state(page, "Live")
    await expect(page.locator("#prompt")).to_have_value("the camera slowly zooms in")
    await expect(page.locator("#play")).to_be_hidden()


async def test_a_prompt_of_the_timeline_is_used_again(open_page: Callable[..., Any]) -> None:
    """Each prompt stands there once it took effect, with what was seen; a click uses it again; a reload keeps it."""
    with serving(FAKE_RESUMABLE="1") as server:
        page = await open_page(server.url)
        await start_with_picture(page)
        await expect(prompts(page)).to_have_count(1)
        await say(page, "snow falls")
        await expect(prompts(page)).to_have_count(2)
        await page.click("#bookmark")
        await expect(page.locator("#moments .bookmark")).to_have_count(1)
        await expect(prompts(page).nth(1).locator("img")).to_have_js_property("naturalWidth", 208)
        await expect(prompts(page).nth(1).locator("button")).to_have_attribute("aria-current", "true")
        await expect(prompts(page).nth(0).locator(".time")).to_have_text("0:00")
        await prompts(page).nth(0).locator("button").click()
        await expect(page.locator("#prompt")).to_have_value("pan left")
        await expect(prompts(page)).to_have_count(3, timeout=PATIENCE_MS)
        await expect(prompts(page).nth(2).locator("button")).to_have_attribute("aria-current", "true")
        await keep(page, "timeline")
        await page.reload()
        await is_state(page, "Live")
        await expect(prompts(page)).to_have_count(3)
        await expect(page.locator("#moments .moment").nth(2)).to_have_class(re.compile("bookmark"))
        await leave(page)


async def test_a_queue_of_prompts_runs(able: Server, open_page: Callable[..., Any]) -> None:
    """Queued prompts come one after the other, each for its seconds; next goes on at once, a loop begins again."""
    page = await open_page(able.url)
    await start_with_picture(page, "pan left")
    await page.fill("#prompt", " ")
    await page.press("#prompt", "Control+Enter")
    await expect(page.locator("#prompt-note")).not_to_contain_text("queue")
    await page.fill("#prompt", "snow falls")
    await page.press("#prompt", "Control+Enter")
    await expect(page.locator("#prompt")).to_have_value("pan left")
    await expect(page.locator("#queue-count")).to_have_text("1")
    await page.click("#open-queue")
    await page.fill("#queue-prompt", "fog")
    await page.fill("#queue-seconds", "1")
    await page.press("#queue-prompt", "Enter")
    await page.check("#queue-loop")
    await page.click("#queue-run")
    await expect(page.locator("#prompt")).to_have_value("snow falls")
    await expect(page.locator("#queue-list li").nth(0)).to_have_attribute("aria-current", "step")
    await keep(page, "queue")
    await page.click("#queue-next")
    await expect(page.locator("#prompt")).to_have_value("fog")
    await page.fill("#prompt", "half a pro")
    # After its second the loop is at its beginning; what is being written stays.
    current = page.locator("#queue-list [aria-current] .go")
    await expect(current).to_have_text("snow falls", timeout=PATIENCE_MS)
    await expect(page.locator("#prompt")).to_have_value("half a pro")
    await page.get_by_role("button", name="Leave out: snow falls").click()
    await expect(current).to_have_text("fog")
    await page.click("#stop")
    await is_state(page, "Ready")
    await expect(page.locator("#queue-run")).to_have_text("Run")


async def test_two_pictures_side_by_side_are_swapped(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    """The next picture is seen beside the one in use, comes in as chosen, and the same button goes back."""
    with serving(f"stream.session_logs={tmp_path}", FAKE_SWAPPING="1") as server:
        page = await open_page(server.url)
        await start_with_picture(page)
        await page.click("#replace")
        await expect(page.locator("#swap")).to_be_disabled()
        await page.set_viewport_size({"width": 390, "height": 844})
        async with page.expect_file_chooser() as chooser:
            await page.click("#next-picture")
        notes = {"name": "notes.png", "mimeType": "image/png", "buffer": b"just some notes"}
        await (await chooser.value).set_files([notes])
        await expect(page.locator("#next-error")).to_contain_text("notes.png: This is a text file")
        await page.set_viewport_size({"width": 1280, "height": 800})
        async with page.expect_file_chooser() as chooser:
            await page.click("#next-picture")
        lake = {"name": "lake.png", "mimeType": "image/png", "buffer": picture(size=(300, 200))}
        await (await chooser.value).set_files([lake])
        await expect(page.locator("#next-name")).to_have_text("lake.png")
        await expect(page.locator("#picture-error")).to_be_hidden()
        await expect(page.locator("#picture-name")).to_have_text("sea.png")
        await keep(page, "pair")
        await page.get_by_label("Keep moving").check()
        await page.click("#swap")
        await expect(page.locator("#picture-name")).to_have_text("lake.png")
        await expect(page.locator("#next-name")).to_have_text("sea.png")
        await page.get_by_label("Begin anew").check()
        await page.click("#swap")
        await expect(page.locator("#picture-name")).to_have_text("sea.png")
        await page.evaluate(DROP.replace('"stage"', '"next-picture"'), as_file(picture(), "hill.png"))
        await expect(page.locator("#next-name")).to_have_text("hill.png")
        await expect(page.locator("#picture-name")).to_have_text("sea.png")
        await say(page, "snow falls")
        await leave(page)
    commands = [line["command"] for line in logged(tmp_path) if line["type"] == "command"]
    entries = [command.get("policy") for command in commands if command["type"] == "upload_image"]
    assert entries == ["cut", "flush", "cut"]


async def test_a_prompt_goes_by_the_policy_chosen(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    """The picker has what the server announces, and what is chosen goes with the next prompt, a blend's time too."""
    with serving(f"stream.session_logs={tmp_path}") as server:
        page = await open_page(server.url)
        await start_with_picture(page)
        offered = await page.locator("#prompt-policy option").evaluate_all("(all) => all.map(({ value }) => value)")
        assert offered == (await (await page.request.get(f"{server.url}capabilities")).json())["policies"]
        await say(page, "snow")
        await page.select_option("#prompt-policy", "recache")
        await say(page, "fog")
        assert await page.is_hidden("#over")
        await page.select_option("#prompt-policy", "blend")
        await page.select_option("#prompt-over", "4")
        await say(page, "sun")
        await leave(page)
    commands = [line["command"] for line in logged(tmp_path) if line["type"] == "command"]
    told = [(one["prompt"], one["policy"], one["over_s"]) for one in commands if one["type"] == "set_prompt"]
    assert told == [
        ("pan left", "auto", 0.5),
        ("snow", "auto", 0.5),
        ("fog", "recache", 0.5),
        ("sun", "blend", 4),
    ]


async def test_addresses_are_copied(able: Server, open_page: Callable[..., Any]) -> None:
    """Each line of the panel is copied whole, the token too, which is not shown; the video runs at the address."""
    page = await open_page(able.url, permissions=["clipboard-read", "clipboard-write"])
    await start_with_picture(page)
    kept = json.loads(await page.evaluate("sessionStorage['vivant.stream']"))
    await page.click("#open-share")
    for name, wanted in (
        ("WHEP", f"{able.url}whep/{kept['stream']}"),
        ("MPEG-TS", f"{able.url}streams/{kept['stream']}/live.ts"),
        ("Bearer token", kept["control_token"]),
        ("Watch page", f"{able.url}watch/{kept['stream']}"),
    ):
        await page.get_by_role("button", name=f"Copy: {name}").click()
        await expect(page.locator("#copied")).to_have_text(f"{name} is copied.")
        assert await page.evaluate("navigator.clipboard.readText()") == wanted
    assert kept["control_token"] not in await page.inner_text("#panel")
    assert (await page.request.get(wanted)).ok
    await keep(page, "share")


async def test_copying_without_the_clipboard_interface(able: Server, open_page: Callable[..., Any]) -> None:
    """On a page by plain http from another machine, where browsers have none, it is copied all the same."""
    page = await open_page(able.url, permissions=["clipboard-read", "clipboard-write"])
    await is_state(page, "Ready")
    await page.click("#open-share")
    await page.evaluate("window.kept = navigator.clipboard")
    await page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })")
    await page.get_by_role("button", name="Copy: WHEP").click()
    await expect(page.locator("#copied")).to_have_text("WHEP is copied.")
    assert "/whep/" in await page.evaluate("window.kept.readText()")


async def test_figures_have_graphs(able: Server, open_page: Callable[..., Any]) -> None:
    """After two commands latency has a line; a drift has one once it is told; all figures are shown on request."""
    page = await open_page(able.url)
    await is_state(page, "Ready")
    await expect(page.locator("#drift-figure")).to_have_attribute("hidden", "")
    await start_with_picture(page)
    await say(page, "snow")
    await say(page, "fog")
    await expect(page.locator("#latency-line .line")).to_have_count(1)
    await expect(page.locator("#drift")).to_have_text("13 %", timeout=PATIENCE_MS)
    await expect(page.locator("#drift-line .line")).to_have_count(1)
    await expect(page.locator("#generated")).to_be_hidden()
    await page.click("#more-figures")
    await expect(page.locator("#generated")).to_have_text(re.compile(r"^\d+\.\d fps$"), timeout=PATIENCE_MS)
    await expect(page.locator("#viewers")).to_have_text("0")
    await expect(page.locator("#contrast")).to_have_text("\u221213 %")
    await expect(page.locator("#similarity-row")).to_be_hidden()
    await expect(page.locator("#reanchoring")).to_be_hidden()
    await keep(page, "figures")
    await page.keyboard.press("Escape")
    await expect(page.locator("#generated")).to_be_hidden()


async def ask_for_rate(page: Page, server: Server, fps: int) -> None:
    """Have a director ask for a rate by HTTP, as a script would."""
    kept = json.loads(await page.evaluate("sessionStorage['vivant.stream']"))
    told = {"type": "configure", "id": 1, "fps": fps}
    headers = {"Authorization": f"Bearer {kept['control_token']}"}
    assert (await page.request.patch(f"{server.url}streams/{kept['stream']}", data=told, headers=headers)).ok


async def test_a_lower_quality_says_why(able: Server, open_page: Callable[..., Any]) -> None:
    """By the quality stands why it is not the best one, for as long as it is so, also on a phone."""
    page = await open_page(able.url, 390, 844, has_touch=True)
    await start_with_picture(page)
    await page.click("#more-figures")
    await expect(page.locator("#quality")).to_have_text("full", timeout=PATIENCE_MS)
    await expect(page.locator("#quality-why")).to_be_hidden()
    await ask_for_rate(page, able, 8)
    await expect(page.locator("#quality-why")).to_have_text(
        "Lower because a director asked for it.", timeout=PATIENCE_MS
    )
    await expect(page.locator("#quality")).to_have_text("half")
    row, line = [await page.locator(place).bounding_box() for place in ("#quality", "#quality-why")]
    assert row is not None
    assert line is not None
    assert row["y"] + row["height"] <= line["y"]
    assert 0 <= line["x"] <= line["x"] + line["width"] <= 390
    await keep(page, "quality-why")
    await ask_for_rate(page, able, 16)
    await expect(page.locator("#quality-why")).to_be_hidden(timeout=PATIENCE_MS)
    await leave(page)


async def test_keys_do_what_buttons_do(able: Server, open_page: Callable[..., Any]) -> None:
    """Keys act where nothing is being written, are listed by `?`, and can be switched off."""
    page = await open_page(able.url)
    await start_with_picture(page)
    await page.keyboard.press("Escape")
    await page.click("#stage", position={"x": 20, "y": 20})
    await page.keyboard.press(" ")
    await is_state(page, "Paused")
    await page.keyboard.press(" ")
    await is_state(page, "Live")
    await page.keyboard.press("q")
    await expect(page.locator("#queue-panel")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#panel")).to_be_hidden()
    await page.keyboard.press("/")
    await page.keyboard.type("b?q")
    await expect(page.locator("#prompt")).to_have_value("b?q")
    await expect(page.locator("#moments .bookmark")).to_have_count(0)
    await page.keyboard.press("Escape")
    await page.keyboard.press("b")
    await expect(page.locator("#moments .bookmark")).to_have_count(1)
    await page.keyboard.press("?")
    await expect(page.locator("#help-dialog")).to_be_visible()
    await keep(page, "keys")
    await page.uncheck("#single-keys")
    await page.keyboard.press("Escape")
    await page.keyboard.press("q")
    await expect(page.locator("#panel")).to_be_hidden()


async def test_the_panel_gives_the_focus_back(able: Server, open_page: Callable[..., Any]) -> None:
    """A panel that is opened has the focus; closed by Escape it is again where it was."""
    page = await open_page(able.url)
    await is_state(page, "Ready")
    focus = "document.activeElement.id"
    await page.focus("#open-share")
    await page.keyboard.press("Enter")
    await expect(page.locator("#open-share")).to_have_attribute("aria-expanded", "true")
    assert await page.evaluate(focus) == "panel-title"
    await page.keyboard.press("Escape")
    assert await page.evaluate(focus) == "open-share"
    await expect(page.locator("#open-share")).to_have_attribute("aria-expanded", "false")


async def test_colours_are_as_chosen(able: Server, open_page: Callable[..., Any]) -> None:
    """They follow the system until light or dark is chosen, which holds from the first look of the next time on."""
    page = await open_page(able.url, color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = await page.evaluate(paper)
    await page.click("#theme")
    await expect(page.locator("#theme")).to_have_attribute("aria-label", "Colours: light")
    light = await page.evaluate(paper)
    assert light != dark
    again = await page.context.new_page()
    await again.goto(able.url)
    assert await again.evaluate(paper) == light
    await again.close()
    await page.click("#theme")
    assert await page.evaluate(paper) == dark
    await page.click("#theme")
    await page.emulate_media(color_scheme="light")
    assert await page.evaluate(paper) == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_all_text_can_be_read(able: Server, open_page: Callable[..., Any], scheme: str) -> None:
    """Text has a contrast of 4.5 at least, in both colours, with each panel open."""
    page = await open_page(able.url, color_scheme=scheme, reduced_motion="reduce")
    await is_state(page, "Ready")
    seen = dict(await page.evaluate(CONTRASTS))
    await start_with_picture(page)
    await say(page, "snow")
    await page.fill("#prompt", "fog")
    await page.press("#prompt", "Control+Enter")
    for panel in ("pictures", "queue", "share"):
        await page.click(f"#open-{panel}")
        seen |= dict(await page.evaluate(CONTRASTS))
    await ask_for_rate(page, able, 8)
    await page.click("#more-figures")
    await expect(page.locator("#quality-why")).to_be_visible(timeout=PATIENCE_MS)
    seen |= dict(await page.evaluate(CONTRASTS))
    await page.keyboard.press("Escape")
    await page.click("#help")
    seen |= dict(await page.evaluate(CONTRASTS))
    assert "quality-why" in seen
    assert len(seen) > 40
    assert {what: contrast for what, contrast in seen.items() if contrast < 4.5} == {}


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (900, 1100), (390, 844)])
async def test_the_video_stays_in_sight(able: Server, open_page: Callable[..., Any], width: int, height: int) -> None:
    """At a desk, on a tablet and on a phone all of the video is seen beside the pictures, and nothing sticks out."""
    page = await open_page(able.url, width, height, has_touch=width < 1000)
    await start_with_picture(page)
    assert await page.evaluate("document.documentElement.scrollWidth") == width
    await page.click("#open-pictures")
    stage, panel = [await page.locator(place).bounding_box() for place in ("#stage", "#panel")]
    assert stage is not None
    assert panel is not None
    assert stage["y"] + stage["height"] <= panel["y"] or stage["x"] + stage["width"] <= panel["x"]
    assert min(stage["x"], stage["y"]) >= 0
    assert stage["width"] > 0.6 * width
    await keep(page, f"pictures-{width}")
