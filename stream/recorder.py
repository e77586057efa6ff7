"""Recording a stream: its H.264 packets into a fragmented MP4, with no encode of its own."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from av.error import FFmpegError

from stream.clock import VIDEO_CLOCK_HZ
from stream.config import StreamConfig
from stream.encoder import Codec
from stream.errors import StreamError
from stream.muxer import fragmented_mp4
from stream.recording import RecordingFile, RecordingFolder, make_name, recording_url
from stream.replies import Message
from stream.server_messages import error_message
from stream.subscription import Overrun, Subscription, SubscriptionEnded, VideoPacket

logger = logging.getLogger(__name__)

CLOSE_S = 2.0


class PacketSource(Protocol):
    """Where a recording's packets come from: :class:`stream.broadcast.Broadcast`."""

    def subscribe(self, codec: Codec, is_viewer: bool = False, lossless: bool = False) -> Subscription:
        """Add a receiver."""
        ...


@dataclass(frozen=True, slots=True)
class Recordings:
    """What the recorders of a server share: the folder, the thread that writes there, the longest recording."""

    folder: RecordingFolder
    thread: ThreadPoolExecutor
    is_on: bool
    longest_s: float

    @classmethod
    def of(cls, config: StreamConfig) -> "Recordings":
        """Make it as configured; nothing is written before the first recording."""
        folder = RecordingFolder(config.recordings, config.recordings_bytes)
        return cls(folder, ThreadPoolExecutor(1, "recording"), bool(config.recordings), config.recording_s)


class Recorder:
    """The recordings of one stream, one at a time.

    ``tell`` is called with what nobody asked for: ``recorded``, with a ``reason``, when a recording ends by
    itself, and before that an ``error`` where something failed.
    """

    def __init__(self, stream_id: str, recordings: Recordings, tell: Callable[[Message], None]) -> None:
        self._id = stream_id
        self._recordings = recordings
        self._tell = tell
        self._session: _Session | None = None

    @property
    def url(self) -> str | None:
        """Where the recording under way will be found; None while there is none."""
        return None if self._session is None else self._session.url

    def start(self, source: PacketSource) -> "asyncio.Task[dict[str, Any]]":
        """Record from the next frame on; the task gives ``url`` once the file is there.

        While one is under way, gives that. The task raises StreamError ``at_capacity`` where there is no room,
        ``internal`` where the file can't be made. Raises ``not_supported`` where recordings are turned off.
        """
        self._require_on()
        if self._session is None:
            subscription = source.subscribe("H264", lossless=True)
            self._session = session = _Session(self._id, self._recordings, subscription)
            session.done.add_done_callback(partial(self._ended, session))
        return asyncio.create_task(self._session.opened_values(), name=f"record-start-{self._id}")

    def stop(self) -> "asyncio.Task[dict[str, Any]]":
        """End the recording; the task gives ``url``, ``bytes`` and ``seconds``.

        Raises StreamError ``wrong_state`` where there is none, ``not_supported`` where there can be none.
        """
        self._require_on()
        session, self._session = self._session, None
        if session is None:
            raise StreamError("wrong_state", "Nothing is being recorded; record_start begins.")
        session.stop(asked=True)
        return asyncio.create_task(session.values(), name=f"record-stop-{self._id}")

    async def close(self) -> None:
        """End the recording with the stream; waits until the file is whole, but not for ever."""
        if self._session is not None:
            session = self._session
            session.stop(asked=False)
            if not (await asyncio.wait({session.done}, timeout=CLOSE_S))[0]:
                logger.warning("stream %s: its recording could not be finished in %s s", self._id, CLOSE_S)

    def _require_on(self) -> None:
        if not self._recordings.is_on:
            raise StreamError("not_supported", "This server keeps no recordings: stream.recordings is empty.")

    def _ended(self, session: "_Session", done: "asyncio.Task[None]") -> None:
        if self._session is session:
            self._session = None
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            logger.error("stream %s: its recording failed", self._id, exc_info=error)
        if not session.was_opened:
            return
        if session.failure is not None:
            self._tell(error_message(session.failure))
        if not session.was_asked:
            self._tell({"type": "recorded", **session.result(), "reason": session.reason})


class _Session:
    """One recording, from the subscription to the finished file."""

    def __init__(self, stream_id: str, recordings: Recordings, subscription: Subscription) -> None:
        self._id = stream_id
        self._recordings = recordings
        self._subscription = subscription
        self._name = make_name()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._first: VideoPacket | None = None
        self._last_pts = self._step = 0
        self._bytes = self._ticks = 0
        self.url = recording_url(self._name)
        self.failure: StreamError | None = None
        self.reason = "The stream has ended."
        self.was_asked = False
        self.done = asyncio.create_task(self._run(), name=f"record-{stream_id}")

    @property
    def was_opened(self) -> bool:
        """Whether there was a file."""
        return self._opened.done() and self._opened.exception() is None

    def stop(self, asked: bool) -> None:
        """Take what waits already, then end."""
        self.was_asked = asked
        self._subscription.close()

    def result(self) -> dict[str, Any]:
        """Give url, and the bytes and seconds that were written."""
        return {"url": self.url, "bytes": self._bytes, "seconds": round(self._ticks / VIDEO_CLOCK_HZ, 3)}

    async def opened_values(self) -> dict[str, Any]:
        """Wait for the file; raises StreamError where there is none."""
        await asyncio.shield(self._opened)
        return {"url": self.url}

    async def values(self) -> dict[str, Any]:
        """Wait for the end; raises StreamError where the file could not be made."""
        await asyncio.shield(self.done)
        self._opened.result()
        return self.result()

    async def _run(self) -> None:
        try:
            file = await self._in_thread(self._recordings.folder.create, self._name)
        except StreamError as error:
            self._opened.set_exception(error)
            self._subscription.close()
            return
        self._opened.set_result(None)
        logger.info("stream %s: recording begins", self._id)
        try:
            await self._write(file)
        except StreamError as error:
            self.failure, self.reason = error, error.message
        finally:
            self._subscription.close()
            await self._in_thread(file.close)
            self._bytes = file.bytes
        logger.info("stream %s: recording ends with %s bytes", self._id, self._bytes)

    async def _write(self, file: RecordingFile) -> None:
        muxer = fragmented_mp4()
        first: int | None = None
        try:
            while True:
                packet = await self._subscription.next()
                if self._is_over(packet):
                    break
                first = packet.pts if first is None else first
                if data := muxer.mux(packet):
                    await self._in_thread(file.write, data)
                    self._ticks = packet.pts - first
        except Overrun as error:
            raise StreamError("internal", "The disk of the recordings is too slow for this video.") from error
        except FFmpegError as error:
            raise StreamError("internal", f"The video could not be written as MP4: {error}.") from error
        except SubscriptionEnded:
            pass
        finally:
            rest = muxer.finish()
        await self._in_thread(file.write, rest)
        self._ticks = 0 if first is None else self._last_pts - first + self._step

    def _is_over(self, packet: VideoPacket) -> bool:
        """Take note of a packet, or say why it has no place in this recording."""
        if self._first is None:
            self._first, self._last_pts = packet, packet.pts
            return False
        if packet.pts - self._first.pts >= self._recordings.longest_s * VIDEO_CLOCK_HZ:
            self.reason = f"A recording may last {self._recordings.longest_s:g} s on this server."
            return True
        if packet.size != self._first.size:
            self.reason = "The stream's size has changed; a recording has one."
            return True
        self._step, self._last_pts = packet.pts - self._last_pts, packet.pts
        return False

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._recordings.thread, work, *arguments)
