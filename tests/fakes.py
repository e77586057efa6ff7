"""Stand-ins that tests share: a pipeline, a clock, an engine, a director, a picture, a sink.

A spawned process imports this module by its name, so it holds nothing but definitions.
"""

import asyncio
import heapq
import itertools
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from pipeline.errors import AbandonedError, CapacityError, ConditioningError, TruncationError
from pipeline.interface import Progress, silent
from pipeline.types import Capabilities, Chunk, Conditioning, Cut, Drift, Mode, Pixels, QualityLevel, VideoFormat
from tests.gate import stand_at

FAIL = "!fail"
DIE = "!die"
REFUSE = "!refuse"
STICK = "!stick"
"""Prompts that make a generate raise ZeroDivisionError, kill its process, raise ConditioningError, go on until it is
given up or five seconds are over."""


@dataclass(slots=True)
class FakeState:
    """A stream of the fake: the history of what each latent was made under, so that truncation is exact."""

    latents: list[tuple[int, int, str]] = field(default_factory=list)
    """(revision, frames, prompt) of each latent made."""
    seed: int = 0
    size: tuple[int, int] = (64, 32)
    chunks: int = 0
    committed: int = 0
    closed: bool = False


@dataclass(slots=True)
class FakePipeline:
    """A pipeline whose pixels tell what made them; deterministic, and as slow as told.

    Pixel [0, 0] of a frame is (frame index, revision, quality) and [0, 1] (seed, prompt length, latent), each
    modulo 256; all others are the red of the picture's first pixel (or 0), shifted by the frame index.
    """

    width: int = 64
    height: int = 32
    seconds: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Seconds that a chunk takes at each quality."""
    modes: tuple[Mode, ...] = ("i2v",)
    max_streams: int = 4
    latents_per_chunk: int = 1
    stages: tuple[str, ...] = ()
    """Told in the warm-up."""
    gate: int = 0
    """Port of a :class:`tests.gate.Gate` at which the warm-up waits after each stage."""
    needs: str = ""
    joins_midway: bool = False
    more_sizes: tuple[tuple[int, int], ...] = ()
    """Besides the format's."""
    calls: list[tuple[str, object]] = field(default_factory=list)
    """(method, argument) of every call, in order."""
    open_states: int = 0

    @property
    def format(self) -> VideoFormat:
        """16 frames a second, 4 frames a latent."""
        return VideoFormat(self.width, self.height, Fraction(16), self.latents_per_chunk, 4)

    @property
    def capabilities(self) -> Capabilities:
        """Three rungs: 16, 12 and 8 frames a second."""
        return Capabilities(
            model="fake",
            modes=self.modes,
            image_entry="anchor",
            policies=("auto", "blend", "recache"),
            sizes=((self.width, self.height), *self.more_sizes),
            quality=(
                QualityLevel("full", Fraction(16)),
                QualityLevel("reduced", Fraction(12)),
                QualityLevel("half", Fraction(8)),
            ),
            max_streams=self.max_streams,
            truncatable_latents=8,
            examples=("pan left", "snow"),
            needs=self.needs,
            joins_midway=self.joins_midway,
        )

    def warm_up(self, progress: Progress = silent) -> tuple[float, ...]:
        """Give the seconds told, at least a millisecond each."""
        self.calls.append(("warm_up", None))
        for stage in self.stages:
            progress(stage)
            if self.gate:
                stand_at(self.gate)
        return tuple(max(seconds, 0.001) for seconds in self.seconds)

    def open(self, conditioning: Conditioning) -> FakeState:
        """Begin a take; raises as the interface says."""
        self.calls.append(("open", conditioning.revision))
        if conditioning.mode not in self.modes:
            raise ConditioningError(f"no mode {conditioning.mode}")
        if conditioning.mode == "i2v" and conditioning.image is None:
            raise ConditioningError("no picture")
        if self.open_states >= self.max_streams:
            raise CapacityError(f"all {self.max_streams} slots are taken")
        self.open_states += 1
        return FakeState(seed=conditioning.seed, size=conditioning.size or (self.width, self.height))

    def generate_chunk(self, state: FakeState, conditioning: Conditioning) -> Chunk:
        """Make one chunk in the time told; raises or dies by the prompt."""
        self.calls.append(("generate", conditioning.revision))
        if conditioning.prompt == DIE:
            os._exit(9)
        if conditioning.prompt == REFUSE:
            raise ConditioningError("this prompt is refused")
        if conditioning.prompt == FAIL:
            raise ZeroDivisionError("asked to fail")
        began = time.monotonic()
        seconds = self.seconds[conditioning.quality]
        if seconds:
            time.sleep(seconds)
        fps = self.capabilities.quality[conditioning.quality].fps
        first_frame = sum(frames for _, frames, _ in state.latents)
        first_latent = len(state.latents)
        per_latent = int(4 * fps / 16)
        frames = np.stack(
            [
                self._frame(state, conditioning, first_frame + number, first_latent + number // per_latent)
                for number in range(per_latent * self.latents_per_chunk)
            ]
        )
        state.latents += [(conditioning.revision, per_latent, conditioning.prompt)] * self.latents_per_chunk
        state.chunks += 1
        return Chunk(
            index=state.chunks - 1,
            first_frame=first_frame + conditioning.skip,
            first_latent=first_latent,
            latents=self.latents_per_chunk,
            frames=frames[conditioning.skip :],
            fps=fps,
            revision=conditioning.revision,
            quality=conditioning.quality,
            timings_ms={"total": (time.monotonic() - began) * 1000},
            cuts=tuple(Cut(per_latent * kept - conditioning.skip, kept) for kept in range(1, self.latents_per_chunk)),
            drift=Drift(0.0, -0.125, 0.0, 0.0) if state.chunks > 1 else None,
        )

    def _frame(self, state: FakeState, conditioning: Conditioning, index: int, latent: int) -> Pixels:
        red = 0 if conditioning.image is None else int(conditioning.image[0, 0, 0])
        frame = np.full((*state.size[::-1], 3), (red + index) % 256, np.uint8)
        frame[0, 0] = (index % 256, conditioning.revision % 256, conditioning.quality)
        frame[0, 1] = (state.seed % 256, len(conditioning.prompt) % 256, latent % 256)
        return frame

    def commit(self, state: FakeState) -> None:
        """Note that the context is written."""
        self.calls.append(("commit", len(state.latents)))
        state.committed = len(state.latents)

    def truncate(self, state: FakeState, latent: int) -> None:
        """Forget the latents from this one on."""
        self.calls.append(("truncate", latent))
        if not len(state.latents) - 8 <= latent <= len(state.latents):
            raise TruncationError(f"latent {latent} of {len(state.latents)}")
        del state.latents[latent:]
        state.committed = min(state.committed, latent)

    def close(self, state: FakeState) -> None:
        """Free the slot once."""
        self.calls.append(("close", None))
        if not state.closed:
            state.closed = True
            self.open_states -= 1


class ResumableFake(FakePipeline):
    """The fake, with streams that can go on elsewhere."""

    def save(self, state: FakeState) -> bytes:
        """Save the history."""
        self.calls.append(("save", len(state.latents)))
        return json.dumps([state.latents, state.chunks, state.committed]).encode()

    def restore(self, state: FakeState, saved: bytes) -> None:
        """Take over the history."""
        self.calls.append(("restore", None))
        latents, state.chunks, state.committed = json.loads(saved)
        state.latents = [(revision, frames, prompt) for revision, frames, prompt in latents]


class SwappingFake(ResumableFake):
    """The fake, with takes that come out of others: its frames count on from what was made before."""

    @property
    def capabilities(self) -> Capabilities:
        """Every way of a picture into a running video."""
        return replace(super().capabilities, picture_policies=("cut", "flush", "blend"))

    def swap(self, state: FakeState, conditioning: Conditioning) -> FakeState:
        """Go on under another picture."""
        self.calls.append(("swap", len(state.latents)))
        state.seed = conditioning.seed
        return state


class AbandoningFake(ResumableFake):
    """The fake, with chunks that can be given up: those that stick."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sticks = threading.Event()

    def heed(self, is_given_up: Callable[[], bool]) -> None:
        """Have this asked while a chunk sticks."""
        self._is_given_up = is_given_up

    def generate_chunk(self, state: FakeState, conditioning: Conditioning) -> Chunk:
        """Make one chunk, or stick."""
        if conditioning.prompt == STICK:
            self.calls.append(("stick", conditioning.revision))
            self.sticks.set()
            until = time.monotonic() + 5
            while time.monotonic() < until:
                if self._is_given_up():
                    raise AbandonedError("given up")
                time.sleep(0.001)
        return super().generate_chunk(state, conditioning)


def build_fake(
    progress: Progress, resumable: bool = False, swapping: bool = False, abandoning: bool = False, **options: Any
) -> FakePipeline:
    """Build the fake with these options, as engines want it; it tells of that if it has stages."""
    if options.get("stages"):
        progress("building")
    kinds = {AbandoningFake: abandoning, SwappingFake: swapping, ResumableFake: resumable}
    return next((kind for kind, is_asked in kinds.items() if is_asked), FakePipeline)(**options)


class _Booked:
    def __init__(self, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        self.callback, self.args, self.cancelled = callback, args, False

    def cancel(self) -> None:
        """Call it off."""
        self.cancelled = True


class FakeClock:
    """A timer whose time moves only by :meth:`advance`."""

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now
        self._order = itertools.count()
        self._booked: list[tuple[float, int, _Booked]] = []

    def time(self) -> float:
        """Tell the time."""
        return self._now

    def call_at(self, when: float, callback: Callable[..., object], /, *args: object) -> _Booked:
        """Call back when the time has come."""
        booked = _Booked(callback, args)
        heapq.heappush(self._booked, (when, next(self._order), booked))
        return booked

    async def advance(self, seconds: float) -> None:
        """Let time pass, stopping at each booked moment until every task waits again."""
        end = self._now + seconds
        await settle()
        while self._booked and self._booked[0][0] <= end:
            when, _, booked = heapq.heappop(self._booked)
            if booked.cancelled:
                continue
            self._now = max(self._now, when)
            booked.callback(*booked.args)
            await settle()
        self._now = end
        await settle()


async def settle() -> None:
    """Let every task run until it waits for something other than the loop."""
    for _ in range(25):
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True, eq=False)
class FakePicture:
    """A picture of one red, as if decoded."""

    red: int
    width: int = 8
    height: int = 4
    sha256: str = "ab" * 32
    cropped: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def pixels(self) -> Pixels:
        """The picture."""
        return np.full((self.height, self.width, 3), (self.red, 0, 0), np.uint8)


class FakeSink:
    """A sink that keeps what was published, with the time when."""

    def __init__(self, clock: FakeClock, take_slot: Callable[[], int] | None = None) -> None:
        self._clock = clock
        self.take_slot = take_slot
        self.frames: list[tuple[float, int, int]] = []
        """(time, frame index, pts) of each."""
        self.pixels: list[Pixels] = []
        self.kbps = 0
        self.closed = 0
        self.error: Exception | None = None

    async def publish(self, frame: Pixels, frame_index: int, pts: int) -> None:
        """Keep a frame."""
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.frames.append((round(self._clock.time(), 6), frame_index, pts))
        self.pixels.append(frame)

    def set_bitrate(self, kbps: int) -> int:
        """Keep it."""
        self.kbps = kbps
        return kbps

    def measured_kbps(self) -> int:
        """Give something."""
        return 1234

    async def close(self) -> None:
        """Count it."""
        self.closed += 1


class FakeDirector:
    """A director that keeps what it was sent; ``rtp_timestamp`` is pts + 7."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.goodbyes: list[str] = []
        self.left = asyncio.Event()

    def send(self, message: dict[str, Any]) -> None:
        """Keep a message."""
        self.messages.append(message)

    def send_at(self, message: dict[str, Any], pts: int) -> None:
        """Keep a message with its timestamp."""
        self.messages.append({**message, "rtp_timestamp": pts + 7})

    def goodbye(self, reason: str) -> None:
        """Keep the reason."""
        self.goodbyes.append(reason)
        self.left.set()

    def of(self, *types: str) -> list[dict[str, Any]]:
        """Give the messages of these types."""
        return [message for message in self.messages if message["type"] in types]

    def replies(self) -> list[tuple[str, int]]:
        """Give (type, id) of every message with an id, in order."""
        return [(message["type"], message["id"]) for message in self.messages if "id" in message]
