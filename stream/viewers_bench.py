"""How many viewers one stream can have: ``python -m stream.viewers_bench --viewers 1,20,40``.

One process encodes a clip and sends it to every viewer, as the server does; another holds the viewers, which
connect like browsers but neither decrypt nor decode. Each row says what was received, how long after its time a
frame was whole at a viewer, and what the sending process spent. On a machine of two cores both processes get one
each; on a larger one the sender gets two, the viewers the others.
"""

import argparse
import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, cycle
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

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
from stream.viewers_bench_receivers import Arrival, Receivers

COLUMNS = (
    *("codec", "viewers", "kbit/s", "frames/s", "frames lost", "late ms, p50", "p95", "p99"),
    *("sender CPU", "ms a frame", "viewers' CPU"),
)
CLIP_FRAMES = 48
WARM_UP_S = 3.0
CONNECT_S = 60.0
# How many connect at once: as many would come by chance, and handshakes are the dearest thing of all.
BATCH = 10


@dataclass(frozen=True, slots=True)
class Task:
    """What to send: codec, size and rate of the clip, seconds to measure, to how many."""

    codec: Codec
    size: tuple[int, int]
    fps: Fraction
    kbps: int
    seconds: float
    viewers: int


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


async def answer(pipe: Connection) -> Any:
    """Wait for the other process without holding up the loop."""
    return await asyncio.get_running_loop().run_in_executor(None, pipe.recv)


async def send(task: Task, pipe: Connection) -> Sent:
    """Answer the offers that the pipe brings, then send the clip and measure."""
    use_network(Network(loopback=True))
    step = int(VIDEO_CLOCK_HZ / task.fps)
    pts = 0

    def take_slot() -> int:
        nonlocal pts
        pts += step
        return pts

    broadcast = Broadcast("bench", take_slot, task.fps, BitrateBounds(task.kbps, task.kbps, task.kbps))
    settings = LinkSettings(lambda: connection_configuration([]), CONNECT_S)
    origins = [0] * task.viewers
    links: list[VideoLink] = []
    frames, due = clip(task.size), dict[int, float]()

    async def pump() -> None:
        at = time.monotonic()
        for number, frame in enumerate(frames):
            at += 1 / task.fps
            await asyncio.sleep(max(0, at - time.monotonic()))
            due[take_slot()] = time.monotonic() if number == 0 else at
            await broadcast.publish(frame, number, pts)

    def keep_origin(number: int) -> Callable[[int], None]:
        return lambda origin: origins.__setitem__(number, origin)

    pumping = asyncio.create_task(pump(), name="bench-pump")
    while len(links) < task.viewers:
        for offer in await answer(pipe):
            link = VideoLink(broadcast, settings, LinkEvents(print, keep_origin(len(links))))
            links.append(link)
            pipe.send(await link.answer(read_viewer_offer(offer), is_viewer=True))
    await answer(pipe)
    await asyncio.sleep(WARM_UP_S)
    pipe.send("begin")
    first, began = pts, time.process_time()
    await asyncio.sleep(task.seconds)
    spent, last, kbps = time.process_time() - began, pts, broadcast.measured_kbps()
    await asyncio.sleep(0.5)
    pipe.send("end")
    await answer(pipe)
    pumping.cancel()
    await asyncio.gather(pumping, return_exceptions=True)
    await asyncio.gather(*(link.close() for link in links))
    await broadcast.close()
    return Sent({p: at for p, at in due.items() if first < p <= last}, spent, kbps, origins)


async def receive(task: Task, pipe: Connection) -> tuple[list[list[Arrival]], float]:
    """Be the viewers; gives what arrived while it was measured, and the seconds of CPU."""
    use_network(Network(loopback=True))
    receivers = Receivers(task.codec)
    for begin in range(0, task.viewers, BATCH):
        offers = await receivers.offer(min(BATCH, task.viewers - begin))
        pipe.send(offers)
        await receivers.accept([await answer(pipe) for _ in offers])
    pipe.send("connected")
    await answer(pipe)
    receivers.clear()
    began = time.process_time()
    await answer(pipe)
    spent = time.process_time() - began
    arrivals = receivers.arrivals
    pipe.send("done")
    await receivers.close()
    return arrivals, spent


def _process(
    work: Callable[[Task, Connection], Any], task: Task, pipe: Connection, result: Connection, cores: set[int]
) -> None:
    os.sched_setaffinity(0, cores)
    result.send(asyncio.run(work(task, pipe)))


def share_cores() -> tuple[set[int], set[int]]:
    """Give the cores of the sender, and of the viewers."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return {*cores}, {*cores}
    mine = 1 if len(cores) == 2 else 2
    return {*cores[:mine]}, {*cores[mine:]}


def measure(task: Task) -> str:
    """Run both processes; give a row of the table."""
    context = multiprocessing.get_context("spawn")
    ends, results, processes = context.Pipe(), [context.Pipe(), context.Pipe()], list[Any]()
    for work, end, (_, result), cores in zip((send, receive), ends, results, share_cores(), strict=True):
        process = context.Process(target=_process, args=(work, task, end, result, cores))
        process.start()
        processes.append(process)
    sent: Sent = results[0][0].recv()
    arrivals, receiver_cpu_s = results[1][0].recv()
    for process in processes:
        process.join()
    return row(task, sent, arrivals, receiver_cpu_s)


def row(task: Task, sent: Sent, arrivals: Sequence[Sequence[Arrival]], receiver_cpu_s: float) -> str:
    """Put what was measured into a row."""
    lateness, lost = list[float](), 0
    for origin, packets in zip(sent.origins, arrivals, strict=True):
        whole = {(arrival.timestamp - origin) % 2**32: arrival.at for arrival in packets if arrival.is_whole}
        lateness += [1000 * (whole[pts] - at) for pts, at in sent.due.items() if pts in whole]
        lost += sum(pts not in whole for pts in sent.due)
    frames = max(1, len(sent.due))
    cpu_ms = 1000 * sent.cpu_s / frames
    late = np.percentile(lateness or [np.nan], (50, 95, 99))
    cells = (
        task.codec,
        f"{task.viewers}",
        f"{sent.kbps}",
        f"{frames / task.seconds:.2f}",
        f"{lost} of {frames * task.viewers}",
        *(f"{ms:.0f}" for ms in late),
        f"{100 * sent.cpu_s / task.seconds:.0f} %",
        f"{cpu_ms:.1f}",
        f"{100 * receiver_cpu_s / task.seconds:.0f} %",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m stream.viewers_bench", description=__doc__)
    parser.add_argument("--viewers", default="1,20,40,60", help="how many, with commas between (default: %(default)s)")
    parser.add_argument("--codec", choices=("H264", "VP8"), default="H264")
    parser.add_argument("--size", default="832x480", help="WIDTHxHEIGHT (default: %(default)s)")
    parser.add_argument("--fps", type=Fraction, default=Fraction(16))
    parser.add_argument("--kbps", type=int, default=1500, help="to each viewer (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    width, height = (int(part) for part in arguments.size.split("x"))
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for viewers in arguments.viewers.split(","):
        task = Task(arguments.codec, (width, height), arguments.fps, arguments.kbps, arguments.seconds, int(viewers))
        print(measure(task), flush=True)


if __name__ == "__main__":
    main()
