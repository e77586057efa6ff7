"""Processes of one thread each, every one with a player of its own: on few cores that is twice as fast as threads."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2

from pipeline.config import ModelConfig
from pipeline.pocket.takes import ModelPlayer, Player, TruthPlayer

_here: list[tuple[Player, Path]] = []


def pool(workers: int, config: ModelConfig | None, pictures: Path) -> ProcessPoolExecutor:
    """Workers that play the model of ``config``, or the truth for None; they start with the first job."""
    # OpenMP reads this when torch is loaded, so that only a fresh process still heeds it; see the factory.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return ProcessPoolExecutor(workers, get_context("spawn"), _start, (config, pictures))


def this_worker() -> tuple[Player, Path]:
    """The player of this process, and the folder of pictures."""
    return _here[0]


def _start(config: ModelConfig | None, pictures: Path) -> None:
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    _here.append((TruthPlayer() if config is None else ModelPlayer(config), pictures))
