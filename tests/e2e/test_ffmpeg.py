"""A real ffmpeg pulls a stream, as OBS and VLC do: everything comes, in order, at its time."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from tests.contract import FAKE, Peer, Server, directing, picture

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
WIDTH, HEIGHT = 64, 32

pytestmark = pytest.mark.skipif(not FAKE, reason="the fake model's frames tell which they are")


async def ffmpeg(*arguments: str) -> bytes:
    """Run ffmpeg, which must find nothing to complain of; give its output."""
    process = await asyncio.create_subprocess_exec(
        FFMPEG,
        *("-hide_banner", "-nostdin", "-v", "error", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, errors.decode()) == (0, "")
    return output


async def pull(peer: Peer, seconds: float) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Decode so much of the stream; gives the gray of each frame."""
    gray = await ffmpeg(
        *("-xerror", "-i", f"{peer.stream}/live.ts", "-t", str(seconds)),
        *("-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"),
    )
    frames = np.frombuffer(gray, np.uint8).reshape(-1, HEIGHT, WIDTH)
    return frames[:, HEIGHT // 2 :, WIDTH // 2 :].mean(axis=(1, 2))


def assert_whole(gray: "np.ndarray[tuple[int], np.dtype[np.float64]]", frames: int) -> None:
    """Check that no frame is missing, twice or broken: each is one brighter than the one before, up to white.

    A busy machine holds a frame for a slot now and then, which makes fewer in the same time.
    """
    assert 0.75 * frames <= len(gray) <= frames + 1
    steps = (np.diff(gray) + 128) % 256 - 128
    assert np.abs(steps - 1).max() < 4
    assert abs(steps.sum() - len(steps)) < 4


@pytest.fixture
async def peer(server: Server) -> AsyncIterator[Peer]:
    """A director whose stream is live."""
    async with directing(server) as made:
        await made.live(picture(0))
        await made.next_frame(4)
        yield made


async def test_ffmpeg_pulls_the_stream(peer: Peer) -> None:
    """Four seconds are 64 frames, none lost or broken, from a keyframe at once; two readers get the same."""
    began = time.monotonic()
    first, second = await asyncio.gather(pull(peer, 4), pull(peer, 4))
    assert time.monotonic() - began < 12
    assert_whole(first, 64)
    assert_whole(second, 64)


async def test_what_ffmpeg_keeps_has_the_streams_times(peer: Peer, tmp_path: Path) -> None:
    """Copied to a file, the timestamps are those of the stream's slots: whole steps apart, one as a rule."""
    path = tmp_path / "kept.ts"
    url = f"{peer.stream}/live.ts"
    await ffmpeg("-copyts", "-i", url, *f"-frames:v 30 -c copy -muxdelay 0 -f framecrc {path}".split())
    lines = [line.split(",") for line in path.read_text().splitlines() if not line.startswith("#")]
    times = [int(line[2]) for line in lines]
    assert len(times) == 30
    assert np.median(np.diff(times)) == 5625
    assert {*np.array(times) % 5625} == {0}


@pytest.mark.slow
async def test_ffmpeg_pulls_the_stream_for_a_minute(peer: Peer) -> None:
    """Sixty seconds are 960 frames, none lost or broken, and the director misses none either."""
    gray = await pull(peer, 60)
    assert_whole(gray, 960)
    assert len(peer.timestamps) >= len(gray)
    assert {*np.diff(np.array(peer.timestamps)) % 5625} == {0}
