"""The server in numbers, as Prometheus text."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream.live import LiveStream
from stream.meter import CommandLife

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("idle", "live", "paused")
CHUNK_S = (0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 1.0, 2.5, 5.0)
STAGE_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
LATENCY_S = (0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.5, 2.5, 5.0)


class Metrics:
    """Counts for all streams of a server, in a registry of its own; a stream's :class:`Observer`.

    Streams are looked at when the text is asked for, so nothing has to be kept in step with them.
    """

    def __init__(
        self,
        streams: Callable[[], Iterable[LiveStream]] = tuple,
        busy_s: Callable[[], float] = float,
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_StreamGauges(streams, busy_s))
        self._frames_made = self._counter("frames_generated", "Frames made by the model.")
        self._frames_sent = self._counter("frames_sent", "Frames handed to the encoder.")
        self._underruns = self._counter("underruns", "Times that frames came too late and the last was held.")
        self._offers = Counter(
            "vivant_offers", "Offers by answer: ok, or the error's code.", ["result"], registry=self._registry
        )
        self._viewer_offers = Counter(
            "vivant_viewer_offers", "WHEP offers by answer: ok, or the code.", ["result"], registry=self._registry
        )
        self._publisher_offers = Counter(
            "vivant_publisher_offers", "WHIP offers by answer: ok, or the code.", ["result"], registry=self._registry
        )
        self._chunks = Histogram(
            "vivant_chunk_seconds",
            "Seconds from asking for a chunk to having it.",
            buckets=CHUNK_S,
            registry=self._registry,
        )
        self._latency = Histogram(
            "vivant_control_latency_seconds",
            "Seconds from a command to its first frame.",
            buckets=LATENCY_S,
            registry=self._registry,
        )
        self._stages = Histogram(
            "vivant_control_stage_seconds",
            "Seconds of that until a chunk is begun, reading the prompt, making the chunk, until it is due.",
            ["stage"],
            buckets=STAGE_S,
            registry=self._registry,
        )

    def chunk_made(self, seconds: float, frames: int) -> None:
        """Note a chunk of so many frames, and the seconds from the asking to the having."""
        self._chunks.observe(seconds)
        self._frames_made.inc(frames)

    def frame_sent(self) -> None:
        """Note a frame handed to the encoder."""
        self._frames_sent.inc()

    def underran(self, times: int) -> None:
        """Note that frames came too late so many times."""
        self._underruns.inc(times)

    def command_shown(self, life: CommandLife) -> None:
        """Note how long a command took to its first frame, and on what the time was spent."""
        self._latency.observe(life.seconds)
        for stage in fields(life):
            self._stages.labels(stage.name).observe(getattr(life, stage.name))

    def offer_answered(self, result: str) -> None:
        """Note an offer: ``ok``, or the code of the error that answered it."""
        self._offers.labels(result).inc()

    def viewer_answered(self, result: str) -> None:
        """Note a WHEP offer: ``ok``, or the code of the error that answered it."""
        self._viewer_offers.labels(result).inc()

    def publisher_answered(self, result: str) -> None:
        """Note a WHIP offer: ``ok``, or the code of the error that answered it."""
        self._publisher_offers.labels(result).inc()

    def render(self) -> bytes:
        """Give all of it in the Prometheus text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"vivant_{name}", text, registry=self._registry)


class _StreamGauges(Collector):
    """Counts the streams, and who is on them, at the moment of asking."""

    def __init__(self, streams: Callable[[], Iterable[LiveStream]], busy_s: Callable[[], float]) -> None:
        self._streams, self._busy_s = streams, busy_s

    def describe(self) -> Iterator[Metric]:
        # Registering would otherwise collect, before there are streams.
        yield from ()

    def collect(self) -> Iterator[Metric]:
        streams = list(self._streams())
        by_state = GaugeMetricFamily("vivant_streams", "Streams by state.", labels=["state"])
        for state in STATES:
            by_state.add_metric([state], sum(stream.state == state for stream in streams))
        yield by_state
        yield CounterMetricFamily(
            "vivant_engine_busy_seconds",
            "Seconds that the engine spent on chunks, contexts and openings.",
            self._busy_s(),
        )
        yield GaugeMetricFamily("vivant_directors", "Directors connected.", sum(stream.directors for stream in streams))
        yield GaugeMetricFamily("vivant_viewers", "Viewers connected.", sum(stream.viewers for stream in streams))
        yield GaugeMetricFamily(
            "vivant_video_kbps",
            "Kilobits per second encoded, all streams together.",
            sum(stream.broadcast.measured_kbps() for stream in streams),
        )
