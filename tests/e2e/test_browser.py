"""The page in a real browser, before the real server with a fake model: what a person sees and does.

Screenshots are kept in ``artifacts/``.
"""

import asyncio
import base64
import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, Page, expect
from playwright.async_api import Error as PlaywrightError

from tests.conftest import IN_SESSION
from tests.gate import Gate

pytestmark = [pytest.mark.browser, IN_SESSION]

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "artifacts"
PATIENCE_MS = 15_000

DROP = """({name, type, bytes}) => {
  const transfer = new DataTransfer();
  const data = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
  transfer.items.add(new File([data], name, { type }));
  const target = document.getElementById("stage");
  for (const kind of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""
PASTE = """({name, type, bytes}) => {
  const transfer = new DataTransfer();
  const data = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
  transfer.items.add(new File([data], name, { type }));
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
}"""
FRAMES = "document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames"
PIXEL = """() => {
  const video = document.getElementById("video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  return Array.from(context.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data);
}"""


DROP_NOISE = """async ([width, height]) => {
  const pixels = new Uint8ClampedArray(width * height * 4);
  for (let at = 0; at < pixels.length; at += 64_000) crypto.getRandomValues(pixels.subarray(at, at + 64_000));
  for (let at = 3; at < pixels.length; at += 4) pixels[at] = 255;
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  const file = new File([await canvas.convertToBlob({ type: "image/png" })], "noise.png");
  const transfer = new DataTransfer();
  transfer.items.add(file);
  const drop = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.getElementById("stage").dispatchEvent(drop);
  return file.size;
}"""


def picture(kind: str = "PNG", size: tuple[int, int] = (200, 120)) -> bytes:
    """Make a picture file: a gradient."""
    width, height = size
    pixels = np.linspace(40, 220, width * height * 3).reshape(height, width, 3).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def as_file(data: bytes, name: str = "sea.png", type: str = "image/png") -> dict[str, str]:
    """Give what DROP and PASTE take."""
    return {"name": name, "type": type, "bytes": base64.b64encode(data).decode()}


class Server:
    """A server process that can be ended and started again at the same address."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        self.arguments = arguments
        self.environ = os.environ | environ
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where its page is."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self, ready: bool = True) -> None:
        """Start, and wait until the model is warm, or until it listens."""
        command = [sys.executable, "-m", "tests.serve_fake", f"server.port={self.port}", *self.arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.environ, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
            if line.startswith("Ready.") or (self.port and not ready):
                return
        raise AssertionError("the server ended before it was ready")

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate(timeout=20)

    def end(self) -> None:
        """Ask it to end, and wait until it has."""
        assert self.process is not None
        self.process.terminate()
        self.process.communicate(timeout=20)


@contextlib.contextmanager
def serving(*arguments: str, ready: bool = True, **environ: str) -> Iterator[Server]:
    server = Server(*arguments, **environ)
    server.start(ready)
    try:
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # A test's stream makes room for the next one's soon after its page is closed.
    with serving("stream.director_grace_s=1") as running:
        yield running


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that one test may end."""
    with serving() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser) -> AsyncIterator[Callable[..., Any]]:
    """Opens pages; at the end none may have logged an error but those that the test cleared."""
    errors: list[str] = []

    async def open_page(url: str, width: int = 1280, height: int = 800, **options: Any) -> Page:
        # What waits for a condition evaluates text, which the page's policy forbids.
        options = {"bypass_csp": True} | options
        context = await browser.new_context(viewport={"width": width, "height": height}, **options)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.errors = errors  # type: ignore[attr-defined]
        await load(page, url)
        return page

    yield open_page
    for context in browser.contexts:
        for page in context.pages:
            await leave(page)
    assert errors == []


@pytest_asyncio.fixture(loop_scope="session")
async def gate() -> AsyncIterator[Gate]:
    """As everywhere, but in the browser's loop."""
    async with Gate() as made:
        yield made


async def load(page: Page, url: str) -> None:
    """Go to the page, with patience for a busy machine; where it never comes, say what was waited for."""
    waiting: list[str] = []
    page.on("request", lambda request: waiting.append(request.url))
    for end in ("requestfinished", "requestfailed"):
        page.on(end, lambda request: waiting.remove(request.url) if request.url in waiting else None)
    try:
        await page.goto(url, timeout=3 * PATIENCE_MS)
    except PlaywrightError as error:
        error.add_note(f"Had not come: {waiting}")
        # Now and then a Chromium asks for nothing in all that time, or has all, the page at work, and never says that
        # it has loaded. Asked again it comes at once.
        if waiting:
            raise
        await page.goto(url)


async def leave(page: Page) -> None:
    """Go as a person goes, so that the server knows at once; before it ends, or the page would miss it."""
    await page.goto("about:blank")


async def is_state(page: Page, words: str) -> None:
    await expect(page.locator("#state-text")).to_have_text(words, timeout=PATIENCE_MS)


async def shows(page: Page, what: str) -> None:
    await expect(page.locator("#stage")).to_have_attribute("data-shows", what, timeout=PATIENCE_MS)


async def start_with_picture(page: Page, prompt: str = "pan left") -> None:
    """Do what a person does first."""
    await is_state(page, "Ready")
    await page.evaluate(DROP, as_file(picture()))
    await shows(page, "still")
    await page.fill("#prompt", prompt)
    await page.click("#primary")
    await shows(page, "video")


async def keep(page: Page, name: str) -> None:
    SHOTS.mkdir(exist_ok=True)
    await page.screenshot(path=SHOTS / f"{name}.png")


async def test_a_dropped_picture_moves_and_a_prompt_turns_it(server: Server, open_page: Callable[..., Any]) -> None:
    """A picture is dropped, started and plays; a new prompt is on the screen and its latency is shown."""
    page = await open_page(server.url)
    await is_state(page, "Ready")
    await expect(page.locator("#examples button")).to_have_count(2)
    await expect(page.locator("input[value=t2v]")).to_be_disabled()
    await expect(page.locator("#mode-note")).to_contain_text("fake")
    await start_with_picture(page)
    await is_state(page, "Live")
    await expect(page.locator("#picture-name")).to_have_text("sea.png")
    await expect(page.locator("#picture-facts")).to_contain_text("200 \u00d7 120")

    first = await page.evaluate(FRAMES)
    await page.wait_for_function(f"{FRAMES} >= {first + 16}")
    pixel = await page.evaluate(PIXEL)
    await page.wait_for_function(f"(before) => String(({PIXEL})()) !== String(before)", arg=pixel)

    await page.fill("#prompt", "snow falls")
    await page.press("#prompt", "Enter")
    await expect(page.locator("#prompt-note")).to_have_text(
        re.compile(r"On screen after \d\.\d\d s\."), timeout=PATIENCE_MS
    )
    await expect(page.locator("#latency")).to_have_text(re.compile(r"^\d\.\d\d s$"))
    await expect(page.locator("#received")).to_have_text(re.compile(r"^1[4-7]\.\d fps$"), timeout=PATIENCE_MS)
    await expect(page.locator("#generated")).to_have_text(re.compile(r"^\d+\.\d fps$"))
    await keep(page, "live")


async def test_pause_resume_reset_and_stop(server: Server, open_page: Callable[..., Any]) -> None:
    """The buttons do what they say, and the state says so."""
    page = await open_page(server.url)
    await start_with_picture(page)
    await page.click("#primary")
    await is_state(page, "Paused")
    await expect(page.locator("#primary")).to_have_text(re.compile("Resume"))
    await page.click("#primary")
    await is_state(page, "Live")
    await page.fill("#seed", "not one")
    await expect(page.locator("#control-error")).to_contain_text("whole number")
    await page.fill("#seed", "42")
    await expect(page.locator("#control-error")).to_be_hidden()
    await page.click("#reset")
    await is_state(page, "Live")
    await page.click("#stop")
    await is_state(page, "Ready")
    await shows(page, "still")
    await page.click("#primary")
    await is_state(page, "Live")


async def test_a_recording_and_a_snapshot_are_downloaded(open_page: Callable[..., Any], tmp_path: Path) -> None:
    """The record button goes on and off and gives a link to a whole MP4; the snapshot is the frame, as a PNG."""
    with serving(f"stream.recordings={tmp_path / 'recordings'}") as server:
        page = await open_page(server.url)
        await start_with_picture(page)
        await is_state(page, "Live")
        async with page.expect_download() as event:
            await page.click("#snapshot")
        download = await event.value
        assert re.fullmatch(r"vivant-[\dT-]+\.png", download.suggested_filename)
        with Image.open(await download.path()) as image:
            assert (image.format, image.size) == ("PNG", (64, 32))

        await page.click("#record")
        await expect(page.locator("#record")).to_have_attribute("aria-pressed", "true")
        first = await page.evaluate(FRAMES)
        await page.wait_for_function(f"{FRAMES} >= {first + 24}")
        await keep(page, "recording")
        await page.click("#record")
        await expect(page.locator("#recorded-facts")).to_have_text(re.compile(r"^\d+\.\d s, \d+ .?B\.$"))
        await expect(page.locator("#record")).to_have_attribute("aria-pressed", "false")
        async with page.expect_download() as event:
            await page.click("#recorded-link")
        video = await (await event.value).path()
        with av.open(str(video)) as container:
            assert len(list(container.decode(video=0))) >= 12
        await leave(page)


async def test_a_bookmark_is_gone_back_to_and_on_from(open_page: Callable[..., Any]) -> None:
    """The moment is kept with its picture; a click goes back to it and its prompt, the fork plays elsewhere."""
    with serving(FAKE_RESUMABLE="1") as server:
        page = await open_page(server.url)
        await start_with_picture(page)
        await is_state(page, "Live")
        await page.click("#bookmark")
        kept = page.locator("#moments .bookmark")
        await expect(kept.locator("img")).to_have_count(1)
        await expect(kept.locator("img")).to_have_js_property("naturalWidth", 64)
        await page.fill("#prompt", "snow falls")
        await page.press("#prompt", "Enter")
        await expect(page.locator("#prompt-note")).to_have_text(re.compile("On screen"), timeout=PATIENCE_MS)
        await kept.get_by_role("button", name="pan left").first.click()
        await expect(page.locator("#prompt")).to_have_value("pan left")
        await page.reload()
        await expect(kept.locator("img")).to_have_count(1)
        await kept.locator(".fork").click()
        await expect(page.locator("#forked")).to_be_visible()
        href = await page.locator("#forked a").get_attribute("href")
        await keep(page, "bookmarks")
        watch = await open_page(f"{server.url}{href}")
        shown = "document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames >= 8"
        await watch.wait_for_function(shown, timeout=PATIENCE_MS)
        await leave(page)


async def test_a_stream_goes_on_after_its_server_was_killed(open_page: Callable[..., Any], tmp_path: Path) -> None:
    """The page comes back by itself and the video goes on, picture and prompt with it; a reload finds it too. Under
    another model it says why not, and has a fresh stream."""
    stream = "() => JSON.parse(sessionStorage.getItem('vivant.stream')).stream"
    kept = (f"stream.resume_folder={tmp_path / 'kept'}", "stream.checkpoint_s=0.5")
    with serving(*kept, FAKE_RESUMABLE="1") as server:
        page = await open_page(server.url)
        await start_with_picture(page)
        await is_state(page, "Live")
        await page.wait_for_function(f"{FRAMES} >= 40")
        before = await page.evaluate(stream)
        server.kill()
        server.start()
        await is_state(page, "Live")
        await page.wait_for_function(f"{FRAMES} >= 8")
        assert await page.evaluate(stream) == before
        await page.reload()
        await is_state(page, "Live")
        await expect(page.locator("#prompt")).to_have_value("pan left")
        assert await page.evaluate(stream) == before
        await page.wait_for_timeout(1500)
        server.kill()
        server.arguments += ("model.steps=3",)
        server.start()
        await expect(page.locator("#status-error")).to_contain_text("has another model now", timeout=PATIENCE_MS)
        assert await page.evaluate(stream) != before
        # The browser's own, of a server that was not there and of the 409.
        page.errors.clear()
        await leave(page)


async def test_a_bad_file_is_refused_at_the_picture(server: Server, open_page: Callable[..., Any]) -> None:
    """A text file named .png and a cut picture show their reason at the picture; a good one clears it."""
    page = await open_page(server.url)
    await is_state(page, "Ready")
    await page.evaluate(DROP, as_file(b"just some notes\n", "notes.png"))
    await expect(page.locator("#picture-error")).to_be_visible()
    await expect(page.locator("#picture-error")).to_contain_text("notes.png: This is a text file")
    await shows(page, "empty")
    await keep(page, "bad-file")
    await page.click("#primary")
    await expect(page.locator("#picture-error")).to_contain_text("Choose a picture first")

    await page.evaluate(DROP, as_file(picture(size=(300, 200))[:-20], "cut.png"))
    await expect(page.locator("#picture-error")).to_contain_text("damaged or incomplete")
    await page.set_input_files("#file", {"name": "sea.jpg", "mimeType": "image/jpeg", "buffer": picture("JPEG")})
    await expect(page.locator("#picture-error")).to_be_hidden()
    await shows(page, "still")


def logged(folder: Path) -> list[dict[str, Any]]:
    """Give the lines of the only session log in a folder."""
    (path,) = folder.glob("*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_picture_dropped_onto_the_video_fades_in(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    """Where the model can, it fades in while the video runs; the frame on the screen becomes the picture by a cut."""
    with serving(f"stream.session_logs={tmp_path}", FAKE_SWAPPING="1") as server:
        page = await open_page(server.url)
        await start_with_picture(page)
        await expect(page.locator("input[name=entry]:checked")).to_have_value("blend")
        await expect(page.locator("#drop-text")).to_have_text("Drop to cross-fade to this picture")
        await page.evaluate(DROP, as_file(picture(size=(300, 200)), "lake.png"))
        await expect(page.locator("#picture-name")).to_have_text("lake.png")
        await expect(page.locator("#picture-facts")).to_contain_text("300 \u00d7 200", timeout=PATIENCE_MS)
        await page.click("#open-pictures")
        await page.click("#use-frame")
        await expect(page.locator("#picture-facts")).to_contain_text("64 \u00d7 32", timeout=PATIENCE_MS)
        first = await page.evaluate(FRAMES)
        await page.wait_for_function(f"{FRAMES} >= {first + 24}")
        await is_state(page, "Live")
        await keep(page, "swap")
        await page.click("#stop")
        await is_state(page, "Ready")
        await expect(page.locator("#use-frame")).to_be_hidden()
        await leave(page)
    commands = [line for line in logged(tmp_path) if line["type"] == "command"]
    told = [(line["command"]["type"], line["command"].get("policy"), line["by"]) for line in commands]
    assert [one for one in told if one[0] in ("upload_image", "use_frame")] == [
        ("upload_image", "cut", "director-1"),
        ("upload_image", "blend", "director-1"),
        ("use_frame", "cut", "director-1"),
    ]


async def test_a_pasted_picture_and_enter_start_it(server: Server, open_page: Callable[..., Any]) -> None:
    """A picture can be pasted, and Enter in the prompt starts."""
    page = await open_page(server.url)
    await is_state(page, "Ready")
    await page.evaluate(PASTE, as_file(picture("WEBP"), "image.webp", "image/webp"))
    await shows(page, "still")
    await page.fill("#prompt", "snow")
    await page.press("#prompt", "Enter")
    await is_state(page, "Live")


async def test_a_large_picture_goes_up_in_pieces(server: Server, open_page: Callable[..., Any]) -> None:
    """Nearly ten megabytes arrive whole while the stream plays, and it plays on."""
    page = await open_page(server.url)
    await start_with_picture(page)
    assert 9_000_000 < await page.evaluate(DROP_NOISE, [1900, 1600]) < 10_485_760
    await expect(page.locator("#picture-name")).to_have_text("noise.png", timeout=PATIENCE_MS)
    await page.wait_for_function(
        "JSON.parse(sessionStorage['vivant.still'] ?? '{}').url?.length > 100000", timeout=4 * PATIENCE_MS
    )
    await expect(page.locator("#picture-error")).to_be_hidden()
    first = await page.evaluate(FRAMES)
    await page.wait_for_function(f"{FRAMES} > {first}")


async def test_a_reloaded_page_rejoins_its_stream(own_server: Server, open_page: Callable[..., Any]) -> None:
    """After a reload the same stream plays on, with its prompt and picture shown."""
    page = await open_page(own_server.url)
    await start_with_picture(page, "snow")
    await page.wait_for_function("sessionStorage['vivant.still'] !== undefined")
    stream = await page.evaluate("JSON.parse(sessionStorage['vivant.stream']).stream")
    await page.reload()
    await is_state(page, "Live")
    await shows(page, "video")
    assert await page.evaluate("JSON.parse(sessionStorage['vivant.stream']).stream") == stream
    await expect(page.locator("#prompt")).to_have_value("snow")
    await expect(page.locator("#thumbnail")).to_be_visible()


async def test_a_page_outlives_its_server(own_server: Server, open_page: Callable[..., Any]) -> None:
    """When the server comes back without the stream, the page brings picture and prompt to a new one."""
    page = await open_page(own_server.url)
    await start_with_picture(page, "snow")
    stream = await page.evaluate("JSON.parse(sessionStorage['vivant.stream']).stream")
    await asyncio.to_thread(own_server.end)
    await is_state(page, "Reconnecting…")
    await expect(page.locator("#status-error")).to_be_visible()
    await asyncio.to_thread(own_server.start)
    await is_state(page, "Ready")
    assert await page.evaluate("JSON.parse(sessionStorage['vivant.stream']).stream") != stream
    await page.click("#primary")
    await is_state(page, "Live")
    await shows(page, "video")
    page.errors.clear()  # the offers that nobody answered


async def test_the_page_follows_the_start_of_the_model(gate: Gate, open_page: Callable[..., Any]) -> None:
    """While the model starts the page says how far it is, asks about once a second, and then connects by itself."""
    stages = ("loading the transformer (2 of 5)", "warming up: chunk 3 of 5")
    with serving(ready=False, FAKE_STAGES=";".join(stages), FAKE_GATE=str(gate.port)) as server:
        page = await open_page(server.url)
        asked: list[float] = []
        page.on("request", lambda request: asked.append(now()) if request.url.endswith("/readyz") else None)
        now = asyncio.get_running_loop().time
        await is_state(page, "Loading…")
        status = page.get_by_role("status")
        for number, stage in enumerate(stages):
            await expect(status).to_have_text(f"the model is loading: {stage}", timeout=PATIENCE_MS)
            await expect(status).to_be_in_viewport()
            await expect(page.locator("#status-error")).to_be_hidden()
            await keep(page, f"loading-{number}")
            await gate.let_pass()
        await is_state(page, "Ready")
        await expect(status).to_have_text("")
        page.errors.clear()  # the browser logs each 503
        await leave(page)
    # On the whole, for the news of two requests may come together.
    assert len(asked) - 2 <= 1.2 * (asked[-1] - asked[0])


async def test_a_model_that_makes_video_from_text(open_page: Callable[..., Any]) -> None:
    """A model of both modes starts from text with no picture, and from a picture only with one."""
    with serving(FAKE_MODES="t2v,i2v", FAKE_NEEDS="A GPU of 24 GB.") as server:
        page = await open_page(server.url)
        await is_state(page, "Ready")
        await expect(page.locator("#model")).to_have_text("fake")
        await expect(page.locator("#model")).to_have_attribute("title", "A GPU of 24 GB.")
        await expect(page.locator("#mode-reason")).to_have_text("")
        await page.click("#primary")
        await expect(page.locator("#picture-error")).to_contain_text("Choose a picture first")
        await page.get_by_label("From text").check()
        await expect(page.locator("#empty-title")).to_have_text("Describe a scene below")
        await expect(page.locator("#picture-error")).to_be_hidden()
        await page.click("#examples button >> nth=1")
        await expect(page.locator("#prompt")).to_have_value("snow")
        await is_state(page, "Live")
        await shows(page, "video")
        await keep(page, "from-text")
        await page.click("#stop")
        await is_state(page, "Ready")
        await page.get_by_label("From a picture").check()
        await page.click("#primary")
        await expect(page.locator("#picture-error")).to_contain_text("Choose a picture first")
        await leave(page)


async def test_an_access_token_is_asked_for(open_page: Callable[..., Any]) -> None:
    """A server with an access token lets the page in when it is typed, and says when it is wrong."""
    with serving("server.access_token=open-sesame-open-sesame") as server:
        page = await open_page(server.url)
        await expect(page.locator("#token-dialog")).to_be_visible()
        await page.fill("#token", "wrong")
        await page.press("#token", "Enter")
        await expect(page.locator("#token-error")).to_be_visible()
        await page.fill("#token", "open-sesame-open-sesame")
        await page.press("#token", "Enter")
        await is_state(page, "Ready")
        page.errors.clear()  # the browser logs each 401
        await leave(page)


async def test_everything_is_reached_by_keyboard(server: Server, open_page: Callable[..., Any]) -> None:
    """Tab goes from the stage through the controls in the order they are seen, each with a visible focus."""
    page = await open_page(server.url)
    await is_state(page, "Ready")
    reached = []
    for _ in range(15):
        await page.keyboard.press("Tab")
        focused = await page.evaluate(
            "(({ activeElement: e }) => [e.id || e.title || e.textContent, getComputedStyle(e).outlineStyle])(document)"
        )
        reached.append(focused[0])
        assert focused[1] != "none" or focused[0] == "prompt", "its frame shows the focus"
    tools = ["open-pictures", "open-queue", "open-share", "theme", "help"]
    samples = ["Castle", "Abbey", "Red panda", "Meadow"]
    assert reached == [*tools, "choose", *samples, "prompt", "primary", "pan left", "snow", "seed"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_a_phone(server: Server, open_page: Callable[..., Any], scheme: str) -> None:
    """At 360 pixels nothing sticks out, and the video has the whole width."""
    page = await open_page(server.url, 360, 740, color_scheme=scheme)
    await start_with_picture(page)
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    assert await page.evaluate("document.getElementById('stage').clientWidth") > 320
    for panel in ("pictures", "queue", "share"):
        await page.click(f"#open-{panel}")
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        await keep(page, f"phone-{scheme}-{panel}")
        await page.click("#close-panel")
    await keep(page, f"phone-{scheme}")
