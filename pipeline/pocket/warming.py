"""The first chunks of a pipeline: how long they take, and whether that is live."""

import logging
import time
from typing import Any

import numpy as np

from pipeline.geometry import Size
from pipeline.interface import Pipeline, Progress
from pipeline.types import Conditioning, Pixels, VideoFormat

logger = logging.getLogger(__name__)

PROMPT = "snow falls, the camera pans left"
CHUNKS = 5


def timed(pipeline: Pipeline[Any], progress: Progress) -> tuple[float, ...]:
    """Make a few chunks of every quality; give the median seconds of a chunk and commit of each, the first left out."""
    progress("warming up")
    seconds: list[float] = []
    for quality in range(len(pipeline.capabilities.quality)):
        conditioning = Conditioning("i2v", PROMPT, _picture(pipeline.format), 0, quality=quality)
        state = pipeline.open(conditioning)
        times: list[float] = []
        for _ in range(CHUNKS):
            begun = time.perf_counter()
            pipeline.generate_chunk(state, conditioning)
            pipeline.commit(state)
            times.append(time.perf_counter() - begun)
        pipeline.close(state)
        seconds.append(float(np.median(times[1:])))
    return tuple(seconds)


def make_once(pipeline: Pipeline[Any], size: Size) -> None:
    """Make a chunk of a size."""
    conditioning = Conditioning("i2v", PROMPT, _picture(pipeline.format), 0, size=size)
    state = pipeline.open(conditioning)
    pipeline.generate_chunk(state, conditioning)
    pipeline.close(state)


def warn_if_slow(made: VideoFormat, least_s: float) -> None:
    """Say in the log what would do where even the least quality's chunk takes longer to make than it plays."""
    if least_s > made.chunk_seconds:
        logger.warning(
            "%.2f s of %sx%s video take %.2f s to make here, so it will falter; set model.device=cuda, or less of "
            "model.width, model.height or model.fps",
            *(float(made.chunk_seconds), made.width, made.height, least_s),
        )


def _picture(made: VideoFormat) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (made.height, made.width, 3), dtype=np.uint8)
