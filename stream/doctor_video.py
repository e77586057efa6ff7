"""The doctor on video: encoders, the GPU, the model's weights, and a stream from this machine to itself."""

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import get_capabilities
from aiortc.mediastreams import MediaStreamError
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from pipeline.factory import POCKET_WEIGHTS
from pipeline.wan_files import choose, command, missing, readable, weights_folder
from stream.broadcast import Broadcast
from stream.clock import VIDEO_CLOCK_HZ
from stream.config import Config
from stream.congestion import BitrateBounds
from stream.finding import Finding
from stream.ice import connection_configuration
from stream.link import LinkEvents, LinkSettings, VideoLink
from stream.mux import muxable_schemes
from stream.sdp import read_viewer_offer

FPS = Fraction(16)
STEP = int(VIDEO_CLOCK_HZ / FPS)
SIZE = (64, 96)
KBPS = 500
PLAY_S = 8.0
NEEDED = ("libx264", "libvpx")
NVENC, NVENC_SIZE = "h264_nvenc", (256, 256)
GPU_QUERY = ("--query-gpu=name,memory.total,memory.free,driver_version", "--format=csv,noheader,nounits")
GPU_S = 10.0


def check_codecs() -> list[Finding]:
    """Look whether av's FFmpeg has the encoders, and what it can publish by."""
    lacking = [name for name in NEEDED if name not in av.codecs_available]
    build = f"av {av.__version__}"
    if lacking:
        fix = "pip install --force-reinstall --only-binary av av"
        return [Finding("fail", "codecs", f"{build} lacks {' and '.join(lacking)}", fix)]
    schemes = ", ".join(muxable_schemes()) or "WHIP alone"
    return [Finding("ok", "codecs", f"{build} has {', '.join(NEEDED)}; it publishes by {schemes}")]


async def check_gpu(config: Config, program: str = "nvidia-smi") -> list[Finding]:
    """Ask the driver for GPUs, and try the hardware encoder where there is one."""
    gpus = await _list_gpus(program)
    is_wan = config.model.kind == "wan"
    needs_one = (is_wan and config.wan.device != "cpu") or (not is_wan and config.model.device == "cuda")
    if not gpus:
        if needs_one:
            fix = "install the NVIDIA driver (nvidia-smi must list the GPU), or take configs/pocket.yaml"
            return [Finding("fail", "gpu", "none, and this model needs one", fix)]
        return [Finding("ok", "gpu", "none, and this model needs none")]
    findings = [Finding("ok", "gpu", gpu) for gpu in gpus]
    why = await asyncio.to_thread(try_nvenc)
    if why:
        return [*findings, Finding("warn", "nvenc", f"{why}; video is encoded on the CPU")]
    return [*findings, Finding("ok", "nvenc", f"{NVENC} opens")]


async def _list_gpus(program: str) -> list[str]:
    path = shutil.which(program)
    if path is None:
        return []
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(path, *GPU_QUERY, stdout=pipe, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(GPU_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in output.decode(errors="replace").splitlines()]
    return [f"{row[0]}, {row[2]} of {row[1]} MiB free, driver {row[3]}" for row in rows if len(row) == 4]


def try_nvenc() -> str:
    """Open the hardware's H.264 encoder; gives why it does not, or nothing."""
    if NVENC not in av.codecs_available:
        return f"this FFmpeg has no {NVENC}"
    encoder = VideoCodecContext.create(NVENC, "w")
    encoder.width, encoder.height, encoder.pix_fmt = *NVENC_SIZE, "yuv420p"
    encoder.time_base = 1 / FPS
    try:
        encoder.open()
    except (FFmpegError, OSError, ValueError) as error:
        return f"{NVENC} does not open ({error})"
    return ""


def check_weights(config: Config) -> list[Finding]:
    """Look whether the model's files lie where it will look for them, in their full size."""
    if config.model.kind == "pocket":
        path = Path(config.model.weights) if config.model.weights else POCKET_WEIGHTS
        if path.is_file():
            return [Finding("ok", "weights", f"pocket, {readable(path.stat().st_size)}")]
        return [Finding("fail", "weights", f"there is no {path}", "model.weights= for those that come with Vivant")]
    if config.model.weights:
        named = config.model.weights
        is_there = named == "random" or Path(named).expanduser().exists()
        return [Finding("ok", "weights", named) if is_there else _no_weights(named)]
    folder, name = weights_folder(config.wan.folder), config.wan.model
    lacking = missing(name, folder)
    if not lacking:
        return [Finding("ok", "weights", f"{choose(name).name}, all of its files are in {folder}")]
    size = readable(sum(file.size_bytes for file in lacking))
    return [Finding("fail", "weights", f"{len(lacking)} files ({size}) are not in {folder}", command(name, folder))]


def _no_weights(named: str) -> Finding:
    return Finding("fail", "weights", f"there is no {named}", "correct model.weights")


async def play(codec: str) -> float:
    """Stream to a client in this process; gives the seconds from the offer to the first decoded frame.

    Raises TimeoutError when none comes, StreamError when the offer is refused.
    """
    loop = asyncio.get_running_loop()
    slots = iter(range(STEP, VIDEO_CLOCK_HZ * 60, STEP))
    broadcast = Broadcast("doctor", lambda: next(slots), FPS, BitrateBounds(KBPS, KBPS, KBPS))
    link = VideoLink(broadcast, LinkSettings(lambda: connection_configuration([]), PLAY_S), LinkEvents(lambda _: None))
    client = RTCPeerConnection(connection_configuration([]))
    decoded: asyncio.Future[None] = loop.create_future()
    tasks = [loop.create_task(_publish(broadcast, slots), name="doctor-publish")]
    client.on("track", lambda track: tasks.append(loop.create_task(_read(track, decoded), name="doctor-read")))
    began = loop.time()
    try:
        async with asyncio.timeout(PLAY_S):
            transceiver = client.addTransceiver("video", direction="recvonly")
            known = get_capabilities("video").codecs
            transceiver.setCodecPreferences([one for one in known if one.mimeType == f"video/{codec}"])
            await client.setLocalDescription(await client.createOffer())
            answer = await link.answer(read_viewer_offer(client.localDescription.sdp), is_viewer=True)
            await client.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
            await decoded
        return loop.time() - began
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(client.close(), link.close())
        await broadcast.close()


async def _publish(broadcast: Broadcast, slots: Iterator[int]) -> None:
    for number, pts in enumerate(slots):
        await broadcast.publish(np.full((*SIZE, 3), 40 + number % 100, np.uint8), number, pts)
        await asyncio.sleep(float(1 / FPS))


async def _read(track: MediaStreamTrack, decoded: "asyncio.Future[None]") -> None:
    with contextlib.suppress(MediaStreamError):
        await track.recv()
        if not decoded.done():
            decoded.set_result(None)
