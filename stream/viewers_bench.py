"""How many viewers one stream can have: ``python -m stream.viewers_bench --viewers 1,20,40``.

One process encodes a clip and sends it to every viewer, as the server does; others hold the viewers, which connect
like browsers but neither decrypt nor decode. Each row says what was received, how long after its time a frame was
whole at a viewer, and what the sending process spent. Viewers stay from row to row, and more come.

``--until-late`` adds viewers until frames come late, and says where that was. The sender's cores and the viewers' are
``--server-cores`` and ``--receiver-cores``; without them, the sender gets two of the machine's (one of two), the
viewers the others, a process for each of theirs.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, count
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from stream.viewers_bench_receivers import Arrival, serve_viewers
from stream.viewers_bench_sender import Sent, Task, serve_stream

COLUMNS = (
    *("codec", "viewers", "kbit/s", "frames/s", "frames lost", "late ms, p50", "p95", "p99"),
    *("sender CPU", "ms a frame", "viewers' CPU"),
)
SETTLE_S = 2.0
# How many connect at once: as many would come by chance, and handshakes are the dearest thing of all.
BATCH = 10
LOST_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a number of viewers came to: frames due and lost, ms late at the percentiles 50, 95, 99, seconds of CPU."""

    task: Task
    viewers: int
    seconds: float
    kbps: int
    frames: int
    lost: int
    late_ms: tuple[float, float, float]
    sender_cpu_s: float
    receivers_cpu_s: float

    def is_late(self, limit_ms: float) -> bool:
        """Tell whether the viewers did not get the stream as it is: late, with frames missing, or at a lower rate."""
        few = self.frames < 0.97 * self.task.fps * self.seconds - 1
        return few or self.lost > LOST_SHARE * self.frames * self.viewers or self.late_ms[1] > limit_ms

    def row(self) -> str:
        """Give a row of the table."""
        cells = (
            self.task.codec,
            f"{self.viewers}",
            f"{self.kbps}",
            f"{self.frames / self.seconds:.2f}",
            f"{self.lost} of {self.frames * self.viewers}",
            *(f"{ms:.0f}" for ms in self.late_ms),
            f"{100 * self.sender_cpu_s / self.seconds:.0f} %",
            f"{1000 * self.sender_cpu_s / max(1, self.frames):.1f}",
            f"{100 * self.receivers_cpu_s / self.seconds:.0f} %",
        )
        return f"| {' | '.join(cells)} |"


class Child:
    """A process on cores of its own that does as it is asked."""

    def __init__(self, work: Any, task: Task, cores: set[int]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(work, task, theirs, cores), daemon=True)
        self._process.start()

    def ask(self, *command: Any) -> Any:
        """Have something done, and give what came of it."""
        self.begin(*command)
        return self.finish()

    def begin(self, *command: Any) -> None:
        """Have something done."""
        self._pipe.send(command)

    def finish(self) -> Any:
        """Wait for what was begun."""
        return self._pipe.recv()

    def end(self) -> None:
        """End the process."""
        self._pipe.send(("end",))
        self._process.join(10)


def _run(work: Any, task: Task, pipe: Connection, cores: set[int]) -> None:
    os.sched_setaffinity(0, cores)
    work(task, pipe)


class Bench:
    """One stream, and viewers that become more and more."""

    def __init__(self, task: Task, server_cores: set[int], receiver_cores: set[int]) -> None:
        self._task = task
        self._sender = Child(serve_stream, task, server_cores)
        # A process of viewers is one core's work; more of them would only wait for each other.
        self._receivers = [Child(serve_viewers, task, {core}) for core in sorted(receiver_cores)]
        self._viewers = 0
        # To which process each one belongs, in the order that they came.
        self._homes: list[int] = []

    def grow(self, viewers: int) -> None:
        """Connect viewers until there are so many."""
        while self._viewers < viewers:
            number = self._viewers // BATCH % len(self._receivers)
            receivers, more = self._receivers[number], min(BATCH, viewers - self._viewers)
            answers = self._sender.ask("answer", receivers.ask("offer", more))
            receivers.ask("accept", answers)
            self._homes += [number] * more
            self._viewers += more

    def measure(self, seconds: float, settle_s: float = SETTLE_S) -> Measurement:
        """Let it run, and say how it went."""
        time.sleep(settle_s)
        for receivers in self._receivers:
            receivers.ask("clear")
        sent: Sent = self._sender.ask("measure", seconds)
        found = [receivers.ask("arrivals") for receivers in self._receivers]
        waiting = [iter(arrivals) for arrivals, _ in found]
        arrivals = [next(waiting[home]) for home in self._homes]
        late, lost = lateness(sent, arrivals)
        return Measurement(
            task=self._task,
            viewers=self._viewers,
            seconds=seconds,
            kbps=sent.kbps,
            frames=len(sent.due),
            lost=lost,
            late_ms=late,
            sender_cpu_s=sent.cpu_s,
            receivers_cpu_s=sum(cpu_s for _, cpu_s in found),
        )

    def end(self) -> None:
        """End all processes."""
        for child in (self._sender, *self._receivers):
            child.end()


def lateness(sent: Sent, arrivals: Sequence[Sequence[Arrival]]) -> tuple[tuple[float, float, float], int]:
    """Give the percentiles 50, 95, 99 of how late whole frames came, in ms, and how many frames did not."""
    late, lost = list[float](), 0
    for origin, packets in zip(sent.origins, arrivals, strict=True):
        whole = {(arrival.timestamp - origin) % 2**32: arrival.at for arrival in packets if arrival.is_whole}
        late += [1000 * (whole[pts] - at) for pts, at in sent.due.items() if pts in whole]
        lost += sum(pts not in whole for pts in sent.due)
    p50, p95, p99 = np.percentile(late or [np.nan], (50, 95, 99))
    return (float(p50), float(p95), float(p99)), lost


def read_cores(text: str) -> set[int]:
    """Read a list of cores.

    >>> read_cores("0,2-4")
    {0, 2, 3, 4}
    """
    ranges = [part.partition("-") for part in text.split(",")]
    return set(chain.from_iterable(range(int(first), int(last or first) + 1) for first, _, last in ranges))


def share_cores() -> tuple[set[int], set[int]]:
    """Give the cores of the sender, and of the viewers."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return {*cores}, {*cores}
    mine = 1 if len(cores) == 2 else 2
    return {*cores[:mine]}, {*cores[mine:]}


def summary(last: Measurement | None, late: Measurement | None, limit_ms: float) -> str:
    """Say in a line where the limit is."""
    if last is None:
        return f"Late from the first count on: 95th percentile above {limit_ms:g} ms, or frames lost."
    spent = f"the sender spent {100 * last.sender_cpu_s / last.seconds:.0f} % of a core"
    served = f"{last.viewers} viewers at {last.kbps} kbit/s were served in time, p95 {last.late_ms[1]:.0f} ms; {spent}"
    if late is None:
        return f"{served}. No limit was met."
    why = f"p95 {late.late_ms[1]:.0f} ms, {late.lost} of {late.frames * late.viewers} frames lost"
    return f"{served}. {late.viewers} were not: {why}."


def main() -> None:
    """Print a Markdown table, and where the limit is."""
    parser = argparse.ArgumentParser(prog="python -m stream.viewers_bench", description=__doc__)
    parser.add_argument("--viewers", default="1,20,40,60", help="how many, rising, with commas (default: %(default)s)")
    parser.add_argument("--until-late", action="store_true", help="add --step viewers again and again")
    parser.add_argument("--step", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument(
        "--late-ms", type=float, default=100, help="95th percentile that is late (default: %(default)s)"
    )
    parser.add_argument("--at-most-s", type=float, default=85, help="begin no row after so long (default: %(default)s)")
    parser.add_argument("--codec", choices=("H264", "VP8"), default="H264")
    parser.add_argument("--size", default="832x480", help="WIDTHxHEIGHT (default: %(default)s)")
    parser.add_argument("--fps", type=Fraction, default=Fraction(16))
    parser.add_argument("--kbps", type=int, default=1500, help="to each viewer (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="for a row (default: 10, with --until-late 4)")
    parser.add_argument("--server-cores", type=read_cores, help="such as 0,1")
    parser.add_argument("--receiver-cores", type=read_cores, help="such as 2-15")
    arguments = parser.parse_args()
    began = time.monotonic()
    width, height = (int(part) for part in arguments.size.split("x"))
    servers, receivers = share_cores()
    task = Task(arguments.codec, (width, height), arguments.fps, arguments.kbps)
    bench = Bench(task, arguments.server_cores or servers, arguments.receiver_cores or receivers)
    counts: Iterator[int] = map(int, arguments.viewers.split(","))
    if arguments.until_late:
        counts = count(arguments.step, arguments.step)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    last: Measurement | None = None
    late: Measurement | None = None
    for viewers in counts:
        if arguments.until_late and (late or time.monotonic() - began > arguments.at_most_s):
            break
        bench.grow(viewers)
        found = bench.measure(arguments.seconds or (4 if arguments.until_late else 10))
        print(found.row(), flush=True)
        if not found.is_late(arguments.late_ms):
            last = found
        else:
            late = late or found
    print(f"\n{summary(last, late, arguments.late_ms)}")
    bench.end()


if __name__ == "__main__":
    main()
