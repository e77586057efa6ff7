"""What a model costs: the size of its files, the time until it is there, its memory, the time of a chunk."""

import resource
import time
from typing import Any

import numpy as np

from pipeline.config import ModelConfig
from pipeline.factory import LAYERS_WEIGHTS, POCKET_WEIGHTS, SALIENT_WEIGHTS, build
from pipeline.interface import Pipeline
from pipeline.pocket.plain_prompts import camera_prompt, effect_prompt
from pipeline.types import Conditioning, Pixels


def costs(config: ModelConfig, image: Pixels) -> dict[str, dict[str, Any]]:
    """Measure, in a process where nothing of it was loaded and beside which nothing else runs.

    Returns:
        ``costs``: megabytes of the weights that ship, seconds to load them once PyTorch is there, the most megabytes
        that the process of the model has held; and ``speed`` (:func:`chunk_times`).
    """
    import torch

    torch.zeros(1)
    begun = time.perf_counter()
    pipeline = build(config)
    load_s = time.perf_counter() - begun
    files = sum(file.stat().st_size for file in (POCKET_WEIGHTS, LAYERS_WEIGHTS, SALIENT_WEIGHTS))
    speed = chunk_times(pipeline, image)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    told = {"weights_mb": round(files / 1e6, 2), "load_s": round(load_s, 2), "memory_mb": round(memory)}
    return {"costs": told, "speed": speed}


def chunk_times(pipeline: Pipeline[Any], image: Pixels) -> dict[str, Any]:
    """Milliseconds a chunk, commit included, at each quality: median, 95th percentile."""
    rows: dict[str, Any] = {}
    size = pipeline.capabilities.sizes[0]
    for name, prompt in (("pan", camera_prompt("pan_left")), ("clouds", effect_prompt("clouds"))):
        for quality, rung in enumerate(pipeline.capabilities.quality):
            wanted = Conditioning("i2v", prompt.text, image, 1, quality=quality, size=size)
            state = pipeline.open(wanted)
            times: list[float] = []
            for _ in range(24):
                begun = time.perf_counter()
                pipeline.generate_chunk(state, wanted)
                pipeline.commit(state)
                times.append((time.perf_counter() - begun) * 1000)
            pipeline.close(state)
            middle, slow = np.quantile(times[4:], (0.5, 0.95))
            rows[f"{name}, {rung.name}"] = [round(float(middle), 1), round(float(slow), 1)]
    return rows
