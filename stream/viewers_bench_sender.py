"""The sending side of :mod:`stream.viewers_bench`: a stream in a process of its own, which does as it is told."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, cycle
from multiprocessing.connection import Connection
from typing import Any

from pipeline.types import Pixels
from stream.broadcast import Broadcast
from stream.clock import VIDEO_CLOCK_HZ
from stream.congestion import BitrateBounds
from stream.encoder import Codec
from stream.encoder_bench import PAN_PIXELS, draw_photo, pan
from stream.ice import connection_configuration
from stream.link import LinkEvents, LinkSettings, VideoLink
from stream.network import Network, use_network
from stream.sdp import read_viewer_offer

CLIP_FRAMES = 48
CONNECT_S = 60.0
STRAGGLERS_S = 0.5


@dataclass(frozen=True, slots=True)
class Task:
    """What to send: codec, size, rate of the clip, kbit/s."""

    codec: Codec
    size: tuple[int, int]
    fps: Fraction
    kbps: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What the sender did while it was measured: due time of each PTS, seconds of CPU, kbit/s, RTP origins."""

    due: dict[int, float]
    cpu_s: float
    kbps: int
    origins: list[int]


def clip(size: tuple[int, int]) -> Iterator[Pixels]:
    """Give a pan there and back, for ever."""
    width, height = size
    frames = list(pan(draw_photo(width + int(CLIP_FRAMES * PAN_PIXELS) + 2, height + 34), *size, CLIP_FRAMES))
    return cycle(chain(frames, reversed(frames)))


class Sender:
    """Sends the clip, to everyone whose offer it is given."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._pts = 0
        self._due: dict[int, float] = {}
        self._is_behind = True
        self._is_closing = False
        self._origins: list[int] = []
        self._links: list[VideoLink] = []
        self._settings = LinkSettings(lambda: connection_configuration([]), CONNECT_S)
        bounds = BitrateBounds(task.kbps, task.kbps, task.kbps)
        self._broadcast = Broadcast("bench", self._take_slot, task.fps, bounds)
        self._pumping = asyncio.create_task(self._pump(), name="bench-pump")

    async def answer(self, offers: list[str]) -> list[str]:
        """Answer the offers of more viewers."""
        answers: list[str] = []
        for offer in offers:
            self._origins.append(0)
            events = LinkEvents(self._note_lost, self._keep_origin(len(self._links)))
            self._links.append(VideoLink(self._broadcast, self._settings, events))
            answers.append(await self._links[-1].answer(read_viewer_offer(offer), is_viewer=True))
        self._is_behind = True
        return answers

    async def measure(self, seconds: float) -> Sent:
        """Let it run for so long, and a little for what is on its way."""
        first, began = self._pts, time.process_time()
        await asyncio.sleep(seconds)
        spent, last, kbps = time.process_time() - began, self._pts, self._broadcast.measured_kbps()
        await asyncio.sleep(STRAGGLERS_S)
        return Sent({pts: at for pts, at in self._due.items() if first < pts <= last}, spent, kbps, self._origins)

    async def close(self) -> None:
        """Let everyone go."""
        self._is_closing = True
        self._pumping.cancel()
        await asyncio.gather(self._pumping, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in self._links))
        await self._broadcast.close()

    async def _pump(self) -> None:
        at = 0.0
        for number, frame in enumerate(clip(self._task.size)):
            at += 1 / self._task.fps
            if self._is_behind:
                # Handshakes have held it up, which is not what is measured.
                self._is_behind, at = False, max(at, time.monotonic())
            await asyncio.sleep(max(0, at - time.monotonic()))
            self._due[self._take_slot()] = at
            await self._broadcast.publish(frame, number, self._pts)

    def _note_lost(self, reason: str) -> None:
        if not self._is_closing:
            print(f"a viewer is lost: {reason}", flush=True)

    def _take_slot(self) -> int:
        self._pts += int(VIDEO_CLOCK_HZ / self._task.fps)
        return self._pts

    def _keep_origin(self, number: int) -> Callable[[int], None]:
        return lambda origin: self._origins.__setitem__(number, origin)


def serve_stream(task: Task, pipe: Connection) -> None:
    """Do what the pipe asks, until it asks to end."""
    asyncio.run(_serve(task, pipe))


async def _serve(task: Task, pipe: Connection) -> None:
    use_network(Network(loopback=True))
    sender, loop = Sender(task), asyncio.get_running_loop()
    calls: dict[str, Callable[..., Any]] = {"answer": sender.answer, "measure": sender.measure}
    while True:
        name, *arguments = await loop.run_in_executor(None, pipe.recv)
        if name == "end":
            await sender.close()
            return
        pipe.send(await calls[name](*arguments))
