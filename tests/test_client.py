"""The headless director, over real connections to a server with a fake model."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import Image

from pipeline.types import Conditioning, Pixels
from stream.broadcast import Broadcast
from stream.capabilities import describe
from stream.client import Director, DirectorError, Plan, ReceivedFrame, Refused, main, measure
from stream.client_director import UPLOAD_MESSAGE_BYTES
from stream.client_report import Report
from stream.client_video import RTP_MODULO
from stream.config import ServerConfig, StreamConfig
from stream.congestion import BitrateBounds
from stream.engine import ThreadEngine
from stream.metrics import Metrics
from stream.registry import Streams
from stream.signalling import Dependencies, build_app
from tests.fakes import FAIL, FakePipeline, FakeState

STEP = 5625
ACCESS = "sesame"


class Barcode(FakePipeline):
    """A fake whose frames say in bars, which survive the codec, their index (above) and prompt's length (below)."""

    def _frame(self, state: FakeState, conditioning: Conditioning, index: int, latent: int) -> Pixels:
        frame = np.zeros((self.height, self.width, 3), np.uint8)
        bar = self.width // 8
        for bit in range(8):
            columns = slice(bit * bar, (bit + 1) * bar)
            frame[: self.height // 2, columns] = 255 * (index >> bit & 1)
            frame[self.height // 2 :, columns] = 255 * (len(conditioning.prompt) >> bit & 1)
        return frame


def read_bars(picture: av.VideoFrame) -> tuple[int, int]:
    """Give (frame index modulo 256, prompt's length modulo 256)."""
    rows = picture.to_ndarray(format="gray").reshape(2, picture.height // 2, 8, -1).mean((1, 3))
    index, length = (sum(1 << bit for bit in range(8) if row[bit] > 128) for row in rows)
    return index, length


async def serve(pipeline: FakePipeline, server: ServerConfig) -> AsyncIterator[str]:
    """Run a whole server in this loop; gives its address."""
    engine = ThreadEngine(lambda progress: pipeline)
    await engine.start()
    config = StreamConfig()
    capabilities = describe(engine.capabilities, engine.format, config, "0")
    bounds = BitrateBounds(config.bitrate_kbps, config.min_bitrate_kbps, config.max_bitrate_kbps)
    metrics = Metrics(lambda: streams, lambda: engine.busy_s)
    streams = Streams(
        engine, config, lambda name, slot: Broadcast(name, slot, engine.format.fps, bounds), capabilities, metrics
    )
    app = build_app(Dependencies(streams, capabilities, server, config, metrics))
    async with TestServer(app) as running:
        yield str(running.make_url("/"))
    await engine.close()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The address of a whole server with a fake model."""
    async for address in serve(Barcode(width=128, height=64), ServerConfig()):
        yield address


def picture(side: int = 64) -> bytes:
    """Draw noise, which no compression makes smaller; a PNG."""
    file = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_prompt_is_timed_by_the_picture_it_made(url: str, codec: str) -> None:
    """The frame found by the RTP timestamp of ``prompt_applied`` is the first one that the new prompt made."""
    frames: list[ReceivedFrame] = []
    async with Director(url, codecs=[codec], on_frame=frames.append) as director:
        await director.connect()
        await director.upload(picture())
        started = await director.start(seed=1)
        await director.stay(started.arrived + 0.7)
        applied = await director.wait_applied(await director.set_prompt("snow"))
        await director.end()
    bars = {frame.rtp_timestamp: read_bars(frame.picture) for frame in frames}
    assert director.codec == codec
    assert director.size == (128, 64)
    assert (started.frame, bars[started.rtp_timestamp]) == (0, (0, 0))
    assert bars[applied.rtp_timestamp] == (applied.frame, len("snow"))
    before = [shown for timestamp, shown in bars.items() if (timestamp - applied.rtp_timestamp) % RTP_MODULO >= 2**31]
    assert before
    assert {length for _, length in before} == {0}
    assert applied.sent < applied.arrived < applied.decoded
    assert applied.sent < applied.told


async def test_a_large_picture_arrives_whole(url: str) -> None:
    """More than may wait in the channel at once goes up in small messages, and the hash is right."""
    data = picture(side=512)
    assert len(data) > 40 * UPLOAD_MESSAGE_BYTES
    async with Director(url) as director:
        await director.connect()
        uploaded = await director.upload(data, "image/png", "noise.png")
    assert (uploaded["width"], uploaded["height"]) == (512, 512)


async def test_refusals_carry_the_code_and_change_nothing(url: str) -> None:
    """A broken picture, a start without one, a foreign stream: each raises its code, and the stream still works."""
    async with Director(url) as director, Director(url) as stranger:
        welcome = await director.connect()
        assert welcome["stream"] == director.stream
        with pytest.raises(Refused) as corrupt:
            await director.upload(picture()[:-20])
        with pytest.raises(Refused) as missing:
            await director.start()
        with pytest.raises(Refused) as foreign:
            await stranger.connect(director.stream, "guessed")
        await director.upload(picture())
        assert (await director.start()).frame == 0
    assert [error.value.code for error in (corrupt, missing, foreign)] == ["image_corrupt", "no_image", "unauthorized"]


async def test_a_stream_can_be_joined(url: str) -> None:
    """A second director with the control token gets the video, and a command of its own is timed on it."""
    async with Director(url) as first, Director(url) as second:
        await first.connect()
        await first.upload(picture())
        started = await first.start()
        # A keyframe for who joins comes at most twice a second; frames before it are not for the second director.
        await first.stay(started.arrived + 0.6)
        await second.connect(first.stream, first.control_token)
        applied = await second.wait_applied(await second.set_prompt("rain"))
        async for frame in second.frames():
            if read_bars(frame.picture)[1] == len("rain"):
                break
        assert second.arrivals.find(applied.rtp_timestamp) is not None


async def test_the_end_is_noticed_at_once(url: str) -> None:
    """When the server ends the stream, waiting ends with its reason, and so does the video."""
    async with Director(url) as director:
        await director.connect()
        await director.upload(picture())
        started = await director.start()
        await director.end()
        with pytest.raises(DirectorError, match="goodbye, deleted"):
            await director.stay(started.arrived + 60)
        with pytest.raises(DirectorError, match="goodbye, deleted"):
            await director.set_prompt("late")
    assert [frame async for frame in director.frames()] == []


async def test_what_on_frame_raises_is_not_lost(url: str) -> None:
    """An error in the caller's own callback comes out when the director is closed."""

    def fail(frame: ReceivedFrame) -> None:
        raise ZeroDivisionError

    director = Director(url, on_frame=fail)
    await director.connect()
    await director.upload(picture())
    await director.start()
    with pytest.raises(ZeroDivisionError):
        await director.close()
    await director.close()


async def test_an_access_token_is_shown() -> None:
    """A server that asks for a token lets in who has it, and tells who has not."""
    async for address in serve(FakePipeline(), ServerConfig(access_token=ACCESS)):
        async with Director(address, token=ACCESS) as director:
            await director.connect()
            await director.end()
        async with Director(address) as director:
            with pytest.raises(Refused, match="unauthorized"):
                await director.connect()


async def test_what_is_no_such_server_is_named(unused_tcp_port: int) -> None:
    """Nobody listening, another server, an address that is none: one sentence each."""
    async with Director(f"127.0.0.1:{unused_tcp_port}") as director:
        with pytest.raises(DirectorError, match=f"can't reach http://127.0.0.1:{unused_tcp_port}"):
            await director.connect()
    async with TestServer(web.Application()) as other, Director(str(other.make_url("/"))) as director:
        with pytest.raises(DirectorError, match=r"answered 404 Not Found.*right address"):
            await director.connect()
    with pytest.raises(DirectorError, match="no address"):
        Director("ftp://127.0.0.1")


async def test_the_command_line(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints a table, writes the figures and the video it received, and leaves no stream behind."""
    mp4, figures, image = tmp_path / "out.mp4", tmp_path / "out.json", tmp_path / "in.png"
    image.write_bytes(picture())
    plan = f"--image {image} --seconds 2 --latency 1 --codec h264 --seed 3 --mp4 {mp4} --json {figures}".split()
    assert await asyncio.to_thread(main, [url, *plan, "--prompt", "0:at once", "--prompt", "0.5:later"]) == 0
    (user,) = json.loads(figures.read_text())["users"]
    assert user["codec"] == "H264"
    assert [change["prompt"] for change in user["prompts"]] == ["later", "pan left"]
    assert user["timestamps"]["step"] == STEP
    assert user["timestamps"]["irregular"] == 0
    assert user["frames"] >= user["decoded"] > 20
    assert user["capacity"]["fps"] > 16
    assert all(change["arrived_ms"] < change["decoded_ms"] for change in user["prompts"])
    with av.open(str(mp4)) as container:
        video = [(frame.pts, read_bars(frame)) for frame in container.decode(video=0)]
        assert container.streams.video[0].time_base == Fraction(1, 90_000)
    assert video[0] == (0, (0, len("at once")))
    assert len(video) == user["decoded"]
    printed = capsys.readouterr().out
    assert "prompt to screen" in printed
    assert f"{user['frames']} frames" in printed
    async with Director(url) as director:
        metrics = await director.request("GET", "/metrics")
    assert 'vivant_streams{state="live"} 0.0' in metrics


async def test_users_are_measured_apart(url: str) -> None:
    """Several directors each get a stream and a report; what fails for one is told beside."""
    first, second = await measure(url, Plan(seconds=0.6), users=2)
    assert isinstance(first, Report)
    assert isinstance(second, Report)
    assert first.stream != second.stream
    assert min(first.frames, second.frames) > 4
    assert (first.width, first.height) == (128, 64)


async def test_no_video_is_a_failure(url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A model that fails at once: status 1 and the server's reason, no table; the figures file says it too."""
    figures = tmp_path / "out.json"
    assert await asyncio.to_thread(main, [url, "--prompt", f"0:{FAIL}", "--json", str(figures)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "The model failed" in captured.err
    assert json.loads(figures.read_text())["users"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "URL"),
        (["--prompt", "snow"], "a colon"),
        (["--prompt", "nan:snow"], "a colon"),
        (["--prompt", "10:snow"], "after the end"),
        (["--seconds", "0"], "above 0"),
        (["--latency", "-1"], "whole number"),
        (["--users", "0"], "1 at least"),
        (["--image", "none.jpg"], "none.jpg"),
        (["--mp4", "nowhere/out.mp4"], "no folder nowhere"),
        (["--codec", "av1"], "h264"),
    ],
)
def test_misuse(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    """What can't be meant is refused with status 2, before a connection is made."""
    with pytest.raises(SystemExit) as ended:
        main([*(["http://127.0.0.1:9"] if arguments else []), *arguments])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


async def test_a_start_can_wait() -> None:
    """With ``wait_s`` the picture has been there for so long when the take is opened."""
    opened: list[float] = []
    seen: list[float] = []

    class Watching(Barcode):
        def prepare(self, conditioning: Conditioning) -> None:
            seen.append(time.monotonic())

        def open(self, conditioning: Conditioning) -> Any:
            opened.append(time.monotonic())
            return super().open(conditioning)

    async for address in serve(Watching(width=128, height=64), ServerConfig()):
        opened.clear()
        (report,) = await measure(address, Plan(seconds=0.5, wait_s=0.4))
        assert isinstance(report, Report)
    assert opened[0] - seen[0] >= 0.35


async def test_typed_prompts_are_read_before_they_are_set() -> None:
    """With ``is_typed`` the model is given each prompt of the plan to read, and all else is as without."""
    read: list[str] = []

    class Reading(Barcode):
        def prepare(self, conditioning: Conditioning) -> None:
            read.append(conditioning.prompt)

    reports: list[Report | DirectorError] = []
    async for address in serve(Reading(width=128, height=64), ServerConfig()):
        reports += await measure(address, Plan(seconds=1.2, prompts=((0.6, "rain"),), is_typed=True))
    (report,) = reports
    assert isinstance(report, Report)
    assert [change.prompt for change in report.prompts] == ["rain"]
    # Before that, its picture was looked at.
    assert read == ["", "rain"]
