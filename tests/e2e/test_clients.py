"""Other programs watch, pull and publish, before the real server with a fake model.

GStreamer's webrtcbin, two WebRTC stacks from npm (werift, and libdatachannel, which OBS has its WHIP output from),
VLC and Firefox. Who lacks one has a skip that says so; CI must have GStreamer and the two from npm.
"""

import asyncio
import contextlib
import io
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.contract import STEP, Peer, Server, directing, http, is_keyframe, picture
from tests.e2e.test_contract_whep import until
from tests.e2e.test_publishers import RED, is_gone, publishes

# Ten seconds each, most of them the program's own start and end.
pytestmark = pytest.mark.slow

CLIENTS = Path(__file__).parent / "clients"
FRAMES = 20
CODECS = ("VP8", "H264")
RTP_ENCODERS = {
    "VP8": ("-c:v", "libvpx", "-deadline", "realtime"),
    "H264": ("-c:v", "libx264", "-profile:v", "baseline", "-bf", "0", "-tune", "zerolatency", "-bsf:v", "dump_extra"),
}


class Program:
    """A program that tells its steps as lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def told(self, key: str, seconds: float = 15) -> Any:
        """Wait for the line that has this key; gives its value."""
        assert self.process.stdout is not None
        async with asyncio.timeout(seconds):
            while line := await self.process.stdout.readline():
                if key in (news := json.loads(line)):
                    return news[key]
        raise AssertionError(f"it ended without {key!r}")

    async def leave(self) -> None:
        """Ask it to end its session, and wait until it is done."""
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            await self.process.wait()


@contextlib.asynccontextmanager
async def running(*command: str | Path) -> AsyncIterator[Program]:
    """Run a program, killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(*map(str, command), stdout=asyncio.subprocess.PIPE)
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def rtp_source(ffmpeg: str, codec: str, port: int) -> AsyncIterator[None]:
    """Send a red video as RTP, a keyframe every two seconds."""
    source = ("-re", "-f", "lavfi", "-i", f"color=c=0x{RED:02x}0000:s=320x240:r=15", "-pix_fmt", "yuv420p")
    rtp = ("-g", "30", "-payload_type", "96", "-ssrc", "42", "-f", "rtp", f"rtp://127.0.0.1:{port}?pkt_size=1200")
    async with running(ffmpeg, "-loglevel", "error", *source, *RTP_ENCODERS[codec], *rtp):
        yield


def where(peer: Peer, kind: str) -> str:
    """Give the URL of a stream's endpoint."""
    return peer.server.url + peer.answer[f"{kind}_url"]


def is_regular(timestamps: list[int]) -> bool:
    """Tell whether frames came slot by slot; a busy machine holds a slot now and then."""
    steps = np.diff(timestamps) % 2**32
    return bool(np.median(steps) == STEP and not np.any(steps % STEP))


async def viewers(peer: Peer, count: int) -> None:
    async def counted() -> bool:
        return (await http("GET", peer.stream)).json["viewers"] == count

    await until(counted, 10)


async def test_werift_watches(server: Server, node_path: str) -> None:
    """Two viewers, one of each codec: a keyframe first, then frame after frame; they leave by DELETE."""

    async def watch(codec: str) -> None:
        async with running(node_path, CLIENTS / "werift_peer.mjs", "watch", url, codec, str(FRAMES)) as viewer:
            assert is_keyframe(codec, bytes.fromhex(await viewer.told("first")))
            assert is_regular(await viewer.told("timestamps"))
            assert await viewer.told("left") == 200

    async with directing(server) as peer:
        await peer.live(picture(10))
        url = where(peer, "whep")
        await asyncio.gather(*map(watch, CODECS))
        await viewers(peer, 0)


