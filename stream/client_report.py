"""What a director's session came to: figures from what was received, and a table of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from stream.client_director import Applied, Director
from stream.client_video import Arrival
from stream.clock import VIDEO_CLOCK_HZ
from stream.meter import percentiles
from stream.server_messages import Percentiles

MADE = "vivant_frames_generated_total"
# The first is all that the model's time goes into; the second leaves out what is done after a chunk is handed over.
BUSY = ("vivant_engine_busy_seconds_total", "vivant_chunk_seconds_sum")

DECODED_NOTE = "(Decoded: aiortc hands a frame out when the next one begins, a frame interval later than a browser.)"


@dataclass(frozen=True, slots=True)
class Regularity:
    """How even a run of timestamps is.

    ``steps`` counts each step in 1/90000 s, and ``step`` is the most frequent; ``held_slots`` are the display
    slots that steps of whole multiples left out; ``irregular`` counts steps that are no such multiple.
    """

    step: int
    steps: dict[int, int]
    held_slots: int
    irregular: int


def regularity(timestamps: Sequence[int]) -> Regularity:
    """Look at unwrapped timestamps in the order in which they came.

    A tick more or less is the rounding of rates that do not divide 90000.

    >>> regularity([0, 10, 20, 40, 45])
    Regularity(step=10, steps={10: 2, 20: 1, 5: 1}, held_slots=1, irregular=1)
    """
    steps: dict[int, int] = {}
    for before, after in pairwise(timestamps):
        steps[after - before] = steps.get(after - before, 0) + 1
    if not steps:
        return Regularity(0, {}, 0, 0)
    step = max(steps, key=steps.__getitem__)
    held = irregular = 0
    for size, times in steps.items():
        slots = max(1, round(size / step)) if step > 0 else 1
        if size > 0 and abs(size - slots * step) <= slots:
            held += (slots - 1) * times
        else:
            irregular += times
    return Regularity(step, dict(sorted(steps.items(), key=lambda item: -item[1])), held, irregular)


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds: the median, the 95th percentile, the most; None of none."""

    p50: float | None
    p95: float | None
    most: float | None


def delays(seconds: Sequence[float]) -> Delays:
    """Sum up.

    >>> delays([0.001, 0.002, 0.004])
    Delays(p50=2.0, p95=4.0, most=4.0)
    """
    values = [round(1000 * value, 1) for value in seconds]
    found = percentiles(values)
    return Delays(found.p50, found.p95, max(values, default=None))


def delay_variation(arrivals: Sequence[Arrival]) -> list[float]:
    """Give by how many seconds more than the quickest each frame was under way (RFC 5481 section 4.2)."""
    delays = [arrival.arrived - arrival.timestamp / VIDEO_CLOCK_HZ for arrival in arrivals]
    return [delay - min(delays) for delay in delays]


@dataclass(frozen=True, slots=True)
class Capacity:
    """Frames a second that the model could make, all streams together, had it no pause; from ``/metrics``.

    ``is_whole`` is False where the server does not count all of the model's work, so that this is too high.
    """

    fps: float
    is_whole: bool


def capacity(before: str, after: str) -> Capacity | None:
    """Compare two states of ``/metrics``; None when nothing was made between them.

    >>> text = "vivant_frames_generated_total {}\\nvivant_engine_busy_seconds_total {}\\n"
    >>> capacity(text.format(4, 1.5), text.format(104, 4.0))
    Capacity(fps=40.0, is_whole=True)
    """
    earlier, later = _samples(before), _samples(after)
    frames = later.get(MADE, 0) - earlier.get(MADE, 0)
    name = next((name for name in BUSY if name in later), None)
    busy = later[name] - earlier.get(name, 0) if name else 0
    return Capacity(round(frames / busy, 1), name == BUSY[0]) if frames > 0 and busy > 0 else None


def _samples(text: str) -> dict[str, float]:
    """Read the samples without labels of the Prometheus text format."""
    pairs = [line.split() for line in text.splitlines() if line and line[0] != "#" and "{" not in line]
    return {pair[0]: float(pair[1]) for pair in pairs if len(pair) >= 2}


@dataclass(frozen=True, slots=True)
class PromptChange:
    """One change of the prompt, and its milliseconds until its first frame had arrived, and was decoded."""

    prompt: str
    at_s: float
    frame: int
    arrived_ms: float
    decoded_ms: float


@dataclass(frozen=True, slots=True)
class Report:
    """One director's session; ``*_ms`` count from the command, ``connected_ms`` from before the offer.

    Frames count from the one that ``started`` names. ``decoded`` leaves out the last, which aiortc keeps back.
    """

    stream: str
    codec: str
    width: int
    height: int
    answered_ms: float
    connected_ms: float
    first_frame_arrived_ms: float
    first_frame_decoded_ms: float
    seconds: float
    frames: int
    decoded: int
    fps: float
    kbps: float
    timestamps: Regularity
    delay_variation_ms: Delays
    longest_gap_ms: float
    underruns: int | None
    underruns_after_first_second: int | None
    fps_generated: float | None
    chunk_ms: float | None
    server_latency_ms: Any
    capacity: Capacity | None
    prompts: list[PromptChange]
    prompt_arrived_ms: Percentiles
    prompt_decoded_ms: Percentiles


