"""Publishing by RTMP and SRT through FFmpeg: the encoder's own packets in a container, encoded no second time."""

import asyncio
import io
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import cache
from typing import Any, cast

import av
from av.container import OutputContainer
from av.error import FFmpegError, ProtocolNotFoundError

from stream.broadcast import Broadcast
from stream.clock import VIDEO_CLOCK_HZ
from stream.destination import AddressRule, Destination
from stream.errors import StreamError
from stream.live import LiveStream
from stream.subscription import Subscription, SubscriptionEnded, VideoPacket

logger = logging.getLogger(__name__)

CONTAINERS = {"rtmp": "flv", "rtmps": "flv", "srt": "mpegts"}
"""The container that each scheme wants."""
PROTOCOLS = {"rtmp": "rtmp,tcp", "rtmps": "rtmps,tls,tcp", "srt": "srt,udp"}
"""What FFmpeg may use for each: nothing that it could be led to besides."""
TIMEOUT_S = 10.0
TIME_BASE = Fraction(1, VIDEO_CLOCK_HZ)


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

    FFmpeg blocks, so it has a thread of its own; a far end that takes nothing for 10 s is lost.
    """

    def __init__(self, live: LiveStream, broadcast: Broadcast, destination: Destination, rule: AddressRule) -> None:
        self._live = live
        self._broadcast = broadcast
        self._destination = destination
        self._rule = rule
        self._thread = ThreadPoolExecutor(1, "publish")
        self._subscription: Subscription | None = None
        self._container: OutputContainer | None = None

    async def begin(self) -> None:
        """Connect, and send the first keyframe. Raises StreamError."""
        if not self._live.has_video:
            raise StreamError("wrong_state", "The stream makes no video yet: start it, then publish it.")
        address = await self._rule.resolve(self._destination)
        self._subscription = self._broadcast.subscribe("H264", is_viewer=True)
        try:
            first = await self._subscription.next()
            await self._in_thread(self._open, address, first)
        except SubscriptionEnded as error:
            raise StreamError("wrong_state", "The stream has ended; make another.") from error
        except FFmpegError as error:
            raise StreamError(
                "bad_gateway", f"{self._destination} did not take the stream ({error.strerror})."
            ) from error

    async def run(self, live: Callable[[], None]) -> str:
        """Send until it breaks; gives the reason."""
        assert self._subscription is not None
        live()
        try:
            while True:
                await self._in_thread(self._mux, await self._subscription.next())
        except SubscriptionEnded:
            return "the stream has ended"
        except FFmpegError as error:
            return f"{error.strerror}"

    async def end(self) -> None:
        """Close the connection; idempotent. A thread that is blocked in it ends by its timeout, unwaited."""
        if self._subscription is not None:
            self._subscription.close()
        container, self._container = self._container, None
        if container is not None:
            self._thread.submit(_close, container)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[..., None], *arguments: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _open(self, address: str, first: VideoPacket) -> None:
        container = av.open(muxer_url(self._destination, address), "w", format="tee")
        self._container = container
        # The parameter sets of the first keyframe, read out by FFmpeg, are what a container wants in its head.
        with av.open(io.BytesIO(bytes(first.encoded)), format="h264") as parsed:
            container.add_stream_from_template(parsed.streams.video[0])
        self._mux(first)

    def _mux(self, packet: VideoPacket) -> None:
        assert self._container is not None
        # A copy: the muxer changes a packet, and this one is everyone's.
        copy = av.Packet(bytes(packet.encoded))
        copy.pts = copy.dts = packet.pts
        copy.time_base = TIME_BASE
        copy.is_keyframe = packet.is_keyframe
        copy.stream = self._container.streams.video[0]
        self._container.mux(copy)


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
        options |= {"tls_verify": "1", "verifyhost": destination.host}
    return _slave(CONTAINERS[scheme], options, str(destination.url.with_host(address).with_port(destination.port)))


def _slave(container: str, options: dict[str, str], url: str) -> str:
    """Write one output of FFmpeg's muxer ``tee``, the one way in which PyAV hands options to a protocol."""
    listed = ":".join(f"{key}={_escaped(value)}" for key, value in {"f": container, **options}.items())
    return _escaped(f"[{listed}]{url}")


def _escaped(text: str) -> str:
    return re.sub(r"([^A-Za-z0-9_./-])", r"\\\1", text)


def _close(container: OutputContainer) -> None:
    try:
        container.close()
    except FFmpegError as error:
        logger.info("a connection ended badly: %s", error)