async def test_werift_publishes(server: Server, node_path: str, ffmpeg_path: str) -> None:
    """Its video becomes the stream's camera; its picture is the one that was sent; it leaves at once."""
    async with directing(server) as peer:
        await peer.live(picture(10))
        command = ("publish", where(peer, "whip"), "VP8", peer.answer["control_token"])
        async with running(node_path, CLIENTS / "werift_peer.mjs", *command) as program:
            async with rtp_source(ffmpeg_path, "VP8", await program.told("port")):
                await publishes(peer, 320, 240)
                applied = await peer.ask("use_camera_frame", "image_applied")
                await peer.is_shown(applied, red=RED, take=applied["frame"])
            await program.leave()
        await is_gone(peer, 1)


async def test_libdatachannel_publishes_like_obs(server: Server, node_path: str, ffmpeg_path: str) -> None:
    """Audio first, no candidates, nobody who answers a PLI: the picture comes with the next keyframe."""
    async with directing(server) as peer:
        await peer.live(picture(10))
        command = (where(peer, "whip"), peer.answer["control_token"])
        async with running(node_path, CLIENTS / "libdatachannel_peer.mjs", *command) as program:
            async with rtp_source(ffmpeg_path, "H264", await program.told("port")):
                await publishes(peer, 320, 240)
                applied = await peer.ask("use_camera_frame", "image_applied")
                await peer.is_shown(applied, red=RED, take=applied["frame"])
            await program.leave()
        await is_gone(peer, 1)


async def test_gstreamer_watches(server: Server, gstreamer_python: str) -> None:
    """webrtcbin, which has RSA certificates, decodes either codec at the stream's size; it leaves by DELETE."""

    async def watch(codec: str) -> None:
        arguments = ("watch", url, "--codec", codec, "--frames", str(FRAMES))
        async with running(gstreamer_python, CLIENTS / "gstreamer_peer.py", *arguments) as viewer:
            assert await viewer.told("size") == [64, 32]
            assert await viewer.process.wait() == 0

    async with directing(server) as peer:
        await peer.live(picture(10))
        url = where(peer, "whep")
        await asyncio.gather(*map(watch, CODECS))
        await viewers(peer, 0)


async def test_gstreamer_publishes(server: Server, gstreamer_python: str) -> None:
    """Its test picture arrives by either codec; it leaves at once."""

    async def publish(codec: str) -> None:
        async with directing(server) as peer:
            arguments = ("publish", where(peer, "whip"), peer.answer["control_token"], "--codec", codec)
            async with running(gstreamer_python, CLIENTS / "gstreamer_peer.py", *arguments) as program:
                await publishes(peer, 320, 240)
                await program.leave()
            await is_gone(peer, 1)

    await asyncio.gather(*map(publish, CODECS))


async def test_gstreamer_pulls(server: Server, gstreamer_python: str) -> None:
    """The pipeline of the README decodes MPEG-TS over HTTP."""
    async with directing(server) as peer:
        await peer.live(picture(10))
        pull = f"souphttpsrc is-live=true location={peer.stream}/live.ts ! tsdemux ! h264parse ! openh264dec"
        pipeline = f"{pull} ! identity eos-after={FRAMES} ! fakesink"
        async with running("gst-launch-1.0", "-q", *pipeline.split()) as program, asyncio.timeout(15):
            assert await program.process.wait() == 0


async def test_vlc_pulls(server: Server) -> None:
    """VLC takes the MPEG-TS for four seconds and hands on each frame at its time."""
    if shutil.which("cvlc") is None:
        pytest.skip("no VLC, so this test did NOT run: apt-get install vlc-bin vlc-plugin-base")
    # It does not run as root.
    somebody = ("runuser", "-u", "nobody", "--") if os.geteuid() == 0 else ()
    options = ("-I", "dummy", "--no-audio", "--quiet", "--run-time=4", "--network-caching=300")
    async with directing(server) as peer:
        await peer.live(picture(10))
        command = ("cvlc", *options, f"{peer.stream}/live.ts", "vlc://quit", "--sout", "#std{access=file,mux=ts,dst=-}")
        async with running(*somebody, *command) as program, asyncio.timeout(20):
            kept, _ = await program.process.communicate()
    with av.open(io.BytesIO(kept), "r") as container:
        times = [frame.pts for frame in container.decode(video=0) if frame.pts is not None]
    assert len(times) > 30
    assert is_regular(times)