def make_report(
    director: Director, started: Applied, changes: Sequence[tuple[str, Applied]], capable: Capacity | None
) -> Report:
    """Make the report of a session up to now."""
    width, height = director.size
    begun = director.arrivals.find(started.rtp_timestamp)
    assert begun is not None
    frames = [arrival for arrival in director.arrivals.all() if arrival.timestamp >= begun.timestamp]
    seconds = frames[-1].arrived - frames[0].arrived
    gaps = [after.arrived - before.arrived for before, after in pairwise(frames)]
    prompts = [_change(prompt, applied, started) for prompt, applied in changes]
    return Report(
        stream=director.stream,
        codec=director.codec,
        width=width,
        height=height,
        answered_ms=_ms(director.answered - director.began),
        connected_ms=_ms(director.connected - director.began),
        first_frame_arrived_ms=_ms(started.arrived - started.sent),
        first_frame_decoded_ms=_ms(started.decoded - started.sent),
        seconds=round(seconds, 3),
        frames=len(frames),
        decoded=sum(frame.decoded is not None for frame in frames),
        fps=round((len(frames) - 1) / seconds, 2) if seconds else 0.0,
        kbps=round(sum(frame.size for frame in frames[1:]) * 8 / 1000 / seconds) if seconds else 0,
        timestamps=regularity([frame.timestamp for frame in frames]),
        delay_variation_ms=delays(delay_variation(frames)),
        longest_gap_ms=_ms(max(gaps, default=0.0)),
        **_from_stats(director, started),
        capacity=capable,
        prompts=prompts,
        prompt_arrived_ms=percentiles([change.arrived_ms for change in prompts]),
        prompt_decoded_ms=percentiles([change.decoded_ms for change in prompts]),
    )


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


def _change(prompt: str, applied: Applied, started: Applied) -> PromptChange:
    return PromptChange(
        prompt=prompt,
        at_s=round(applied.sent - started.arrived, 3),
        frame=applied.frame,
        arrived_ms=_ms(applied.arrived - applied.sent),
        decoded_ms=_ms(applied.decoded - applied.sent),
    )


def _from_stats(director: Director, started: Applied) -> dict[str, Any]:
    """Sum up the server's own figures, over whole seconds of play; each None where none came."""
    stats = [(at, message) for at, message in director.messages if message["type"] == "stats" and at > started.arrived]
    settled = [message for at, message in stats if at > started.arrived + 1]
    last = stats[-1][1] if stats else {}
    return {
        "underruns": last.get("underruns"),
        "underruns_after_first_second": last["underruns"] - settled[0]["underruns"] if settled else None,
        "fps_generated": percentiles([message["fps_generated"] for message in settled]).p50,
        "chunk_ms": percentiles([message["chunk_ms"] for message in settled]).p50,
        "server_latency_ms": last.get("control_latency_ms"),
    }


def table(reports: Sequence[Report]) -> str:
    """Lay the figures out for reading, a column for each user; of one user at least."""
    columns = [_rows(report) for report in reports]
    lines = [(label, [column[label] for column in columns]) for label in columns[0]]
    widths = [max(len(cells[user]) for _, cells in lines) for user in range(len(columns))]
    text = [
        f"{label:<22}" + "   ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
        for label, cells in lines
    ]
    return "\n".join([*(line.rstrip() for line in text), DECODED_NOTE])


def _rows(report: Report) -> dict[str, str]:
    steps, variation = report.timestamps, report.delay_variation_ms
    common = ", ".join(f"{step} x {times}" for step, times in list(steps.steps.items())[:3])
    arrived, decoded = (_figures(ms.p50, ms.p95) for ms in (report.prompt_arrived_ms, report.prompt_decoded_ms))
    late = report.underruns_after_first_second
    return {
        "stream": f"{report.stream}, {report.codec}, {report.width}x{report.height}",
        "connected after": f"{report.connected_ms:g} ms (answer after {report.answered_ms:g})",
        "first frame after": f"{report.first_frame_arrived_ms:g} ms (decoded {report.first_frame_decoded_ms:g})",
        "video": f"{report.frames} frames in {report.seconds:.1f} s, {report.fps:.2f} frames/s, {report.kbps:g} kbit/s",
        "timestamp steps": f"{common}; {steps.held_slots} slots held, {steps.irregular} irregular",
        "delay varies by": f"{_figures(variation.p50, variation.p95, variation.most)} ms (p50 / p95 / most)",
        "longest gap": f"{report.longest_gap_ms:g} ms",
        "underruns": f"{_figures(report.underruns)} ({_figures(late)} after the first second)",
        "generated": f"{_figures(report.fps_generated)} frames/s, {_figures(report.chunk_ms)} ms a chunk",
        "generation capacity": _capable(report.capacity),
        "prompt to screen": f"arrived {arrived}, decoded {decoded} ms (p50 / p95 of {len(report.prompts)} changes)",
    }


def _figures(*values: float | None) -> str:
    return " / ".join("-" if value is None else f"{value:g}" for value in values)


def _capable(capable: Capacity | None) -> str:
    if capable is None:
        return "-"
    return f"{'' if capable.is_whole else 'at most '}{capable.fps:g} frames/s, all streams together"
