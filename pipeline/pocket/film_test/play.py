"""Plays scenes by the pipeline of whatever tree stands first on the path, and keeps frames as files.

``python -P play.py < JOBS.json``, in a process of its own with ``PYTHONPATH`` at a tree. It imports only what the first
version of pocket had too, so that every version is played by the same lines.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

import pipeline
from pipeline import config as configuration
from pipeline.factory import build
from pipeline.types import Conditioning

SIZE = (832, 480)
QUALITY = 93


def play(model: Any, job: dict[str, Any], fps: int, seconds: int) -> None:
    """Play one scene as the server does, and keep ``fps`` frames a second; its folder has its name once it is whole."""
    # The first version had one size, the same.
    size: dict[str, Any] = {"size": SIZE} if "size" in Conditioning.__dataclass_fields__ else {}
    asked = Conditioning("i2v", job["text"], picture_of(Path(job["picture"])), job["seed"], **size)
    folder = Path(job["folder"])
    partial = folder.with_name(folder.name + ".part")
    partial.mkdir(parents=True, exist_ok=True)
    state = model.open(asked)
    count, second = 0, 0.0
    while count < fps * seconds:
        chunk = model.generate_chunk(state, asked)
        model.commit(state)
        for frame in chunk.frames:
            if second * fps > count - 1e-6 and count < fps * seconds:
                keep(partial, count, frame)
                count += 1
            second += 1 / float(chunk.fps)
    model.close(state)
    partial.rename(folder)


def picture_of(file: Path) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """A picture ``uint8 [H, W, 3]`` RGB; raises OSError where there is none."""
    read = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if read is None:
        raise OSError(f"{file} can't be read as a picture")
    return np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8)


def keep(folder: Path, number: int, frame: "np.ndarray[Any, Any]") -> None:
    """Write one frame ``uint8 [H, W, 3]`` RGB."""
    shown = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(folder / f"{number:03}.jpg"), shown, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def main() -> None:
    """Play all scenes that stand on the input."""
    order = json.load(sys.stdin)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    cv2.setNumThreads(1)
    if Path(pipeline.__file__).resolve().parent.parent != Path(order["tree"]):
        raise SystemExit(f"{order['tree']} holds no pipeline that can be imported; give --tree the root of a checkout")
    # The first version's settings had another name.
    settings = getattr(configuration, "ModelConfig", None) or configuration.__dict__["PipelineConfig"]
    model = build(settings(threads=1, **order["settings"]))
    for job in order["jobs"]:
        begun = time.process_time()
        play(model, job, order["fps"], order["seconds"])
        print(f"{job['folder']}: {time.process_time() - begun:.0f} s of a CPU", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
