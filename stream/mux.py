"""Publishing by RTMP and SRT through FFmpeg: the encoder's own packets in a container, encoded no second time."""

import asyncio
import contextlib
import json
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import av
from av.container import OutputContainer
from av.error import FFmpegError, ProtocolNotFoundError

from stream.broadcast import Broadcast
from stream.destination import AddressRule, Destination
from stream.errors import StreamError
from stream.live import LiveStream
from stream.mux_process import frame
from stream.subscription import Subscription, SubscriptionEnded, VideoPacket

ROOT = Path(__file__).parents[1]
CONTAINERS = {"rtmp": "flv", "rtmps": "flv", "srt": "mpegts"}
"""The container that each scheme wants."""
PROTOCOLS = {"rtmp": "rtmp,tcp", "rtmps": "rtmps,tls,tcp", "srt": "srt,udp"}
"""What FFmpeg may use for each: nothing that it could be led to besides."""
TIMEOUT_S = 10.0
FAREWELL_S = 2.0
TLS_VERIFY = "1"


@cache
def muxable_schemes() -> tuple[str, ...]:
    """Give the schemes that this build of FFmpeg knows, of those that are allowed; connects to nothing."""
    return tuple(scheme for scheme in CONTAINERS if _knows(scheme))


def _knows(scheme: str) -> bool:
    try:
        # A protocol that is there is refused for not being on the list, before any address is looked at.
        with av.open(
            _slave(CONTAINERS[scheme], {"protocol_whitelist": "none"}, f"{scheme}://localhost/a/b"), "w", format="tee"
        ) as probe:
            probe.add_mux_stream("h264", width=2, height=2)
            cast(OutputContainer, probe).start_encoding()
    except ProtocolNotFoundError:
        return False
    except FFmpegError:
        return True
    return False


class MuxPush:
    """One attempt to push by RTMP or SRT, of :class:`stream.publication.Publication`.

    FFmpeg runs in a process of its own (:mod:`stream.mux_process`); a far end that takes nothing for 10 s is lost.
    """

    def __init__(self, live: LiveStream, broadcast: Broadcast, destination: Destination, rule: AddressRule) -> None:
        self._live = live
        self._broadcast = broadcast
        self._destination = destination
        self._rule = rule
        self._subscription: Subscription | None = None
        self._process: Process | None = None
        self._size = (0, 0)

    async def begin(self) -> None:
        """Connect, and send the first keyframe. Raises StreamError."""
        if not self._live.has_video:
            raise StreamError("wrong_state", "The stream makes no video yet: start it, then publish it.")
        address = await self._rule.resolve(self._destination)
        self._subscription = self._broadcast.subscribe("H264", is_viewer=True)
        # In a session of its own: Ctrl+C in a terminal is for the server, which ends it.
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stream.mux_process"),
            cwd=ROOT,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,
        )
        try:
            first = await self._subscription.next()
            self._size = first.size
            await self._write(json.dumps(muxer_url(self._destination, address)).encode() + b"\n")
            await self._send(first)
        except SubscriptionEnded as error:
            raise StreamError("wrong_state", "The stream has ended; make another.") from error
        except ConnectionError as error:
            raise StreamError("internal", "The process that publishes could not be started.") from error
        if (reason := await _told(process)) is not None:
            raise StreamError("bad_gateway", f"{self._destination} did not take the stream ({reason}).")

    async def run(self, live: Callable[[], None]) -> str:
        """Send until it breaks; gives the reason."""
        assert self._process is not None
        live()
        lost = asyncio.create_task(_told(self._process), name=f"publish-lost-{self._live.id}")
        sending = asyncio.create_task(self._send_all(), name=f"publish-send-{self._live.id}")
        try:
            await asyncio.wait({lost, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and not lost.done() and sending.result():
                return sending.result()
            return await lost or "it stopped"
        finally:
            for task in (lost, sending):
                task.cancel()
            await asyncio.gather(lost, sending, return_exceptions=True)

    async def end(self) -> None:
        """Close the connection; idempotent. It is given a moment to say farewell."""
        if self._subscription is not None:
            self._subscription.close()
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            async with asyncio.timeout(FAREWELL_S):
                await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def _send_all(self) -> str:
        """Send until the stream ends, or has another size than FLV told of at its head, and give the reason.

        Gives nothing when the process takes no more.
        """
        assert self._subscription is not None
        try:
            while True:
                packet = await self._subscription.next()
                if packet.size != self._size and CONTAINERS[self._destination.scheme] == "flv":
                    return f"the video is {packet.size[0]}x{packet.size[1]} now, and begins anew"
                await self._send(packet)
        except SubscriptionEnded:
            return "the stream has ended"
        except ConnectionError:
            return ""

    async def _send(self, packet: VideoPacket) -> None:
        await self._write(frame(packet.pts, packet.is_keyframe, bytes(packet.encoded)))

    async def _write(self, data: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        await self._process.stdin.drain()


async def _told(process: Process) -> str | None:
    """Wait for what it says next: None when the far end has taken the stream, else why it ends."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    news: dict[str, Any] = json.loads(line) if line else {"error": "its process ended"}
    return news.get("error")


def muxer_url(destination: Destination, address: str) -> str:
    """Give what FFmpeg is to open: the destination at the address that was checked, whatever its name means by now.

    RTMP servers that serve many names are told the right one in ``tcUrl``, and TLS verifies it.
    """
    scheme = destination.scheme
    options = {"protocol_whitelist": PROTOCOLS[scheme], "rw_timeout": str(round(TIMEOUT_S * 1_000_000))}
    if scheme != "srt":
        app, _, key = destination.url.raw_path_qs.lstrip("/").rpartition("/")
        options |= {"rtmp_app": app, "rtmp_playpath": key, "rtmp_tcurl": f"{destination}/{app}"}
        options["flvflags"] = "no_duration_filesize"
    if scheme == "rtmps":
        options |= {"tls_verify": TLS_VERIFY, "verifyhost": destination.host}
    return _slave(CONTAINERS[scheme], options, str(destination.url.with_host(address).with_port(destination.port)))


def _slave(container: str, options: dict[str, str], url: str) -> str:
    """Write one output of FFmpeg's muxer ``tee``, the one way in which PyAV hands options to a protocol."""
    listed = ":".join(f"{key}={_escaped(value)}" for key, value in {"f": container, **options}.items())
    return _escaped(f"[{listed}]{url}")


def _escaped(text: str) -> str:
    return re.sub(r"([^A-Za-z0-9_./-])", r"\\\1", text)
