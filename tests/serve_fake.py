"""The real server with a fake model: ``python -m tests.serve_fake [CONFIG.yaml] [key=value ...]``.

``$FAKE_WARM_UP_S`` delays the model's start, ``$FAKE_FAILURE`` makes it fail; ``$FAKE_CHUNK_S`` holds the seconds that
a chunk takes at each quality, ``$FAKE_MODES`` the modes, both with commas between.
"""

import os
import sys
import time
from typing import Any, cast

from pipeline.config import PipelineConfig
from pipeline.errors import WeightsError
from pipeline.interface import Pipeline
from pipeline.types import Mode
from server import run
from tests.fakes import FakePipeline


def build(config: PipelineConfig) -> Pipeline[Any]:
    """Build the fake."""
    time.sleep(float(os.environ.get("FAKE_WARM_UP_S", "0")))
    if "FAKE_FAILURE" in os.environ:
        raise WeightsError("these weights do not fit")
    seconds = [float(chunk) for chunk in os.environ.get("FAKE_CHUNK_S", "0,0,0").split(",")]
    modes = os.environ.get("FAKE_MODES", "i2v").split(",")
    return FakePipeline(seconds=tuple(seconds), modes=cast(tuple[Mode, ...], tuple(modes)))


if __name__ == "__main__":
    run(sys.argv[1:], build)
