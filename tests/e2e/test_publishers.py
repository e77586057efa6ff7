"""Programs that people publish with, before the real server with a fake model: ffmpeg and a browser's camera."""

import asyncio
import signal
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.conftest import IN_SESSION
from tests.contract import Peer, Server, directing, http, picture
from tests.e2e.test_browser import PATIENCE_MS
from tests.e2e.test_contract_whep import until

RED = 120
PUBLISH = """async ([url, token, codec]) => {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 }, audio: true });
  const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  const sender = connection.addTransceiver(stream.getVideoTracks()[0], { direction: "sendonly", streams: [stream] });
  connection.addTransceiver(stream.getAudioTracks()[0], { direction: "sendonly", streams: [stream] });
  const known = RTCRtpSender.getCapabilities("video").codecs;
  sender.setCodecPreferences(known.filter((one) => one.mimeType === `video/${codec}`));
  const early = [];
  connection.onicecandidate = ({ candidate }) => candidate?.candidate && early.push(candidate.candidate);
  const gathered = new Promise((done) => {
    connection.onicegatheringstatechange = () => connection.iceGatheringState === "complete" && done();
  });
  await connection.setLocalDescription();
  const bare = connection.localDescription.sdp.replace(/^a=candidate.*\\r\\n/gm, "");
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/sdp" };
  const response = await fetch(url, { method: "POST", headers, body: bare });
  if (response.status !== 201) throw new Error(await response.text());
  const session = new URL(response.headers.get("Location"), url).href;
  await connection.setRemoteDescription({ type: "answer", sdp: await response.text() });
  await gathered;
  const patched = await fetch(session, {
    method: "PATCH",
    headers: { ...headers, "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*" },
    body: early.map((line) => `a=${line}\\r\\n`).join(""),
  });
  window.publisher = { connection, sender: sender.sender, session };
  return patched.status;
}"""
SHRINK = """async () => {
  const parameters = publisher.sender.getParameters();
  parameters.encodings[0].scaleResolutionDownBy = 2;
  await publisher.sender.setParameters(parameters);
}"""
UNPUBLISH = """async () => {
  const { status } = await fetch(publisher.session, { method: "DELETE" });
  publisher.connection.close();
  return status;
}"""


async def publisher(peer: Peer) -> dict[str, Any]:
    """Give what the stream tells of its publisher; nothing where there is none."""
    return (await http("GET", peer.stream)).json.get("publisher", {})


async def publishes(peer: Peer, width: int, height: int) -> None:
    """Wait until pictures of this size come."""
    wanted = {"state": "live", "width": width, "height": height}

    async def holds() -> bool:
        return await publisher(peer) == wanted

    await until(holds, 15)
    await peer.state(publisher=wanted)


async def is_gone(peer: Peer, seconds: float) -> None:
    async def holds() -> bool:
        return not await publisher(peer)

    await until(holds, seconds)


def ffmpeg_arguments(peer: Peer, *more: str) -> list[str]:
    """Give the arguments that publish a red video with a tone, as the README has it."""
    source = ["-re", "-f", "lavfi", "-i", f"color=c=0x{RED:02x}0000:s=320x240:r=15", "-f", "lavfi", "-i", "sine"]
    video = ["-c:v", "libx264", "-profile:v", "baseline", "-bf", "0", "-g", "30", "-pix_fmt", "yuv420p"]
    audio = ["-c:a", "libopus", "-ar", "48000", "-ac", "2"]
    url = peer.server.url + peer.answer["whip_url"]
    token = peer.answer["control_token"]
    return [*source, *video, *audio, "-f", "whip", "-authorization", token, *more, url]


@pytest.mark.parametrize("flags", [["-whip_flags", "dtls_active"], []], ids=["dtls_active", "plain"])
async def test_ffmpeg_publishes(server: Server, ffmpeg_path: str, flags: list[str]) -> None:
    """ffmpeg's WHIP, with audio; its newest frame is the picture on command; its end is noticed at once."""
    async with directing(server) as peer:
        await peer.live(picture(10))
        arguments = ["-hide_banner", "-loglevel", "error", *ffmpeg_arguments(peer, *flags)]
        process = await asyncio.create_subprocess_exec(ffmpeg_path, *arguments)
        try:
            await publishes(peer, 320, 240)
            applied = await peer.ask("use_camera_frame", "image_applied")
            await peer.is_shown(applied, red=RED, take=applied["frame"])
            await peer.state(image=(await http("GET", peer.stream)).json["image"])
            assert (await http("GET", peer.stream)).json["image"]["width"] == 320
            process.send_signal(signal.SIGINT)
            await is_gone(peer, 3)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
        await peer.refused(peer.send("use_camera_frame"), "wrong_state")


async def test_ffmpeg_with_another_token(server: Server, ffmpeg_path: str) -> None:
    """It is refused, and ends."""
    async with directing(server) as peer:
        arguments = ffmpeg_arguments(peer)
        arguments[arguments.index(peer.answer["control_token"])] = "wrong"
        process = await asyncio.create_subprocess_exec(ffmpeg_path, *arguments, stderr=asyncio.subprocess.PIPE)
        _, said = await process.communicate()
        assert process.returncode != 0
        assert b"401" in said
        assert await publisher(peer) == {}


async def test_ffmpeg_that_is_killed(server: Server, ffmpeg_path: str) -> None:
    """Who vanishes is noticed within about 5 s, and another may publish."""
    async with directing(server) as peer:
        process = await asyncio.create_subprocess_exec(
            ffmpeg_path, *ffmpeg_arguments(peer), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await publishes(peer, 320, 240)
        finally:
            process.kill()
            await process.wait()
        await is_gone(peer, 6)


@pytest_asyncio.fixture(loop_scope="session")
async def camera_page(browser: Browser, server: Server) -> Page:
    """A page of the server's own in a browser with a camera."""
    page = await browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(f"{server.url}/healthz")
    return page


@pytest.mark.browser
@IN_SESSION
@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_browser_publishes(server: Server, camera_page: Page, codec: str) -> None:
    """Its camera by trickled candidates and with audio; the size may change; the frame on command is the picture."""
    async with directing(server) as peer:
        await peer.live(picture(10))
        where = server.url + peer.answer["whip_url"]
        assert await camera_page.evaluate(PUBLISH, [where, peer.answer["control_token"], codec]) == 204
        await until(lambda: is_live(peer), 15)
        await peer.ask("use_camera_frame", "image_applied")
        image = (await http("GET", peer.stream)).json["image"]
        assert image["width"] / image["height"] == 640 / 480
        before = (await publisher(peer))["width"]
        await camera_page.evaluate(SHRINK)
        await until(lambda: is_smaller(peer, before), 10)
        assert await camera_page.evaluate(UNPUBLISH) == 200
        await is_gone(peer, 1)


async def is_live(peer: Peer) -> bool:
    return (await publisher(peer)).get("state") == "live"


async def is_smaller(peer: Peer, width: int) -> bool:
    return (await publisher(peer)).get("width", width) < width
