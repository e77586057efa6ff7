"""A director's program written from the wire contract alone, and the server process that it is run against.

It shares nothing with ``stream/``. ``$CONTRACT_SERVER`` names another program to start than the fake one:
``CONTRACT_SERVER="server.py model.weights=FILE" pytest tests/e2e/test_contract*.py``.
"""

import asyncio
import contextlib
import hashlib
import io
import itertools
import json
import os
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp
import aioice.ice
import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import get_capabilities
from aiortc.codecs.vpx import VpxPayloadDescriptor
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtpPacket
from multidict import CIMultiDictProxy
from PIL import Image

ROOT = Path(__file__).parents[1]
PROGRAM = shlex.split(os.environ.get("CONTRACT_SERVER", "-m tests.serve_fake"))
FAKE = "CONTRACT_SERVER" not in os.environ
PATIENCE_S = 10.0
STEP = 5625
"""Of an RTP timestamp, from frame to frame: 90 kHz at 16 frames a second."""


@dataclass(slots=True)
class Server:
    """A server process: where it is, and what it says."""

    process: subprocess.Popen[str]
    url: str = ""

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rsplit(":", 1)[1])

    def line(self) -> str:
        """Give the next line of its output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@contextlib.contextmanager
def serving(*options: str, ready: bool = True, **environ: str) -> Iterator[Server]:
    """Run the server on a free port; yields it when it is ready, or when it listens.

    Ends it with SIGKILL, and then looks whether it noted any error: no client may cause one.
    """
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [sys.executable, *PROGRAM, "server.port=0", *options],
            cwd=ROOT,
            env=os.environ | environ,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            server = Server(process)
            found = re.search(r"https?://[^ ,;]+", server.line())
            assert found
            server.url = found.group().rstrip("/")
            if ready:
                while (line := server.line()).startswith("Model: "):
                    pass
                assert line.startswith("Ready.")
            yield server
        finally:
            if process.poll() is None:
                process.kill()
        log.seek(0)
        noted = log.read()
        assert not re.search(r"Traceback| ERROR | CRITICAL |never retrieved|never awaited", noted), noted[-8000:]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: "CIMultiDictProxy[str]"
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    def is_error(self, status: int, code: str) -> dict[str, Any]:
        """Check that it is this error in the contract's shape; give the error."""
        assert self.status == status, (self.status, self.body)
        assert self.headers["Content-Type"].startswith("application/json")
        assert int(self.headers["Content-Length"]) == len(self.body)
        assert set(self.json) == {"error"}
        error = self.json["error"]
        assert error["code"] == code, error
        assert len(error["message"]) > 10, error
        assert "Traceback" not in error["message"], error
        return error


async def http(method: str, url: str, **options: Any) -> Answer:
    """Make a request of its own connection."""
    async with aiohttp.ClientSession() as session, session.request(method, url, **options) as response:
        return Answer(response.status, response.headers, await response.read())


def is_keyframe(codec: str, payload: bytes) -> bool:
    """Tell whether this RTP payload begins or belongs to a keyframe."""
    if codec == "VP8":
        descriptor, data = VpxPayloadDescriptor.parse(payload)
        return bool(descriptor.partition_start) and not descriptor.partition_id and bool(data) and not data[0] & 1
    kind = payload[0] & 0x1F
    if kind == 24:
        kind = payload[3] & 0x1F
    if kind == 28:
        kind = payload[1] & 0x1F
    return kind in (5, 7, 8)


