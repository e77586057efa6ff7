"""All streams of a server: made, found, joined, ended when nobody is left."""

import asyncio
import hmac
import logging
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stream.capacity import RETRY_AFTER_S, Capacity
from stream.checkpoints import Checkpoints
from stream.clock import Cancellable, Timer
from stream.config import StreamConfig
from stream.control import Restart
from stream.engine import Engine
from stream.errors import StreamError
from stream.live import LiveStream
from stream.meter import Observer, Unobserved
from stream.picture import Picture
from stream.recorder import Recordings
from stream.services import Services
from stream.session_log import SessionLogs
from stream.sink import MakeSink

__all__ = ["MakeSink", "Streams"]

logger = logging.getLogger(__name__)


class Streams:
    """The streams that are not ended, on an engine that was started. Every method runs on the event loop.

    ``describe`` is the body of ``GET /capabilities``; ``welcome`` carries it too. It is read when needed, so
    it may be filled in later. ``timer`` is the event loop but in tests.
    """

    def __init__(
        self,
        engine: Engine,
        config: StreamConfig,
        make_sink: MakeSink,
        describe: Mapping[str, Any],
        observer: Observer | None = None,
        timer: Timer | None = None,
        sessions: SessionLogs | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._engine = engine
        self._config = config
        self._make_sink = make_sink
        self._describe = describe
        self._observer = observer or Unobserved()
        self._timer: Timer = timer or asyncio.get_running_loop()
        self._streams: dict[str, LiveStream] = {}
        self._lonely: dict[str, Cancellable] = {}
        self._unattended: set[str] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._pictures = ThreadPoolExecutor(1, "picture")
        self._recordings = Recordings.of(config)
        self._sessions = sessions or SessionLogs.of(config)
        self._checkpoints = checkpoints or Checkpoints(None, str, config.checkpoint_s)
        self._checkpoints.begin(self._timer)
        self._resuming = asyncio.Lock()
        self._services: Services | None = None
        self._closed = False
        engine.on_death(self._engine_died)

    def create(self, unattended: bool = False) -> LiveStream:
        """Make an idle stream with fresh id and token; it ends after a while unless someone comes.

        That is ``unwatched_s`` for one that is to run ``unattended``, else ``director_grace_s``, counted from
        when the last one left, or a command came without a peer.

        Raises StreamError ``at_capacity`` (extra ``ahead``, ``retry_after``) when running streams fill the
        machine, or the model is not ready.
        """
        services = self._admitting()
        stream = LiveStream(
            secrets.token_urlsafe(9), secrets.token_urlsafe(24), services, self._make_sink, self._changed
        )
        self._add(stream, unattended)
        logger.info("stream %s: made", stream.id)
        return stream

    async def rejoin(self, stream_id: str, control_token: str) -> LiveStream:
        """Give the stream when the token is its own, also one that is gone and goes on from its last checkpoint.

        Raises StreamError as :meth:`authorise` does, ``wrong_state`` for one that can't go on here, ``at_capacity``.
        """
        try:
            return self.authorise(stream_id, control_token)
        except StreamError as error:
            if error.code != "not_found":
                raise
        await self._checkpoints.check(stream_id, control_token)
        async with self._resuming:
            if (stream := self._streams.get(stream_id)) is not None and stream.state != "ended":
                return stream
            if stream is not None:
                await stream.end("it goes on")
            return await self._resume(stream_id, control_token)

    async def _resume(self, stream_id: str, control_token: str) -> LiveStream:
        services = self._admitting()
        kept = await self._checkpoints.load(stream_id)
        stream = LiveStream(stream_id, control_token, services, self._make_sink, self._changed)
        self._add(stream, kept.is_unattended)
        try:
            stream.take_up(kept)
        except StreamError:
            self._end(stream, "it could not go on")
            raise
        logger.info("stream %s: goes on from frame %s", stream_id, kept.frame)
        return stream

    async def forget(self, stream_id: str, control_token: str) -> None:
        """End a stream, and have nobody go on with it. Raises StreamError as :meth:`authorise` does."""
        try:
            stream = self.authorise(stream_id, control_token)
        except StreamError as error:
            if error.code != "not_found":
                raise
            await self._checkpoints.check(stream_id, control_token)
            await self._checkpoints.forget(stream_id)
        else:
            await stream.end("deleted", forget=True)

    def _add(self, stream: LiveStream, unattended: bool) -> None:
        self._streams[stream.id] = stream
        stream.checkpoint.is_unattended = unattended
        if unattended:
            self._unattended.add(stream.id)
        self._changed(stream)

    def _admitting(self) -> Services:
        """Give what streams share. Raises StreamError ``at_capacity`` where there can't be one more."""
        if self._closed or not self._engine.ready:
            why = "The server is closing." if self._closed else "The model is getting ready; try again soon."
            raise StreamError("at_capacity", why, ahead=0, retry_after=RETRY_AFTER_S)
        services = self._shared()
        services.capacity.check()
        if len(self._streams) >= self._config.max_streams:
            why = f"This server holds at most {len(self._streams)} streams; try again when one has ended."
            raise StreamError("at_capacity", why, ahead=len(self._streams), retry_after=RETRY_AFTER_S)
        return services

    def find(self, stream_id: str) -> LiveStream:
        """Give the stream of this id. Raises StreamError ``not_found``."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.state == "ended":
            raise StreamError("not_found", "There is no such stream; it may have ended.")
        return stream

    def authorise(self, stream_id: str, control_token: str) -> LiveStream:
        """Give the stream when the token is its own. Raises StreamError ``not_found`` or ``unauthorized``."""
        stream = self.find(stream_id)
        if not hmac.compare_digest(stream.control_token.encode(), control_token.encode("utf-8", "replace")):
            raise StreamError("unauthorized", "That is not this stream's control token.")
        return stream

    @property
    def running(self) -> int:
        """How many streams take capacity."""
        return 0 if self._services is None else self._services.capacity.running

    @property
    def viewers(self) -> int:
        """How many viewers watch, of all streams together."""
        return sum(stream.viewers for stream in self)

    @property
    def level(self) -> int:
        """The rung of the model's ladder that all streams are made at."""
        return 0 if self._services is None else self._services.capacity.level

    def __iter__(self) -> Iterator[LiveStream]:
        return iter(list(self._streams.values()))

    def __len__(self) -> int:
        return len(self._streams)

    async def close(self, reason: str = "server_shutdown") -> None:
        """End every stream with ``goodbye`` and refuse new ones; idempotent."""
        self._closed = True
        for stream in self:
            self._end(stream, reason)
        if self._endings:
            await asyncio.wait(set(self._endings))
        await self._checkpoints.close()
        self._pictures.shutdown(wait=False, cancel_futures=True)
        self._recordings.thread.shutdown(wait=False)
        self._sessions.thread.shutdown(wait=False)

    def _shared(self) -> Services:
        if self._services is None:
            engine = self._engine
            capabilities = engine.capabilities
            capacity = Capacity(
                capabilities.quality,
                engine.chunk_seconds,
                float(engine.format.chunk_seconds),
                min(self._config.max_streams, capabilities.max_streams),
                self._timer.time,
                lambda: engine.replicas,
            )
            self._services = Services(
                engine,
                capacity,
                self._config,
                self._timer,
                self._observer,
                self._pictures,
                self._describe,
                self._recordings,
                self._fork,
                self._sessions,
                self._checkpoints,
            )
        return self._services

    def _fork(self, start: Restart[Picture]) -> tuple[str, str]:
        stream = self.create(unattended=True)
        try:
            stream.generation.go_back(start, lambda shown: None)
        except StreamError:
            self._end(stream, "it could not start")
            raise
        return stream.id, stream.control_token

    def _changed(self, stream: LiveStream) -> None:
        """Take note of who is there: one with nobody ends after a while, one that has ended is forgotten."""
        if (booked := self._lonely.pop(stream.id, None)) is not None:
            booked.cancel()
        if stream.state == "ended":
            if self._streams.get(stream.id) is stream:
                del self._streams[stream.id]
            self._unattended.discard(stream.id)
        elif not stream.directors and not stream.viewers:
            config = self._config
            grace_s = config.unwatched_s if stream.id in self._unattended else config.director_grace_s
            at = self._timer.time() + grace_s
            self._lonely[stream.id] = self._timer.call_at(at, self._end, stream, "nobody is left")

    def _engine_died(self, lost: list[str], reason: str) -> None:
        for stream_id in lost:
            if (stream := self._streams.get(stream_id)) is not None:
                self._end(stream, reason)

    def _end(self, stream: LiveStream, reason: str) -> None:
        task = asyncio.create_task(stream.end(reason), name=f"registry-end-{stream.id}")
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
