"""What the server says on the data channel: the figures of a stream, replies, errors and news as messages."""

from dataclasses import asdict, dataclass
from typing import Any

from pipeline.types import Mode
from stream.errors import StreamError
from stream.protocol import StreamState


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Two percentiles of a figure; None where nothing was measured yet."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class ControlStages:
    """What control latency is made of: until a chunk is begun, reading the prompt, making it, until it is due."""

    waiting: Percentiles
    reading: Percentiles
    making: Percentiles
    playout: Percentiles


@dataclass(frozen=True, slots=True)
class Stats:
    """The figures of one second of a stream, named as on the wire."""

    fps_generated: float
    fps_sent: float
    chunk_ms: float
    buffered_ms: float
    control_latency_ms: Percentiles
    control_stages_ms: ControlStages
    underruns: int
    viewers: int
    bitrate_kbps: float


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What ``state`` tells of the conditioning image: hash of its file, upright size in pixels."""

    sha256: str
    width: int
    height: int


def reply(type: str, id: int, **values: Any) -> dict[str, Any]:
    """Give a reply to the command ``id``.

    >>> reply("paused", 4, frame=31)
    {'type': 'paused', 'id': 4, 'frame': 31}
    """
    return {"type": type, "id": id, **values}


def error_message(error: StreamError, id: int | None = None) -> dict[str, Any]:
    """Give the ``error`` message for a refusal; without ``id`` it names the one in ``error.extra``, if any.

    >>> error_message(StreamError("no_image", "Upload a picture, then start."), 4)["retryable"]
    False
    """
    id = error.extra.get("id") if id is None else id
    message: dict[str, Any] = {"type": "error"} if id is None else {"type": "error", "id": id}
    message |= {"code": error.code, "message": error.message, "retryable": error.retryable}
    return message | {key: error.extra[key] for key in ("ahead",) if key in error.extra}


def state_message(state: StreamState, mode: Mode, prompt: str, frame: int, image: ImageInfo | None) -> dict[str, Any]:
    """Give the ``state`` object."""
    picture = None if image is None else asdict(image)
    return {"type": "state", "state": state, "mode": mode, "prompt": prompt, "frame": frame, "image": picture}


def stats_message(stats: Stats) -> dict[str, Any]:
    """Give the ``stats`` message."""
    return {"type": "stats", **asdict(stats)}


def goodbye_message(reason: str) -> dict[str, Any]:
    """Give the ``goodbye`` message, the last one before the server closes."""
    return {"type": "goodbye", "reason": reason}
