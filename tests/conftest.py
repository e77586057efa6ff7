"""What many tests share: the browser, and the rule for machines that lack one."""

import gc
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hypothesis
import pytest
import pytest_asyncio

from tests.gate import Gate

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread a worker, and a server that it starts, or torch would compute on every core for each. Before it is
    # imported: it reads this once.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Threads that wait for each other in a loop take the cores from the other worker's.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Until all tests are collected nothing is garbage. It is looked for from then on, and never among what is there by
# then, or each look would go through a million objects of tests, of torch and of what they import.
gc.disable()

# The default gives each example 200 ms by the wall clock, which other work on the machine uses up.
hypothesis.settings.register_profile("busy", deadline=None)
hypothesis.settings.load_profile("busy")

# What servers that tests start keep of their streams; each worker's are its own, for a folder is one server's.
_state = tempfile.TemporaryDirectory(prefix="vivant-state-")
os.environ["XDG_STATE_HOME"] = _state.name

if TYPE_CHECKING:
    from playwright.async_api import Browser

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    # Real addresses instead of mDNS names, and loopback among them: nothing leaves the machine.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--allow-loopback-in-peer-connection",
    # A camera that nobody is asked for.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
IN_SESSION = pytest.mark.asyncio(loop_scope="session")
"""For tests with a browser: Playwright's objects belong to the event loop that started it."""

CLIENTS = Path(__file__).parent / "e2e" / "clients"
# nicesrc is what webrtcbin can't do without, and lies in a package of its own.
GSTREAMER_CHECK = """
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstWebRTC
Gst.init(None)
assert all(map(Gst.ElementFactory.find, "webrtcbin nicesrc vp8enc x264enc openh264dec tsdemux souphttpsrc".split()))
"""


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For networks too small to share out: on a busy machine more threads take twenty times as long."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def find_chromium() -> str | None:
    """Give the path of the browser to test with: ``$CHROMIUM``, or the first one on the PATH."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def without_client(environ: "os._Environ[str] | dict[str, str]", client: str, fix: str) -> NoReturn:
    """End a test that lacks its client: a failure in CI, where nobody reads skips, else a skip with the fix."""
    if environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(f"no {client}, and CI must run the tests with it: {fix}", pytrace=False)
    pytest.skip(f"no {client}, so this test did NOT run: {fix}")


def without_browser(environ: "os._Environ[str] | dict[str, str]") -> NoReturn:
    """End a test that has no browser."""
    without_client(environ, "Chromium", "apt-get install chromium")


def find_ffmpeg() -> str | None:
    """Give the path of an ffmpeg that can publish by WHIP: ``$FFMPEG``, imageio-ffmpeg's, or the one on the PATH."""
    packaged = None
    if importlib.util.find_spec("imageio_ffmpeg") is not None:
        packaged = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    for path in filter(None, (os.environ.get("FFMPEG"), packaged, shutil.which("ffmpeg"))):
        muxers = subprocess.run([path, "-hide_banner", "-muxers"], capture_output=True, text=True, check=True).stdout
        if " whip " in muxers:
            return path
    return None


@pytest.fixture(scope="session")
def ffmpeg_path() -> str:
    """An ffmpeg with the WHIP muxer; without one the test is skipped, in CI failed."""
    return find_ffmpeg() or without_client(os.environ, "ffmpeg with WHIP", "pip install imageio-ffmpeg")


@pytest.fixture(scope="session")
def node_path() -> str:
    """Node, where the WebRTC stacks from npm are installed too; without them a skip, in CI a failure."""
    path = shutil.which("node")
    if path is None or not (CLIENTS / "node_modules" / "werift").is_dir():
        without_client(os.environ, "Node with the packages of tests/e2e/clients", f"npm ci --prefix {CLIENTS}")
    return path


@pytest.fixture(scope="session")
def gstreamer_python() -> str:
    """A Python that has GStreamer's webrtcbin; without one a skip, in CI a failure."""
    for path in filter(None, (os.environ.get("GSTREAMER_PYTHON"), "/usr/bin/python3")):
        if subprocess.run([path, "-c", GSTREAMER_CHECK], capture_output=True, check=False).returncode == 0:
            return path
    without_client(os.environ, "GStreamer with webrtcbin for Python", f"apt-get install $(cat {CLIENTS}/apt.txt)")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The browser's executable; without one the test is skipped, in CI failed."""
    path = find_chromium()
    return path or without_browser(os.environ)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium(chromium_path: str) -> "AsyncIterator[Browser]":
    """A headless Chromium: to start one takes 3 s on one core, a context of it a tenth of that."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium_path, args=list(CHROMIUM_ARGS))
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(chromium: "Browser") -> "AsyncIterator[Browser]":
    """The shared Chromium; what the test opens in it is its own, and closed. Its test is ``IN_SESSION`` as well."""
    yield chromium
    for context in chromium.contexts:
        await context.close()


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    """A gate for a fake model; at the end whoever stands there is let through."""
    async with Gate() as made:
        yield made


@contextmanager
def own_arithmetic() -> Iterator[None]:
    """A pipeline that is built flushes denormals and takes all cores for the whole process: here only as long.

    Other tests draw denormals. And two workers that compute on two cores each spend twice the time of the CPU on all
    that follows, much of it waiting for each other.
    """
    before = None if (torch := sys.modules.get("torch")) is None else torch.get_num_threads()
    yield
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_flush_denormal(False)
        if before is not None and torch.get_num_threads() != before:
            torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _own_arithmetic() -> Iterator[None]:
    with own_arithmetic():
        yield


def pytest_collection_finish() -> None:
    """Look for garbage again, see above; seldom, since tests make objects by the thousand and few circles of them."""
    gc.freeze()
    gc.set_threshold(5000, 10, 10)
    gc.enable()


def pytest_sessionfinish() -> None:
    """Look for what is left, once: pytest looks five times at the end, each time through all that is there."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked ``gpu`` where there is none; torch is imported only if such a test is there."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
