"""The real server with a fake model: ``python -m tests.serve_fake [CONFIG.yaml] [key=value ...]``.

``$FAKE_WARM_UP_S`` delays the model's start, ``$FAKE_FAILURE`` makes it fail.
"""

import os
import sys
import time
from typing import Any

from pipeline.config import PipelineConfig
from pipeline.errors import WeightsError
from pipeline.interface import Pipeline
from server import run
from tests.fakes import FakePipeline


def build(config: PipelineConfig) -> Pipeline[Any]:
    """Build the fake."""
    time.sleep(float(os.environ.get("FAKE_WARM_UP_S", "0")))
    if "FAKE_FAILURE" in os.environ:
        raise WeightsError("these weights do not fit")
    return FakePipeline()


if __name__ == "__main__":
    run(sys.argv[1:], build)
