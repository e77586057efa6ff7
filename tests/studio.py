"""One stream on fakes, with one director and short ways to command it."""

import asyncio
import hashlib
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PIL import Image

from pipeline.interface import Pipeline
from stream.capacity import Capacity
from stream.checkpoints import Checkpoints
from stream.config import StreamConfig
from stream.control import Restart, Snapshot
from stream.live import LiveStream
from stream.meter import Unobserved
from stream.picture import Picture
from stream.playout import DueFrame
from stream.protocol import (
    Start,
    UploadImage,
)
from stream.recorder import Recordings
from stream.services import Services
from stream.session_log import SessionLogs
from tests.fake_engine import FakeEngine
from tests.fakes import FakeClock, FakeDirector, FakePipeline, FakeSink


def png(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (80, 40), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def opened(frame: DueFrame) -> Snapshot:
    """Give what the chunk that a frame opens was made under."""
    assert frame.opens is not None
    return frame.opens


class Studio:
    """One stream on fakes, with one director, and short ways to command it."""

    def __init__(
        self,
        modes: tuple[Any, ...] = ("i2v",),
        max_streams: int = 4,
        pipeline: Pipeline[Any] | None = None,
        recordings: str = "",
        sessions: SessionLogs | None = None,
        checkpoints: Checkpoints | None = None,
        seconds: tuple[float, ...] = (0.1, 0.08, 0.06, 0.05),
    ) -> None:
        self.clock = FakeClock()
        self.engine = FakeEngine(self.clock, pipeline or FakePipeline(modes=modes), seconds)
        ladder = self.engine.capabilities.quality
        self.capacity = Capacity(ladder, self.engine.chunk_seconds, 0.25, max_streams, self.clock.time)
        self.pictures = ThreadPoolExecutor(1)
        self.sink = FakeSink(self.clock)
        self.changes: list[str] = []
        self.forks: list[Restart[Picture]] = []
        services = Services(
            engine=self.engine,
            capacity=self.capacity,
            config=StreamConfig(),
            timer=self.clock,
            observer=Unobserved(),
            picture_thread=self.pictures,
            describe={"model": "fake"},
            recordings=Recordings.of(StreamConfig(recordings=recordings)),
            fork=self._fork,
            sessions=sessions or SessionLogs.of(StreamConfig()),
            checkpoints=checkpoints or Checkpoints(None, str, 5.0),
        )
        self.stream = LiveStream("s", "token", services, self._sink, lambda stream: self.changes.append(stream.state))
        self.director = FakeDirector()
        self.stream.attach_director(self.director)
        self.last_id = 0

    def _fork(self, start: Restart[Picture]) -> tuple[str, str]:
        self.forks.append(start)
        return "fork", "its token"

    def _sink(self, stream_id: str, take_slot: Callable[[], int]) -> FakeSink:
        return self.sink

    async def do(self, kind: type, director: FakeDirector | None = None, **values: Any) -> int:
        self.last_id += 1
        await self.stream.handle(director or self.director, kind(id=self.last_id, **values))
        return self.last_id

    async def announce(self, data: bytes, **entry: Any) -> UploadImage:
        self.last_id += 1
        digest = hashlib.sha256(data).hexdigest()
        message = UploadImage(self.last_id, len(data), "image/png", digest, **entry)
        await self.stream.handle(self.director, message)
        return message

    async def upload(self, red: int = 100, **entry: Any) -> int:
        message = await self.announce(png(red), **entry)
        await self.stream.upload_complete(self.director, message, png(red))
        return message.id

    async def captured(self) -> None:
        """Wait for the frames that are being made pictures."""
        await asyncio.gather(*self.stream._captures)

    async def go_live(self, seed: int | None = 7) -> None:
        await self.upload()
        await self.do(Start, seed=seed)
        await self.clock.advance(1.0)
        assert self.stream.state == "live"

    def answer(self, message_id: int) -> dict[str, Any]:
        """Give the last reply to a command."""
        return [message for message in self.director.messages if message.get("id") == message_id][-1]

    def error_code(self, message_id: int) -> str:
        reply = self.answer(message_id)
        assert reply["type"] == "error", reply
        return reply["code"]

    def pts_of(self, frame: int) -> int:
        return next(pts for _, index, pts in self.sink.frames if index == frame)

    def assert_names_a_frame(self, reply: dict[str, Any]) -> None:
        assert reply["rtp_timestamp"] == self.pts_of(reply["frame"]) + 7

    async def close(self) -> None:
        await self.stream.end("test over")
        self.pictures.shutdown()
