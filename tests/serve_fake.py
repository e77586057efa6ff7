"""The real server with a fake model: ``python -m tests.serve_fake [CONFIG.yaml] [key=value ...]``.

``$FAKE_WARM_UP_S`` delays the model's start; ``$FAKE_CHUNK_S`` holds the seconds that a chunk of ``$FAKE_LATENTS``
latents takes at each quality, ``$FAKE_MODES`` the modes, both with commas between.
``$FAKE_STAGES`` holds the stages of its warm-up, with semicolons between, after each of which it waits at the gate of
port ``$FAKE_GATE`` if it is named;
``$FAKE_NEEDS`` is what it says that it needs, ``$FAKE_RESUMABLE`` makes its streams such that can be saved,
``$FAKE_SWAPPING`` lets pictures come into them besides. ``$FAKE_SIZES`` holds the sizes, as WIDTHxHEIGHT with commas
between, the first for where there is no picture.
"""

import os
import sys
import time
from typing import Any, cast

from pipeline.config import ModelConfig, WanConfig
from pipeline.interface import Pipeline, Progress
from pipeline.types import Mode
from server import run
from tests.fakes import build_fake


def build(model: ModelConfig, wan: WanConfig, progress: Progress) -> Pipeline[Any]:
    """Build the fake."""
    time.sleep(float(os.environ.get("FAKE_WARM_UP_S", "0")))
    seconds = [float(chunk) for chunk in os.environ.get("FAKE_CHUNK_S", "0,0,0").split(",")]
    modes = os.environ.get("FAKE_MODES", "i2v").split(",")
    told = os.environ.get("FAKE_SIZES", "64x32").split(",")
    (width, height), *more = ((int(side) for side in size.split("x")) for size in told)
    return build_fake(
        progress,
        resumable="FAKE_RESUMABLE" in os.environ,
        swapping="FAKE_SWAPPING" in os.environ,
        seconds=tuple(seconds),
        width=width,
        height=height,
        more_sizes=tuple((across, down) for across, down in more),
        latents_per_chunk=int(os.environ.get("FAKE_LATENTS", "1")),
        modes=cast(tuple[Mode, ...], tuple(modes)),
        stages=tuple(filter(None, os.environ.get("FAKE_STAGES", "").split(";"))),
        gate=int(os.environ.get("FAKE_GATE", "0")),
        needs=os.environ.get("FAKE_NEEDS", ""),
    )


if __name__ == "__main__":
    run(sys.argv[1:], build)
