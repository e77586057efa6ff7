"""What a stream tells its directors of itself, unasked and asked."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from stream.replies import Message
from stream.server_messages import ImageInfo, Stats, state_message, stats_message

if TYPE_CHECKING:
    from stream.live import LiveStream


def state_of(stream: "LiveStream") -> Message:
    """Make a stream's ``state`` message."""
    generation = stream.generation
    control, picture = generation.control, generation.control.picture
    image = None if picture is None else ImageInfo(picture.sha256, picture.width, picture.height)
    message = state_message(generation.state, control.mode, control.prompt, generation.shown.frame, image)
    heard = generation.heard
    words = {} if heard is None else {"heard": {"understood": [*heard.understood], "ignored": [*heard.ignored]}}
    size = generation.size
    shape = {} if size == stream.services.engine.capabilities.sizes[0] else {"size": [*size]}
    return message | shape | stream.guests.describe() | words


def stats_of(stream: "LiveStream") -> Message:
    """Make a stream's ``stats`` message."""
    generation, delivery = stream.generation, stream.generation.delivery
    level, meter = delivery.quality, generation.meter
    stats = Stats(
        fps_generated=meter.fps_generated(),
        fps_sent=meter.fps_sent(),
        chunk_ms=meter.chunk_ms(),
        buffered_ms=round(1000 * generation.playout.buffered, 1),
        control_latency_ms=meter.control_latency_ms(),
        control_stages_ms=meter.control_stages_ms(),
        underruns=generation.playout.underruns,
        viewers=stream.viewers,
        bitrate_kbps=generation.sink.measured_kbps(),
    )
    drift = {} if generation.drift is None else {"drift": asdict(generation.drift)}
    why = {} if delivery.quality_why is None else {"quality_why": delivery.quality_why}
    rung = {"quality": stream.services.capacity.rungs[level].name, "level": level}
    return stats_message(stats) | rung | why | drift
