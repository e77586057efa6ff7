"""What is fetched of a stream by plain HTTP: MPEG-TS, the frame on air, recordings."""

import asyncio
import logging
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from aiohttp import web
from av.error import FFmpegError

from stream.broadcast import Broadcast
from stream.config import StreamConfig
from stream.errors import StreamError
from stream.live import LiveStream
from stream.middleware import share_with_origin
from stream.muxer import transport_stream
from stream.recording import recording_path
from stream.registry import Streams
from stream.snapshot import choose_type, encode_picture
from stream.subscription import Overrun, Subscription, SubscriptionEnded

logger = logging.getLogger(__name__)

TS_TYPE = "video/mp2t"
NO_VIDEO_RETRY_S = 2
# What waits in the kernel is old when it arrives, and the kernel's own limit is 4 MB: 13 s of video.
SEND_BUFFER_BYTES = 256 << 10
WRITE_PATIENCE_S = 5.0
WAITING_SNAPSHOTS = 8


class Output:
    """The routes by which a stream is fetched, and the thread that encodes snapshots."""

    def __init__(self, streams: Streams, config: StreamConfig) -> None:
        self._streams = streams
        self._viewers = config.max_viewers
        self._folder = config.recordings
        self._pictures = ThreadPoolExecutor(1, "snapshot")
        self._waiting = 0

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Give the routes."""
        return [
            web.get("/streams/{stream}/live.ts", self.watch),
            web.get("/streams/{stream}/snapshot", self.snapshot),
            web.get("/recordings/{name}", self.recording),
        ]

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """``GET /streams/{stream}/live.ts``: MPEG-TS from a keyframe on, until the reader leaves or is too slow."""
        live = self._find(request)
        if self._streams.viewers >= self._viewers:
            why = f"This server takes at most {self._viewers} viewers."
            raise StreamError("at_capacity", why, ahead=self._viewers)
        headers = {"Content-Type": TS_TYPE, "Cache-Control": "no-store"}
        if request.method == "HEAD":
            return web.Response(headers=headers)
        response = web.StreamResponse(headers=headers)
        share_with_origin(request, response)
        leave = live.add_viewer()
        subscription = cast(Broadcast, live.broadcast).subscribe("H264", is_viewer=True, lossless=True)
        try:
            await response.prepare(request)
            await _send(subscription, request, response)
        except (ConnectionError, FFmpegError) as error:
            logger.info("stream %s: a reader is lost, %s", live.id, error)
        finally:
            subscription.close()
            leave()
        return response

    async def snapshot(self, request: web.Request) -> web.StreamResponse:
        """``GET /streams/{stream}/snapshot``: the frame on air, as PNG or JPEG."""
        live = self._find(request)
        frame = cast(Broadcast, live.broadcast).last_frame
        if frame is None:
            raise _no_video()
        kind = choose_type(request.headers.get("Accept"))
        if kind is None:
            raise StreamError("not_acceptable", "A snapshot is image/png or image/jpeg; Accept one of them.")
        if self._waiting >= WAITING_SNAPSHOTS:
            raise StreamError("rate_limited", "Too many snapshots at once; ask again in a moment.", retry_after=1)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            data = await loop.run_in_executor(self._pictures, encode_picture, frame, kind)
        finally:
            self._waiting -= 1
        return web.Response(body=data, headers={"Content-Type": kind, "Cache-Control": "no-store", "Vary": "Accept"})

    async def recording(self, request: web.Request) -> web.StreamResponse:
        """``GET /recordings/{name}``, or a range of it: the file, as far as it is written."""
        path = recording_path(self._folder, request.match_info["name"])
        if path is None or not await asyncio.to_thread(path.is_file):
            raise StreamError("not_found", "There is no such recording; it may have been deleted.")
        return web.FileResponse(path, headers={"Content-Type": "video/mp4"})

    def close(self) -> None:
        """Let the thread go."""
        self._pictures.shutdown(wait=False, cancel_futures=True)

    def _find(self, request: web.Request) -> LiveStream:
        live = self._streams.find(request.match_info["stream"])
        if not live.has_video:
            raise _no_video()
        return live


def _no_video() -> StreamError:
    why = "The stream makes no video yet; ask again in a moment."
    return StreamError("wrong_state", why, retry_after=NO_VIDEO_RETRY_S)


async def _send(subscription: Subscription, request: web.Request, response: web.StreamResponse) -> None:
    """Send packets until the stream ends; raises ConnectionError when the reader has gone or is too slow."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("it left before it began")
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    muxer = transport_stream()
    try:
        while True:
            data = muxer.mux(await subscription.next())
            async with asyncio.timeout(WRITE_PATIENCE_S):
                await response.write(data)
    except (Overrun, TimeoutError) as error:
        transport.abort()
        raise ConnectionAbortedError("it does not keep up") from error
    except SubscriptionEnded:
        pass
    finally:
        muxer.finish()
    await response.write_eof()
