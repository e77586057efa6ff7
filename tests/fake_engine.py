"""An engine on a fake clock, for what stands around engines."""

from typing import Any

from pipeline.errors import AbandonedError
from pipeline.interface import Pipeline, Progress, Resumable, silent
from pipeline.types import Chunk, Conditioning
from stream.clock import Alarm
from stream.engine_host import PipelineHost
from stream.engine_jobs import DeathCallback
from stream.errors import StreamError
from tests.fakes import FakeClock


class FakeEngine:
    """An engine on a fake clock: chunks take the seconds told for their quality."""

    def __init__(
        self, clock: FakeClock, pipeline: Pipeline[Any], seconds: tuple[float, ...] = (0.1, 0.08, 0.06)
    ) -> None:
        self._clock = clock
        self._alarm = Alarm(clock)
        self._host = PipelineHost(lambda progress: pipeline, silent)
        self._opened: set[str] = set()
        self._death: list[DeathCallback] = []
        self.pipeline: Any = pipeline
        self.format, self.capabilities = pipeline.format, pipeline.capabilities
        self.chunk_seconds = seconds
        self.seconds = seconds
        self.frames_share = 0.0
        """Of a chunk's time, what goes with its frames: those that are left out save it."""
        self.is_resumable = isinstance(pipeline, Resumable)
        self.open_s = self.close_s = self.save_s = self.prepare_s = 0.0
        self.prepare_error: StreamError | None = None
        self.can_abandon = False
        """As a model that can give up what it makes; for the test to set."""
        self.commit_s = 0.0
        self._abandonable = self._is_given_up = False
        self.busy_s = 0.0
        self.replicas = 1
        self.ready = True
        self.stage = ""
        self.calls: list[tuple[Any, ...]] = []

    async def start(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    def on_death(self, callback: DeathCallback) -> None:
        """Note who wants to know."""
        self._death.append(callback)

    def on_stage(self, callback: Progress) -> None:
        """Do nothing: it was started long ago."""

    def die(self, reason: str = "gone") -> None:
        """Lose every stream."""
        lost, self._opened = sorted(self._opened), set()
        for callback in self._death:
            callback(lost, reason)

    async def open(self, stream_id: str, conditioning: Conditioning, saved: bytes | None = None) -> None:
        """Begin a take, or go on with one that was saved."""
        self.calls.append(("open", conditioning.revision) if saved is None else ("reopen", conditioning.revision))
        self._opened.add(stream_id)
        await self._spend(self.open_s)
        self._host.open(stream_id, conditioning, saved)

    async def save(self, stream_id: str) -> bytes:
        """Give the history."""
        self.calls.append(("save",))
        saved = self._host.save(stream_id)
        await self._spend(self.save_s)
        return saved

    async def generate(self, stream_id: str, conditioning: Conditioning, deadline: float) -> Chunk:
        """Make a chunk."""
        self.calls.append(("generate", conditioning.revision, round(deadline, 6)))
        frames = self.pipeline.format.chunk_seconds * self.capabilities.quality[conditioning.quality].fps
        left_out = self.frames_share * float(conditioning.skip / frames)
        await self._spend(self.seconds[conditioning.quality] * (1 - left_out), abandonable=True)
        try:
            return self._host.generate(stream_id, conditioning)
        except ZeroDivisionError as error:
            raise StreamError("internal", "The model failed.") from error

    async def commit(self, stream_id: str) -> None:
        """Write the context."""
        self.calls.append(("commit",))
        await self._spend(self.commit_s, abandonable=True)
        self._host.commit(stream_id)

    def abandon(self, stream_id: str) -> None:
        """Give up the chunk or context in the making, where the test lets it."""
        if self.can_abandon and self._abandonable:
            self.calls.append(("abandon",))
            self._is_given_up = True
            self._alarm.ring()

    async def truncate(self, stream_id: str, latent: int) -> None:
        """Go back."""
        self.calls.append(("truncate", latent))
        self._host.truncate(stream_id, latent)

    async def prepare(self, stream_id: str, conditioning: Conditioning) -> None:
        """Read a prompt, and a picture if there is one."""
        self.calls.append(("prepare", conditioning.prompt, conditioning.image is not None))
        await self._spend(self.prepare_s)
        if self.prepare_error is not None:
            raise self.prepare_error

    async def close_stream(self, stream_id: str) -> None:
        """Free the state."""
        self.calls.append(("close_stream",))
        self._opened.discard(stream_id)
        await self._spend(self.close_s)
        self._host.close_stream(stream_id)

    async def _spend(self, seconds: float, abandonable: bool = False) -> None:
        begun, self._abandonable = self._clock.time(), abandonable
        try:
            while self._clock.time() < begun + seconds and not self._is_given_up:
                await self._alarm.wait(begun + seconds)
            self.busy_s += self._clock.time() - begun
            if self._is_given_up:
                raise AbandonedError("a newer command came")
        finally:
            self._abandonable = self._is_given_up = False
