"""The metrics text tells what was counted, and the streams that are there when it is asked for."""

from prometheus_client.parser import text_string_to_metric_families

from stream.meter import CommandLife
from stream.metrics import Metrics
from tests.fake_live import FakeLive


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Parse the text: (name, label values...) -> value."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_what_is_observed_is_counted() -> None:
    """Frames, chunks, underruns, latencies and offers add up."""
    metrics = Metrics()
    metrics.chunk_made(0.09, 4)
    metrics.chunk_made(0.11, 4)
    metrics.frame_sent()
    metrics.underran(3)
    metrics.command_shown(CommandLife(0.125, 0.0, 0.25, 0.045))
    metrics.offer_answered("ok")
    metrics.offer_answered("bad_offer")
    read = samples(metrics)
    assert read["vivant_frames_generated_total",] == 8
    assert read["vivant_frames_sent_total",] == 1
    assert read["vivant_underruns_total",] == 3
    assert read["vivant_chunk_seconds_count",] == 2
    assert read["vivant_chunk_seconds_bucket", "0.1"] == 1
    assert read["vivant_control_latency_seconds_sum",] == 0.42
    assert read["vivant_control_stage_seconds_sum", "making"] == 0.25
    assert read["vivant_control_stage_seconds_sum", "playout"] == 0.045
    assert (read["vivant_offers_total", "ok"], read["vivant_offers_total", "bad_offer"]) == (1, 1)


async def test_streams_are_looked_at_when_asked() -> None:
    """The gauges follow the streams of the moment; two servers do not share their numbers."""
    streams: list[FakeLive] = []
    metrics = Metrics(lambda: streams)  # type: ignore[arg-type, return-value]
    assert samples(metrics)["vivant_streams", "idle"] == 0
    live = FakeLive()
    streams.append(live)
    live.viewers = 3
    read = samples(metrics)
    assert read["vivant_streams", "idle"] == 1
    assert read["vivant_viewers",] == 3
    assert samples(Metrics())["vivant_viewers",] == 0
    await live.broadcast.close()


def test_the_engines_busy_seconds_are_told() -> None:
    """The counter is read when asked for, so that capacity can be told from two readings."""
    busy = iter([1.5, 4.0])
    metrics = Metrics(busy_s=lambda: next(busy))
    assert samples(metrics)["vivant_engine_busy_seconds_total",] == 1.5
    assert samples(metrics)["vivant_engine_busy_seconds_total",] == 4.0