class Peer:
    """A director: one recvonly video and the channel ``control``."""

    def __init__(self, server: Server, codecs: tuple[str, ...] = ("VP8", "H264"), channel: bool = True) -> None:
        self.server = server
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        video = self.connection.addTransceiver("video", direction="recvonly")
        known = get_capabilities("video").codecs
        video.setCodecPreferences([known_ for name in codecs for known_ in known if known_.mimeType == f"video/{name}"])
        self.receiver = video.receiver
        self.codec = codecs[0]
        self.ssrc = 0
        self.timestamps: list[int] = []
        self.arrivals: list[float] = []
        self.keyframes: list[int] = []
        self.packets: list[RtpPacket] = []
        self.pictures: dict[int, float] = {}
        """The gray of each decoded frame, by its RTP timestamp."""
        self.sizes: set[tuple[int, int]] = set()
        self.messages: list[dict[str, Any]] = []
        self.answer: dict[str, Any] = {}
        self.closed = asyncio.Event()
        self._ids = itertools.count(1)
        self._waiting: set[asyncio.Future[None]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._tap()
        self.connection.on("track", self._on_track)
        self.channel = self.connection.createDataChannel("control") if channel else None
        if self.channel is not None:
            self.channel.on("open", self._news)
            self.channel.on("message", self._on_message)
            self.channel.on("close", self.closed.set)

    async def offer(self) -> str:
        """Give the SDP of the offer, with loopback candidates alone."""
        with patch.object(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"]):
            await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def connect(self, **fields: Any) -> dict[str, Any]:
        """Offer, connect, and wait for the channel; gives the answer."""
        offer = {"type": "offer", "sdp": await self.offer(), **fields}
        answered = await http("POST", f"{self.server.url}/offer", json=offer)
        assert answered.status == 200, answered.body
        assert int(answered.headers["Content-Length"]) == len(answered.body)
        self.answer = answered.json
        await self.connection.setRemoteDescription(RTCSessionDescription(self.answer["sdp"], "answer"))
        if (channel := self.channel) is not None:
            await self.until(lambda: channel.readyState == "open")
        return self.answer

    @property
    def stream(self) -> str:
        """The URL of its stream."""
        return f"{self.server.url}/streams/{self.answer['stream']}"

    @property
    def bearer(self) -> dict[str, str]:
        """The header that holds its control token."""
        return {"Authorization": f"Bearer {self.answer['control_token']}"}

    def send_text(self, text: str) -> None:
        """Send any text."""
        assert self.channel is not None
        self.channel.send(text)

    def send_bytes(self, data: bytes, size: int = 65_536) -> None:
        """Send bytes, in messages of this size."""
        assert self.channel is not None
        for at in range(0, len(data), size):
            self.channel.send(data[at : at + size])

    def send(self, type: str, **fields: Any) -> int:
        """Send a command; gives its id."""
        id = next(self._ids)
        self.send_text(json.dumps({"type": type, "id": id, **fields}))
        return id

    async def until(self, holds: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
        """Wait until this holds, looking at each news; gives what it gave."""
        async with asyncio.timeout(seconds):
            while not (result := holds()):
                waiting = asyncio.get_running_loop().create_future()
                self._waiting.add(waiting)
                await waiting
        return result

    def of(self, id: int) -> list[dict[str, Any]]:
        """Give the replies to this command so far."""
        return [message for message in self.messages if message.get("id") == id]

    async def reply(self, id: int, type: str = "", seconds: float = PATIENCE_S) -> dict[str, Any]:
        """Wait for the first reply to this command, or the first of this type, past any progress."""

        def found() -> dict[str, Any] | None:
            replies = [reply for reply in self.of(id) if reply["type"] != "upload_progress"]
            return next((reply for reply in replies if not type or reply["type"] in (type, "error")), None)

        reply = await self.until(found, seconds)
        assert type in ("", reply["type"]), reply
        return reply

    async def ask(self, command: str, expects: str = "", **fields: Any) -> dict[str, Any]:
        """Send a command and wait for its reply of this type."""
        return await self.reply(self.send(command, **fields), expects)

    async def refused(self, id: int, code: str) -> dict[str, Any]:
        """Wait for the error that answers this command."""
        return check_error(await self.reply(id), code)

    async def error_without_id(self, code: str, after: int) -> dict[str, Any]:
        """Wait for an error that names no command, among the messages from this one on."""
        errors = lambda: [m for m in self.messages[after:] if m["type"] == "error" and "id" not in m]  # noqa: E731
        return check_error((await self.until(errors))[0], code)

    async def state(self, after: int = 0, **values: Any) -> dict[str, Any]:
        """Wait for a ``state`` message of these values."""
        wanted = {"type": "state", **values}
        return await self.until(lambda: next((m for m in self.messages[after:] if wanted.items() <= m.items()), None))

    async def upload(self, data: bytes, expects: str = "image_uploaded", chunk: int = 65_536, **fields: Any) -> Any:
        """Upload a picture and wait for the first reply."""
        id = self.send("upload_image", **described(data), **fields)
        self.send_bytes(data, chunk)
        return await self.reply(id, expects)

    async def live(self, data: bytes | None = None, **fields: Any) -> dict[str, Any]:
        """Upload a picture and start; gives ``started``."""
        await self.upload(picture() if data is None else data)
        return await self.ask("start", "started", **fields)

    async def shown(self, timestamp: int) -> float:
        """Wait for the decoded frame of this RTP timestamp; gives its gray."""
        await self.until(lambda: timestamp in self.pictures)
        return self.pictures[timestamp]

    async def is_shown(self, message: dict[str, Any], red: int = 0, take: int = 0) -> None:
        """Check that the frame that the message names came with the timestamp that it names, and is that frame.

        The fake model's gray is the picture's red plus the number of the frame since the ``take`` began.
        """
        gray = await self.shown(message["rtp_timestamp"])
        if FAKE:
            difference = (gray - red - message["frame"] + take + 128) % 256 - 128
            assert abs(difference) <= 4, (message, gray, difference)

    async def next_frame(self, count: int = 1) -> None:
        """Wait for so many more frames on the wire."""
        wanted = len(self.timestamps) + count
        await self.until(lambda: len(self.timestamps) >= wanted)

    async def even(self, count: int, step: int = STEP) -> list[float]:
        """Wait for the next frames that come so many in a row one step apart; gives their arrivals.

        A busy machine holds a frame for a slot now and then, a whole number of steps; a run without comes all the same.
        """
        first = len(self.timestamps)

        def found() -> list[float]:
            last = self.timestamps[first:][-count:]
            steps = [(b - a) % 2**32 for a, b in itertools.pairwise(last)]
            assert {a % STEP for a in steps} <= {0}, steps
            return self.arrivals[-count:] if len(last) == count and set(steps) == {step} else []

        return await self.until(found, 3 * PATIENCE_S)

    async def close(self, delete: bool = True) -> None:
        """Leave, and end the stream."""
        if delete and self.answer:
            await http("DELETE", self.stream, headers=self.bearer)
        await self.connection.close()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    def _news(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    def _on_message(self, text: str) -> None:
        self.messages.append(json.loads(text))
        self._news()

    def _tap(self) -> None:
        handle = self.receiver._handle_rtp_packet

        async def handle_rtp_packet(packet: RtpPacket, arrival_time_ms: int) -> None:
            if packet.payload:
                self.ssrc = packet.ssrc
                self.packets.append(packet)
                if packet.timestamp not in self.timestamps[-3:]:
                    self.timestamps.append(packet.timestamp)
                    self.arrivals.append(time.monotonic())
                if is_keyframe(self.codec, packet.payload) and packet.timestamp not in self.keyframes:
                    self.keyframes.append(packet.timestamp)
                self._news()
            await handle(packet, arrival_time_ms=arrival_time_ms)

        self.receiver._handle_rtp_packet = handle_rtp_packet

    def _on_track(self, track: MediaStreamTrack) -> None:
        async def read() -> None:
            with contextlib.suppress(MediaStreamError):
                while True:
                    frame = await track.recv()
                    assert isinstance(frame, av.VideoFrame)
                    assert frame.pts is not None
                    # aiortc's frames count from the first timestamp that came.
                    origin = self.receiver._RTCRtpReceiver__timestamp_mapper._origin  # pyright: ignore
                    pixels = frame.to_ndarray(format="rgb24")
                    self.sizes.add((frame.width, frame.height))
                    self.pictures[frame.pts + origin] = float(pixels[frame.height // 2 :, frame.width // 2 :].mean())
                    self._news()

        self._reader = asyncio.create_task(read(), name="contract-video")


def check_error(message: dict[str, Any], code: str) -> dict[str, Any]:
    """Check that this is such an error, in the contract's shape."""
    assert message["type"] == "error", message
    assert message["code"] == code, message
    assert isinstance(message["message"], str), message
    assert message["message"], message
    assert type(message["retryable"]) is bool, message
    return message


@contextlib.asynccontextmanager
async def directing(server: Server, codecs: tuple[str, ...] = ("VP8", "H264"), **fields: Any) -> AsyncIterator[Peer]:
    """A director of a stream of its own, which is deleted afterwards; ``fields`` go into the offer."""
    peer = Peer(server, codecs)
    try:
        await peer.connect(**fields)
        yield peer
    finally:
        await peer.close()


def described(data: bytes, mime: str = "image/png") -> dict[str, Any]:
    """Give what ``upload_image`` says about these bytes."""
    return {"size": len(data), "mime": mime, "sha256": hashlib.sha256(data).hexdigest()}


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Give a picture's file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(red: int = 0, size: tuple[int, int] = (200, 100), kind: str = "PNG") -> bytes:
    """Give a picture file of one colour."""
    return encoded(Image.new("RGB", size, (red, 0, 0)), kind, **({"quality": 95} if kind == "JPEG" else {}))


def noise(width: int = 400, height: int = 200) -> bytes:
    """Give a PNG that is as large as its pixels: some hundred kilobytes."""
    return encoded(Image.frombytes("RGB", (width, height), os.urandom(width * height * 3)))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Give a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes) -> bytes:
    """Give a PNG that says this size whatever its data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(data)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks
