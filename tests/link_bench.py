"""What Chromium sees of a stream on a bad link: ``python -m tests.link_bench latency cap loss``.

``latency`` is loopback; ``loss`` a relay on it that loses 5 % of packets and delays them, 150 ms there and back;
``cap`` two network namespaces' worth of veth, narrowed to 800 kbit/s for a while by ``tc tbf``: it needs root and
iproute2, the others only Chromium. Each gives a row of figures; freezes are counted by Chromium (getStats) and by gaps
between frames shown.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.congestion import BitrateBounds
from stream.network import Network, use_network
from tests.conftest import CHROMIUM_ARGS, find_chromium
from tests.link_bench_server import CLOCK_BITS, FPS, BenchServer, Stream
from tests.udp_relay import Trouble

WEBRTC_ARGS = ("--disable-features=WebRtcHideLocalIpsWithMdns", "--allow-loopback-in-peer-connection")
PORT = 18_089
NAMESPACE, NEAR, FAR = "vivant-bench", "vivant-near", "vivant-far"
NEAR_ADDRESS, FAR_ADDRESS = "10.213.77.1", "10.213.77.2"
WARM_UP_S = 6.0
AFTER_S = 15.0
LOSSY = Trouble(loss=0.05, one_way_s=0.075)
# A gap between frames that Chromium calls a freeze, at this rate of frames.
FREEZE_S = float(1 / FPS) + 0.15


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured: which link, codec, kbit/s, seconds, and the cap."""

    scenario: str
    codec: str
    kbps: int
    seconds: float
    cap: str
    is_fixed: bool
    is_viewer: bool


async def receive(url: str, codec: str, strip: bool, seconds: float) -> dict[str, Any]:
    """Watch in Chromium for a while; gives what the page noted."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=[*CHROMIUM_ARGS, *WEBRTC_ARGS])
        page = await browser.new_page()
        await page.goto(url)
        answer = await page.evaluate("([codec, strip]) => watch(codec, strip)", [codec, strip])
        await page.wait_for_function("frames.length > 0")
        print("connected", flush=True)
        await asyncio.sleep(seconds)
        result = await page.evaluate("({ frames, stats })")
        await browser.close()
        return result | {"answer": answer}


def ip(*words: str) -> None:
    """Run ``ip``, or another program that is named first."""
    subprocess.run(words if words[0] in ("tc", "ip") else ("ip", *words), check=True)


@contextlib.contextmanager
def namespace() -> Iterator[None]:
    """A network namespace with a link to this one, gone afterwards."""
    ip("netns", "add", NAMESPACE)
    try:
        ip("link", "add", NEAR, "type", "veth", "peer", "name", FAR, "netns", NAMESPACE)
        ip("addr", "add", f"{NEAR_ADDRESS}/24", "dev", NEAR)
        ip("link", "set", NEAR, "up")
        inside = ("netns", "exec", NAMESPACE, "ip")
        ip(*inside, "addr", "add", f"{FAR_ADDRESS}/24", "dev", FAR)
        ip(*inside, "link", "set", FAR, "up")
        ip(*inside, "link", "set", "lo", "up")
        yield
    finally:
        ip("netns", "del", NAMESPACE)


@contextlib.asynccontextmanager
async def watcher(run: Run, seconds: float) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that watches, in the namespace where the link is to be narrowed."""
    capped = run.scenario == "cap"
    host = NEAR_ADDRESS if capped else "127.0.0.1"
    command = [sys.executable, "-m", "tests.link_bench", "--receive", f"http://{host}:{PORT}/"]
    command += ["--codec", run.codec, "--seconds", str(seconds), *(["--strip"] if run.scenario == "loss" else [])]
    if capped:
        command = ["ip", "netns", "exec", NAMESPACE, *command]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, limit=64 << 20)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def measure(run: Run) -> str:
    """Send and watch; gives a row."""
    use_network(Network(loopback=run.scenario != "cap"))
    floor, ceiling = (run.kbps, run.kbps) if run.is_fixed else (300, max(4000, run.kbps))
    trouble = LOSSY if run.scenario == "loss" else None
    stream = Stream(BitrateBounds(run.kbps, floor, ceiling, 1000), (832, 480), trouble, run.is_viewer)
    server = BenchServer(stream)
    serving = asyncio.create_task(server.run(PORT), name="bench-server")
    total = WARM_UP_S + run.seconds + (AFTER_S if run.scenario == "cap" else 0)
    times: list[float] = []
    with namespace() if run.scenario == "cap" else contextlib.nullcontext():
        async with watcher(run, total) as process:
            assert process.stdout is not None
            await process.stdout.readline()
            telling = asyncio.create_task(tell(server), name="bench-tell")
            await asyncio.sleep(WARM_UP_S)
            times.append(time.clock_gettime(time.CLOCK_REALTIME))
            if run.scenario == "cap":
                ip("tc", "qdisc", "add", "dev", NEAR, "root", "tbf", *run.cap.split())
            await asyncio.sleep(run.seconds)
            times.append(time.clock_gettime(time.CLOCK_REALTIME))
            if run.scenario == "cap":
                ip("tc", "qdisc", "del", "dev", NEAR, "root")
            seen = json.loads(await process.stdout.readline())
            telling.cancel()
    serving.cancel()
    await asyncio.gather(serving, telling, return_exceptions=True)
    return row(run, seen, times)


async def tell(server: BenchServer) -> None:
    """Say every second how fast is encoded, on stderr."""
    while True:
        await asyncio.sleep(1)
        links = server.broadcast._control._links.values()
        state = [f"{link.rate:.0f} rtt {1000 * link.rtt:.0f} q {1000 * link.estimator.queue_s():.0f}" for link in links]
        print(server.broadcast.measured_kbps(), server.broadcast._control.target, state, file=sys.stderr, flush=True)


def rate_kbps(stats: Sequence[dict[str, Any]], begin: float, end: float) -> float:
    """Give the mean rate received between two times."""
    part = [one for one in stats if begin <= one["at"] / 1000 <= end]
    seconds = (part[-1]["at"] - part[0]["at"]) / 1000
    return 8 * (part[-1]["bytesReceived"] - part[0]["bytesReceived"]) / 1000 / seconds


def row(run: Run, seen: dict[str, Any], times: Sequence[float]) -> str:
    """Put what was seen from the first of two times on into a row."""
    frames, stats = seen["frames"], seen["stats"]
    began, ended = times
    shown = np.array([frame["at"] / 1000 for frame in frames])
    ages = np.array([(round(frame["at"]) - frame["code"]) % (1 << CLOCK_BITS) for frame in frames])[shown >= began]
    gaps = np.diff(shown[shown >= began - 1])
    freezes = gaps[gaps > FREEZE_S]
    first = next(one for one in stats if one["at"] / 1000 >= began)
    counted = {
        name: stats[-1].get(name, 0) - first.get(name, 0)
        for name in ("freezeCount", "totalFreezesDuration", "keyFramesDecoded", "pliCount", "nackCount", "packetsLost")
    }
    cells = [
        *(run.scenario, run.codec, "fixed" if run.is_fixed else "controlled"),
        f"{len(freezes)}, {freezes.sum():.1f} s, longest {gaps.max():.2f} s",
        f"{counted['freezeCount']}, {counted['totalFreezesDuration']:.1f} s",
        *(f"{np.percentile(ages, share):.0f}" for share in (50, 95, 100)),
        *(f"{counted[name]}" for name in ("keyFramesDecoded", "pliCount", "nackCount", "packetsLost")),
        f"{rate_kbps(stats, began, ended):.0f}",
    ]
    if run.scenario == "cap":
        before = rate_kbps(stats, began - 4, began)
        starts = np.arange(ended, stats[-1]["at"] / 1000 - 1, 0.25)
        back = next((at for at in starts if rate_kbps(stats, at, at + 1) > 0.85 * before), None)
        cells.append("never" if back is None else f"{back + 1 - ended:.1f} s")
    else:
        cells.append("")
    return f"| {' | '.join(cells)} |"


COLUMNS = (
    *("link", "codec", "rate", "freezes by frames", "by Chromium", "latency ms, p50", "p95", "most"),
    *("keyframes", "PLIs", "NACKs", "packets lost", "kbit/s", "rate back after"),
)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m tests.link_bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", choices=("latency", "cap", "loss", []))
    parser.add_argument("--codec", default="VP8,H264", help="with commas between (default: %(default)s)")
    parser.add_argument("--kbps", type=int, default=2500)
    parser.add_argument("--seconds", type=float, default=24, help="of the trouble (default: %(default)s)")
    parser.add_argument("--cap", default="rate 800kbit burst 10kb latency 300ms", help="tbf's (default: %(default)s)")
    parser.add_argument("--fixed", action="store_true", help="without a controller, for comparison")
    parser.add_argument("--viewer", action="store_true", help="watched, not directed")
    parser.add_argument("--receive", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--strip", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.receive:
        work = receive(arguments.receive, arguments.codec, arguments.strip, arguments.seconds)
        print(json.dumps(asyncio.run(work)), flush=True)
        return
    if "cap" in arguments.scenarios and os.geteuid() != 0:
        parser.error("cap makes a network namespace and a tbf queue: run it as root, with iproute2 installed")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for scenario in arguments.scenarios:
        for codec in arguments.codec.split(","):
            run = Run(
                *(scenario, codec, arguments.kbps, arguments.seconds, arguments.cap),
                is_fixed=arguments.fixed,
                is_viewer=arguments.viewer,
            )
            print(asyncio.run(measure(run)), flush=True)


if __name__ == "__main__":
    main()
